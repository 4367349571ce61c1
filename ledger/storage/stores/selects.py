"""Descriptions of SELECTs over the rows of one table by key, of which each store makes its statements."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import Column

from ledger.storage.shapes import type_of

Key: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Select:
    """A SELECT over the rows of one table `t` that have certain keys; a key begins with the account's id.

    `where` is a further condition, in which `$1` to `$n` stand for `extras` further values. `tail` is what follows the
    conditions. With `is_each` the tail is meant for each key by itself, not for all rows. `lock` is the clause by which
    rows are locked, in the order of the keys, where the database locks rows.
    """

    table: str
    key: tuple[str, ...]
    types: tuple[str, ...]
    columns: str
    where: str = ""
    tail: str = ""
    extras: int = 0
    is_each: bool = False
    lock: str = ""

    @classmethod
    def of(cls, table: str, key: Iterable[Column[Any]], columns: Iterable[Column[Any]] | str, **also: Any) -> Select:
        """The SELECT of some columns of a table, or of expressions over them, by some of its columns."""
        key = tuple(key)
        chosen = columns if isinstance(columns, str) else ", ".join(f"t.{column.name}" for column in columns)
        names, types = tuple(column.name for column in key), tuple(type_of(column) for column in key)
        return cls(table, names, types, chosen, **also)

    @property
    def sql_of_one(self) -> str:
        """The statement for one key: its values follow the further ones."""
        pairs = [f"t.{name} = ${number}" for number, name in enumerate(self.key, self.extras + 1)]
        return self.sql_where(f"{self.table} t", " AND ".join(pairs))

    def sql_where(self, source: str, match: str) -> str:
        """The statement over a source of rows that match."""
        also = f" AND ({self.where})" if self.where else ""
        return f"SELECT {self.columns} FROM {source} WHERE {match}{also}{self.tail and f' {self.tail}'}"
