"""PostgreSQL's array literals: the values of a column as one text, which the server parses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def array_literal(kind: str, column: Sequence[Any]) -> str:
    """The array literal of a column of values of one PostgreSQL type."""
    return f"{{{items(kind, column)}}}"


_SEPARATOR = "\0"
"""No text of PostgreSQL contains this character, and the ledger refuses it in every text."""

_BETWEEN = '","'
_BETWEEN_BYTES = '","\\\\x'


def items(kind: str, column: Sequence[Any]) -> str:
    """The elements of an array literal. Columns of equal kind are written in one step, others value by value."""
    if kind in ("bigint", "smallint"):
        return ",".join(map(str, column)).replace("None", "NULL")
    if None in column:
        if column.count(None) == len(column):
            return ",".join(["NULL"] * len(column))
    elif kind == "text":
        joined = _SEPARATOR.join(column)
        if joined.count(_SEPARATOR) == len(column) - 1:
            return f'"{_escaped(joined).replace(_SEPARATOR, _BETWEEN)}"'
    elif kind == "bytea":
        return f'"\\\\x{_BETWEEN_BYTES.join([value.hex() for value in column])}"'
    return ",".join([item(kind, value) for value in column])


def item(kind: str, value: Any) -> str:
    """One element of an array literal."""
    if value is None:
        return "NULL"
    if kind == "text":
        return f'"{_escaped(value)}"'
    return f'"\\\\x{value.hex()}"' if kind == "bytea" else str(value)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
