"""The audit by several processes, for big books: each reads snapshots of its own, and no writer waits for it.

Accounts are given to the processes in portions, the biggest first. An account that is more than one process's share
is divided: one process replays it, the others prove stretches of its chain, each from the hash that the stretch
before ends with.
"""

from __future__ import annotations

import gc
import multiprocessing
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy
from sqlalchemy import URL, Connection, Engine, NullPool, event

from ledger.auditing.account import AccountAudit, EntriesDone
from ledger.auditing.book import Listed, audit_account, audit_gap, audit_page, list_in_order, pages_of
from ledger.auditing.rows import HASH, UNREADABLE, StreamedRows
from ledger.book.postings import genesis
from ledger.errors import Finding
from ledger.model.checks import check_id
from ledger.model.moments import to_moment
from ledger.schema.databases import check_synchronous, check_url
from ledger.storage import history, snapshots
from ledger.storage.driver import driver_cursor
from ledger.storage.engines import unprepare_behind_pooler
from ledger.storage.sessions import check_ready, check_sees_all
from ledger.storage.stores import fetch

PORTION_ENTRIES = 50_000
"""A portion takes some tenths of a second; an account of so many entries is a portion by itself."""

_STRETCH_ENTRIES = 200_000
_PORTION_ACCOUNTS = 10_000
_BUSY_SECONDS = 30
_CACHE_KIB = 32 * 1024
_REPORT_SECONDS = 0.2


def audit_together(
    engine: Engine,
    *,
    workers: int = 2,
    account_id: str | None = None,
    at: datetime | None = None,
    progress: EntriesDone | None = None,
) -> Iterator[Finding]:
    """As `audit`, by `workers` processes, with the findings in the same order.

    Each process opens connections of its own by the engine's URL alone, so a SQLite database in memory cannot be
    audited. A script calls it under `if __name__ == "__main__":`, like everything that starts processes.
    """
    check_synchronous(engine)
    cutoff = None if at is None else to_moment(at)
    if account_id is not None:
        check_id(account_id, "account_id")
    context = multiprocessing.get_context("forkserver")
    done = context.Value("q", 0)
    with ProcessPoolExecutor(workers, context, _prepare, (engine.url, done)) as pool:
        reader = reading_engine(engine.url)
        try:
            with reader.connect() as connection:
                check_ready(connection)
                if account_id is None:
                    check_sees_all(connection)
                giants = _giants(connection, account_id)
                share = _Share(pool, cutoff, workers, done, progress)
                share.begin(giants, _total(connection, account_id))
                if account_id is not None:
                    yield from share.findings([Listed(account_id, giants[account_id], None)])
                    return
                yield from share.findings(list_in_order(connection))
                for after, before in share.gaps:
                    yield from audit_gap(connection, after, before)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        finally:
            reader.dispose()


def reading_engine(url: URL) -> Engine:
    """An engine whose transactions are snapshots that cannot write, and for which no writer waits."""
    if not check_url(url).can.reads_snapshots:
        engine = sqlalchemy.create_engine(url, poolclass=NullPool)
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_deferred)
        return engine
    options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    engine = sqlalchemy.create_engine(url, poolclass=NullPool, execution_options=options)
    event.listen(engine, "connect", unprepare_behind_pooler)
    return engine


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (f"busy_timeout = {_BUSY_SECONDS * 1000}", f"cache_size = -{_CACHE_KIB}", "query_only = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_deferred(connection: Connection) -> None:
    with driver_cursor(connection) as cursor:
        cursor.execute("BEGIN")


def _giants(connection: Connection, account_id: str | None) -> dict[str, int]:
    """The sizes of the accounts that are portions by themselves, the biggest first; or of the one that is asked for."""
    condition = "sequence >= $1" if account_id is None else "account_id = $1"
    statement = f"SELECT account_id, sequence FROM ledger_account WHERE {condition} ORDER BY sequence DESC"
    rows = fetch(connection, statement, PORTION_ENTRIES if account_id is None else account_id)
    found = {name: size for name, size in rows if isinstance(size, int)}
    return found if account_id is None else found or {account_id: 0}


def _total(connection: Connection, account_id: str | None) -> int:
    """The count of entries in all accounts' rows; 0 when one account is asked for."""
    if account_id is not None:
        return 0
    return int(fetch(connection, "SELECT coalesce(sum(sequence), 0) FROM ledger_account")[0][0])


FindingsCall = Callable[[], list[Finding]]


@dataclass(slots=True)
class _Share:
    """Work given to a pool, and its findings in the order of the accounts.

    `gaps` are the pairs of ids between which no portion looks for rows without an account: before each giant and
    behind the last account.
    """

    pool: ProcessPoolExecutor
    cutoff: int | None
    workers: int
    done: Any
    progress: EntriesDone | None
    running: set[Future[Any]] = field(default_factory=set)
    answers: deque[tuple[list[Future[Any]], FindingsCall]] = field(default_factory=deque)
    giants: dict[str, tuple[list[Future[Any]], FindingsCall]] = field(default_factory=dict)
    gaps: list[tuple[str | None, str | None]] = field(default_factory=list)
    reported: int = 0

    def begin(self, giants: dict[str, int], total: int) -> None:
        """Give out the accounts that are portions by themselves; `total` is the count of entries of all accounts."""
        for name, size in giants.items():
            self.giants[name] = self._divide(name, size) if size * self.workers > total else self._whole(name)

    def findings(self, accounts: Iterable[Listed]) -> Iterator[Finding]:
        """Give out all other accounts as processes become free, and yield the findings."""
        last: str | None = None
        for portion in _portions(accounts, self.giants.keys()):
            last = portion[-1].account_id
            if last in self.giants:
                self.gaps.append((portion[0].after, last))
            self.answers.append(self.giants.get(portion[0].account_id) or self._portion(portion))
            while len(self.running) > 2 * self.workers + len(self.giants):
                self._wait()
            yield from self._answered(is_last=False)
        yield from self._answered(is_last=True)
        self.gaps.append((last, None))

    def _answered(self, *, is_last: bool) -> Iterator[Finding]:
        while self.answers:
            futures, answer = self.answers[0]
            while not all(future.done() for future in futures):
                if not is_last:
                    return
                self._wait()
            self.answers.popleft()
            yield from answer()
        self._report()

    def _wait(self) -> None:
        _, self.running = wait(self.running, _REPORT_SECONDS, FIRST_COMPLETED)
        self._report()

    def _report(self) -> None:
        count, before = self.done.value, self.reported
        if self.progress is not None and count > before:
            self.reported = count
            self.progress(count - before)

    def _submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future = self.pool.submit(work, *arguments)
        self.running.add(future)
        return future

    def _portion(self, portion: list[Listed]) -> tuple[list[Future[Any]], FindingsCall]:
        future = self._submit(_audit_portion, portion, self.cutoff)
        return [future], future.result

    def _whole(self, name: str) -> tuple[list[Future[Any]], FindingsCall]:
        future = self._submit(_audit_whole, name, self.cutoff)
        return [future], future.result

    def _divide(self, name: str, size: int) -> tuple[list[Future[Any]], FindingsCall]:
        """One process replays the account, others prove its chain; when either fails, one process audits it whole."""
        replayed = self._submit(_replay, name, size, self.cutoff)
        stretches = [
            self._submit(_prove_chain, name, after, min(size, after + _STRETCH_ENTRIES))
            for after in range(0, size, _STRETCH_ENTRIES)
        ]

        def answer() -> list[Finding]:
            if all(stretch.result() for stretch in stretches) and not replayed.result():
                return []
            findings: list[Finding] = self.pool.submit(_audit_whole, name, self.cutoff).result()
            return findings

        return [replayed, *stretches], answer


def _portions(accounts: Iterable[Listed], giants: Collection[str]) -> Iterator[list[Listed]]:
    """Accounts in order, in portions of about `PORTION_ENTRIES`; each giant is a portion by itself."""
    portion: list[Listed] = []
    count = 0
    for account in accounts:
        is_giant = account.account_id in giants
        if portion and (is_giant or count + account.size > PORTION_ENTRIES or len(portion) >= _PORTION_ACCOUNTS):
            yield portion
            portion, count = [], 0
        if is_giant:
            yield [account]
            continue
        portion.append(account)
        count += account.size
    if portion:
        yield portion


_worker: dict[str, Any] = {}


def _prepare(url: URL, done: Any) -> None:
    """Open a process's database. The garbage collector is off: windows of rows make no cycles that it could free."""
    _worker["engine"], _worker["done"] = reading_engine(url), done
    gc.disable()


def _progress(count: int) -> None:
    done = _worker["done"]
    with done.get_lock():
        done.value += count


def _audit_portion(portion: list[Listed], cutoff: int | None) -> list[Finding]:
    with _worker["engine"].connect() as connection:
        found = [
            finding
            for page in pages_of(portion)
            for finding in audit_page(connection, page, cutoff, _progress, is_snapshot=True)
        ]
    gc.collect()
    return found


def _audit_whole(name: str, cutoff: int | None) -> list[Finding]:
    with _worker["engine"].connect() as connection:
        found = audit_account(connection, name, cutoff, _progress, is_snapshot=True)
    gc.collect()
    return found


def _replay(name: str, is_chained_to: int, cutoff: int | None) -> list[Finding]:
    """The findings of an account whose chain other processes prove up to an entry."""
    with _worker["engine"].connect() as connection:
        try:
            state = snapshots.read_accounts(connection, [name])[name]
        except UNREADABLE:
            return audit_account(connection, name, cutoff, _progress, is_snapshot=True)
        rows = StreamedRows(connection, name, state.sequence)
        found = AccountAudit(state, rows, cutoff, is_chained_to).findings(_progress)
    gc.collect()
    return found


def _prove_chain(name: str, after: int, last: int) -> bool:
    """True when an account's entries in (after, last] are all there, each chained to the one before."""
    with _worker["engine"].connect() as connection:
        try:
            state = snapshots.read_accounts(connection, [name])[name]
            head = genesis(name, state.opened_at)
            if after:
                head = history.read_postings(connection, [(name, after)])[0].hash
            for window in StreamedRows(connection, name, last).spans(after=after, is_whole=False):
                if not window.is_chained_to(name, head):
                    return False
                head = window.entries[-1][HASH]
        except UNREADABLE:
            return False
    return True
