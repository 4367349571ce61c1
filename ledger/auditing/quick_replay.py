"""The quick lane of the audit: most entries make an ordinary hold or end one, and are proved without ceremony.

An entry is taken here only when it is exactly what an ordinary one must be, which is more than the replay asks for;
any other is left to the replay, untouched. So what this lane takes, the replay would have found nothing wrong with.
Pure, as the replay is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from ledger.auditing.replay import UNREADABLE, Replay
from ledger.book.buckets import AVAILABLE, CONSUMED, EXPIRED, HELD
from ledger.book.postings import PostedTransfer, entry_text, quote
from ledger.book.states import Hold

Row = tuple[Any, ...]
"""A row with all columns in its table's order."""

Transfers = Sequence[PostedTransfer]

_SEQUENCE, _KIND, _AT, _RESERVATION, _DETAILS, _HASH = 1, 2, 3, 8, 9, 16
_FREED_TO = (AVAILABLE, EXPIRED)
_DIGITS = 20  # more than any moment has
_STATE_BY_KIND = {"capture": "captured", "release": "released"}


def is_chained(
    account_id: str, head: bytes, entries: Sequence[Row], transfers: dict[int, list[PostedTransfer]]
) -> bool:
    """True when each entry's hash follows from it and the one before, the first one's from `head`."""
    account = quote(account_id)
    contents = [entry_text(account, row, transfers.get(row[_SEQUENCE], ())) for row in entries]
    hashes = [row[_HASH] for row in entries]
    before = [head, *hashes[:-1]]
    return hashes == [sha256(b + c.encode()).digest() for b, c in zip(before, contents, strict=True)]


QuickHold = tuple[int, int, int | None, dict[int, int]]
"""A hold as it was made: its amount, when, until when, and its slices by grant."""


def state_of(number: int, hold: QuickHold) -> Hold:
    """A hold as the replay keeps it."""
    amount, reserved_at, expires_at, slices = hold
    parts = [[grant, part, 0] for grant, part in slices.items()]
    return Hold(number, amount, "held", 0, 0, reserved_at, expires_at, parts)


@dataclass(slots=True)
class QuickReplay:
    """Beside a replay, the ordinary holds open in it; `rows` are the reservations that the window at hand made."""

    replay: Replay
    open: dict[int, QuickHold] = field(default_factory=dict)
    rows: dict[int, Row] = field(default_factory=dict)

    def take(self, row: Row, transfers: Transfers) -> bool:
        """Follow the next entry, whose hash is known to be right, if it is an ordinary one; True if it was."""
        kind = row[_KIND]
        try:
            if kind == "reserve":
                return self._reserve(row, transfers)
            return kind in _STATE_BY_KIND and self._close(row, transfers)
        except UNREADABLE:  # before anything moved
            return False

    def thaw(self, number: int | None) -> None:
        """Hand an open hold over to the replay, for an entry that is not an ordinary one."""
        if number is not None and number in self.open:
            self.replay.holds[number] = state_of(number, self.open.pop(number))

    def thaw_all(self) -> None:
        """Hand every open hold over to the replay."""
        for number in list(self.open):
            self.thaw(number)

    def _reserve(self, row: Row, transfers: Transfers) -> bool:
        sequence, details = row[_SEQUENCE], row[_DETAILS]
        slices = self._drawn(transfers)
        if slices is None or row[_RESERVATION] != sequence or sequence in self.replay.holds:
            return False
        amount = sum(slices.values())
        expires_at: int | None = None
        if details != f'{{"amount":{amount},"expires_at":null}}':
            said = details.rpartition(":")[2][:-1]
            if not (said.isascii() and said.isdecimal() and len(said) < _DIGITS):
                return False
            expires_at = int(said)
            if details != f'{{"amount":{amount},"expires_at":{expires_at}}}':
                return False
        if not self._step(row, transfers):
            return False
        self.open[sequence] = (amount, row[_AT], expires_at, slices)
        return True

    def _drawn(self, transfers: Transfers) -> dict[int, int] | None:
        """What a hold takes of each grant, where it takes available credits and nothing else."""
        slices: dict[int, int] = {}
        grants = self.replay.grants
        for grant, source, target, amount in transfers:
            lot = grants.get(grant)
            if lot is None or source != AVAILABLE or target != HELD or not 0 < amount <= lot.buckets[AVAILABLE]:
                return None
            slices[grant] = amount
        return slices if len(slices) == len(transfers) else None

    def _close(self, row: Row, transfers: Transfers) -> bool:
        number = row[_RESERVATION]
        hold = self.open.get(number)
        if hold is None:
            return False
        amount, reserved_at, expires_at, slices = hold
        until = "null" if expires_at is None else expires_at
        if row[_DETAILS] != f'{{"amount":{amount},"reserved_at":{reserved_at},"expires_at":{until}}}':
            return False
        taken = self._taken(amount, slices, transfers)
        if taken is None or not self._step(row, transfers):
            return False
        del self.open[number]
        self._compare(number, hold, _STATE_BY_KIND[row[_KIND]], taken)
        return True

    def _taken(self, amount: int, slices: dict[int, int], transfers: Transfers) -> dict[int, int] | None:
        """What is consumed of each slice, where all of every slice is consumed or freed, and nothing else moves."""
        left = slices.copy()
        taken: dict[int, int] = {}
        grants = self.replay.grants
        for grant, source, target, part in transfers:
            if source != HELD or not 0 < part <= left.get(grant, 0) or part > grants[grant].buckets[HELD]:
                return None
            left[grant] -= part
            amount -= part
            if target == CONSUMED:
                taken[grant] = taken.get(grant, 0) + part
            elif target not in _FREED_TO:
                return None
        return None if amount else taken

    def _step(self, row: Row, transfers: Transfers) -> bool:
        """Move on to an entry, unless its number, its moment or its balance is not what it must be."""
        replay = self.replay
        sequence, at = row[_SEQUENCE], row[_AT]
        if sequence != replay.sequence + 1 or at < replay.at:
            return False
        after = replay.buckets.copy()
        for _, source, target, amount in transfers:
            after[source] -= amount
            after[target] += amount
        if [*row[10:16], *row[17:]] != after:
            return False
        grants = replay.grants
        for grant, source, target, amount in transfers:
            lot = grants[grant].buckets
            lot[source] -= amount
            lot[target] += amount
        replay.buckets, replay.sequence, replay.at, replay.head = after, sequence, at, row[_HASH]
        return True

    def _compare(self, number: int, hold: QuickHold, state: str, taken: dict[int, int]) -> None:
        """Drop a hold that its row says the same of; leave any other to the replay."""
        amount, reserved_at, expires_at, parts = hold
        captured = sum(taken.values())
        freed = amount - captured
        slices = ",".join([f"[{grant},0,{taken.get(grant, 0)}]" for grant in parts])
        said = (
            self.replay.account_id, number, state, amount, captured, freed, reserved_at, expires_at, None, None, 0,
            expires_at, 0, 0, f"[{slices}]", None, None,
        )  # fmt: skip
        if self.rows.get(number) == said:
            return
        closed = state_of(number, hold)
        closed.state, closed.captured, closed.freed = state, captured, freed
        closed.slices = [[grant, 0, taken.get(grant, 0)] for grant in parts]
        self.replay.closed[number] = closed
