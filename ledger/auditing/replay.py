"""An account computed again from its entries alone: what its grants, holds, limits and its own row must say.

Pure and apart from the rules: an entry counts for what its transfers and details say, and nothing is decided.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from ledger.book.buckets import AVAILABLE, BALANCES, BUCKETS, CONSUMED, HELD, ISSUED, OWED, SCHEDULED
from ledger.book.burning import CREDIT_LINE, PAID
from ledger.book.lifecycle import STATE_AFTER
from ledger.book.postings import PostedTransfer, entry_text, quote
from ledger.book.states import GrantState, Hold, LimitState, UsageKey, UsageState
from ledger.model.cycles import LimitPeriod
from ledger.model.values import EntryKind

Defect = tuple[str, str]
"""What is wrong with an entry: a finding's code and its message."""

_OVERSPENT: Defect = ("overspent", "its transfers carry a bucket below zero")

Transfers = Sequence[PostedTransfer]
Details = dict[str, Any]

_PLAIN_DETAILS = 2  # the amount and the expiry, which every hold has
_decode = json.JSONDecoder().raw_decode


@dataclass(slots=True)
class Replay:
    """The account as its entries so far leave it.

    `closed_holds` are the holds that ended and have not been compared with their rows yet, `starts` the moments of
    the runs to be started, by number, that have not been compared yet: the caller removes both.
    `noted` is the moment at which the account's row says that something comes due; `is_noted` is true when a hold
    that was extended later would have lapsed then.
    """

    account_id: str
    at: int
    head: bytes
    noted: int | None = None
    sequence: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * len(BALANCES))
    grants: dict[int, GrantState] = field(default_factory=dict)
    line: GrantState | None = None
    credit_limit: int = 0
    scoped_count: int = 0
    limits: dict[int, LimitState] = field(default_factory=dict)
    usage: dict[UsageKey, UsageState] = field(default_factory=dict)
    open_holds: dict[int, Hold] = field(default_factory=dict)
    closed_holds: dict[int, Hold] = field(default_factory=dict)
    cards: set[str] = field(default_factory=set)
    starts: dict[int, int] = field(default_factory=dict)
    is_noted: bool = False

    def follow(
        self, row: tuple[Any, ...], transfers: Transfers, defects: list[Defect], *, is_chained: bool = False
    ) -> Hold | None:
        """Add the next entry, a row with all columns in the table's order, and its transfers.

        The answer is the hold that it closed, if any.

        What is wrong with it is added to `defects`, also when the rest of it cannot be read and an exception tells so.
        `is_chained` tells that its hash is known to be right.
        """
        (
            _, sequence, kind, at, _, _, _, _, reservation, text,
            issued, available, held, consumed, expired, revoked, entry_hash, scheduled, owed,
        ) = row  # fmt: skip
        if entry_hash.__class__ is not bytes:
            entry_hash = bytes(entry_hash)
        if sequence != self.sequence + 1:
            defects.append(("entries_missing", f"entries {self.sequence + 1} to {sequence - 1} are missing"))
        self.sequence = sequence
        if not is_chained and entry_hash != self._hash_of(row, transfers):
            defects.append(("entry_altered", "its hash does not follow from it and the entry before"))
        self.head = entry_hash
        if at < self.at:
            defects.append(("time_went_back", "it takes effect before the entry before it"))
        self.at = at
        if kind in _MAKING_GRANTS:
            self._make_grant(kind, transfers, _decode(text)[0])
        buckets = self.buckets
        owed_before = buckets[OWED]
        self._carry_out(transfers, defects)
        if buckets != [issued, available, held, consumed, expired, revoked, scheduled, owed]:
            defects.append(("balance_wrong", "its running balance is not what its transfers add up to"))
        if buckets[OWED] > owed_before and buckets[OWED] > self.credit_limit:
            defects.append(("overlent", f"it borrows beyond the credit line of {self.credit_limit} micro-credits"))
        details = _decode(text)[0]
        if kind in _FOLLOW:
            _FOLLOW[kind](self, transfers, details)
        if reservation is None:
            return None
        return self._follow_hold(kind, reservation, transfers, details, defects)

    def _hash_of(self, row: tuple[Any, ...], transfers: Transfers) -> bytes:
        digest = row[7]
        if digest is not None and digest.__class__ is not bytes:
            row = (*row[:7], bytes(digest), *row[8:])
        return sha256(self.head + entry_text(quote(self.account_id), row, transfers).encode()).digest()

    def _carry_out(self, transfers: Transfers, defects: list[Defect]) -> None:
        buckets = self.buckets
        for number, source, target, amount in transfers:
            grant = self.grants.get(number)
            if grant is None:
                defects.append(("grant_unknown", f"it moves credits of grant {number}, which no entry made"))
                continue
            if amount <= 0:
                defects.append(("amount_wrong", "a transfer of it moves nothing, or less"))
            own = grant.buckets
            if source == ISSUED or target == ISSUED:
                self._issue(grant, amount if source == ISSUED else -amount)
            if source != ISSUED:
                own[source] -= amount
                buckets[source] -= amount
                if own[source] < 0:
                    defects.append(_OVERSPENT)
            if target != ISSUED:
                own[target] += amount
                buckets[target] += amount
            elif own[ISSUED] < 0:
                defects.append(_OVERSPENT)

    def _issue(self, grant: GrantState, amount: int) -> None:
        grant.buckets[ISSUED] += amount
        self.buckets[ISSUED] += amount
        if grant is self.line:
            self.buckets[OWED] += amount

    def _make_grant(self, kind: str, transfers: Transfers, details: Details) -> None:
        """The grant that an entry makes, before its transfers fill it."""
        number, at = self.sequence, self.at
        if kind == EntryKind.GRANT or (kind == EntryKind.ADJUST and details["amount"] > 0):
            recurrence = details.get("recurrence")
            grant = GrantState(
                number,
                details["priority"],
                details["expires_at"],
                [0] * len(BUCKETS),
                details.get("kind", PAID),
                details.get("effective_at", at),
                details.get("scope"),
                allowance=None if recurrence is None else number,
                recurrence=recurrence,
            )
            self.grants[number] = grant
            self.scoped_count += grant.scope is not None
        elif kind == EntryKind.RENEW:
            self._renew(transfers, details)
        elif kind == EntryKind.CREDIT_LINE and self.line is None:
            self.line = GrantState(number, -1, None, [0] * len(BUCKETS), CREDIT_LINE, at)
            self.grants[number] = self.line

    def _head_of(self, allowance: int) -> GrantState | None:
        """The lot that carries the terms of a recurrence."""
        lots = (grant for grant in self.grants.values() if grant.allowance == allowance)
        return next((lot for lot in lots if lot.recurrence is not None), None)

    def _renew(self, transfers: Transfers, details: Details) -> None:
        head = self._head_of(details["allowance"])
        if head is None or head.recurrence is None:
            raise ValueError(f"no grant carries the terms of recurrence {details['allowance']}")
        terms = head.recurrence | {"next": details["period"] + 1}
        head.recurrence = None
        for number in details["carried"]:
            self.grants[number].expires_at = details["expires_at"]
        if not any(source == ISSUED and number == self.sequence for number, source, _, _ in transfers):
            head.recurrence = terms
            return
        lot = GrantState(self.sequence, head.priority, details["expires_at"], [0] * len(BUCKETS))
        lot.kind, lot.scope, lot.effective_at = head.kind, head.scope, self.at
        lot.allowance, lot.recurrence = head.allowance, terms
        self.grants[lot.number] = lot

    def _note_repaid(self, transfers: Transfers, _details: Details) -> None:
        """New credits that repaid what the credit line had lent."""
        for number, source, target, amount in transfers:
            if source == AVAILABLE and target == CONSUMED:
                self.grants[number].repaid += amount

    def _note_adjusted(self, transfers: Transfers, details: Details) -> None:
        """As for a grant, when the adjustment adds credits."""
        if details["amount"] > 0:
            self._note_repaid(transfers, details)

    def _note_revoked(self, _transfers: Transfers, details: Details) -> None:
        """Grants that end by being revoked."""
        for number in details["grants"]:
            self.grants[number].revoked_at, self.grants[number].recurrence = self.at, None

    def _note_expired(self, _transfers: Transfers, details: Details) -> None:
        """A recurrence that ends with its last lot."""
        head = self._head_of(details["allowance"]) if "allowance" in details else None
        if head is not None:
            head.recurrence = None

    def _note_credit_line(self, _transfers: Transfers, details: Details) -> None:
        """The most that may be owed from this entry on."""
        self.credit_limit = details["limit"]

    def _note_limit(self, _transfers: Transfers, details: Details) -> None:
        """A limit set, changed or lifted."""
        number, *terms = [details[name] for name in ("limit", "label", "value", "period", "maximum")]
        self.limits[number] = LimitState(number, *terms)

    def _reserve(self, name: int, transfers: Transfers, details: Details, defects: list[Defect]) -> None:
        number, at = self.sequence, self.at
        slices, held = [], 0
        for grant, _, target, amount in transfers:
            if target == HELD:
                slices.append([grant, amount, 0])
                held += amount
        hold = Hold(number, details["amount"], "held", 0, 0, at, details["expires_at"], slices)
        self.open_holds[name] = hold
        if held != hold.amount:
            defects.append(("hold_uncovered", "its transfers do not hold the amount that it is about"))
        if len(details) == _PLAIN_DETAILS:
            return
        hold.dataset_id, hold.started_ms = details.get("dataset_id"), details.get("started_ms")
        hold.grace = details.get("grace", 0)
        hold.labels, hold.counted = details.get("labels"), details.get("counted")
        if "card_id" in details:
            self.cards.add(details["card_id"])
        if details.get("outbox"):
            self.starts[number] = at
        self._count_hold(hold, defects)

    def _follow_hold(
        self, kind: str, number: int, transfers: Transfers, details: Details, defects: list[Defect]
    ) -> Hold | None:
        if kind == "reserve":
            self._reserve(number, transfers, details, defects)
            return None
        hold = self.open_holds.get(number) or self.closed_holds.get(number)
        if hold is None:
            defects.append(("reservation_unknown", f"it is about reservation {number}, which no entry holds open"))
        elif kind == "refund":
            self._refund(hold, transfers, details)
        elif kind == "extend":
            self.is_noted = self.is_noted or (hold.lapses_at is not None and hold.lapses_at == self.noted)
            hold.expires_at = details["expires_at"]
        else:
            return self._settle(kind, hold, transfers, details)
        return None

    def _count_hold(self, hold: Hold, defects: list[Defect]) -> None:
        for number, value, window in hold.counted or ():
            usage = self.usage.setdefault((number, value, window), UsageState())
            usage.spent += hold.amount
            usage.holds += 1
            limit = self.limits[number]
            used = usage.holds if limit.period == LimitPeriod.CONCURRENT else usage.spent
            if limit.maximum is None or (used > limit.maximum and (hold.amount or used == usage.holds)):
                defects.append(("limit_exceeded", f"it holds more than limit {number} leaves"))

    def _settle(self, kind: str, hold: Hold, transfers: Transfers, details: Details) -> Hold | None:
        for number, source, target, amount in transfers:
            if source != HELD:
                hold.extra += amount
                hold.slices.append([number, 0, amount])
                self._count_spent(hold, amount)
                continue
            for part in hold.slices:
                if part[0] == number and part[1]:
                    break
            else:
                raise ValueError(f"reservation {hold.number} holds nothing of grant {number}")
            part[1] -= amount
            if target == CONSUMED:
                part[2] += amount
                hold.captured += amount
            else:
                hold.freed += amount
        if not details.get("final", True):
            return None
        hold.state = STATE_AFTER[kind]
        for number, value, window in hold.counted or ():
            usage = self.usage[number, value, window]
            usage.spent -= hold.freed
            usage.holds -= 1
        self.open_holds.pop(hold.number, None)
        self.closed_holds[hold.number] = hold
        return hold

    def _count_spent(self, hold: Hold, amount: int) -> None:
        for number, value, window in hold.counted or ():
            self.usage[number, value, window].spent += amount

    def _refund(self, hold: Hold, transfers: Transfers, details: Details) -> None:
        amount = left = sum(transfer[3] for transfer in transfers)
        for part in reversed(hold.slices):
            given = min(part[2], left)
            part[2] -= given
            left -= given
        hold.refunded += amount
        self._count_spent(hold, -amount)
        for number, part in details.get("stood_in", ()):
            self.grants[number].repaid -= part

    def due(self) -> list[tuple[int, str, int]]:
        """When something comes due, `r` for a hold or `g` for a grant, and its number; earliest first."""
        open_holds = self.open_holds.values()
        moments = [(hold.lapses_at, "r", hold.number) for hold in open_holds if hold.lapses_at is not None]
        for grant in self.grants.values():
            if grant.buckets[SCHEDULED]:
                moments.append((grant.effective_at, "g", grant.number))
            elif grant.expires_at is not None and (grant.buckets[AVAILABLE] or grant.recurrence is not None):
                moments.append((grant.expires_at, "g", grant.number))
        return sorted(moments)


_MAKING_GRANTS = {"grant", "adjust", "renew", "credit_line"}

_FOLLOW: dict[str, Callable[[Replay, Transfers, Details], None]] = {
    EntryKind.GRANT.value: Replay._note_repaid,
    EntryKind.ACTIVATE.value: Replay._note_repaid,
    EntryKind.RENEW.value: Replay._note_repaid,
    EntryKind.ADJUST.value: Replay._note_adjusted,
    EntryKind.REVOKE.value: Replay._note_revoked,
    EntryKind.EXPIRE.value: Replay._note_expired,
    EntryKind.CREDIT_LINE.value: Replay._note_credit_line,
    EntryKind.LIMIT.value: Replay._note_limit,
}
