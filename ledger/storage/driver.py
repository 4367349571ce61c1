"""The database's driver, used past SQLAlchemy: that takes longer than many a statement of the ledger's itself."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NoReturn

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from ledger.errors import PreparedStatementsLost
from ledger.schema.databases import database_of
from ledger.storage.failures import is_prepared_statement_lost


def driver_of(proxied: Any) -> Any:
    """The driver's own connection behind the one of a pool; also of one that was detached from its pool."""
    adapted = proxied.dbapi_connection
    return getattr(adapted, "driver_connection", adapted)


class raised_as_sqlalchemy:  # noqa: N801  # a context manager, used as a function is
    """For a `with` block that uses the driver of a connection: its errors are raised as SQLAlchemy raises them."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None and isinstance(error, self._connection.dialect.loaded_dbapi.Error):
            _refuse(self._connection, error, None)


class driver_cursor:  # noqa: N801  # a context manager, used as a function is
    """A cursor of the driver for a `with` block. The driver's errors are raised as SQLAlchemy raises them."""

    __slots__ = ("_connection", "_cursor")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __enter__(self) -> Any:
        try:
            self._cursor = self._connection.connection.cursor()
        except self._connection.dialect.loaded_dbapi.Error as error:
            _refuse(self._connection, error, None)
        return self._cursor

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, self._connection.dialect.loaded_dbapi.Error):
            _refuse(self._connection, error, self._cursor)
        self._cursor.close()


def _refuse(connection: Connection, error: Any, cursor: Any) -> NoReturn:
    dialect = connection.dialect
    is_lost = dialect.is_disconnect(error, connection.connection.dbapi_connection, cursor)
    if cursor is not None:
        cursor.close()
    if is_lost:
        _let_go(connection, error)
    if is_prepared_statement_lost(error):
        raise PreparedStatementsLost from error
    base = dialect.loaded_dbapi.Error
    raise DBAPIError.instance(None, None, error, base, connection_invalidated=is_lost, dialect=dialect) from error


def _let_go(connection: Connection, error: Any) -> None:
    """Let SQLAlchemy find a connection lost, so that its pool replaces all connections as old as that one."""
    with suppress(SQLAlchemyError):
        connection.exec_driver_sql("SELECT 1")
    if not connection.invalidated:
        connection.invalidate(error)


def transaction_begun(connection: Connection) -> None:
    """Make SQLAlchemy begin a transaction, as it does at a first statement, or raise its error for one that ended."""
    connection.exec_driver_sql("SELECT 1").close()


_CANNOT_CONNECT = "08001"
"""The SQLSTATE of a connection that the client could not make."""


def tell_connect_failures(engine: Engine) -> None:
    """Make an engine raise SQLAlchemy's error where its driver raises the operating system's."""
    # Of the dialect, which all engines that are made of this one by `execution_options` share.
    dialect = engine.dialect
    if database_of(dialect).can.tells_connect_failures or event.contains(dialect, "do_connect", _connect):
        return
    event.listen(dialect, "do_connect", _connect)


def _connect(dialect: Any, record: Any, arguments: Any, options: Any) -> Any:
    base = dialect.loaded_dbapi.Error
    try:
        return dialect.connect(*arguments, **options)
    except Exception as error:
        # An older SQLAlchemy lets the server's refusals through as well.
        code = getattr(error, "sqlstate", _CANNOT_CONNECT if isinstance(error, OSError) else None)
        if isinstance(error, base) or code is None:
            raise
        failed = dialect.loaded_dbapi.OperationalError(str(error))
        failed.sqlstate = code
        raise failed from error
