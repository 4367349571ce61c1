"""PostgreSQL's writes of many tables' rows as one statement, and what it is told beside its text.

A single row goes as plain values, so that an update plans as an index look-up. Of many rows a column goes as an array
(`unnest`), and where all of them say the same, which they do in most columns of a large batch, once: to take arrays
apart is a quarter of the server's work. Which columns those are is part of the statement's text, so it is looked at
from `SAME_FROM` rows on only. Fewer may agree by chance, now in these columns and now in those, and each such
statement would have to be planned anew. The key of an update never goes once: with the account in one place and the
numbers in another, a plan may read all rows of the account to find some.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from ledger.storage.array_literals import array_of, item
from ledger.storage.driver import Statement

if TYPE_CHECKING:
    from ledger.storage.shapes import RowShape, Write

SAME_FROM = 32
"""How many rows a write needs for columns in which all of them agree to go once."""


class _Part(NamedTuple):
    """What the statement's text depends on. `same` tells of each column whether it goes once for all rows."""

    shape: RowShape
    is_update: bool
    is_single: bool
    same: tuple[bool, ...]


def write_statement(writes: Sequence[Write]) -> tuple[Statement, dict[str, str]]:
    """One statement for writes that have rows, and its parameters.

    All that goes once goes as elements of one array: few parameters, because the driver takes a statement of more than
    50 apart anew each time. All are texts, so that their types are the same whatever the values, and the server
    prepares the statement once; the driver's own lists would take it three times as long to write.
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
    """Of each column whether it goes once."""
    size = len(write.rows)
    if size < SAME_FROM:
        return (size == 1,) * len(columns)
    key = len(write.shape.key) if write.is_update else 0
    agree = [column[0] == column[-1] and column.count(column[0]) == size for column in columns[key:]]
    found = (*((False,) * key), *agree)
    # Rows that are the same in all columns are still so many rows, and for the table to refuse.
    return (False,) * len(columns) if all(found) else found


class _Source(NamedTuple):
    """Where a part finds its values: an expression for each column, what they are selected from, what goes once."""

    given: dict[str, str]
    rows: str = ""
    once: str = ""


@lru_cache(maxsize=256)
def _statement(parts: tuple[_Part, ...]) -> Statement:
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
    return Statement.of(f"WITH {', '.join(named)} {last}" if named else last)


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
    # OFFSET 0 keeps the array from being taken apart for each of its elements.
    elements = "(SELECT CAST(:row AS text[]) AS list OFFSET 0) AS o"
    return _Source(given, f"{rows}, {once}", f"SELECT {', '.join(same)} FROM {elements}")


def _insert(shape: RowShape, source: _Source) -> str:
    columns, values = ", ".join(shape.columns), ", ".join(source.given.values())
    return f"INSERT INTO {shape.table} ({columns}) SELECT {values}{source.rows}"


def _update(shape: RowShape, source: _Source) -> str:
    changes = ", ".join(f"{name} = {value}" for name, value in source.given.items() if name not in shape.key)
    match = " AND ".join(f"t.{name} = {source.given[name]}" for name in shape.key)
    return f"UPDATE {shape.table} t SET {changes}{source.rows} WHERE {match}"
