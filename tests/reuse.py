"""One PostgreSQL database for many tests, one after another: making one for each takes most of a suite's time.

Between two tests its rows are taken away and everybody is sent off. That is enough where a test changed nothing but
rows; a database whose catalogue was written to is dropped, and the next test gets a new one.

On the coordinator of several servers the tables are distributed. A copy of a database does not carry those servers, so
the one database that the URL names is used and, where a test changed more than rows, made anew in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg

import ledger
from tests.postgres import Databases, connect

_TABLES_CATALOGUE = "pg_class"
_CATALOGUE = (
    *("pg_attrdef", "pg_attribute", _TABLES_CATALOGUE, "pg_collation", "pg_constraint", "pg_default_acl", "pg_depend"),
    *("pg_event_trigger", "pg_extension", "pg_index", "pg_inherits", "pg_init_privs", "pg_namespace", "pg_policy"),
    *("pg_proc", "pg_publication", "pg_rewrite", "pg_seclabel", "pg_sequence", "pg_statistic", "pg_statistic_ext"),
    *("pg_trigger", "pg_type"),
    # Those two are of all databases: the rows of this one.
    "pg_database WHERE datname = current_database()",
    "pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase WHERE d.datname = current_database()",
)
_TABLES = """
    SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND c.relpersistence <> 't'
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
    ORDER BY 1
"""
_SEND_OFF = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND backend_type = 'client backend' AND application_name NOT LIKE 'citus%'
"""


class _Found(NamedTuple):
    """A database as a test begins with it."""

    written: dict[str, Any]
    """By catalogue, how many rows it has and the sum of the transactions that wrote them: any change shows."""
    kept: dict[str, list[Any]]
    """The tables that have rows from the beginning, with those rows."""
    empty: list[str]


@dataclass(slots=True)
class ReusedDatabase:
    """A copy of a template that is lent to one test after another."""

    databases: Databases
    template: str
    _url: str | None = None
    _found: _Found | None = None

    def lend(self) -> str:
        """The URL of a database that is like the template."""
        if self._url is None:
            self._url = self.databases.create(template=self.template)
            with connect(self._url) as connection:
                self._found = _look_at(connection)
        return self._url

    def take_back(self) -> None:
        """Make the database like the template again, or drop it."""
        if self._url is None or self._found is None:
            return
        try:
            with connect(self._url) as connection:
                self._found = _emptied(connection, self._found)
        except psycopg.Error:
            self._found = None
        if self._found is None:
            self.drop()

    def drop(self) -> None:
        """Drop the database, so that the next test gets another."""
        if self._url is not None:
            self.databases.drop(self._url)
            self._url = self._found = None


@dataclass(slots=True)
class DistributedDatabase:
    """The database of a coordinator, with distributed tables, that is lent to one test after another."""

    url: str
    _found: _Found | None = None

    def lend(self) -> str:
        """The URL of the database, with the ledger's tables and no rows."""
        if self._found is None:
            with connect(self.url) as connection:
                _check_that_it_is_for_tests(connection)
                for (statement,) in connection.execute(_DROPS).fetchall():
                    connection.execute(statement.encode())
                connection.execute(_RESET_SETTINGS)
                connection.execute(f"COMMENT ON SCHEMA public IS '{_FOR_TESTS}'".encode())
            engine = ledger.create_engine(self.url)
            ledger.upgrade(engine, triggers=False)
            ledger.distribute(engine)
            engine.dispose()
            with connect(self.url) as connection:
                self._found = _look_at(connection)
        return self.url

    def take_back(self) -> None:
        """Take the rows away, or leave the database to be made anew."""
        if self._found is not None:
            try:
                with connect(self.url) as connection:
                    self._found = _emptied(connection, self._found, is_distributed=True)
            except psycopg.Error:
                self._found = None

    def drop(self) -> None:
        """Leave the database to be made anew. It stays, as it was there before."""
        self._found = None


# Nothing that an extension made: without one of its views, Citus itself would be dropped.
_DROPS = """
    SELECT statement FROM (
        SELECT 1, oid, 'DROP SCHEMA IF EXISTS ' || oid::regnamespace || ' CASCADE' FROM pg_namespace
        WHERE nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema', 'public') AND nspname !~ '^pg_'
        UNION ALL SELECT 2, oid, 'DROP TABLE IF EXISTS ' || oid::regclass || ' CASCADE' FROM pg_class
        WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
        UNION ALL SELECT 3, oid, 'DROP VIEW IF EXISTS ' || oid::regclass || ' CASCADE' FROM pg_class
        WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace
        UNION ALL SELECT 4, oid, 'DROP FUNCTION IF EXISTS ' || oid::regprocedure || ' CASCADE' FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace
    ) AS made (place, oid, statement)
    WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = made.oid AND d.deptype = 'e') ORDER BY place, oid
"""
_RESET_SETTINGS = b"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET ALL', current_database()); END $$"
_FOR_TESTS = "what tests of run-credits make and remove"


def _check_that_it_is_for_tests(connection: psycopg.Connection[Any]) -> None:
    """Everything in the database is dropped, so it has no tables, or those of an earlier run."""
    said = connection.execute("SELECT obj_description(to_regnamespace('public'), 'pg_namespace')").fetchone()
    if said != (_FOR_TESTS,) and connection.execute(_TABLES).fetchone() is not None:
        raise RuntimeError("The database that LEDGER_TEST_DATABASE_URL names has tables. Name an empty one.")


def is_coordinator(url: str) -> bool:
    """True for a database with the extension Citus, on the server that coordinates the others."""
    with connect(url) as connection:
        if connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'citus'").fetchone() is None:
            return False
        return connection.execute("SELECT citus_is_coordinator()").fetchone() == (True,)


_SCHEMAS = """
    SELECT quote_ident(nspname) FROM pg_namespace n
    WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = n.oid AND d.deptype = 'e')
"""


def _emptied(connection: psycopg.Connection[Any], found: _Found, *, is_distributed: bool = False) -> _Found | None:
    """The database without the rows of a test, or nothing where the test changed more than rows."""
    while connection.execute(_SEND_OFF).fetchall():
        pass
    if _written(connection, _CATALOGUE) != found.written or _kept(connection, found.kept) != found.kept:
        return None
    filled = _filled(connection, found.empty)
    if not filled:
        return found
    if not is_distributed:
        # To a replica the triggers that keep tables append-only do not fire, nor do those by which Citus truncates.
        connection.execute("SET session_replication_role = replica")
    connection.execute(f"TRUNCATE {', '.join(filled)} RESTART IDENTITY CASCADE".encode())
    if _kept(connection, found.kept) != found.kept:
        return None
    # A table that was truncated has a new row in the catalogue of tables, and there only.
    rewritten = _written(connection, [_TABLES_CATALOGUE])
    return found._replace(written=found.written | rewritten)


def _look_at(connection: psycopg.Connection[Any]) -> _Found:
    tables = [table for (table,) in connection.execute(_TABLES)]
    filled = _filled(connection, tables)
    empty = [table for table in tables if table not in filled]
    return _Found(_written(connection, _CATALOGUE), _kept(connection, filled), empty)


def _written(connection: psycopg.Connection[Any], catalogues: Iterable[str]) -> dict[str, Any]:
    sums = "SELECT '{2}', count(*), coalesce(sum({0}.xmin::text::bigint), 0) FROM {1}"
    each = [
        sums.format("s" if " s " in catalogue else catalogue.split()[0], catalogue, catalogue.split()[0])
        for catalogue in catalogues
    ]
    return {name: found for name, *found in connection.execute(" UNION ALL ".join(each).encode())}


def _filled(connection: psycopg.Connection[Any], tables: Sequence[str]) -> list[str]:
    if not tables:
        return []
    each = ", ".join(f"EXISTS (SELECT 1 FROM {table})" for table in tables)
    (answers,) = connection.execute(f"SELECT {each}".encode())
    return [table for table, has_rows in zip(tables, answers, strict=True) if has_rows]


def _kept(connection: psycopg.Connection[Any], tables: Iterable[str]) -> dict[str, list[Any]]:
    return {
        table: connection.execute(f"SELECT t::text FROM {table} t ORDER BY 1".encode()).fetchall() for table in tables
    }
