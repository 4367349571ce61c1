"""A closing as a row of its table, chained by hash to the account's closing before."""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple

from ledger.book.postings import encode_details


class ClosingRecord(NamedTuple):
    """The columns of `ledger_closing`, in their order."""

    account_id: str
    number: int
    name: str
    zone: str
    since: int
    until: int
    sequence: int
    head: bytes
    closed_at: int
    closed_by: str
    figures: str
    hash: bytes = b""

    def chained(self, previous: bytes) -> ClosingRecord:
        """The same with its hash: over the hash before (the account's genesis for the first) and every other column."""
        *columns, _ = self
        written = encode_details([each.hex() if isinstance(each, bytes) else each for each in columns])
        return self._replace(hash=sha256(previous + written.encode()).digest())
