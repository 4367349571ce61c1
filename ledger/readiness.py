"""What an engine's database can do for the ledger, and what is missing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine

from ledger.errors import AccountsHidden, PreparedStatementsLost, SchemaMismatch
from ledger.schema.catalogue import (
    may_read_versions,
    missing_rights,
    read_server,
    roles_with_policies,
    tables_with_row_security,
)
from ledger.schema.databases import capabilities_of, check_engine
from ledger.schema.distributed import distributed_tables, has_distribution
from ledger.schema.distribution import COLUMN, WITHOUT_ROW_SECURITY
from ledger.schema.revisions import HEAD, read_revision
from ledger.schema.tables import metadata
from ledger.schema.triggers import triggers_missing
from ledger.storage.engines import BEGINS_IMMEDIATE, check_pooler
from ledger.storage.sessions import check_sees_all

_PRAGMAS = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
_SYNCHRONOUS = ("off", "normal", "full", "extra")
_RIGHTS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class DatabaseReport:
    """What a database can do for the ledger. It is ready where `missing` is empty.

    `missing` are sentences about what is needed and how to get it; `hints` are about what is worth knowing. What only
    PostgreSQL has is None on SQLite. What is about tables is None where the tables are not those of this version.
    """

    database: str
    version: str
    driver: str
    isolation: str
    found: str | None
    expected: str
    settings: dict[str, str]
    behind_pooler: bool | None = None
    """A pooler is between the client and the server, as far as it can be seen."""
    role: str | None = None
    rights_missing: tuple[str, ...] | None = None
    """Such as `INSERT on ledger_entry`."""
    sees_all_accounts: bool | None = None
    row_level_security: tuple[str, ...] | None = None
    """The tables on which it is on."""
    policy_roles: tuple[str, ...] | None = None
    triggers_missing: tuple[str, ...] | None = None
    """The tables without a trigger that refuses changes; None where they are distributed, which excludes triggers."""
    distributed: tuple[str, ...] | None = None
    """The tables that are distributed over several servers; None without the extension."""
    missing: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()


def check_database(engine: Engine, *, reads_only: bool = False) -> DatabaseReport:
    """Say what the database of an engine can do for the ledger, and what is missing. Nothing is changed.

    With `reads_only` the role needs no rights to write: for finance, and the audit. Raises `DatabaseUnsupported`,
    `EngineUnusable`, and what SQLAlchemy raises for a database that cannot be reached.
    """
    with check_engine(engine).connect() as connection:
        found = _Findings(connection, reads_only)
        if capabilities_of(connection).hides_rows:
            _look_at_postgresql(found)
        else:
            _look_at_sqlite(found)
        return found.report()


@dataclass(slots=True)
class _Findings:
    """What was found so far, by the names of the report's fields."""

    connection: Connection
    reads_only: bool
    fields: dict[str, Any] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)

    def report(self) -> DatabaseReport:
        dialect = self.connection.dialect
        module = dialect.loaded_dbapi
        version = getattr(module, "__version__", "")
        return DatabaseReport(
            database=dialect.name,
            driver=f"{dialect.driver} {version}".strip(),
            expected=HEAD,
            missing=tuple(self.missing),
            hints=tuple(self.hints),
            **self.fields,
        )

    def look_at_revision(self, *, may_read: bool = True) -> bool:
        """True where the tables are those of this version."""
        found = read_revision(self.connection) if may_read else None
        self.fields["found"] = found
        if may_read and found != HEAD:
            self.missing.append(str(SchemaMismatch(found, HEAD)))
        return may_read and found == HEAD

    def look_at_triggers(self) -> None:
        found = self.fields["triggers_missing"] = tuple(triggers_missing(self.connection))
        if found:
            self.hints.append(
                f"No trigger refuses changes of {', '.join(found)}. The audit finds them all the same; `credits db"
                " upgrade` makes the triggers."
            )


def _look_at_postgresql(found: _Findings) -> None:
    connection = found.connection
    server = read_server(connection)
    driver: Any = connection.connection.dbapi_connection
    commits_by_itself = connection.dialect.detect_autocommit_setting(driver)
    isolation = "AUTOCOMMIT" if commits_by_itself else connection.get_isolation_level()
    found.fields |= {
        "version": server.version,
        "role": server.role,
        "isolation": isolation,
        "settings": server.settings,
    }
    if isolation == "AUTOCOMMIT":
        found.missing.append("The engine is in AUTOCOMMIT, where a rollback undoes nothing. Leave that out.")
    elif isolation != "READ COMMITTED":
        found.hints.append(
            f"The isolation level is {isolation}. READ COMMITTED is enough, and has to try again less often."
        )
    if server.reads_only and not found.reads_only:
        found.missing.append("The server takes no writes: it is a standby, or read-only. Name the primary in the URL.")
    if server.settings["fsync"] == "off" or server.settings["synchronous_commit"] == "off":
        found.hints.append("Commits are acknowledged before they are on disk (fsync, synchronous_commit).")
    if capabilities_of(connection).pipelines:
        _look_at_pooler(found, server.port)
    may_read = may_read_versions(connection)
    if found.look_at_revision(may_read=may_read):
        _look_at_tables(found, server.role)
    elif not may_read:
        found.fields["rights_missing"] = ("SELECT on ledger_alembic_version",)
        found.missing.append(_rights_sentence(server.role, found.fields["rights_missing"]))


def _look_at_pooler(found: _Findings, server_port: int | None) -> None:
    """With psycopg: a pooler gives a client another process number than the server's, or answers at another address."""
    driver: Any = found.connection.connection.driver_connection
    try:
        check_pooler(found.connection)
    except PreparedStatementsLost as error:
        found.missing.append(str(error))
    process = found.connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    found.fields["behind_pooler"] = is_behind = process != driver.info.backend_pid
    by_network = not str(driver.info.host).startswith("/")
    if not is_behind and by_network and driver.info.port != server_port and driver.prepare_threshold is not None:
        where = "a socket" if server_port is None else f"port {server_port}"
        found.hints.append(
            f"The connection goes to port {driver.info.port} and the server is asked at {where}. If a pooler in"
            ' transaction mode is between them, pass connect_args={"prepare_threshold": None} to create_engine.'
        )


def _look_at_tables(found: _Findings, role: str) -> None:
    connection = found.connection
    rights = tuple(missing_rights(connection, reads_only=found.reads_only))
    protected = tables_with_row_security(connection)
    found.fields |= {
        "rights_missing": rights,
        "row_level_security": tuple(protected),
        "policy_roles": tuple(roles_with_policies(connection)),
        "sees_all_accounts": _sees_all(connection),
    }
    if rights:
        found.missing.append(_rights_sentence(role, rights))
    if protected and len(protected) < len(metadata.tables):
        bare = sorted(set(metadata.tables) - set(protected))
        found.missing.append(
            f"Row-level security is on for some tables only, not for {', '.join(bare)}. Run the SQL of `credits db"
            " roles --row-level-security` again."
        )
    if not found.fields["sees_all_accounts"]:
        found.hints.append(
            f"The role {role!r} sees one account a transaction. Calls over all accounts need the worker's or the"
            " read-only role."
        )
    _look_at_distribution(found)


def _sees_all(connection: Connection) -> bool:
    try:
        check_sees_all(connection)
    except AccountsHidden:
        return False
    return True


def _look_at_distribution(found: _Findings) -> None:
    """Where tables are distributed there are no triggers, and all of the tables must lie beside one another."""
    if not has_distribution(found.connection):
        found.look_at_triggers()
        return
    tables = distributed_tables(found.connection)
    found.fields["distributed"] = tuple(sorted(tables))
    if not tables:
        found.hints.append(
            "The database has the extension citus, and the ledger's tables are on one server. `credits db upgrade"
            " --distribute citus` distributes them."
        )
        found.look_at_triggers()
        return
    if found.fields["row_level_security"]:
        found.missing.append(f"Row-level security is on, and {WITHOUT_ROW_SECURITY}")
    apart = sorted(table for table in metadata.tables if tables.get(table, (None, False)) != (COLUMN, True))
    if apart:
        found.missing.append(
            f"These tables are not distributed by {COLUMN} beside ledger_account: {', '.join(apart)}. Run `credits db"
            " upgrade --distribute citus`."
        )


def _rights_sentence(role: str, rights: tuple[str, ...]) -> str:
    shown = ", ".join(rights[:_RIGHTS_SHOWN])
    more = f" and {len(rights) - _RIGHTS_SHOWN} more" if len(rights) > _RIGHTS_SHOWN else ""
    return f"The role {role!r} lacks rights: {shown}{more}. Run the SQL of `credits db roles` and grant it one of them."


def _look_at_sqlite(found: _Findings) -> None:
    connection = found.connection
    pragmas = {name: str(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()) for name in _PRAGMAS}
    pragmas["synchronous"] = _SYNCHRONOUS[int(pragmas["synchronous"])]
    pragmas["foreign_keys"] = "on" if pragmas["foreign_keys"] == "1" else "off"
    begins_immediate = BEGINS_IMMEDIATE in connection.info
    found.fields |= {
        "version": ".".join(map(str, connection.dialect.server_version_info or ())),
        "isolation": connection.get_isolation_level(),
        "settings": pragmas | {"begin": "immediate" if begins_immediate else "deferred"},
    }
    if not begins_immediate:
        found.missing.append(
            "Transactions begin without the write lock, so two may read a balance before either writes."
            " Call `ledger.prepare_engine(engine)`."
        )
    if pragmas["synchronous"] not in ("full", "extra"):
        found.missing.append(
            f"Commits are acknowledged before they are on disk (synchronous is {pragmas['synchronous']})."
            " Call `ledger.prepare_engine(engine)`."
        )
    if pragmas["foreign_keys"] == "off":
        found.missing.append("Foreign keys are not checked. Call `ledger.prepare_engine(engine)`.")
    if pragmas["journal_mode"] != "wal":
        found.hints.append(
            f"The journal mode is {pragmas['journal_mode']}: readers and a writer wait for each other. `wal` lets them"
            " work at once."
        )
    if found.look_at_revision():
        found.look_at_triggers()
