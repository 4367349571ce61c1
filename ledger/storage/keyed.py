"""Reads of the rows of many keys by one statement, on PostgreSQL and on SQLite.

PostgreSQL gets many keys as one array a column, SQLite gets them as one JSON text. Both get a single key as plain
values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from json import dumps
from typing import Any

from sqlalchemy import Column, Connection

from ledger.storage.driver import DriverStatement, driver_cursor
from ledger.storage.postgresql.literals import array_of
from ledger.storage.shapes import type_of


def _key_parameters(types: Sequence[str], keys: Sequence[tuple[Any, ...]]) -> dict[str, str]:
    """The parameters: the values of a single key, or the arrays of many."""
    columns = zip(*keys, strict=True)
    write = _scalar if len(keys) == 1 else array_of
    return {f"k{index}": write(kind, column) for index, (kind, column) in enumerate(zip(types, columns, strict=True))}


def _scalar(kind: str, column: Sequence[Any]) -> str:
    (value,) = column
    return f"\\x{value.hex()}" if kind == "bytea" else str(value)


_LOOK_UP = re.compile(r"JOIN (\w+) t USING \(([\w, ]+)\)(?! ORDER)")


def _each(join: re.Match[str]) -> str:
    """The join as one look-up by index for each key, also in a new database.

    Without statistics the server takes every table for a small one and plans to read all of it for a few keys. That
    plan stays in use until statistics are gathered. By then the table may have many thousands of rows.
    """
    table, names = join.groups()
    matches = " AND ".join(f"r.{name} = k.{name}" for name in names.split(", "))
    return f"CROSS JOIN LATERAL (SELECT r.* FROM {table} r WHERE {matches} OFFSET 0) t"


@dataclass(frozen=True, slots=True)
class KeyedQuery:
    """A SELECT over the rows of many keys. In `sql`, `{keys} JOIN` stands for a relation `k` of the keys.

    `keys` give the names and types of that relation's columns; `columns` are those of the result.
    """

    sql: str
    keys: tuple[Column[Any], ...]
    columns: tuple[Column[Any], ...]

    @property
    def sql_of_each(self) -> str:
        """The same SELECT with one look-up for each key, where it joins by all columns of the key."""
        return _LOOK_UP.sub(_each, self.sql)

    def fetch(self, connection: Connection, keys: Iterable[tuple[Any, ...]], **also: int) -> list[Any]:
        """The rows of the given keys. Without keys no statement is sent. `also` are further parameters."""
        keys = list(keys)
        if not keys:
            return []
        is_single = len(keys) == 1
        if connection.dialect.name == "postgresql":
            parameters: dict[str, Any] = _key_parameters([type_of(column) for column in self.keys], keys)
            return _postgresql_select(self, is_single).fetch(connection, parameters | also)
        values = keys[0] if is_single else [dumps(keys)]
        with driver_cursor(connection) as cursor:
            cursor.execute(
                _sqlite_select(self, is_single), {f"k{index}": value for index, value in enumerate(values)} | also
            )
            rows: list[Any] = cursor.fetchall()
        return rows


@lru_cache(maxsize=128)
def _postgresql_select(query: KeyedQuery, is_single: bool) -> DriverStatement:
    types = [type_of(column) for column in query.keys]
    names = [column.name for column in query.keys]
    if is_single:
        values = [
            f"CAST(:k{index} AS {kind}) AS {name}" for index, (kind, name) in enumerate(zip(types, names, strict=True))
        ]
        relation = f"(SELECT {', '.join(values)}) AS k"
    else:
        arrays = ", ".join(f"CAST(:k{index} AS {kind}[])" for index, kind in enumerate(types))
        relation = f"unnest({arrays}) AS k({', '.join(names)})"
    sql = query.sql if is_single else query.sql_of_each
    return DriverStatement.of(sql.replace("{keys}", relation), query.columns)


@lru_cache(maxsize=128)
def _sqlite_select(query: KeyedQuery, is_single: bool) -> str:
    names = [column.name for column in query.keys]
    if is_single:
        relation = f"(SELECT {', '.join(f':k{index} AS {name}' for index, name in enumerate(names))}) AS k"
    else:
        values = ", ".join(f"json_extract(value, '$[{index}]') AS {name}" for index, name in enumerate(names))
        relation = f"(SELECT {values} FROM json_each(:k0)) AS k"
    # SQLite keeps the order of a CROSS JOIN: it reads the keys first, then makes one look-up by index for each.
    return query.sql.replace("{keys} JOIN", f"{relation} CROSS JOIN")
