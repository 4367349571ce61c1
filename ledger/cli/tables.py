"""What the ledger answers, as JSON-safe values and as Rich tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from enum import Enum
from typing import Any

from rich import box
from rich.table import Table

from estimator import RunResponse
from estimator.cli.tables import aligned, amount_cell, cell, facts, shown
from estimator.credits import format_credits, from_micro
from ledger.errors import Finding
from ledger.limits import LimitUsage
from ledger.model.moments import from_optional
from ledger.model.values import Balance, Entry, GrantStanding, Launch, Limit, Reservation, RunSettlement, Statement
from ledger.outbox import StartStanding

_BUCKETS = ("available", "held", "consumed", "expired", "revoked", "scheduled", "issued")


def plain(value: Any) -> Any:
    """JSON-safe values: amounts as decimal text, moments as ISO 8601 in UTC, a wire response as the wire has it."""
    if isinstance(value, RunResponse):
        return value.to_wire()
    if isinstance(value, Entry):
        return _fields_of(value) | {"details": _details(value.details)}
    if isinstance(value, Balance):
        return _fields_of(value) | {"issued": format_credits(value.issued)}
    if is_dataclass(value):
        return _fields_of(value)
    if isinstance(value, Decimal):
        return format_credits(value)
    if isinstance(value, datetime):
        return moment_text(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, timedelta):
        return _seconds(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return {name: plain(item) for name, item in value.items()} if isinstance(value, dict) else value


def _fields_of(value: Any) -> dict[str, Any]:
    return {field.name: plain(getattr(value, field.name)) for field in fields(value) if field.name != "details"}


def _details(details: dict[str, Any]) -> dict[str, Any]:
    """An entry's details with the journal's integers written out: micro-credits as amounts, instants as moments."""
    written = dict(details)
    for name in _AMOUNTS:
        if isinstance(written.get(name), int) and written.get("period") != "concurrent":
            written[name] = format_credits(from_micro(written[name]))
    for name in ("reserved_at", "expires_at", "effective_at", "anchor", "ends_at"):
        if isinstance(written.get(name), int):
            written[name] = plain(from_optional(written[name]))
    if isinstance(written.get("grace"), int):
        written["grace"] = plain(timedelta(microseconds=written["grace"]))
    if isinstance(written.get("recurrence"), dict):
        written["recurrence"] = _details(written["recurrence"])
    if "limit" in written and "period" in written:
        written["limit"] = details["limit"]  # which limit, not how much
    return written


def _seconds(value: timedelta) -> str:
    """An ISO 8601 duration in seconds, exact."""
    seconds = Decimal(value // timedelta(microseconds=1)) / 10**6
    return f"PT{format_credits(seconds)}S"


_AMOUNTS = (
    "amount",
    "captured",
    "freed",
    "refunded",
    "requested",
    "limit",
    "maximum",
    "rollover_min",
    "rollover_max",
)


def moment_text(moment: datetime) -> str:
    """ISO 8601 in UTC, exact."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _second(moment: datetime, zone: tzinfo = UTC) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def value_table(value: Any) -> Table:
    """One answered value, a field a line."""
    return facts((field.name.replace("_", " "), _shown(getattr(value, field.name))) for field in fields(value))


def _shown(value: Any) -> object:
    if isinstance(value, Decimal):
        return shown(value)
    if isinstance(value, datetime):
        return moment_text(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(str(_shown(getattr(item, "grant_id", item))) for item in value) or None
    if isinstance(value, timedelta):
        return None if not value else _seconds(value).removeprefix("PT").removesuffix("S") + " seconds"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_shown(item)}" for name, item in value.items()) or None
    if isinstance(value, list):
        return ", ".join(str(_shown(item)) for item in value) or None
    return value


def balance_table(balance: Balance) -> Table:
    """An account's credits by bucket, and what was issued."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("Bucket")
    table.add_column("Credits", justify="right", no_wrap=True)
    names = [name for name in _BUCKETS if name != "scheduled" or balance.scheduled] + ["owed"] * bool(balance.owed)
    amounts = aligned([getattr(balance, name) for name in names])
    for index, (name, amount) in enumerate(zip(names, amounts, strict=True)):
        style = "bold" if name in ("available", "issued") else ""
        is_last = index + 1 < len(names) and names[index + 1] == "issued"
        table.add_row(cell(name.capitalize(), style), amount_cell(amount, style), end_section=is_last)
    return table


def balances_table(balances: Sequence[tuple[str, Balance]]) -> Table:
    """Balances one below another, to see what moved between them; buckets that stay empty are left out."""
    names = [
        n for n in _BUCKETS if n not in ("expired", "revoked", "scheduled") or any(getattr(b, n) for _, b in balances)
    ]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("Balance", no_wrap=True)
    for name in names:
        table.add_column(name.capitalize(), justify="right", no_wrap=True)
    columns = [aligned([getattr(balance, name) for _, balance in balances]) for name in names]
    for (label, _), *amounts in zip(balances, *columns, strict=True):
        table.add_row(cell(label), *map(amount_cell, amounts))
    return table


def launch_table(launch: Launch) -> Table:
    """A launch, or the estimate that was asked for instead."""
    response = launch.response
    return facts(
        [
            ("Run", launch.run_id or "none: the request asks for an estimate only"),
            ("Reservation", launch.reservation_id),
            ("Credits", shown(response.credits)),
            ("Minutes", shown(response.minutes)),
            ("Available", None if response.available_credits is None else shown(response.available_credits)),
            ("Replay", "yes: nothing moved" if launch.replayed else "no"),
        ]
    )


def settlement_table(settlement: RunSettlement) -> Table:
    """What a run was charged and what it gave back."""
    return facts(
        [
            ("Run", settlement.run_id),
            ("Status", settlement.status),
            ("Reservation", settlement.reservation_id),
            ("Charged", shown(settlement.captured)),
            ("Freed", shown(settlement.freed)),
            ("Replay", "yes: nothing moved" if settlement.replayed else "no"),
        ]
    )


def reservations_table(reservations: Sequence[Reservation]) -> Table:
    """Reservations, one a line."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("Reservation", overflow="fold")
    table.add_column("State", no_wrap=True)
    for heading in ("Amount", "Captured", "Freed"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Run", overflow="fold")
    columns = [aligned([getattr(r, name) for r in reservations]) for name in ("amount", "captured", "freed")]
    for reservation, *amounts in zip(reservations, *columns, strict=True):
        table.add_row(
            cell(reservation.reservation_id),
            reservation.state.value,
            *map(amount_cell, amounts),
            cell(reservation.run_id or ""),
        )
    return table


def starts_table(starts: Sequence[StartStanding]) -> Table:
    """Starts of runs, one a line, with what is to become of those that wait."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for heading in ("Start", "Run"):
        table.add_column(heading, overflow="fold")
    is_waiting = any(start.ended_at is None for start in starts)
    for heading in ("Launched (UTC)", "Next attempt" if is_waiting else "Ended"):
        table.add_column(heading, no_wrap=True)
    table.add_column("Attempts", justify="right", no_wrap=True)
    table.add_column("Last error", overflow="fold")
    for start in starts:
        moments = (start.created_at, start.ended_at or start.next_attempt_at)
        table.add_row(
            cell(start.start_id),
            cell(start.run_id),
            *map(_second, moments),
            str(start.attempts),
            cell(start.error or ""),
        )
    return table


def statement_table(statement: Statement, *, zone: tzinfo = UTC) -> Table:
    """Entries between the opening and the closing balance, each with the balance that it left; moments in a zone."""
    rows: list[tuple[str, str, str, str, Balance]] = [("", "", "opening", "", statement.opening)]
    rows += [
        (
            str(entry.sequence),
            _second(entry.at, zone),
            entry.kind.value,
            entry.reservation_id or entry.key or "",
            entry.balance,
        )
        for entry in statement.entries
    ]
    rows.append(("", "", "closing", "", statement.closing))
    buckets = [name for name in _BUCKETS[:-1] if name in _BUCKETS[:3] or any(getattr(row[4], name) for row in rows)]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column(f"At ({zone})", no_wrap=True)
    table.add_column("Entry", no_wrap=True)
    table.add_column("Ref", overflow="fold")
    for name in buckets:
        table.add_column(name.capitalize(), justify="right", no_wrap=True)
    columns = [aligned([getattr(row[4], name) for row in rows]) for name in buckets]
    for (number, at, kind, reference, _), *amounts in zip(rows, *columns, strict=True):
        style = "" if number else "bold"
        table.add_row(
            number, at, cell(kind, style), cell(reference), *(amount_cell(amount, style) for amount in amounts)
        )
    return table


def grants_table(grants: Sequence[GrantStanding]) -> Table:
    """Grants, one a line, with where their credits are."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("Grant", overflow="fold")
    table.add_column("Kind", no_wrap=True)
    table.add_column("Priority", justify="right", no_wrap=True)
    table.add_column("Expires (UTC)", no_wrap=True)
    names = [n for n in _BUCKETS[:-1] if n == "available" or any(getattr(grant, n) for grant in grants)]
    for name in names:
        table.add_column(name.capitalize(), justify="right", no_wrap=True)
    columns = [aligned([getattr(grant, name) for grant in grants]) for name in names]
    for grant, *amounts in zip(grants, *columns, strict=True):
        is_line = grant.kind == "credit_line"
        table.add_row(
            cell(grant.grant_id),
            grant.kind.replace("_", " "),
            "last" if is_line else str(grant.priority),
            "" if grant.expires_at is None else _second(grant.expires_at),
            *map(amount_cell, amounts),
        )
    return table


def limits_table(limits: Sequence[Limit], usage: Sequence[LimitUsage]) -> Table:
    """Limits, one a line, each followed by what counts against it."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for heading in ("Label", "Value", "Period"):
        table.add_column(heading, overflow="fold")
    for heading in ("Maximum", "Used", "Left"):
        table.add_column(heading, justify="right", no_wrap=True)
    for limit in limits:
        maximum = "lifted" if limit.maximum is None else shown(limit.maximum)
        table.add_row(cell(limit.label or "(account)"), cell(limit.value), limit.period, maximum, "", "")
        for used in usage:
            if used.limit == limit:
                table.add_row("", cell(used.value), "", "", shown(used.used), shown(used.left))
    return table


def findings_table(findings: Iterable[Finding]) -> Table:
    """What the audit found, one a line."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("Account", overflow="fold")
    table.add_column("Entry", justify="right", no_wrap=True)
    table.add_column("Code", no_wrap=True)
    table.add_column("Finding", overflow="fold")
    for finding in findings:
        number = "" if finding.sequence is None else str(finding.sequence)
        table.add_row(cell(finding.account_id), number, finding.code, cell(finding.message))
    return table
