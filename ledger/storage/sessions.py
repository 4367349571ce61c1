"""The connection of a caller's session, for a verb: refused where the ledger could not keep what it promises.

Every verb gets its connection here. What is looked at costs nothing on a session that is as it should be: the revision
of the schema is read once an engine, by the first verb.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from sqlalchemy import Connection, Pool
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.orm import Session, scoped_session

from ledger.errors import AccountsHidden, SessionUnusable
from ledger.schema.databases import cannot_wait, capabilities_of, check_dialect
from ledger.schema.revisions import check_revision, is_upgraded_here
from ledger.schema.roles import ACCOUNT_SETTING
from ledger.storage.engines import BEGINS_IMMEDIATE, check_pooler
from ledger.storage.own_sessions import OwnSession
from ledger.storage.stores import fetch
from ledger.storage.stores.opening import OPENED, OPENING, Opening

_checked: WeakSet[Pool] = WeakSet()
"""Pools of engines whose driver and schema were found to be what this version works with."""


def connection_of(session: Session) -> Connection:
    """The connection of a session, for a verb that reads.

    Raises `SessionUnusable`, `DatabaseUnsupported`, `SchemaMismatch`, `PreparedStatementsLost`.
    """
    if not isinstance(session, Session):
        session = _session(session)
    if _binds(session):
        raise SessionUnusable(
            "has binds of several databases, whose transactions do not commit together. Pass `Session(engine)` of the"
            " one database that has the ledger's tables and your own."
        )
    if session.bind is not None and cannot_wait(session.bind):
        raise SessionUnusable(
            "is of an async engine, and is used outside of it. From async code:"
            " `await async_session.run_sync(ledger.reserve, ...)`, or `run_transaction_async`."
        )
    try:
        connection = _connection(session)
    except UnboundExecutionError:
        raise SessionUnusable("is bound to no database. Pass `Session(engine)`.") from None
    except NotImplementedError:
        raise SessionUnusable(
            "is made with twophase=True, which this database does not know. Leave twophase out."
        ) from None
    check_connection(connection)
    return connection


def check_connection(connection: Connection) -> None:
    """Raise what `connection_of` does of a session's connection."""
    if connection.get_execution_options().get("schema_translate_map"):
        raise SessionUnusable(
            "has a schema_translate_map, which statements past SQLAlchemy do not follow. Put the ledger's schema on the"
            " search_path of the role or of the connection instead."
        )
    check_ready(connection)


def check_ready(connection: Connection) -> None:
    """Raise `DatabaseUnsupported`, `SchemaMismatch` or `PreparedStatementsLost`; looked at once for each pool."""
    if connection.engine.pool not in _checked:
        check_dialect(connection.dialect)
        if capabilities_of(connection).pipelines:
            check_pooler(connection)
        check_revision(connection)
        if not is_upgraded_here(connection):
            _checked.add(connection.engine.pool)


def writing_connection(session: Session) -> Connection:
    """The connection of a session, for a verb that writes. Raises what `connection_of` does."""
    connection = connection_of(session)
    check_writable(connection)
    return connection


def check_writable(connection: Connection) -> None:
    """Raise `SessionUnusable` for a connection on which a verb could not keep what it writes."""
    opening: Opening | None = connection.info.get(OPENING)
    if opening is not None and opening.is_each_alone:
        connection.info[OPENING] = opening.of_host()
    if BEGINS_IMMEDIATE not in connection.info and _commits_by_itself(connection):
        raise SessionUnusable(
            "is in AUTOCOMMIT, where a rollback undoes nothing. Pass a session of an engine with the default isolation"
            " level."
        )
    if connection.get_execution_options().get("postgresql_readonly"):
        raise SessionUnusable("is read-only (postgresql_readonly). Pass one that may write for a verb that writes.")


def connection_to_all(session: Session) -> Connection:
    """The connection of a session, for a verb over all accounts.

    Raises `AccountsHidden` where row-level security hides accounts from the session's role, and what `connection_of`
    does.
    """
    connection = connection_of(session)
    check_sees_all(connection)
    return connection


def check_sees_all(connection: Connection) -> None:
    """Raise `AccountsHidden` where row-level security hides accounts from the connection's role.

    Where `set_account` named an account for the transaction, that account's rows are what was asked for.
    """
    if capabilities_of(connection).hides_rows:
        role, account_id = fetch(connection, _HIDDEN_FROM)[0]
        if role is not None and not account_id:
            raise AccountsHidden(role)


def check_missing(connection: Connection) -> None:
    """Raise `AccountsHidden` where an account that was not found may be hidden from the connection's role."""
    if capabilities_of(connection).hides_rows:
        role, _ = fetch(connection, _HIDDEN_FROM)[0]
        if role is not None:
            raise AccountsHidden(role)


# A policy without a condition on the rows shows all of them, unless a restrictive one takes some away.
_HIDDEN_FROM = (
    "SELECT CASE WHEN row_security_active('ledger_account')"
    " AND NOT coalesce((SELECT bool_or(p.polpermissive AND pg_get_expr(p.polqual, p.polrelid) = 'true')"
    " AND bool_and(p.polpermissive) FROM pg_policy p WHERE p.polrelid = 'ledger_account'::regclass"
    " AND p.polcmd IN ('r', '*') AND EXISTS (SELECT FROM unnest(p.polroles) AS r(role)"
    " WHERE role = 0 OR pg_has_role(current_user, role, 'USAGE'))), false) THEN current_user END,"
    f" current_setting('{ACCOUNT_SETTING}', true)"
)


def connection_over(session: Session, account_id: str | None) -> Connection:
    """The connection of a session, for a reading of one account, or of all where none is named. Raises as those do."""
    return connection_to_all(session) if account_id is None else connection_of(session)


def _connection(session: Session) -> Connection:
    if not isinstance(session, OwnSession):
        return session.connection()
    session.is_for_verb = True
    try:
        return session.connection()
    finally:
        session.is_for_verb = False


def _binds(session: Session) -> Any:
    """What a session was given as `binds`: SQLAlchemy 2.1 says it, 2.0 keeps it to itself."""
    return getattr(session, "binds", None) or getattr(session, "_Session__binds", None)


def _commits_by_itself(connection: Connection) -> bool:
    """True where the driver commits every statement; asks the driver, not the server."""
    if OPENED in connection.info:
        return False  # a store began the transaction, which the driver does not know
    driver = connection.connection.driver_connection
    if not capabilities_of(connection).locks_rows and driver is not None and driver.in_transaction:
        return False  # the host begins transactions itself, which SQLite's driver takes for none
    return connection.dialect.detect_autocommit_setting(connection.connection.dbapi_connection)  # type: ignore[arg-type]


def _session(given: Any) -> Session:
    """The session behind a `scoped_session`. Raises `SessionUnusable` for anything that is no session."""
    if isinstance(given, scoped_session):
        session: Session = given()
        return session
    kind = type(given).__name__
    if hasattr(given, "run_sync"):
        remedy = "From async code: `await session.run_sync(ledger.reserve, ...)`, which passes the Session behind it."
    elif callable(given):
        remedy = "Call it, and pass the Session that it makes: `with sessionmaker() as session:`."
    else:
        remedy = "Pass a Session: `with Session(engine) as session, session.begin():`, or use `run_transaction`."
    raise SessionUnusable(f"is of type {kind}, and a verb takes a sqlalchemy.orm.Session. {remedy}")
