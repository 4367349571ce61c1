"""The rule of keys: a key means once."""

from __future__ import annotations

from ledger.book.answers import answer
from ledger.book.postings import Posting
from ledger.errors import IdempotencyConflict
from ledger.model.digests import Digest
from ledger.model.values import Result


def first_answer(bound: Posting | None, key: str, digest: Digest) -> Result | None:
    """The answer of the entry that bound a key, as a replay; None while the key is free.

    Raises `IdempotencyConflict` when the key was bound by another request.
    """
    if bound is None:
        return None
    if not digest.is_of(bound.digest):
        raise IdempotencyConflict(key)
    return answer(bound, replayed=True)
