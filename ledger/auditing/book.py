"""The audit of the book: everything that the tables say is computed again from the journal's entries.

For each account, in order: entries are numbered without gaps and chained by hash; their transfers add up to the
running balances that they carry, and no bucket falls below zero; grants, reservations and the account's own row say
what the entries add up to; each launch that asked for a start has exactly one row in the outbox (no entry says how
far its delivery is). The audit only reads: a window of entries, or a page of small accounts, at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from ledger.auditing.account import AccountAudit, EntriesDone
from ledger.auditing.rows import ACCOUNTS_PAGE, UNREADABLE, WINDOW, StreamedRows, list_columns, read_page
from ledger.errors import AuditFailed, Finding
from ledger.model.checks import check_id
from ledger.model.moments import to_moment
from ledger.storage import queries, snapshots
from ledger.storage.history import read_marks
from ledger.storage.present import undisturbed
from ledger.storage.sessions import check_missing, connection_over
from ledger.storage.stores import fetch_keys, store_of
from ledger.storage.stores.base import Request

_ATTEMPTS_MAX = 5


@dataclass(frozen=True, slots=True)
class Listed:
    """An account to audit: its id, the count of entries in its row, and the id before it, None for the first."""

    account_id: str
    size: int
    after: str | None


def audit(
    session: Session, *, account_id: str | None = None, at: datetime | None = None, progress: EntriesDone | None = None
) -> Iterator[Finding]:
    """Yield a finding for each thing that does not add up, account by account; none when the book proves itself.

    `at` leaves out the entries that took effect after that moment, and the other tables of accounts that have such
    entries. `progress` is called from time to time with the count of entries audited since the last call. Writers may
    work beside the audit: an account that they change during its reading is read again.
    """
    connection = connection_over(session, account_id)
    cutoff = None if at is None else to_moment(at)
    report = progress or _unheard
    if account_id is not None:
        check_id(account_id, "account_id")
        yield from audit_account(connection, account_id, cutoff, report)
        return
    last: str | None = None
    for page in pages_of(list_in_order(connection)):
        yield from audit_page(connection, page, cutoff, report)
        last = page[-1].account_id
    yield from audit_gap(connection, last, None)


def require_clean(session: Session, *, account_id: str | None = None) -> None:
    """Raise `AuditFailed` with every finding unless the book proves itself."""
    findings = list(audit(session, account_id=account_id))
    if findings:
        raise AuditFailed(findings)


def _unheard(_count: int) -> None:
    """No caller asked for the progress."""


def list_in_order(connection: Connection) -> Iterator[Listed]:
    """All accounts in the order of their ids."""
    after: str | None = None
    for name, size in list_columns(connection, "account_id", "sequence"):
        yield Listed(name, size if isinstance(size, int) else 0, after)
        after = name


def pages_of(accounts: Iterable[Listed]) -> Iterator[list[Listed]]:
    """Accounts as they are read: many small accounts together, a big account by itself."""
    page: list[Listed] = []
    count = 0
    for account in accounts:
        if page and (count + account.size > WINDOW or len(page) >= ACCOUNTS_PAGE):
            yield page
            page, count = [], 0
        page.append(account)
        count += account.size
    if page:
        yield page


def audit_page(
    connection: Connection, page: list[Listed], cutoff: int | None, progress: EntriesDone, *, is_snapshot: bool = False
) -> Iterator[Finding]:
    """The findings of accounts that are read together; an account with any finding is read again by itself."""
    sound, is_alone = _sound_of(connection, page, cutoff, progress)
    for index, account in enumerate(page):
        if index == 0 or not is_alone:
            yield from audit_gap(connection, account.after, account.account_id)
        if account.account_id not in sound:
            yield from audit_account(connection, account.account_id, cutoff, progress, is_snapshot=is_snapshot)


def _sound_of(
    connection: Connection, page: list[Listed], cutoff: int | None, progress: EntriesDone
) -> tuple[set[str], bool]:
    """The accounts of a page without findings, and whether no rows of other accounts lie between them."""
    names = [account.account_id for account in page]
    if len(names) == 1:
        return set(), True
    try:
        states = snapshots.read_accounts(connection, names)
        rows, is_alone = read_page(connection, {name: states[name].sequence for name in names})
    except UNREADABLE:
        return set(), False
    return {name for name in names if not AccountAudit(states[name], rows[name], cutoff).findings(progress)}, is_alone


def audit_account(
    connection: Connection, account_id: str, cutoff: int | None, progress: EntriesDone, *, is_snapshot: bool = False
) -> list[Finding]:
    """The findings of one account. Unless it is a snapshot, it is read again while writers overtake the reading."""
    for _ in range(1 if is_snapshot else _ATTEMPTS_MAX):
        findings, mark = _read_account(connection, account_id, cutoff, progress)
        if not findings or mark is None or read_marks(connection, account_id) == mark:
            return findings
    if is_snapshot:
        return findings
    with undisturbed(connection, account_id) as beside:
        return _read_account(beside, account_id, cutoff, progress)[0]


def _read_account(
    connection: Connection, account_id: str, cutoff: int | None, progress: EntriesDone
) -> tuple[list[Finding], tuple[int, int] | None]:
    """The findings of one reading, and the marks by which a writer that overtook it shows; None without a row."""
    try:
        accounts = snapshots.read_accounts(connection, [account_id])
    except UNREADABLE as error:
        return [Finding(account_id, None, "account_unreadable", f"its row cannot be read ({error})")], None
    if account_id not in accounts:
        check_missing(connection)
        return [Finding(account_id, None, "account_missing", "the account has no row; restore it from a backup")], None
    state = accounts[account_id]
    rows = StreamedRows(connection, account_id, state.sequence)
    return AccountAudit(state, rows, cutoff).findings(progress), (state.sequence, state.closings_count)


def audit_gap(connection: Connection, after: str | None, before: str | None) -> Iterator[Finding]:
    """Rows of accounts that do not exist, with ids between two neighbouring accounts; None: no bound."""
    bounds = [(sign, bound) for sign, bound in ((">", after), ("<", before)) if bound is not None]
    numbered = [f"account_id {sign} ${number}" for number, (sign, _) in enumerate(bounds, 1)]
    conditions = " AND ".join(numbered or ["true"])
    values = [bound for _, bound in bounds]
    requests = [Request(_NAMES.format(table=table, conditions=conditions), values) for table in _OF_ACCOUNTS]
    found = [
        (table, account_id)
        for table, rows in zip(_OF_ACCOUNTS, store_of(connection).run(connection, requests), strict=True)
        for (account_id,) in rows
    ]
    # An account may have been opened since its neighbours were read.
    there = {row[0] for row in fetch_keys(connection, queries.MARKS, {(account_id,) for _, account_id in found})}
    for table, account_id in sorted(found):
        if account_id not in there:
            yield Finding(account_id, None, "account_missing", f"{table} has rows of it and it has no row")


_OF_ACCOUNTS = (
    "ledger_entry",
    "ledger_transfer",
    "ledger_grant",
    "ledger_reservation",
    "ledger_card",
    "ledger_limit",
    "ledger_usage",
    "ledger_outbox",
    "ledger_closing",
)
_NAMES = "SELECT DISTINCT account_id FROM {table} WHERE {conditions}"
