"""The shape of a write: the columns of one table that it writes, and its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Column, LargeBinary, SmallInteger, Table, Text
from sqlmodel import SQLModel

_POSTGRESQL_TYPES = {BigInteger: "bigint", SmallInteger: "smallint", Text: "text", LargeBinary: "bytea"}


def table_of(model: type[SQLModel]) -> Table:
    """The Core table behind a table model."""
    table: Table = model.__table__  # type: ignore[attr-defined]
    return table


def type_of(column: Column[Any]) -> str:
    """PostgreSQL's name of a column's type."""
    return _POSTGRESQL_TYPES[type(column.type)]


@dataclass(frozen=True, slots=True)
class RowShape:
    """The columns that a write of many rows of one table has, in order."""

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
        return cls(table.name, names, tuple(type_of(table.c[name]) for name in names), key)


@dataclass(frozen=True, slots=True)
class Write:
    """Rows to insert, or to update by key; each row has the values of the shape's columns, in order."""

    shape: RowShape
    rows: Sequence[tuple[Any, ...]]
    is_update: bool = False
