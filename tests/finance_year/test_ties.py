"""Each tie-out of a year fails when one row, of the book or of a file, is not what it was."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import ledger
from ledger.schema.triggers import remove_triggers
from tests.finance_year.customers import START
from tests.finance_year.ties import NAMES, Ties
from tests.finance_year.writing import Settings, Year, write_year

pytestmark = pytest.mark.external
"""Takes long; run by .ci/run."""

SETTINGS = Settings(seed=4, accounts=8, entries=800, discrepancies=20)

_CAPTURE = "(SELECT min(sequence) FROM ledger_entry WHERE kind = 'capture' AND account_id = 'customer-0003')"
_MOVED = f"account_id = 'customer-0003' AND sequence = {_CAPTURE}"
_LAST = (
    "account_id = 'customer-0003' AND sequence = (SELECT sequence FROM ledger_account"
    " WHERE account_id = 'customer-0003')"
)
_LAST_OF_JUNE = (
    "account_id = 'customer-0003' AND sequence = (SELECT max(sequence) FROM ledger_entry"
    " WHERE account_id = 'customer-0003' AND at < 1751328000000000)"
)
_BOUGHT = (
    'UPDATE ledger_entry SET details = replace(details, \'"per_credit"\\:"0.0\', \'"per_credit"\\:"0.1\')'
    " WHERE account_id = 'customer-0003' AND sequence = (SELECT min(sequence) FROM ledger_entry"
    " WHERE account_id = 'customer-0003' AND details LIKE '%external_ref%')"
)
_RUN = (
    "UPDATE ledger_entry SET details = replace(details, '\"rows_processed\"\\:', '\"rows_processed\"\\:1')"
    " WHERE account_id = 'customer-0003' AND sequence = (SELECT min(sequence) FROM ledger_entry"
    " WHERE account_id = 'customer-0003' AND kind = 'capture' AND details LIKE '%outcome%')"
)
_OTHER_BALANCE = f"UPDATE ledger_entry SET available = available + 1, consumed = consumed - 1 WHERE {_LAST_OF_JUNE}"

ROWS = {
    f"UPDATE ledger_transfer SET amount = amount + 1 WHERE ordinal = 0 AND {_MOVED}": (
        "book", "statements", "balances", "account rows", "beancount", "hledger", "audit",
    ),
    _OTHER_BALANCE: ("book", "statements", "balances", "beancount", "hledger", "audit"),
    "UPDATE ledger_account SET available = available + 1, consumed = consumed - 1"
    " WHERE account_id = 'customer-0003'": ("account rows", "audit"),
    f"UPDATE ledger_entry SET at = at - 2678400000000 WHERE {_LAST}": ("audit", "statements", "balances"),
    "DELETE FROM ledger_grant WHERE account_id = 'customer-0003' AND number = 3": ("revenue", "audit"),
    _BOUGHT: ("revenue", "audit"),
    f"UPDATE ledger_entry SET sequence = sequence + 1000 WHERE {_LAST}": ("feed", "audit"),
    _RUN: ("repricing", "audit"),
    "UPDATE ledger_card SET content = replace(content, '0.0093', '0.0094')": ("repricing", "audit"),
}  # fmt: skip
"""What is altered, and which tie-outs must fail of it."""


def _line(path: Path, mark: str, old: str, new: str) -> None:
    """Alter the first line that has a mark."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    number = next(number for number, line in enumerate(lines) if mark in line and old in line)
    lines[number] = lines[number].replace(old, new, 1)
    path.write_text("".join(lines), encoding="utf-8")


def _a_transfer(path: Path) -> None:
    table = parquet.read_table(path)
    amounts = table.column("amount").to_pylist()
    amounts[7] += 1
    changed = table.set_column(table.schema.get_field_index("amount"), "amount", pa.array(amounts, pa.int64()))
    parquet.write_table(changed, path)


FILES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "a posting to beancount": ("beancount", lambda f: _line(f / "book.beancount", ":Consumed  ", " 0.", " 1.")),
    "a balance in beancount": ("beancount", lambda f: _line(f / "book.beancount", "balance", ".", ".1")),
    "a day in beancount": ("beancount", lambda f: _line(f / "book.beancount", '* "grant"', "-01-", "-02-")),
    "a posting to hledger": ("hledger", lambda f: _line(f / "book.hledger", ":Consumed  ", " 0.", " 1.")),
    "a balance in hledger": ("hledger", lambda f: _line(f / "book.hledger", " = ", " = ", " = 1")),
    "an amount in CSV": ("csv", lambda f: _line(f / "book.csv" / "journal.csv", ",consumed,", ",0.", ",1.")),
    "a month in CSV": ("csv", lambda f: _line(f / "book.csv" / "journal.csv", ",consumed,", "2025-0", "2025-1")),
    "a row of Parquet": ("parquet", lambda f: _a_transfer(f / "book.parquet" / "ledger_transfer.parquet")),
}
"""What is altered of an export, and the tie-out that must fail of it."""


@pytest.fixture
def year(engine: Engine) -> Year:
    """A small year, committed."""
    return write_year(engine, SETTINGS)


def _failing(ties: Ties, *names: str) -> set[str]:
    return {name for name, problems in ties.problems(*names) if problems}


def test_a_tie_out_fails_of_one_altered_row(engine: Engine, year: Year, tmp_path: Path) -> None:
    with Session(engine) as session:
        assert _failing(Ties(session, year.purchases, tmp_path)) == set()
    for number, (statement, expected) in enumerate(ROWS.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        with Session(engine) as session:
            remove_triggers(session.connection())
            if engine.dialect.name == "sqlite":
                session.execute(text("PRAGMA defer_foreign_keys = ON"))
            altered = session.execute(text(statement)).rowcount  # type: ignore[attr-defined]
            assert altered, statement
            assert _failing(Ties(session, year.purchases, folder), *expected) == set(expected), statement
            session.rollback()


def test_a_tie_out_fails_of_one_altered_line_of_an_export(sqlite_url: str, tmp_path: Path) -> None:
    engine = ledger.create_engine(sqlite_url)
    year = write_year(engine, SETTINGS)
    for what, (name, alter) in FILES.items():
        folder = tmp_path / what
        folder.mkdir()
        with Session(engine) as session:
            assert _failing(Ties(session, year.purchases, folder), name) == set()
            alter(folder)
            assert _failing(Ties(session, year.purchases, folder), name) == {name}, what
    engine.dispose()


def test_revenue_does_not_tie_when_a_charge_is_missing_or_another(sqlite_url: str, tmp_path: Path) -> None:
    engine = ledger.create_engine(sqlite_url)
    bought = write_year(engine, SETTINGS).purchases
    other = bought[3]._replace(amount=bought[3].amount + Decimal("0.01"))
    currency = bought[3]._replace(currency="GBP")
    with Session(engine) as session:
        for purchases in (bought[:-1], [*bought[:3], other, *bought[4:]], [*bought[:3], currency, *bought[4:]]):
            assert _failing(Ties(session, purchases, tmp_path), "revenue") == {"revenue"}
    engine.dispose()


def test_a_grant_that_goes_whole_to_the_credit_line_is_an_entry_of_every_export(
    session: Session, tmp_path: Path
) -> None:
    """Its transfers leave every bucket as it was, so that a journal has it without a posting."""
    ledger.open_account(session, "one", at=START)
    ledger.set_credit_line(session, "one", 10, at=START)
    ledger.capture(session, ledger.reserve(session, "one", 5, at=START).reservation_id, at=START)
    ledger.grant_credits(session, "one", 3, at=START)
    exports = ("book", "beancount", "hledger", "csv", "parquet", "feed")
    assert _failing(Ties(session, [], tmp_path), *exports) == set()


def test_every_tie_out_is_seen_to_fail() -> None:
    seen = {name for names in ROWS.values() for name in names} | {name for name, _ in FILES.values()}
    assert seen == set(NAMES)
