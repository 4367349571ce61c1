"""Statements sent through the database's driver, where SQLAlchemy would take longer than the statement itself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

from sqlalchemy import Column, Connection, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError


class driver_cursor:  # noqa: N801  # a context manager, used as a function is
    """A cursor of the driver for a `with` block. The driver's errors are raised as SQLAlchemy raises them."""

    __slots__ = ("_connection", "_cursor", "_options")

    def __init__(self, connection: Connection, **options: Any) -> None:
        self._connection = connection
        self._options = options

    def __enter__(self) -> Any:
        proxied = self._connection.connection
        try:
            self._cursor = proxied.cursor(**self._options)
        except self._connection.dialect.loaded_dbapi.Error as error:
            self._refuse(error, None)
        return self._cursor

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, self._connection.dialect.loaded_dbapi.Error):
            self._refuse(error, self._cursor)
        self._cursor.close()

    def _refuse(self, error: Any, cursor: Any) -> NoReturn:
        connection, dialect = self._connection, self._connection.dialect
        is_lost = dialect.is_disconnect(error, connection.connection.dbapi_connection, cursor)
        if cursor is not None:
            cursor.close()
        if is_lost:
            _let_go(connection, error)
        base = dialect.loaded_dbapi.Error
        raise DBAPIError.instance(None, None, error, base, connection_invalidated=is_lost, dialect=dialect) from error


def _let_go(connection: Connection, error: Any) -> None:
    """Let SQLAlchemy find a connection lost, so that its pool replaces all connections as old as that one."""
    with suppress(SQLAlchemyError):
        connection.exec_driver_sql("SELECT 1")
    if not connection.invalidated:
        connection.invalidate(error)


_PARAMETER = re.compile(r"(?<![:\w]):(\w+)")


@dataclass(frozen=True, slots=True)
class DriverStatement:
    """A statement for PostgreSQL whose parameters are texts and numbers, in SQLAlchemy's form and in the driver's.

    A reservation sends four statements in which SQLAlchemy converts nothing. Sent through the driver, the reservation
    takes a seventh less time and a quarter less processor time. Statements go through SQLAlchemy with drivers other
    than psycopg, and outside a transaction: SQLAlchemy begins one, and raises its own error for one that has ended.
    """

    clause: Any
    pyformat: str

    @classmethod
    def of(cls, sql: str, columns: Sequence[Column[Any]] = ()) -> DriverStatement:
        """A statement with parameters as `:name`; `columns` are those of its answer, for SQLAlchemy."""
        clause = text(sql)
        driven = _PARAMETER.sub(r"%(\1)s", sql.replace("%", "%%"))
        return cls(clause.columns(*columns) if columns else clause, driven)

    def fetch(self, connection: Connection, parameters: Mapping[str, Any]) -> list[Any]:
        """The rows of a SELECT."""
        if not _is_plain(connection):
            return list(connection.execute(self.clause, parameters).all())
        with driver_cursor(connection) as cursor:
            cursor.execute(self.pyformat, parameters)
            return list(cursor.fetchall())

    def carry_out(self, connection: Connection, parameters: Mapping[str, Any]) -> None:
        """Carry out a statement that answers no rows."""
        if not _is_plain(connection):
            connection.execute(self.clause, parameters)
            return
        with driver_cursor(connection) as cursor:
            cursor.execute(self.pyformat, parameters)


def _is_plain(connection: Connection) -> bool:
    dialect = connection.dialect
    return dialect.driver == "psycopg" and dialect.paramstyle == "pyformat" and connection.in_transaction()
