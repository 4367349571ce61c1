"""The part of the book that a batch touches, in memory: what rules read and what `posting` changes.

Amounts are integer micro-credits, moments are integer microseconds. Nothing here knows a database.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from ledger.values import EntryKind

if TYPE_CHECKING:
    from estimator import RateCard

ISSUED, AVAILABLE, HELD, CONSUMED, EXPIRED, REVOKED = range(6)
BUCKETS = ("issued", "available", "held", "consumed", "expired", "revoked")
"""Bucket names by their index in a state's `buckets`; `issued` mirrors the sum of the others."""

Move = tuple[int, int, int, int]
"""A transfer: grant number, source bucket, target bucket, micro-credits."""

_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


def encode_details(details: dict[str, Any]) -> str:
    """The canonical text of an entry's details: keys in the order given, no spaces, ASCII."""
    return _encode(details)


@dataclass(slots=True, eq=False)
class GrantState:
    """One grant: its credits by bucket (`buckets[ISSUED]` is its amount) and its place in the burn order."""

    number: int
    priority: int
    expires_at: int | None
    buckets: list[int]
    is_new: bool = False
    is_changed: bool = False

    def lapsed(self, at: int) -> bool:
        """True from the very moment of expiry on."""
        return self.expires_at is not None and self.expires_at <= at


@dataclass(slots=True, eq=False)
class ReservationState:
    """One reservation; `slices` (grant number, micro-credits) is known while it is held."""

    number: int
    amount: int
    state: str
    captured: int
    freed: int
    reserved_at: int
    expires_at: int | None
    slices: list[tuple[int, int]]
    dataset_id: str | None = None
    started_ms: int | None = None
    is_new: bool = False
    is_changed: bool = False


@dataclass(slots=True, eq=False)
class Posting:
    """One entry as the journal writes and reads it."""

    account_id: str
    sequence: int
    kind: str
    at: int
    recorded_at: int
    scope: str
    key: str | None
    digest: bytes | None
    reservation: int | None
    details: str
    moves: list[Move]
    buckets: tuple[int, ...]
    hash: bytes
    _parsed: dict[str, Any] | None = None

    def parsed_details(self) -> dict[str, Any]:
        """The details as a dictionary, not to be changed."""
        if self._parsed is None:
            self._parsed = json.loads(self.details)
        return self._parsed


def genesis(account_id: str, opened_at: int) -> bytes:
    """The hash that an account's first entry builds on."""
    return sha256(_encode(["account", account_id, opened_at]).encode()).digest()


def chain_hash(previous: bytes, posting: Posting) -> bytes:
    """SHA-256 over the previous entry's hash and every field of this one, its transfers included."""
    content = _encode(
        [
            posting.account_id,
            posting.sequence,
            posting.kind,
            posting.at,
            posting.recorded_at,
            posting.scope,
            posting.key,
            None if posting.digest is None else posting.digest.hex(),
            posting.reservation,
            posting.details,
            posting.moves,
            posting.buckets,
        ]
    )
    return sha256(previous + content.encode()).digest()


@dataclass(slots=True, eq=False)
class AccountState:
    """One account, its live grants, and whatever reservations, keys and runs the batch's commands name."""

    account_id: str
    opened_at: int
    sequence: int
    at: int
    head: bytes
    buckets: list[int]
    due_at: int | None
    is_opened_here: bool = False
    is_accepted: bool = False
    grants: dict[int, GrantState] = field(default_factory=dict)
    reservations: dict[int, ReservationState] = field(default_factory=dict)
    keys: dict[tuple[str, str], Posting] = field(default_factory=dict)
    postings: list[Posting] = field(default_factory=list)
    runs: dict[tuple[str, int], int] = field(default_factory=dict)
    active: dict[str, int] = field(default_factory=dict)
    started_ms_last: dict[str, int] = field(default_factory=dict)
    holds: dict[int, Posting] = field(default_factory=dict)
    cards: dict[str, RateCard] = field(default_factory=dict)
    cards_new: dict[str, RateCard] = field(default_factory=dict)
    hold_due_after: int | None = None
    _burn_order: list[GrantState] | None = None

    def burn_order(self) -> list[GrantState]:
        """Grants with credits available, first to burn first: lowest priority, earliest expiry (none last), oldest."""
        order = self._burn_order
        if order is None:
            order = [grant for grant in self.grants.values() if grant.buckets[AVAILABLE]]
            order.sort(key=_burn_key)
            self._burn_order = order
        return order

    def post(
        self,
        kind: EntryKind,
        *,
        at: int,
        recorded_at: int,
        details: dict[str, Any],
        moves: list[Move],
        reservation: int | None = None,
        binding: tuple[str, str, bytes] | None = None,
    ) -> Posting:
        """Append an entry and carry out its transfers: the one place where a balance changes."""
        buckets = self.buckets
        for number, source, target, amount in moves:
            grant = self.grants[number]
            grant.is_changed = True
            if source == ISSUED:
                grant.buckets[ISSUED] += amount
                buckets[ISSUED] += amount
            else:
                grant.buckets[source] -= amount
                buckets[source] -= amount
            grant.buckets[target] += amount
            buckets[target] += amount
            if target == AVAILABLE:
                self._burn_order = None
        scope, key, digest = binding or ("", None, None)
        self.sequence += 1
        self.at = at
        posting = Posting(
            self.account_id, self.sequence, kind.value, at, recorded_at, scope, key, digest, reservation,
            encode_details(details), moves, tuple(buckets), b"", details,
        )  # fmt: skip
        posting.hash = self.head = chain_hash(self.head, posting)
        self.postings.append(posting)
        if key is not None:
            self.keys[scope, key] = posting
        return posting

    def due_from(self, moment: int | None) -> None:
        """Note that something lapses at a moment."""
        if moment is not None and (self.due_at is None or moment < self.due_at):
            self.due_at = moment


def _burn_key(grant: GrantState) -> tuple[int, bool, int, int]:
    return (grant.priority, grant.expires_at is None, grant.expires_at or 0, grant.number)
