"""Optimization fences: where a statement is cut for an engine that merges subqueries.

PostgreSQL writes a column's expression out wherever the column is read: a step with three readers is computed three
times, and a step below it nine times. A fence keeps a subquery apart, so that each of its columns is computed once,
and costs a pass over the runs. A fence is set where repeated computation would cost more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

COST = 40
"""The cost of a fence, in words and operators of expressions."""

_NAME = re.compile(r"step_\w+")
_SIGN = re.compile(r"\w+|[-+*/<>=]+")


def fences(parts: Sequence[Mapping[str, str]], last: str) -> Iterator[int]:
    """The places of the subqueries to fence: `parts` are their expressions by column, `last` reads the last of them."""
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
