"""Set-wise statements: many rows read by key, inserted or updated at once, on PostgreSQL and on SQLite.

PostgreSQL takes columns as arrays (`unnest`), and all of a batch's writes as one statement; SQLite, which has no
round trip to save, takes rows one after another through the driver's `executemany`. Which rows, and what they
say, is decided elsewhere and is the same for both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from json import dumps
from typing import Any

from sqlalchemy import BigInteger, Connection, LargeBinary, SmallInteger, Table, Text, text
from sqlmodel import SQLModel

_POSTGRESQL_TYPES = {BigInteger: "bigint", SmallInteger: "smallint", Text: "text", LargeBinary: "bytea"}


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
        table: Table = model.__table__  # type: ignore[attr-defined]
        key = tuple(column.name for column in table.primary_key.columns)
        names = tuple(column.name for column in table.columns) if columns is None else (*key, *columns)
        types = tuple(_POSTGRESQL_TYPES[type(table.c[name].type)] for name in names)
        return cls(table.name, names, types, key)


@dataclass(frozen=True, slots=True)
class Write:
    """Rows to insert, or to update by key; each row has the values of the shape's columns, in order."""

    shape: RowShape
    rows: Sequence[tuple[Any, ...]]
    is_update: bool = False


def execute_writes(connection: Connection, writes: Sequence[Write]) -> None:
    """Carry out writes to distinct tables; empty ones are passed over."""
    writes = [write for write in writes if write.rows]
    if not writes:
        return
    if connection.dialect.name == "postgresql":
        statement = _postgresql_statement(tuple((write.shape, write.is_update) for write in writes))
        columns = (column for write in writes for column in zip(*write.rows, strict=True))
        connection.execute(statement, {f"a{index}": list(column) for index, column in enumerate(columns)})
        return
    for write in writes:
        if write.is_update:
            size = len(write.shape.key)
            rows = [(*row[size:], *row[:size]) for row in write.rows]
        else:
            rows = list(write.rows)
        connection.exec_driver_sql(_sqlite_statement(write.shape, write.is_update), rows)


@lru_cache(maxsize=128)
def _postgresql_statement(parts: tuple[tuple[RowShape, bool], ...]) -> Any:
    number = 0
    pieces = []
    for shape, is_update in parts:
        arrays = ", ".join(f"CAST(:a{number + i} AS {kind}[])" for i, kind in enumerate(shape.types))
        number += len(shape.types)
        columns = ", ".join(shape.columns)
        if is_update:
            changes = ", ".join(f"{name} = v.{name}" for name in shape.columns if name not in shape.key)
            match = " AND ".join(f"t.{name} = v.{name}" for name in shape.key)
            pieces.append(f"UPDATE {shape.table} t SET {changes} FROM unnest({arrays}) AS v({columns}) WHERE {match}")
        else:
            pieces.append(f"INSERT INTO {shape.table} ({columns}) SELECT * FROM unnest({arrays})")
    *first, last = pieces
    if not first:
        return text(last)
    named = ", ".join(f"w{index} AS ({piece})" for index, piece in enumerate(first))
    return text(f"WITH {named} {last}")


@lru_cache(maxsize=128)
def _sqlite_statement(shape: RowShape, is_update: bool) -> str:
    if is_update:
        changes = ", ".join(f"{name} = ?" for name in shape.columns if name not in shape.key)
        return f"UPDATE {shape.table} SET {changes} WHERE {' AND '.join(f'{name} = ?' for name in shape.key)}"
    marks = ", ".join("?" * len(shape.columns))
    return f"INSERT INTO {shape.table} ({', '.join(shape.columns)}) VALUES ({marks})"


def select_matching(
    connection: Connection, select: str, keys: Iterable[tuple[Any, ...]], columns: Sequence[tuple[str, str]], **also: Any
) -> list[Any]:
    """Rows of a SELECT whose `{keys}` stands for a relation `k` of the given keys.

    `columns` names and types the relation's columns: `(("account_id", "text"), ("number", "bigint"))`.
    """
    keys = list(keys)
    if not keys:
        return []
    names = tuple(columns)
    if connection.dialect.name == "postgresql":
        parameters = {f"k{index}": list(column) for index, column in enumerate(zip(*keys, strict=True))}
    else:
        parameters = {"keys": dumps(keys)}
    statement = _select_statement(select, names, connection.dialect.name)
    return list(connection.execute(statement, parameters | also).all())


@lru_cache(maxsize=128)
def _select_statement(select: str, columns: tuple[tuple[str, str], ...], dialect: str) -> Any:
    if dialect == "postgresql":
        arrays = ", ".join(f"CAST(:k{index} AS {kind}[])" for index, (_, kind) in enumerate(columns))
        relation = f"unnest({arrays}) AS k({', '.join(name for name, _ in columns)}) JOIN"
    else:
        values = ", ".join(f"json_extract(value, '$[{index}]') AS {name}" for index, (name, _) in enumerate(columns))
        # SQLite takes CROSS JOIN as an order: the keys first, then one look-up by index for each.
        relation = f"(SELECT {values} FROM json_each(:keys)) AS k CROSS JOIN"
    return text(select.replace("{keys} JOIN", relation))
