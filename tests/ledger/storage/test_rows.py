"""The codec of rows: what is written of a state is read as that state, in the order of the table's columns."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

from ledger.book.postings import Posting, entry_row
from ledger.book.states import GrantState, Hold
from ledger.schema.tables import (
    UPDATED_COLUMNS,
    AccountRow,
    EntryRow,
    GrantRow,
    LedgerRow,
    OutboxRow,
    ReservationRow,
    TransferRow,
)
from ledger.storage import journal
from ledger.storage.rows import (
    account_of,
    account_row,
    grant_of,
    grant_row,
    grant_terms_row,
    outbox_row,
    posting_of,
    reservation_change_row,
    reservation_of,
    reservation_row,
    transfer_rows,
)
from ledger.storage.shapes import RowShape
from tests.ledger.auditing.test_every_value import write_book


def columns(row: type[LedgerRow]) -> tuple[str, ...]:
    """The columns of a table, in order."""
    return RowShape.of(row).columns


def test_every_stored_row_is_written_again_as_it_was_read(session: Session) -> None:
    """Accounts, grants and reservations of every kind, as a recorded book has them."""
    write_book(session, "acme")
    session.flush()
    for row in session.execute(text(f"SELECT {', '.join(columns(GrantRow))} FROM ledger_grant")):
        assert grant_row(row[0], grant_of(row)) == tuple(row)
    for row in session.execute(text(f"SELECT {', '.join(columns(ReservationRow))} FROM ledger_reservation")):
        assert reservation_row(row[0], reservation_of(row[1:])) == tuple(row)
    for row in session.execute(text(f"SELECT {', '.join(columns(AccountRow))} FROM ledger_account")):
        said = dict(zip(columns(AccountRow), row, strict=True)) | {"head": bytes(row.head)}
        names = ("account_id", *journal._ACCOUNT_CHANGE.columns[1:])
        assert account_row(account_of(row)) == tuple(said[name] for name in names)


def test_an_entry_and_its_transfers_are_read_as_they_were_posted() -> None:
    """Every field has a value of its own, so that two in one another's place would show."""
    posting = Posting(
        "a", 1, "grant", 2, 3, "s", "k", b"\1", 4, '{"x":1}', [(5, 0, 1, 6)], (7, 8, 9, 10, 11, 12, 13, 14), b"\2"
    )
    row = dict(zip(columns(EntryRow), entry_row(posting), strict=True))
    assert repr(posting_of(tuple(row.values()), posting.transfers)) == repr(posting)
    assert (row["sequence"], row["at"], row["recorded_at"], row["reservation"]) == (1, 2, 3, 4)
    assert (row["issued"], row["revoked"], row["scheduled"], row["owed"]) == (7, 12, 13, 14)
    (transfer,) = transfer_rows(posting)
    named = dict(zip(columns(TransferRow), transfer, strict=True))
    assert (named["sequence"], named["ordinal"], named["grant_number"], named["amount"]) == (1, 0, 5, 6)
    assert (named["source"], named["target"]) == ("issued", "available")


def test_a_start_waits_from_its_launch_on() -> None:
    """The row of a start that was never handed over."""
    named = dict(zip(columns(OutboxRow), outbox_row("a", 7, 10, 12), strict=True))
    assert named["state"] == "waiting"
    assert (named["attempts"], named["next_attempt_at"], named["ended_at"], named["error"]) == (0, 12, None, None)


def test_a_change_is_written_to_the_columns_that_its_table_says_are_updated() -> None:
    """Rows of changes have the shape's columns; only the closing of periods updates what is missing."""
    grant, hold = GrantState(1, 2, 3, [0] * 7), Hold(4, 5, "held", 6, 7, 8, 9, [[1, 2, 3]])
    assert len(grant_terms_row("a", grant)) == len(journal._GRANT_TERMS.columns)
    change = dict(zip(journal._RESERVATION_CHANGE.columns, reservation_change_row("a", hold), strict=True))
    whole = dict(zip(columns(ReservationRow), reservation_row("a", hold), strict=True))
    assert change == {name: whole[name] for name in ("account_id", "number", *ReservationRow.updated)}
    updates = [shape for name, shape in vars(journal).items() if name.endswith(("_CHANGE", "_TERMS"))]
    written = {(shape.table, name) for shape in updates for name in shape.columns if name not in shape.key}
    said = {(table, name) for table, names in UPDATED_COLUMNS.items() for name in names}
    assert said - written == {("ledger_account", "closings_count")}
    assert written <= said
