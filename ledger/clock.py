"""This machine's time: the one clock of the package. Pure code never reads it."""

from __future__ import annotations

from datetime import UTC, datetime

from ledger.model.moments import to_moment


def clock() -> int:
    """The moment now, for a verb that was given no `at`."""
    return to_moment(datetime.now(UTC))
