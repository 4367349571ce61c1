"""Statements through the database's driver itself, where wrapping each small one would cost more than it does."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, text
from sqlalchemy.exc import DBAPIError


class driver_cursor:  # noqa: N801  # a context manager, used as a function is
    """A cursor of the driver itself for a `with` block; its errors are raised as SQLAlchemy raises them."""

    __slots__ = ("_connection", "_cursor", "_options")

    def __init__(self, connection: Connection, **options: Any) -> None:
        self._connection = connection
        self._options = options

    def __enter__(self) -> Any:
        self._cursor = self._connection.connection.cursor(**self._options)
        return self._cursor

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        dialect = self._connection.dialect
        base = dialect.loaded_dbapi.Error
        if not isinstance(error, base):
            self._cursor.close()
            return
        is_lost = dialect.is_disconnect(error, self._connection.connection.dbapi_connection, self._cursor)
        self._cursor.close()
        if is_lost:
            self._connection.invalidate(error)
        raise DBAPIError.instance(None, None, error, base, connection_invalidated=is_lost, dialect=dialect) from error


_PARAMETER = re.compile(r"(?<![:\w]):(\w+)")


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement for PostgreSQL, whose parameters are texts and numbers: for SQLAlchemy, and as most drivers take it.

    A reservation sends four of them, for which SQLAlchemy has nothing to convert: without it, it takes a quarter less
    time. What drivers are sent that mark parameters otherwise is left to SQLAlchemy.
    """

    clause: Any
    pyformat: str

    @classmethod
    def of(cls, sql: str, columns: Sequence[Column[Any]] = ()) -> Statement:
        """A statement with parameters as `:name`; with its columns named, SQLAlchemy works their layout out once."""
        clause = text(sql)
        driven = _PARAMETER.sub(r"%(\1)s", sql.replace("%", "%%"))
        return cls(clause.columns(*columns) if columns else clause, driven)

    def fetch(self, connection: Connection, parameters: Mapping[str, Any]) -> list[Any]:
        """The rows of a SELECT."""
        if connection.dialect.paramstyle != "pyformat":
            return list(connection.execute(self.clause, parameters).all())
        _begin(connection)
        with driver_cursor(connection) as cursor:
            cursor.execute(self.pyformat, parameters)
            return list(cursor.fetchall())

    def carry_out(self, connection: Connection, parameters: Mapping[str, Any]) -> None:
        """Carry out what answers no rows."""
        if connection.dialect.paramstyle != "pyformat":
            connection.execute(self.clause, parameters)
            return
        _begin(connection)
        with driver_cursor(connection) as cursor:
            cursor.execute(self.pyformat, parameters)


def _begin(connection: Connection) -> None:
    """The first statement begins a transaction, which SQLAlchemy has to know of to end it."""
    if not connection.in_transaction():
        connection.begin()


__all__ = ["Statement", "driver_cursor"]
