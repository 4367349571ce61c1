"""PostgreSQL by asyncpg, which has no pipelines: the same statements one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from ledger.storage.stores.base import Request
from ledger.storage.stores.postgresql import PostgresqlStore


class AsyncpgStore(PostgresqlStore):
    """By SQLAlchemy's connection, which takes `$1` and native values for this driver as they are."""

    __slots__ = ()

    def run(self, connection: Connection, requests: Sequence[Request]) -> list[list[tuple[Any, ...]]]:
        """The rows of each request."""
        return [_run(connection, request) for request in requests]

    def has_ended(self, connection: Connection) -> bool:
        """Whether the connection is in no transaction, though SQLAlchemy began one."""
        proxied = connection.connection
        adapted: Any = proxied.dbapi_connection
        driver: Any = proxied.driver_connection
        return adapted._transaction is not None and not driver.is_in_transaction()

    def stream(
        self, connection: Connection, sql: str, values: Sequence[Any], size: int
    ) -> Iterator[Sequence[tuple[Any, ...]]]:
        """The rows of a SELECT, `size` at a time."""
        options = {"stream_results": True, "yield_per": size}
        with _raised_as_sqlalchemy(connection):
            rows = connection.exec_driver_sql(sql, tuple(values), execution_options=options)
        with rows:
            parts = rows.partitions(size)
            while part := _next(connection, parts):
                yield part


def _next(connection: Connection, parts: Iterator[Sequence[Any]]) -> list[tuple[Any, ...]]:
    with _raised_as_sqlalchemy(connection):
        return [tuple(row) for row in next(parts, ())]


@contextmanager
def _raised_as_sqlalchemy(connection: Connection) -> Iterator[None]:
    """What fails while rows are fetched comes past SQLAlchemy, as asyncpg's own error: raise it as SQLAlchemy does."""
    try:
        yield
    except Exception as error:
        if isinstance(error, SQLAlchemyError) or not hasattr(error, "sqlstate"):
            raise
        driver: Any = connection.dialect.loaded_dbapi
        failed = driver.OperationalError(str(error))
        failed.sqlstate = error.sqlstate
        raise DBAPIError.instance(None, None, failed, driver.Error, dialect=connection.dialect) from error


def _run(connection: Connection, request: Request) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for values in request.values if request.is_each else [request.values]:
        result = connection.exec_driver_sql(request.sql, tuple(values))
        if result.returns_rows:
            found += [tuple(row) for row in result]
    return found
