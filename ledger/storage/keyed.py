"""Set-wise statements: many rows read by key, inserted or updated at once, on PostgreSQL and on SQLite.

PostgreSQL takes all of a batch's writes as one statement (`array_writes`), and keys to look up as arrays, a single one
as plain values. SQLite, which has no round trip to save, takes rows one after another
through the driver's `executemany`. Which rows, and what they say, is decided elsewhere and is the same for both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from json import dumps
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, LargeBinary, SmallInteger, Table, Text, text
from sqlmodel import SQLModel

from ledger.storage.array_literals import array_of
from ledger.storage.array_writes import write_statement
from ledger.storage.driver import Statement, driver_cursor

_POSTGRESQL_TYPES = {BigInteger: "bigint", SmallInteger: "smallint", Text: "text", LargeBinary: "bytea"}


def table_of(model: type[SQLModel]) -> Table:
    """The Core table behind a table model."""
    table: Table = model.__table__  # type: ignore[attr-defined]
    return table


def _type_of(column: Column[Any]) -> str:
    return _POSTGRESQL_TYPES[type(column.type)]


@dataclass(frozen=True, slots=True)
class RowShape:
    """The columns that a set-wise write of one table carries, in order."""

    table: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    key: tuple[str, ...]

    @classmethod
    def of(cls, model: type[SQLModel], columns: Sequence[str] | None = None) -> RowShape:
        """All columns of a table model, or its key and the named ones."""
        table = table_of(model)
        key = tuple(column.name for column in table.primary_key.columns)
        names = tuple(column.name for column in table.columns) if columns is None else (*key, *columns)
        return cls(table.name, names, tuple(_type_of(table.c[name]) for name in names), key)


@dataclass(frozen=True, slots=True)
class Write:
    """Rows to insert, or to update by key; each row has the values of the shape's columns, in order."""

    shape: RowShape
    rows: Sequence[tuple[Any, ...]]
    is_update: bool = False


def execute_writes(connection: Connection, writes: Sequence[Write]) -> None:
    """Carry out writes, each table inserted into at most once and updated at most once; empty ones are passed over."""
    writes = [write for write in writes if write.rows]
    if not writes:
        return
    if connection.dialect.name == "postgresql":
        statement, parameters = write_statement(writes)
        statement.carry_out(connection, parameters)
    else:
        _write_sqlite(connection, writes)


def _write_sqlite(connection: Connection, writes: Sequence[Write]) -> None:
    with driver_cursor(connection) as cursor:
        for write in writes:
            rows: Iterable[tuple[Any, ...]] = write.rows
            if write.is_update:
                size = len(write.shape.key)
                rows = [(*row[size:], *row[:size]) for row in rows]
            cursor.executemany(_sqlite_write(write.shape, write.is_update), list(rows))


def fetch_raw(connection: Connection, statement: str, values: tuple[Any, ...]) -> list[Any]:
    """The rows of a SELECT through the driver itself, for reads of very many rows; `{0}`, `{1}` stand for the values.

    What the driver gives is what the columns hold: integers, text and bytes need no conversion on either database.
    """
    dialect = connection.dialect
    if dialect.name == "postgresql":
        marked = statement.format(*(["%s"] * len(values)))
        if dialect.driver == "psycopg" and not dialect.is_async:
            with driver_cursor(connection) as cursor:
                # Integers and bytes come as such instead of as text, which is half of what reading them takes.
                return list(cursor.execute(marked, values, binary=True).fetchall())
        result = connection.exec_driver_sql(marked, values)
        rows = list(result.cursor.fetchall())
        result.close()
        return rows
    with driver_cursor(connection) as cursor:
        cursor.execute(statement.format(*(["?"] * len(values))), values)
        found: list[Any] = cursor.fetchall()
    return found


_names = count()


def stream_raw(
    connection: Connection, statement: str, values: Sequence[Any] = (), *, size: int = 5_000
) -> Iterator[Sequence[Any]]:
    """The rows of a SELECT as `fetch_raw` gives them, so many at a time: one statement, and never all in memory."""
    dialect = connection.dialect
    if dialect.name == "postgresql" and (dialect.driver != "psycopg" or dialect.is_async):
        options = {"stream_results": True, "yield_per": size}
        marked = statement.format(*(f":v{index}" for index in range(len(values))))
        named = {f"v{index}": value for index, value in enumerate(values)}
        with connection.execute(text(marked), named, execution_options=options) as rows:
            yield from rows.partitions()
        return
    if dialect.name == "postgresql":
        # A named cursor stays with the server, which sends what is asked for.
        mark, cursor_options, how = "%s", {"name": f"ledger_{next(_names)}"}, {"binary": True}
    else:
        mark, cursor_options, how = "?", {}, {}
    with driver_cursor(connection, **cursor_options) as cursor:
        cursor.execute(statement.format(*([mark] * len(values))), tuple(values), **how)
        while part := cursor.fetchmany(size):
            yield part


@lru_cache(maxsize=128)
def _sqlite_write(shape: RowShape, is_update: bool) -> str:
    if is_update:
        changes = ", ".join(f"{name} = ?" for name in shape.columns if name not in shape.key)
        return f"UPDATE {shape.table} SET {changes} WHERE {' AND '.join(f'{name} = ?' for name in shape.key)}"
    marks = ", ".join("?" * len(shape.columns))
    return f"INSERT INTO {shape.table} ({', '.join(shape.columns)}) VALUES ({marks})"


def _key_parameters(types: Sequence[str], keys: Sequence[tuple[Any, ...]]) -> dict[str, str]:
    """The values of a single key, or the columns of many."""
    columns = zip(*keys, strict=True)
    write = _scalar if len(keys) == 1 else array_of
    return {f"k{index}": write(kind, column) for index, (kind, column) in enumerate(zip(types, columns, strict=True))}


def _scalar(kind: str, column: Sequence[Any]) -> str:
    (value,) = column
    return f"\\x{value.hex()}" if kind == "bytea" else str(value)


_LOOK_UP = re.compile(r"JOIN (\w+) t USING \(([\w, ]+)\)(?! ORDER)")


def _each(join: re.Match[str]) -> str:
    """A look-up by index for each key, also before the server knows anything of a table.

    Of a new database it thinks that every table is small, and would read all of it for a few keys; the plan made then
    serves until statistics are gathered, a minute in which the table may have grown by many thousands.
    """
    table, names = join.groups()
    matches = " AND ".join(f"r.{name} = k.{name}" for name in names.split(", "))
    return f"CROSS JOIN LATERAL (SELECT r.* FROM {table} r WHERE {matches} OFFSET 0) t"


@dataclass(frozen=True, slots=True)
class KeyedQuery:
    """A SELECT over the rows of many keys; `{keys} JOIN` in it stands for a relation `k` of them.

    `keys` are the columns that name and type the relation's columns, `columns` those of the answer.
    """

    sql: str
    keys: tuple[Column[Any], ...]
    columns: tuple[Column[Any], ...]

    @property
    def sql_of_each(self) -> str:
        """The same as a look-up for each key by itself, where it looks rows up by all of their keys."""
        return _LOOK_UP.sub(_each, self.sql)

    def fetch(self, connection: Connection, keys: Iterable[tuple[Any, ...]], **also: int) -> list[Any]:
        """The rows of the given keys; no statement is sent when there are none."""
        keys = list(keys)
        if not keys:
            return []
        is_single = len(keys) == 1
        if connection.dialect.name == "postgresql":
            parameters: dict[str, Any] = _key_parameters([_type_of(column) for column in self.keys], keys)
            return _postgresql_select(self, is_single).fetch(connection, parameters | also)
        values = keys[0] if is_single else [dumps(keys)]
        with driver_cursor(connection) as cursor:
            cursor.execute(
                _sqlite_select(self, is_single), {f"k{index}": value for index, value in enumerate(values)} | also
            )
            rows: list[Any] = cursor.fetchall()
        return rows


@lru_cache(maxsize=128)
def _postgresql_select(query: KeyedQuery, is_single: bool) -> Statement:
    types = [_type_of(column) for column in query.keys]
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
    return Statement.of(sql.replace("{keys}", relation), query.columns)


@lru_cache(maxsize=128)
def _sqlite_select(query: KeyedQuery, is_single: bool) -> str:
    names = [column.name for column in query.keys]
    if is_single:
        relation = f"(SELECT {', '.join(f':k{index} AS {name}' for index, name in enumerate(names))}) AS k"
    else:
        values = ", ".join(f"json_extract(value, '$[{index}]') AS {name}" for index, name in enumerate(names))
        relation = f"(SELECT {values} FROM json_each(:k0)) AS k"
    # SQLite takes CROSS JOIN as an order: the keys first, then one look-up by index for each.
    return query.sql.replace("{keys} JOIN", f"{relation} CROSS JOIN")
