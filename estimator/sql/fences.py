"""Where a statement is cut, for an engine that would write a column's expression out wherever the column is read.

PostgreSQL takes the parts of a statement together into one: a step that three others read is computed three times,
and what it reads nine times. A fence after a part keeps it apart, so that each of its columns is computed once; but a
fence costs a pass of its own over the runs. One is put where more than that would be computed again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

COST = 40
"""What a fence costs, in words and signs of expressions."""

_NAME = re.compile(r"step_\w+")
_SIGN = re.compile(r"\w+|[-+*/<>=]+")


def fences(parts: Sequence[Mapping[str, str]], last: str) -> Iterator[int]:
    """The places of the parts to fence; each part has expressions by column, and `last` reads the result of all."""
    reads = [_read(expressions.values()) for expressions in parts]
    reads.append(_read([last]))
    sizes: dict[str, int] = {}
    for place, expressions in enumerate(parts):
        for column, expression in expressions.items():
            within = sum(sizes.get(name, 1) - 1 for name in _NAME.findall(expression))
            sizes[column] = len(_SIGN.findall(expression)) + within
        later = [name for names in reads[place + 1 :] for name in names]
        again = sum((size - 1) * max(later.count(column) - 1, 0) for column, size in sizes.items())
        if again > COST:
            yield place
            sizes.clear()


def _read(expressions: Iterable[str]) -> list[str]:
    return [name for expression in expressions for name in _NAME.findall(expression)]
