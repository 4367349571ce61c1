"""Statements as pages of HTML that load nothing else, for paper, phones and dark screens.

Needs the extra `report`. Every name is shown as text, with characters that cannot be printed as escapes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TextIO

from estimator.credits import grouped_credits
from estimator.errors import ExtraMissing
from estimator.sentences import printable
from ledger.finance.statements.reading import COLUMNS, AccountStatement, StatementLine
from ledger.finance.statements.totals import PeriodStatements, StatementTotals, total_rows
from ledger.model.values import Balance

INDEX = "index.html"

_NAME_LENGTH = 40
_DIGEST = 12


def write_statement_page(statement: AccountStatement, out: TextIO, *, zone: tzinfo = UTC) -> None:
    """Write one statement as a page, moments in a zone, entry by entry. Raises `ExtraMissing` without the extra."""
    template = _environment().get_template("statement.html")
    out.writelines(
        template.generate(
            title=f"Statement of {statement.account_id}",
            since=statement.since,
            until=statement.until,
            zone=str(zone),
            moment=_moments(zone),
            columns=_columns(statement.opening, statement.closing),
            opening=_balance(statement.opening),
            closing=_balance(statement.closing),
            count=statement.count,
            lines=statement.lines,
        )
    )


@dataclass(frozen=True, slots=True)
class _Written:
    """A statement in the index."""

    name: str
    file: str
    entries: int
    closing: tuple[tuple[str, Decimal], ...]


def write_statement_pages(statements: PeriodStatements, folder: Path, *, zone: tzinfo = UTC) -> None:
    """Write a page for each statement of a period into a folder, and an index with the totals.

    A page's name is made of the account's id and its hash: it is the same every month, and differs for every account on
    every file system.
    """
    written: list[_Written] = []
    for statement in statements:
        name = file_name(statement.account_id)
        with (folder / name).open("w", encoding="utf-8") as out:
            write_statement_page(statement, out, zone=zone)
        closing = tuple((column.capitalize(), getattr(statement.closing, column)) for column in COLUMNS[:3])
        written.append(_Written(statement.account_id, name, statement.count, closing))
    with (folder / INDEX).open("w", encoding="utf-8") as out:
        out.writelines(_index(statements, written, zone))


def _index(statements: PeriodStatements, written: list[_Written], zone: tzinfo) -> Iterator[str]:
    period, totals = statements.period, statements.totals
    template = _environment().get_template(INDEX)
    pieces: Iterator[str] = template.generate(
        title=f"Statements {period.name}",
        since=period.since,
        until=period.until,
        zone=str(zone),
        moment=_moments(zone),
        columns=COLUMNS,
        totals=totals,
        rows=_total_rows(totals),
        accounts=written,
    )
    return pieces


def _total_rows(totals: StatementTotals) -> list[tuple[str, list[str]]]:
    return [(label, [grouped_credits(amount) for amount in amounts]) for label, amounts in total_rows(totals)]


def file_name(account_id: str) -> str:
    """The name of an account's page."""
    kept = re.sub(r"[^a-z0-9]+", "-", account_id.lower())[:_NAME_LENGTH].strip("-")
    digest = sha256(account_id.encode()).hexdigest()[:_DIGEST]
    return f"{kept}-{digest}.html" if kept else f"{digest}.html"


def _columns(*balances: Balance) -> list[str]:
    """The buckets to show: the first three, and those that are not empty."""
    names = (*COLUMNS, "owed")
    return [name for name in names if name in COLUMNS[:3] or any(getattr(balance, name) for balance in balances)]


def _balance(balance: Balance) -> dict[str, Decimal]:
    return {name: getattr(balance, name) for name in (*COLUMNS, "owed")}


def _facts(line: StatementLine) -> list[tuple[str, str]]:
    entry = line.entry
    reason = entry.details.get("reason")
    card = line.card_name or line.card_id
    named = (
        ("run", line.run_id),
        ("dataset", None if line.run_id else line.dataset_id),
        ("rate card", card),
        ("hold", entry.reservation_id),
        ("key", entry.key),
        ("reason", None if reason is None else str(reason)),
    )
    return [(name, value) for name, value in named if value is not None]


def _transfers(line: StatementLine) -> list[tuple[str, str, Decimal]]:
    """The entry's transfers from bucket to bucket, all grants together."""
    sums: dict[tuple[str, str], Decimal] = {}
    for part in line.entry.transfers:
        places = part.source.value, part.target.value
        sums[places] = sums.get(places, Decimal(0)) + part.amount
    return [(*places, amount) for places, amount in sums.items()]


@cache
def _environment() -> Any:
    """The templates, each compiled once."""
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise ExtraMissing("An HTML statement", "report") from error
    environment = Environment(
        loader=PackageLoader("ledger.finance"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "printable": printable,
        "credits": grouped_credits,
        "facts": _facts,
        "transfers": _transfers,
    }
    return environment


def _moments(zone: tzinfo) -> Callable[[datetime], str]:
    def moment(value: datetime) -> str:
        try:
            local = value.astimezone(zone)
        except OverflowError:  # the end of the year 9999, in a zone where it is later
            local = value.astimezone(UTC)
        return local.strftime("%Y-%m-%d %H:%M:%S %Z")

    return moment
