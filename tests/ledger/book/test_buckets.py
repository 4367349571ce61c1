"""The buckets: one order of names and numbers, in memory, in rows and in what the ledger answers."""

from __future__ import annotations

from ledger import Bucket
from ledger.book import buckets
from ledger.schema import columns


def test_the_buckets_have_one_order_in_memory_in_rows_and_in_answers() -> None:
    assert tuple(bucket.value for bucket in Bucket) == buckets.BUCKETS
    assert ("issued", *columns.BUCKETS) == buckets.BUCKETS
    assert (*buckets.BUCKETS, "owed") == buckets.BALANCES


def test_a_bucket_of_each_number_has_its_name() -> None:
    """Transfers are stored by name and hashed by number, so no number may ever change."""
    assert buckets.BUCKET_NUMBERS == {
        "issued": 0, "available": 1, "held": 2, "consumed": 3, "expired": 4, "revoked": 5, "scheduled": 6,
    }  # fmt: skip
    assert buckets.BUCKETS[buckets.HELD] == "held"
    assert buckets.BALANCES[buckets.OWED] == "owed"
