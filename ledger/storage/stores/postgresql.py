"""PostgreSQL's statements: one table each, the account as a plain value or as one of an array of accounts.

So that any driver can send them, and a proxy or a distributed server sees where each of them goes:

- A single row is read and written by plain values, and the server keeps its plan: a look-up by index.
- Of many rows each column is an array (`unnest`). Such a statement is planned each time, with its values: a plan that
  was kept from when the tables were small would go on reading them whole.
- A column in which all rows have the same value, as most columns of a large batch do, is one value: unpacking arrays is
  a quarter of the server's work.
- Rows of several accounts are locked account by account, in the order in which they are given.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection

from ledger.storage.shapes import RowShape, Write
from ledger.storage.stores.arrays import array_of
from ledger.storage.stores.base import Request, Store, write_of_row
from ledger.storage.stores.selects import Key, Select


class PostgresqlStore(Store, ABC):
    """The statements of PostgreSQL; its subclasses send them."""

    __slots__ = ()
    sql_of_hex = "encode({}, 'hex')"

    @staticmethod
    def sql_of_json(column: str, path: Sequence[str]) -> str:
        """SQL of the text at a path in a column of JSON."""
        *parents, last = (f"'{name}'" for name in path)
        inner = " -> ".join([f"CAST({column} AS json)", *parents])
        return f"({inner} ->> {last})"

    def select_many(self, select: Select, keys: Sequence[Key], extras: Sequence[Any]) -> Request:
        """One statement, whose keys are arrays."""
        columns = list(zip(*keys, strict=True))
        arrays = [array_of(kind, column) for kind, column in zip(select.types, columns, strict=True)]
        return Request(_many(select), [*extras, *arrays], is_planned_anew=True)

    def lock_database(self, connection: Connection) -> None:
        """Nothing: rows are locked."""

    def writes(self, writes: Sequence[Write]) -> list[Request]:
        """A statement for each write."""
        return [_single(write) if len(write.rows) == 1 else _several(write) for write in writes]


@lru_cache(maxsize=64)
def _many(select: Select) -> str:
    if len(select.key) == 1:
        return select.sql_where(f"{select.table} t", f"t.account_id = ANY(${select.extras + 1})")
    # Without a condition on the accounts besides: it makes a plan that reads the accounts whole look cheap.
    numbered = enumerate(select.types, select.extras + 1)
    arrays = ", ".join(_unmeasured(f"CAST(${number} AS {kind}[])") for number, kind in numbered)
    match = " AND ".join(f"t.{name} = k.{name}" for name in select.key)
    return select.sql_where(f"{select.table} t, unnest({arrays}) AS k({', '.join(select.key)})", match)


def _unmeasured(array: str) -> str:
    """An array whose size the planner does not know, and takes for small: it then plans a look-up by index for each.

    Without statistics, as in a new database, it takes the rows of any key for many. For a thousand keys it would rather
    read a table whole, until the statistics are gathered; by then the table may have very many rows.
    """
    return f"(SELECT {array})"


def _single(write: Write) -> Request:
    return Request(write_of_row(write.shape, write.is_update, "$"), write.rows[0], has_rows=False)


def _several(write: Write) -> Request:
    columns = list(zip(*write.rows, strict=True))
    same = _same(write, columns)
    values = [
        column[0] if is_same else array_of(kind, column)
        for kind, column, is_same in zip(write.shape.types, columns, same, strict=True)
    ]
    sql = _write_of_many(write.shape, write.is_update, same)
    return Request(sql, values, is_planned_anew=True, has_rows=False)


def _same(write: Write, columns: Sequence[tuple[Any, ...]]) -> tuple[bool, ...]:
    """Whether each column is sent as one value. The key of an update never is: the rows are found by it."""
    size = len(write.rows)
    key = len(write.shape.key) if write.is_update else 0
    agree = [column[0] == column[-1] and column.count(column[0]) == size for column in columns[key:]]
    found = (*((False,) * key), *agree)
    # Rows that are equal in all columns are sent as rows, for the table to refuse.
    return (False,) * len(columns) if all(found) else found


@lru_cache(maxsize=512)
def _write_of_many(shape: RowShape, is_update: bool, same: tuple[bool, ...]) -> str:
    given: dict[str, str] = {}
    arrays: list[str] = []
    unpacked: list[str] = []
    for number, (name, kind, is_same) in enumerate(zip(shape.columns, shape.types, same, strict=True), 1):
        if is_same:
            given[name] = f"CAST(${number} AS {kind})"
        else:
            given[name] = f"v.{name}"
            array = f"CAST(${number} AS {kind}[])"
            arrays.append(_unmeasured(array) if is_update else array)
            unpacked.append(name)
    rows = f"unnest({', '.join(arrays)}) AS v({', '.join(unpacked)})"
    if not is_update:
        return f"INSERT INTO {shape.table} ({', '.join(given)}) SELECT {', '.join(given.values())} FROM {rows}"
    changes = ", ".join(f"{name} = {value}" for name, value in given.items() if name not in shape.key)
    match = " AND ".join(f"t.{name} = v.{name}" for name in shape.key)
    return f"UPDATE {shape.table} t SET {changes} FROM {rows} WHERE {match}"
