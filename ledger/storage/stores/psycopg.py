"""PostgreSQL by psycopg 3: the statements of a request in one round trip, sync and async.

- Several statements are a pipeline, whose results are fetched after it; a pipeline never outlives a call.
- In a transaction that the library itself began (`Opening`), BEGIN and its settings go with the first statements. The
  driver would end its own BEGIN with a round trip, so this one is queued as a statement, while the driver believes that
  it commits by itself. The pool's `checkin` takes that back.
- Whole numbers are sent as such of 64 bits, and arrays as texts, which the server parses as what the statement needs.
  So a statement is the same to the driver whatever its values are, and is prepared once.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import ConnStatus, PipelineStatus, TransactionStatus
from psycopg.types.numeric import Int8BinaryDumper
from psycopg.types.string import StrDumperUnknown
from sqlalchemy import Connection
from sqlalchemy.util import await_only

from ledger.errors import TransactionEnded
from ledger.storage.driver import driver_of, raised_as_sqlalchemy, transaction_begun
from ledger.storage.stores.arrays import ARRAYS, Array
from ledger.storage.stores.base import Request
from ledger.storage.stores.literals import array_literal
from ledger.storage.stores.opening import OPENED, OPENING, Opening
from ledger.storage.stores.postgresql import PostgresqlStore

_ROWS_KEPT = 1000
"""Cursors are not used again when one of them fetched more rows, which it would hold until then."""

_COMMIT = Request("COMMIT", is_planned_anew=True, has_rows=False)

_names = count()


class _ArrayDumper(Dumper):
    def dump(self, obj: Array) -> bytes:
        """The array's literal, which is written in a third of the time that the driver takes for a list."""
        return array_literal(obj.kind, obj).encode()


def _prepared(cursor: Any) -> Any:
    """A new cursor that sends values as this module says."""
    adapters = cursor.adapters
    adapters.register_dumper(int, Int8BinaryDumper)
    adapters.register_dumper(str, StrDumperUnknown)
    for each in ARRAYS:
        adapters.register_dumper(each, _ArrayDumper)
    return cursor


@dataclass(slots=True)
class _PipelineStore(PostgresqlStore):
    """What both ways of sending have in common: the cursors of one connection, and what goes before the first one."""

    cursors: list[Any] = field(default_factory=list)
    warnings: list[str] | None = None

    def run(self, connection: Connection, requests: Sequence[Request]) -> list[list[tuple[Any, ...]]]:
        """The rows of each request, all in one round trip."""
        proxied = connection.connection
        with raised_as_sqlalchemy(connection):
            if not connection.in_transaction():
                transaction_begun(connection)
            before, after = self._around(connection, proxied)
            sent = [*before, *requests, *after]
            found = self._sent(connection, driver_of(proxied), sent) if sent else []
        return found[len(before) : len(before) + len(requests)]

    def has_ended(self, connection: Connection) -> bool:
        """Whether the connection is in no transaction, though a store or the driver began one."""
        info = connection.info
        driver = driver_of(connection.connection)
        has_begun = OPENING not in info and (OPENED in info or not driver.autocommit)
        return has_begun and driver.pgconn.transaction_status == TransactionStatus.IDLE

    def commit_request(self, connection: Connection) -> Request | None:
        """The request that commits a transaction which a store has begun: the driver knows nothing of it."""
        info = connection.info
        return _COMMIT if OPENED in info and OPENING not in info else None

    def commit_warnings(self, connection: Connection) -> list[str]:
        """A list that PostgreSQL's warnings about the standby are put in, as they come.

        A commit that waits for a synchronous standby has happened on the primary. When the wait is cancelled, the
        server acknowledges it with a warning, whether or not the standby has it.
        """
        if self.warnings is None:
            heard: list[str] = []

            def hear(diagnostic: Any) -> None:
                # The function of the server that says it: the message itself is in the server's language.
                if diagnostic.source_function == "SyncRepWaitForLSN":
                    heard.append(diagnostic.message_primary or "")

            driver = driver_of(connection.connection)
            driver.add_notice_handler(hear)
            self.warnings = heard
        self.warnings.clear()
        return self.warnings

    def _around(self, connection: Connection, proxied: Any) -> tuple[list[Request], list[Request]]:
        """What begins, and ends, the transaction that the library owns, where it has not begun."""
        info, driver = proxied.info, driver_of(proxied)
        opening: Opening | None = info.get(OPENING)
        if opening is None and OPENED not in info:
            return [], []
        is_idle = driver.pgconn.transaction_status == TransactionStatus.IDLE
        if opening is None:
            if is_idle:
                raise TransactionEnded
            return [], []
        may_begin = OPENED in info or not (driver.autocommit or _skips_rollback(connection))
        if not is_idle or not may_begin:
            # A statement of SQLAlchemy's came first, or the engine is in autocommit, which the verbs refuse, or it does
            # not roll back what the driver takes for autocommit.
            del info[OPENING]
            return opening.requests(), []
        if OPENED not in info:
            info[OPENED] = True
            proxied.dbapi_connection.autocommit = True
        if not opening.is_each_alone:
            del info[OPENING]
        ends = [_COMMIT] if opening.is_each_alone else []
        return [Request(_begin(driver), is_planned_anew=True, has_rows=False), *opening.requests()], ends

    def begin(self, connection: Connection) -> None:
        """Send what begins the transaction that the library owns, if it has not begun."""
        opening: Opening | None = connection.info.get(OPENING)
        if opening is not None:
            connection.info[OPENING] = opening.of_host()
            self.run(connection, [])

    def _sent(self, connection: Connection, driver: Any, requests: Sequence[Request]) -> list[list[tuple[Any, ...]]]:
        try:
            return self._send(driver, requests)
        except BaseException:
            # An interrupt may come between the last statement and the end of the pipeline. Such a connection says of
            # the next user's statements that they answer nothing.
            if driver.pgconn.status == ConnStatus.OK and driver.pgconn.pipeline_status != PipelineStatus.OFF:
                driver.pgconn.finish()
                connection.invalidate()
            raise

    @abstractmethod
    def _send(self, driver: Any, requests: Sequence[Request]) -> list[list[tuple[Any, ...]]]:
        """The rows of each request, all in one round trip, without what goes before or after."""

    def _take(self, driver: Any, size: int) -> list[Any]:
        """As many cursors as are needed. They are not the store's until `_keep`: after an error none is used again."""
        taken, self.cursors = self.cursors, []
        if len(taken) < size:
            taken += [_prepared(self._cursor(driver)) for _ in range(size - len(taken))]
        return taken

    def _keep(self, cursors: list[Any], found: Sequence[Sequence[Any]]) -> None:
        """Keep cursors for the next time, except where one holds very many rows."""
        if all(len(rows) <= _ROWS_KEPT for rows in found):
            self.cursors = cursors

    @abstractmethod
    def _cursor(self, driver: Any) -> Any:
        """A new cursor, whose statements number their values as the server does."""

    @contextmanager
    def _streaming(self, connection: Connection) -> Iterator[Any]:
        """The driver's connection in a transaction, for a named cursor, which stays on the server."""
        with raised_as_sqlalchemy(connection):
            self.begin(connection)
            if not connection.in_transaction():
                transaction_begun(connection)
            yield driver_of(connection.connection)


def _skips_rollback(connection: Connection) -> bool:
    """Whether the engine was made to roll nothing back on a connection that the driver takes for autocommit."""
    return bool(getattr(connection.dialect, "skip_autocommit_rollback", False))


def _begin(driver: Any) -> str:
    """BEGIN as the driver would send it, with what the engine says of its transactions."""
    said = ["BEGIN"]
    if driver.isolation_level is not None:
        said.append(f"ISOLATION LEVEL {driver.isolation_level.name.replace('_', ' ')}")
    if driver.read_only is not None:
        said.append("READ ONLY" if driver.read_only else "READ WRITE")
    if driver.deferrable is not None:
        said.append("DEFERRABLE" if driver.deferrable else "NOT DEFERRABLE")
    return " ".join(said)


def _is_alone(requests: Sequence[Request]) -> bool:
    return len(requests) == 1 and not requests[0].is_each


class PsycopgStore(_PipelineStore):
    """By psycopg's `Connection`."""

    __slots__ = ()

    def _send(self, driver: Any, requests: Sequence[Request]) -> list[list[tuple[Any, ...]]]:
        cursors = self._take(driver, len(requests))
        if _is_alone(requests):
            _execute(cursors[0], requests[0])
        else:
            with driver.pipeline():
                for cursor, request in zip(cursors, requests, strict=False):
                    _execute(cursor, request)
        found = [_rows(cursor) if request.has_rows else [] for cursor, request in zip(cursors, requests, strict=False)]
        self._keep(cursors, found)
        return found

    def _cursor(self, driver: Any) -> Any:
        return psycopg.RawCursor(driver)

    def stream(
        self, connection: Connection, sql: str, values: Sequence[Any], size: int
    ) -> Iterator[Sequence[tuple[Any, ...]]]:
        """The rows of a SELECT, `size` at a time: the server sends what is fetched."""
        with (
            self._streaming(connection) as driver,
            _prepared(psycopg.RawServerCursor(driver, f"ledger_{next(_names)}")) as cursor,
        ):
            cursor.execute(sql, values, binary=True)
            while part := cursor.fetchmany(size):
                yield part


def _execute(cursor: Any, request: Request) -> None:
    sql, values, is_each, is_planned_anew, has_rows = request
    if is_each:
        cursor.executemany(sql, values, returning=has_rows)
    else:
        cursor.execute(sql, values, prepare=False if is_planned_anew else None, binary=True)


def _rows(cursor: Any) -> list[tuple[Any, ...]]:
    """The rows of all results of a cursor."""
    rows: list[tuple[Any, ...]] = cursor.fetchall()
    while cursor.nextset():
        rows += cursor.fetchall()
    return rows


class AsyncPsycopgStore(_PipelineStore):
    """By psycopg's `AsyncConnection`, on the greenlets of SQLAlchemy's async engines."""

    __slots__ = ()

    def _send(self, driver: Any, requests: Sequence[Request]) -> list[list[tuple[Any, ...]]]:
        return await_only(self._send_async(driver, requests))

    async def _send_async(self, driver: Any, requests: Sequence[Request]) -> list[list[tuple[Any, ...]]]:
        cursors = self._take(driver, len(requests))
        if _is_alone(requests):
            await _execute_async(cursors[0], requests[0])
        else:
            async with driver.pipeline():
                for cursor, request in zip(cursors, requests, strict=False):
                    await _execute_async(cursor, request)
        found = [
            await _rows_async(cursor) if request.has_rows else []
            for cursor, request in zip(cursors, requests, strict=False)
        ]
        self._keep(cursors, found)
        return found

    def _cursor(self, driver: Any) -> Any:
        return psycopg.AsyncRawCursor(driver)

    def stream(
        self, connection: Connection, sql: str, values: Sequence[Any], size: int
    ) -> Iterator[Sequence[tuple[Any, ...]]]:
        """The rows of a SELECT, `size` at a time: the server sends what is fetched."""
        with self._streaming(connection) as driver:
            cursor = _prepared(psycopg.AsyncRawServerCursor(driver, f"ledger_{next(_names)}"))
            try:
                await_only(cursor.execute(sql, values, binary=True))
                while part := await_only(cursor.fetchmany(size)):
                    yield part
            finally:
                await_only(cursor.close())


async def _execute_async(cursor: Any, request: Request) -> None:
    sql, values, is_each, is_planned_anew, has_rows = request
    if is_each:
        await cursor.executemany(sql, values, returning=has_rows)
    else:
        await cursor.execute(sql, values, prepare=False if is_planned_anew else None, binary=True)


async def _rows_async(cursor: Any) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = await cursor.fetchall()
    while cursor.nextset():
        rows += await cursor.fetchall()
    return rows
