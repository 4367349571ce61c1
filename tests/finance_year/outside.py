"""What others have written down about the year: a pipeline's runs, a payment provider's charges, a second ledger.

Each is a file in a form of its own, of records that tell what the ledger tells: some in two lines instead of one, a
little later, or rounded to cents, which is no discrepancy.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.orm import Session

from estimator.credits import from_micro
from ledger.finance import stream_book
from ledger.model.ids import format_grant_id
from ledger.model.moments import from_moment, to_moment
from tests.finance_year.customers import SUBSCRIPTION_PRICE
from tests.finance_year.writing import Year

_BERLIN = ZoneInfo("Europe/Berlin")
_MINUTE = 60_000_000


class Line(NamedTuple):
    """One line of a file: what it is about, and what it says. `at` is microseconds since 1970 UTC."""

    reference: str
    account_id: str
    amount: Decimal
    currency: str | None
    at: int
    status: str


Altered = Mapping[str, "Alteration"]
"""What becomes of the lines of a record, by its reference."""


class Alteration(NamedTuple):
    """A discrepancy: its kind, and the lines that stand in the file in place of those that would be right."""

    kind: str
    lines: Any
    """A function of the right lines."""


@dataclass
class OutsideFile:
    """One file of records, and the mapping that says what it means."""

    name: str
    path: Path
    mapping: Any
    lines: int = 0
    altered: set[str] = field(default_factory=set)


USAGE = {
    "side": "runs",
    "columns": {
        "reference": "run_id",
        "account": "customer",
        "amount": "credits",
        "at": "finished_at",
        "status": "status",
    },
    "time": {"zone": "UTC"},
    "status": {
        "of": "outcome",
        "words": {"succeeded": "succeeded", "failed": "failed", "cancelled": "cancelled"},
    },
    "filter": {"here": ["succeeded", "failed", "cancelled"]},
    "tolerance": {"time": "1h", "window": "1d"},
}
CHARGES = "stripe"
SECOND_LEDGER = {
    "side": "entries",
    "file": {"delimiter": ";", "encoding": "utf-8-sig"},
    "columns": {
        "reference": ["Konto", "Nummer"],
        "account": "Konto",
        "amount": "Betrag",
        "at": "Wann",
        "status": "Art",
    },
    "amount": {"decimal": ",", "thousands": "."},
    "time": {"zone": "Europe/Berlin", "formats": ["%d.%m.%Y %H:%M:%S"]},
    "tolerance": {"time": "2h", "window": "1d"},
}


def usage_records(year: Year) -> Iterator[list[Line]]:
    """The runs as the pipeline counted them, each in one line or in two that sum to it."""
    random = Random(f"{year.settings.seed}/usage")
    for run in sorted(year.runs, key=lambda run: (run.at, run.run_id)):
        at = to_moment(run.at) + random.randrange(-20 * _MINUTE, 20 * _MINUTE)
        whole = Line(run.run_id, run.account_id, run.credits, None, at, run.status)
        if run.credits > 1 and random.random() < 0.02:
            part = Decimal(random.randint(1, 99)) / 100
            yield [whole._replace(amount=part), whole._replace(amount=run.credits - part)]
        else:
            yield [whole]


def charge_records(session: Session, year: Year) -> Iterator[list[Line]]:
    """What customers were charged: what they bought, once however often it was booked, and their subscriptions."""
    random = Random(f"{year.settings.seed}/charges")
    bought = {one.external_ref: one for one in year.purchases}
    lines = [
        Line(ref, one.account_id, one.amount, one.currency, to_moment(one.at) - random.randrange(2 * _MINUTE), "paid")
        for ref, one in bought.items()
    ]
    for account_id, number, amount, began, currency in session.execute(_SUBSCRIBED):
        price = (from_micro(amount) * SUBSCRIPTION_PRICE).quantize(Decimal("0.01"), ROUND_HALF_EVEN)
        lines.append(Line(format_grant_id(account_id, number), account_id, price, currency, began, "paid"))
    yield from ([line] for line in sorted(lines, key=lambda line: (line.at, line.reference)))


_SUBSCRIBED = text(
    "SELECT g.account_id, g.number, g.amount, g.effective_at,"
    " CASE WHEN e.details LIKE '%\"currency\"\\:\"EUR\"%' THEN 'EUR' ELSE 'USD' END"
    " FROM ledger_grant g JOIN ledger_entry e ON e.account_id = g.account_id AND e.sequence = g.allowance"
    " WHERE g.allowance IS NOT NULL AND g.kind = 'paid'"
)


def entry_records(session: Session) -> Iterator[list[Line]]:
    """The entries as another ledger keeps them: a line for each transfer, and one of nothing for those without any."""
    for entry in stream_book(session):
        reference = f"{entry.account_id}/{entry.sequence}"
        nothing = Line(reference, entry.account_id, Decimal(0), None, entry.at, entry.kind)
        yield [nothing._replace(amount=from_micro(move.amount)) for move in entry.moves] or [nothing]


def with_alterations(records: Iterable[list[Line]], altered: Altered, file: OutsideFile) -> Iterator[Line]:
    """The lines of a file, in which some records are not what they were."""
    for lines in records:
        found = altered.get(lines[0].reference)
        if found is not None:
            file.altered.add(lines[0].reference)
            lines = found.lines(lines)
        yield from lines
    for reference, alteration in altered.items():
        if alteration.kind == "missing_here":
            file.altered.add(reference)
            yield from alteration.lines([])


def write_usage(file: OutsideFile, lines: Iterable[Line]) -> None:
    """Run, customer, how it ended, credits, and when, in UTC."""
    with file.path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["run_id", "customer", "status", "credits", "finished_at"])
        for line in lines:
            file.lines += 1
            moment = from_moment(line.at).isoformat()
            writer.writerow([line.reference, line.account_id, line.status.upper(), f"{line.amount:.6f}", moment])


def write_charges(file: OutsideFile, lines: Iterable[Line]) -> None:
    """The columns of Stripe's balance transactions, with payouts among the charges."""
    columns = ["id", "Type", "Source", "Amount", "Fee", "Net", "Currency", "Created (UTC)", "Description"]
    with file.path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(columns)
        for number, line in enumerate(lines):
            file.lines += 1
            fee = (line.amount * Decimal("0.029")).quantize(Decimal("0.01")) + Decimal("0.30")
            created = f"{from_moment(line.at):%Y-%m-%d %H:%M}"
            net, currency = line.amount - fee, (line.currency or "").lower()
            charged = [f"txn_{number:07d}", "charge", line.reference, f"{line.amount:.2f}", fee, net, currency, created]
            writer.writerow([*charged, f"Credits, {line.account_id}"])
            if number % 50 == 49:
                writer.writerow(
                    [f"txn_p{number:06d}", "payout", f"po_{number}", "-5000.00", 0, -5000, "eur", created, ""]
                )


def write_second_ledger(file: OutsideFile, lines: Iterable[Line]) -> None:
    """Semicolons, decimal commas, dots between thousands, the clock of Berlin, and a byte order mark."""
    with file.path.open("w", encoding="utf-8-sig", newline="") as out:
        writer = csv.writer(out, delimiter=";")
        writer.writerow(["Konto", "Nummer", "Art", "Betrag", "Wann"])
        for line in lines:
            file.lines += 1
            number = line.reference.rpartition("/")[2]
            amount = f"{line.amount:,.6f}".translate(str.maketrans(",.", ".,"))
            when = (from_moment(line.at).astimezone(_BERLIN) + timedelta(0)).strftime("%d.%m.%Y %H:%M:%S")
            writer.writerow([line.account_id, number, line.status, amount, when])
