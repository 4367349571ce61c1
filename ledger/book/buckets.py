"""The buckets that credits are in. A bucket is a number in memory, and a name in rows and answers."""

from __future__ import annotations

ISSUED, AVAILABLE, HELD, CONSUMED, EXPIRED, REVOKED, SCHEDULED = range(7)
BUCKETS = ("issued", "available", "held", "consumed", "expired", "revoked", "scheduled")
"""The names of the buckets by their number. `issued` is the sum of the others."""

BUCKET_NUMBERS = {name: number for number, name in enumerate(BUCKETS)}

OWED = len(BUCKETS)
BALANCES = (*BUCKETS, "owed")
"""An account's figures: its buckets, and `owed`, how many of the issued credits its credit line has lent."""
