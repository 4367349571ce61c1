"""What the ledger answers, as Rich tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any

from rich import box
from rich.table import Column, Table
from rich.text import Text

from estimator.cli.tables import aligned, amount_cell, cell, facts
from estimator.credits import grouped_credits
from ledger.documents import moment_text, seconds_text
from ledger.errors import Finding
from ledger.limits import LimitUsage
from ledger.model.values import Balance, GrantStanding, Launch, Limit, Reservation, RunSettlement, Statement
from ledger.outbox import StartStanding
from ledger.readiness import DatabaseReport

_BUCKETS = ("available", "held", "consumed", "expired", "revoked", "scheduled", "issued")


def listing(*columns: Column | str) -> Table:
    """An empty table, a line below its headings and none around it."""
    return Table(*columns, box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)


def whole(*headings: str) -> list[Column]:
    """Columns whose texts stay on one line."""
    return [Column(heading, no_wrap=True) for heading in headings]


def folded(*headings: str) -> list[Column]:
    """Columns whose texts go on below where the terminal is narrow."""
    return [Column(heading, overflow="fold") for heading in headings]


def numbers(*headings: str) -> list[Column]:
    """Columns flush right, whose digits stay on one line."""
    return [Column(heading, justify="right", no_wrap=True) for heading in headings]


def capitalized(names: Iterable[str]) -> Iterator[str]:
    """Names of fields as headings."""
    return (name.capitalize() for name in names)


def in_line(rows: Iterable[Sequence[Decimal | None]]) -> list[tuple[str, ...]]:
    """Rows of amounts as texts; in each column the decimal points are below one another."""
    return list(zip(*(aligned(column) for column in zip(*rows, strict=True)), strict=True))


def amount_cells(values: Iterable[Any], names: Sequence[str]) -> list[list[Text]]:
    """For each value the cells of its amounts of some names."""
    return [[amount_cell(text) for text in row] for row in in_line([[getattr(v, n) for n in names] for v in values])]


def _used(names: Iterable[str], values: Sequence[Any], *, always: Iterable[str]) -> list[str]:
    """The buckets to show: those that are always shown, and those that some value has credits in."""
    return [name for name in names if name in always or any(getattr(value, name) for value in values)]


def _second(moment: datetime, zone: tzinfo = UTC) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def value_table(value: Any) -> Table:
    """One answered value, a field a line."""
    return facts((field.name.replace("_", " "), _shown(getattr(value, field.name))) for field in fields(value))


def report_table(report: DatabaseReport) -> Table:
    """What a database can do, a field a line, without the sentences on what is missing."""
    sentences = ("missing", "hints")
    rows = [
        (field.name.replace("_", " "), getattr(report, field.name))
        for field in fields(report)
        if field.name not in sentences
    ]
    return facts((name, _listed(value)) for name, value in rows if value is not None)


def _listed(value: Any) -> object:
    if isinstance(value, dict):
        return ", ".join(f"{name} {setting}" for name, setting in value.items())
    return (", ".join(value) or "none") if isinstance(value, tuple) else _shown(value)


def _shown(value: Any) -> object:
    if isinstance(value, Decimal):
        return grouped_credits(value)
    if isinstance(value, datetime):
        return moment_text(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(str(_shown(getattr(item, "grant_id", item))) for item in value) or None
    if isinstance(value, timedelta):
        return f"{seconds_text(value)} seconds" if value else None
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_shown(item)}" for name, item in value.items()) or None
    if isinstance(value, list):
        return ", ".join(str(_shown(item)) for item in value) or None
    return value


def balance_table(balance: Balance) -> Table:
    """An account's credits by bucket, and how many were issued."""
    table = listing("Bucket", *numbers("Credits"))
    names = [name for name in _BUCKETS if name != "scheduled" or balance.scheduled] + ["owed"] * bool(balance.owed)
    amounts = aligned([getattr(balance, name) for name in names])
    for index, (name, amount) in enumerate(zip(names, amounts, strict=True)):
        style = "bold" if name in ("available", "issued") else ""
        is_last = index + 1 < len(names) and names[index + 1] == "issued"
        table.add_row(cell(name.capitalize(), style), amount_cell(amount, style), end_section=is_last)
    return table


def balances_table(balances: Sequence[tuple[str, Balance]]) -> Table:
    """Balances with their labels, one below another, to compare them; buckets that stay empty are left out."""
    found = [balance for _, balance in balances]
    names = _used(_BUCKETS, found, always=("available", "held", "consumed", "issued"))
    table = listing(*whole("Balance"), *numbers(*capitalized(names)))
    for (label, _), amounts in zip(balances, amount_cells(found, names), strict=True):
        table.add_row(cell(label), *amounts)
    return table


def launch_table(launch: Launch) -> Table:
    """A launch, or the estimate that was asked for instead."""
    response = launch.response
    return facts(
        [
            ("Run", launch.run_id or "none: the request asks for an estimate only"),
            ("Reservation", launch.reservation_id),
            ("Credits", grouped_credits(response.credits)),
            ("Minutes", grouped_credits(response.minutes)),
            ("Available", None if response.available_credits is None else grouped_credits(response.available_credits)),
            ("Replay", _replay(launch.replayed)),
        ]
    )


def settlement_table(settlement: RunSettlement) -> Table:
    """What a run was charged, and what of its hold was freed."""
    return facts(
        [
            ("Run", settlement.run_id),
            ("Status", settlement.status),
            ("Reservation", settlement.reservation_id),
            ("Charged", grouped_credits(settlement.captured)),
            ("Freed", grouped_credits(settlement.freed)),
            ("Replay", _replay(settlement.replayed)),
        ]
    )


def _replay(replayed: bool) -> str:
    return "yes: nothing moved" if replayed else "no"


def reservations_table(reservations: Sequence[Reservation]) -> Table:
    """Reservations, one a line."""
    names = ("amount", "captured", "freed")
    table = listing(*folded("Reservation"), *whole("State"), *numbers(*capitalized(names)), *folded("Run"))
    for held, amounts in zip(reservations, amount_cells(reservations, names), strict=True):
        table.add_row(cell(held.reservation_id), held.state.value, *amounts, cell(held.run_id or ""))
    return table


def starts_table(starts: Sequence[StartStanding]) -> Table:
    """Starts of runs, one a line; of those that wait, the moment of the next attempt."""
    is_waiting = any(start.ended_at is None for start in starts)
    moments = whole("Launched (UTC)", "Next attempt" if is_waiting else "Ended")
    table = listing(*folded("Start", "Run"), *moments, *numbers("Attempts"), *folded("Last error"))
    for start in starts:
        table.add_row(
            cell(start.start_id),
            cell(start.run_id),
            _second(start.created_at),
            _second(start.ended_at or start.next_attempt_at),
            str(start.attempts),
            cell(start.error or ""),
        )
    return table


def statement_table(statement: Statement, *, zone: tzinfo = UTC) -> Table:
    """Entries between the opening and the closing balance, each with the balance after it; moments in a zone."""
    rows: list[tuple[str, str, str, str]] = [("", "", "opening", "")]
    for entry in statement.entries:
        reference = entry.reservation_id or entry.key or ""
        rows.append((str(entry.sequence), _second(entry.at, zone), entry.kind.value, reference))
    rows.append(("", "", "closing", ""))
    balances = [statement.opening, *(entry.balance for entry in statement.entries), statement.closing]
    buckets = _used(_BUCKETS[:-1], balances, always=_BUCKETS[:3])
    columns = numbers(*capitalized(buckets))
    table = listing(*numbers("#"), *whole(f"At ({zone})", "Entry"), *folded("Ref"), *columns)
    texts = in_line([[getattr(balance, name) for name in buckets] for balance in balances])
    for (number, at, kind, reference), amounts in zip(rows, texts, strict=True):
        style = "" if number else "bold"
        cells = (amount_cell(amount, style) for amount in amounts)
        table.add_row(number, at, cell(kind, style), cell(reference), *cells)
    return table


def grants_table(grants: Sequence[GrantStanding]) -> Table:
    """Grants, one a line, with their credits by bucket."""
    names = _used(_BUCKETS[:-1], grants, always=("available",))
    columns = [*folded("Grant"), *whole("Kind"), *numbers("Priority"), *whole("Expires (UTC)")]
    table = listing(*columns, *numbers(*capitalized(names)))
    for grant, amounts in zip(grants, amount_cells(grants, names), strict=True):
        table.add_row(
            cell(grant.grant_id),
            grant.kind.replace("_", " "),
            "last" if grant.kind == "credit_line" else str(grant.priority),
            "" if grant.expires_at is None else _second(grant.expires_at),
            *amounts,
        )
    return table


def limits_table(limits: Sequence[Limit], usage: Sequence[LimitUsage]) -> Table:
    """Limits, one a line, each followed by what counts against it."""
    table = listing(*folded("Label", "Value", "Period"), *numbers("Maximum", "Used", "Left"))
    for limit in limits:
        maximum = "lifted" if limit.maximum is None else grouped_credits(limit.maximum)
        table.add_row(cell(limit.label or "(account)"), cell(limit.value), limit.period, maximum, "", "")
        for used in usage:
            if used.limit == limit:
                table.add_row("", cell(used.value), "", "", grouped_credits(used.used), grouped_credits(used.left))
    return table


def findings_table(findings: Iterable[Finding]) -> Table:
    """Findings, one a line."""
    table = listing(*folded("Account"), *numbers("Entry"), *whole("Code"), *folded("Finding"))
    for finding in findings:
        number = "" if finding.sequence is None else str(finding.sequence)
        table.add_row(cell(finding.account_id), number, finding.code, cell(finding.message))
    return table
