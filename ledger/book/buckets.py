"""The buckets that credits are in: a number in memory, a name in rows and in what the ledger answers."""

from __future__ import annotations

ISSUED, AVAILABLE, HELD, CONSUMED, EXPIRED, REVOKED, SCHEDULED = range(7)
BUCKETS = ("issued", "available", "held", "consumed", "expired", "revoked", "scheduled")
"""Bucket names by their number, which is their index in a state's `buckets`. `issued` mirrors the sum of the others."""

BUCKET_NUMBERS = {name: number for number, name in enumerate(BUCKETS)}

OWED = len(BUCKETS)
BALANCES = (*BUCKETS, "owed")
"""An account's figures: its buckets, and how many of the issued credits its credit line has lent."""
