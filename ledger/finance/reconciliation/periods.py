"""The period that a reconciliation is about, for Python and for SQL."""

from __future__ import annotations

from dataclasses import dataclass

from ledger.finance.calendar import AccountingPeriod
from ledger.model.moments import to_moment


@dataclass(frozen=True, slots=True)
class Period:
    """Moments in [since, until), or all (None). What has no moment is in every period."""

    bounds: tuple[int, int] | None

    @classmethod
    def of(cls, period: AccountingPeriod | None) -> Period:
        """That of a calendar."""
        if period is None:
            return cls(None)
        return cls((to_moment(period.since, "period"), to_moment(period.until, "period")))

    def has(self, moment: int | None) -> bool:
        """True for a moment in it."""
        return self.bounds is None or moment is None or self.bounds[0] <= moment < self.bounds[1]

    def sql(self, column: str) -> str:
        """SQL that is true for a moment in it."""
        if self.bounds is None:
            return "true"
        return f"coalesce({column} >= {self.bounds[0]} AND {column} < {self.bounds[1]}, true)"
