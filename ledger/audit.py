"""Audit: everything that the tables say, worked out again from the journal's own entries.

For each account, in order: entries are numbered without gaps and chained by hash; their transfers add up to the
running balances that they carry, never below zero; and grants, reservations and the account's own row say what
the entries add up to. Reads only, a window of entries at a time.
"""

from __future__ import annotations

import gc
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from datetime import datetime

from sqlalchemy import URL, Connection, Engine, NullPool, text
from sqlalchemy.orm import Session

from ledger import snapshots
from ledger.account_audit import UNREADABLE, AccountAudit
from ledger.errors import AuditFailed
from ledger.instants import to_instant
from ledger.transactions import create_engine
from ledger.values import Finding

_ATTEMPTS_MAX = 5
_PAGE = 1000
_PORTION_ENTRIES = 50_000


def audit(session: Session, *, account_id: str | None = None, at: datetime | None = None) -> Iterator[Finding]:
    """Yield what does not add up, account by account; nothing when the book proves itself.

    `at` leaves out entries that took effect after that moment, and with them the tables of accounts that have any.
    Safe beside writers: an account that is written to meanwhile is read again.
    """
    connection = session.connection()
    cutoff = None if at is None else to_instant(at)
    after: str | None = None
    while True:
        found = [account_id] if account_id is not None else _next_accounts(connection, after)
        for audited in found:
            yield from _audit_account(connection, audited, cutoff)
        if account_id is not None or not found:
            break
        after = found[-1]
    if account_id is None:
        yield from _audit_orphans(connection)


def audit_together(
    engine: Engine,
    *,
    workers: int = 2,
    at: datetime | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Finding]:
    """As `audit` over all accounts, by several processes: for big books. Findings come in the same order.

    Each process opens connections of its own to the engine's database; not for SQLite in memory. `progress` is told
    how many entries each finished portion had. One account is one process's work.
    """
    cutoff = None if at is None else to_instant(at)
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(workers, context, _prepare_worker, (engine.url,)) as pool:
        waiting: deque[tuple[int, Future[list[Finding]]]] = deque()
        for count, names in _portions(engine):
            waiting.append((count, pool.submit(_audit_portion, names, cutoff)))
            if len(waiting) > 2 * workers:
                yield from _finished(*waiting.popleft(), progress)
        while waiting:
            yield from _finished(*waiting.popleft(), progress)
    with engine.connect() as connection:
        yield from _audit_orphans(connection)


def _portions(engine: Engine) -> Iterator[tuple[int, list[str]]]:
    """All accounts in order, so many at a time that a portion is some seconds' work, and how many entries they have."""
    after: str | None = None
    count, names = 0, []
    while True:
        with engine.connect() as connection:
            page = _next_accounts_sized(connection, after)
        if not page:
            break
        for name, size in page:
            names.append(name)
            count += int(size)
            if count >= _PORTION_ENTRIES or len(names) >= _PAGE:
                yield count, names
                count, names = 0, []
        after = page[-1][0]
    if names:
        yield count, names


def _finished(count: int, future: Future[list[Finding]], progress: Callable[[int], None] | None) -> Iterator[Finding]:
    yield from future.result()
    if progress is not None:
        progress(count)


_worker: dict[str, Engine] = {}


def _prepare_worker(url: URL) -> None:
    """Open a worker's database. Its windows of rows make no cycles, so the collector would search them for nothing."""
    _worker["engine"] = create_engine(url, poolclass=NullPool)
    gc.disable()


def _audit_portion(names: list[str], cutoff: int | None) -> list[Finding]:
    with _worker["engine"].connect() as connection:
        found = [finding for name in names for finding in _audit_account(connection, name, cutoff)]
    gc.collect()
    return found


def require_clean(session: Session, *, account_id: str | None = None) -> None:
    """Raise `AuditFailed` with every finding unless the book proves itself."""
    findings = list(audit(session, account_id=account_id))
    if findings:
        raise AuditFailed(findings)


def _next_accounts(connection: Connection, after: str | None) -> list[str]:
    return [name for name, _ in _next_accounts_sized(connection, after)]


def _next_accounts_sized(connection: Connection, after: str | None) -> list[tuple[str, int]]:
    """The next accounts in order, and how many entries each says that it has."""
    page = "" if after is None else "WHERE account_id > :after"
    statement = text(f"SELECT account_id, sequence FROM ledger_account {page} ORDER BY account_id LIMIT {_PAGE}")
    rows = connection.execute(statement, {} if after is None else {"after": after})
    return [(name, size if isinstance(size, int) else 0) for name, size in rows]


def _audit_account(connection: Connection, account_id: str, cutoff: int | None) -> list[Finding]:
    """The findings of one account, read again for as long as writers overtake the reading."""
    findings: list[Finding] = []
    for attempt in range(_ATTEMPTS_MAX):
        is_last = attempt == _ATTEMPTS_MAX - 1
        read = snapshots.lock_accounts if is_last else snapshots.read_accounts
        try:
            accounts = read(connection, [account_id])
        except UNREADABLE as error:
            return [Finding(account_id, None, "account_unreadable", f"its row cannot be read ({error})")]
        if account_id not in accounts:
            return [Finding(account_id, None, "account_missing", "the account has no row; restore it from a backup")]
        state = accounts[account_id]
        findings = _findings(AccountAudit(connection, state, cutoff))
        if not findings or is_last or snapshots.read_sequence(connection, account_id) == state.sequence:
            break
    return findings


def _findings(audited: AccountAudit) -> list[Finding]:
    findings: list[Finding] = []
    try:
        for finding in audited.run():
            findings.append(finding)  # noqa: PERF402  # what was found before a row that cannot be read is kept
    except UNREADABLE as error:
        sequence = audited.replay.sequence
        message = f"what follows entry {sequence}, or is in it, cannot be read ({error!r})"
        findings.append(Finding(audited.state.account_id, sequence, "unreadable", message))
    return findings


def _audit_orphans(connection: Connection) -> Iterator[Finding]:
    """Rows of accounts that do not exist, which foreign keys should have refused."""
    for table in (
        "ledger_entry",
        "ledger_transfer",
        "ledger_grant",
        "ledger_reservation",
        "ledger_card",
        "ledger_limit",
        "ledger_usage",
    ):
        statement = text(
            f"SELECT DISTINCT account_id FROM {table} t WHERE NOT EXISTS"
            " (SELECT 1 FROM ledger_account a WHERE a.account_id = t.account_id) ORDER BY 1"
        )
        for account_id in connection.execute(statement).scalars():
            yield Finding(account_id, None, "account_missing", f"{table} has rows of it and it has no row")
