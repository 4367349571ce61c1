"""PostgreSQL's writes: the rows of several tables as one statement and its parameters.

- A single row is sent as plain values, so that PostgreSQL plans an update as an index look-up.
- Of many rows each column is sent as an array (`unnest`). A column in which all rows have the same value, as most
  columns of a large batch do, is sent as that one value: unpacking arrays is a quarter of the server's work.
- Which columns are sent as one value is part of the statement's text. With few rows these columns change from batch to
  batch by chance, and each text must be planned again. So this is done from `SAME_FROM` rows on.
- The key of an update is always sent as arrays. With the account as one value and the numbers as an array, a plan may
  read all rows of the account.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from ledger.storage.driver import DriverStatement
from ledger.storage.postgresql.literals import array_of, item

if TYPE_CHECKING:
    from ledger.storage.shapes import RowShape, Write

SAME_FROM = 32
"""The number of rows from which on a column of equal values is sent as one value."""


class _Part(NamedTuple):
    """What the statement's text depends on. `same` says of each column whether it is sent as one value."""

    shape: RowShape
    is_update: bool
    is_single: bool
    same: tuple[bool, ...]


def write_statement(writes: Sequence[Write]) -> tuple[DriverStatement, dict[str, str]]:
    """One statement for writes that have rows, and its parameters.

    All single values are sent as elements of one array, because the driver parses a statement of more than 50
    parameters again each time. All parameters are texts: their types do not depend on the values, so the server
    prepares the statement once. The driver takes three times as long to write lists of its own.
    """
    parts: list[_Part] = []
    once: list[str] = []
    arrays: list[str] = []
    for write in writes:
        columns = list(zip(*write.rows, strict=True))
        part = _Part(write.shape, write.is_update, len(write.rows) == 1, _same(write, columns))
        parts.append(part)
        for kind, column, is_same in zip(write.shape.types, columns, part.same, strict=True):
            if is_same:
                once.append(item(kind, column[0]))
            else:
                arrays.append(array_of(kind, column))
    parameters = {f"a{number}": array for number, array in enumerate(arrays)}
    if once:
        parameters["row"] = f"{{{','.join(once)}}}"
    return _statement(tuple(parts)), parameters


def _same(write: Write, columns: Sequence[tuple[Any, ...]]) -> tuple[bool, ...]:
    """Whether each column is sent as one value."""
    size = len(write.rows)
    if size < SAME_FROM:
        return (size == 1,) * len(columns)
    key = len(write.shape.key) if write.is_update else 0
    agree = [column[0] == column[-1] and column.count(column[0]) == size for column in columns[key:]]
    found = (*((False,) * key), *agree)
    # Rows that are equal in all columns are sent as rows, for the table to refuse.
    return (False,) * len(columns) if all(found) else found


class _Source(NamedTuple):
    """The SQL of a part's values: an expression for each column, the arrays' FROM, the single values' SELECT."""

    given: dict[str, str]
    rows: str = ""
    once: str = ""


@lru_cache(maxsize=256)
def _statement(parts: tuple[_Part, ...]) -> DriverStatement:
    places, arrays = count(1), count()
    named: list[str] = []
    pieces: list[str] = []
    for number, part in enumerate(parts):
        source = _single(part, places) if part.is_single else _many(part, f"s{number}", places, arrays)
        if source.once:
            named.append(f"s{number} AS MATERIALIZED ({source.once})")
        pieces.append(_update(part.shape, source) if part.is_update else _insert(part.shape, source))
    *first, last = pieces
    named += [f"w{number} AS ({piece})" for number, piece in enumerate(first)]
    return DriverStatement.of(f"WITH {', '.join(named)} {last}" if named else last)


def _single(part: _Part, places: Iterator[int]) -> _Source:
    pairs = zip(part.shape.columns, part.shape.types, strict=True)
    return _Source({name: f"CAST((CAST(:row AS text[]))[{next(places)}] AS {kind})" for name, kind in pairs})


def _many(part: _Part, once: str, places: Iterator[int], arrays: Iterator[int]) -> _Source:
    given: dict[str, str] = {}
    values: list[str] = []
    columns: list[str] = []
    same: list[str] = []
    for name, kind, is_same in zip(part.shape.columns, part.shape.types, part.same, strict=True):
        given[name] = f"{once if is_same else 'v'}.{name}"
        if is_same:
            same.append(f"CAST(o.list[{next(places)}] AS {kind}) AS {name}")
        else:
            values.append(f"CAST(:a{next(arrays)} AS {kind}[])")
            columns.append(name)
    rows = f" FROM unnest({', '.join(values)}) AS v({', '.join(columns)})"
    if not same:
        return _Source(given, rows)
    # With OFFSET 0 the array is unpacked once, not for each of its elements.
    elements = "(SELECT CAST(:row AS text[]) AS list OFFSET 0) AS o"
    return _Source(given, f"{rows}, {once}", f"SELECT {', '.join(same)} FROM {elements}")


def _insert(shape: RowShape, source: _Source) -> str:
    columns, values = ", ".join(shape.columns), ", ".join(source.given.values())
    return f"INSERT INTO {shape.table} ({columns}) SELECT {values}{source.rows}"


def _update(shape: RowShape, source: _Source) -> str:
    changes = ", ".join(f"{name} = {value}" for name, value in source.given.items() if name not in shape.key)
    match = " AND ".join(f"t.{name} = {source.given[name]}" for name in shape.key)
    return f"UPDATE {shape.table} t SET {changes}{source.rows} WHERE {match}"
