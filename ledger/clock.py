"""The package's one clock: this machine's time. Pure code never reads it."""

from __future__ import annotations

from datetime import UTC, datetime

from ledger.model.moments import to_moment


def clock() -> int:
    """The moment now: what a verb uses that was given no `at`."""
    return to_moment(datetime.now(UTC))
