"""Arrays of values of one PostgreSQL type, as the values of a statement: a column of many rows.

They are lists, as any driver takes them; their class says the type of their elements.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar


class Array(list[Any]):
    """A list whose elements are of the PostgreSQL type `kind`, or None."""

    kind: ClassVar[str]


class Texts(Array):
    """An array of texts."""

    kind = "text"


class Bigints(Array):
    """An array of whole numbers of 64 bits."""

    kind = "bigint"


class Smallints(Array):
    """An array of whole numbers of 16 bits."""

    kind = "smallint"


class Byteas(Array):
    """An array of bytes."""

    kind = "bytea"


ARRAYS: tuple[type[Array], ...] = (Texts, Bigints, Smallints, Byteas)
_OF_KIND = {each.kind: each for each in ARRAYS}


def array_of(kind: str, column: Iterable[Any]) -> Array:
    """The array of a column of values of one type."""
    return _OF_KIND[kind](column)
