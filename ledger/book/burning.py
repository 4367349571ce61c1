"""The burn order: which grant's credits are spent first.

The order is total: lowest priority, earliest expiry (none last), promotional before paid, earliest effect, lowest
number. The credit line has no place in it: it lends when the grants are spent.
"""

from __future__ import annotations

from typing import Protocol

PAID, PROMOTIONAL, CREDIT_LINE = "paid", "promotional", "credit_line"
KIND_RANKS = {PROMOTIONAL: 0, PAID: 1, CREDIT_LINE: 2}
"""The rank of each kind among grants of the same priority and expiry."""

BurnKey = tuple[int, bool, int, int, int, int]


class Burnable(Protocol):
    """The terms of a grant that the burn order compares."""

    number: int
    priority: int
    expires_at: int | None
    kind: str
    effective_at: int


def burn_key(grant: Burnable) -> BurnKey:
    """A grant's place in the burn order: the lower key burns first."""
    expires_at = grant.expires_at
    return (
        grant.priority,
        expires_at is None,
        expires_at or 0,
        KIND_RANKS[grant.kind],
        grant.effective_at,
        grant.number,
    )
