"""One PostgreSQL database for many tests, one after another: making one for each takes most of a suite's time.

Between two tests its rows are taken away and everybody is sent off. That is enough where a test changed nothing but
rows; a database whose catalogue was written to is dropped, and the next test gets a new one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg

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
    ORDER BY 1
"""
_SEND_OFF = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
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


def _emptied(connection: psycopg.Connection[Any], found: _Found) -> _Found | None:
    """The database without the rows of a test, or nothing where the test changed more than rows."""
    while connection.execute(_SEND_OFF).fetchall():
        pass
    if _written(connection, _CATALOGUE) != found.written or _kept(connection, found.kept) != found.kept:
        return None
    filled = _filled(connection, found.empty)
    if not filled:
        return found
    # To a replica the triggers that keep tables append-only do not fire.
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
    each = ", ".join(f"EXISTS (SELECT FROM {table})" for table in tables)
    (answers,) = connection.execute(f"SELECT {each}".encode())
    return [table for table, has_rows in zip(tables, answers, strict=True) if has_rows]


def _kept(connection: psycopg.Connection[Any], tables: Iterable[str]) -> dict[str, list[Any]]:
    return {
        table: connection.execute(f"SELECT t::text FROM {table} t ORDER BY 1".encode()).fetchall() for table in tables
    }
