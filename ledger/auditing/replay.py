"""An account worked out again from its entries alone: what its grants, holds, limits and its own row must say.

Pure and apart from the rules: an entry is taken for what its transfers and details say, and nothing is decided.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ledger.book.buckets import AVAILABLE, BALANCES, BUCKETS, CONSUMED, HELD, ISSUED, OWED, SCHEDULED
from ledger.book.burning import CREDIT_LINE, PAID
from ledger.book.postings import PostedTransfer, Posting, chain_hash
from ledger.book.states import GrantState, Hold, LimitState, UsageKey, UsageState
from ledger.model.cycles import LimitPeriod
from ledger.model.values import EntryKind

Problem = tuple[str, str]
"""A finding's code and its message."""

# What reading a row of any shape can raise: a tampered row is a finding, never a failure of the audit.
UNREADABLE = (LookupError, ValueError, TypeError, AttributeError, ArithmeticError)

_STATE_BY_KIND = {
    EntryKind.CAPTURE.value: "captured",
    EntryKind.RELEASE.value: "released",
    EntryKind.EXPIRE.value: "expired",
}


@dataclass(slots=True)
class Replay:
    """The account as its entries so far leave it.

    `holds` are open; `closed` are those that ended, until whoever replays has compared them and takes them out.
    `starts` are the runs put down to be started, by number, and when they were, likewise until they were compared.
    `noted` is the moment at which the account's row says that something comes due, `is_noted` whether a hold that
    was extended once lapsed then.
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
    holds: dict[int, Hold] = field(default_factory=dict)
    closed: dict[int, Hold] = field(default_factory=dict)
    cards: set[str] = field(default_factory=set)
    starts: dict[int, int] = field(default_factory=dict)
    is_noted: bool = False

    def follow(self, posting: Posting, problems: list[Problem], *, is_chained: bool = False) -> None:
        """Take in the next entry; what is wrong with it is added to `problems`, also where the rest cannot be read.

        `is_chained` tells that its hash is known to be right.
        """
        number = posting.sequence
        if number != self.sequence + 1:
            problems.append(("entries_missing", f"entries {self.sequence + 1} to {number - 1} are missing"))
        self.sequence = number
        if not is_chained and posting.hash != chain_hash(self.head, posting):
            problems.append(("entry_altered", "its hash does not follow from it and the entry before"))
        self.head = posting.hash
        if posting.at < self.at:
            problems.append(("time_went_back", "it takes effect before the entry before it"))
        self.at = posting.at
        kind = posting.kind
        if kind not in _OF_HOLDS:
            self._make_grants(posting)
        owed = self.buckets[OWED]
        self._carry_out(posting.transfers, problems)
        if tuple(self.buckets) != posting.buckets:
            problems.append(("balance_wrong", "its running balance is not what its transfers add up to"))
        if self.buckets[OWED] > max(owed, self.credit_limit):
            problems.append(("overlent", f"it borrows beyond the credit line of {self.credit_limit} micro-credits"))
        follow = _FOLLOW.get(kind)
        if follow is not None:
            follow(self, posting, posting.parsed_details())
        if posting.reservation is not None:
            self._follow_hold(posting, posting.reservation, problems)

    def _carry_out(self, transfers: list[PostedTransfer], problems: list[Problem]) -> None:
        buckets = self.buckets
        for number, source, target, amount in transfers:
            grant = self.grants.get(number)
            if grant is None:
                problems.append(("grant_unknown", f"it moves credits of grant {number}, which no entry made"))
                continue
            if amount <= 0:
                problems.append(("amount_wrong", "a transfer of it moves nothing, or less"))
            own = grant.buckets
            if source == ISSUED or target == ISSUED:
                issued = amount if source == ISSUED else -amount
                own[ISSUED] += issued
                buckets[ISSUED] += issued
                if grant is self.line:
                    buckets[OWED] += issued
            if source != ISSUED:
                own[source] -= amount
                buckets[source] -= amount
                if own[source] < 0:
                    problems.append(("overspent", "its transfers carry a bucket below zero"))
            if target != ISSUED:
                own[target] += amount
                buckets[target] += amount
            elif own[ISSUED] < 0:
                problems.append(("overspent", "its transfers carry a bucket below zero"))

    def _make_grants(self, posting: Posting) -> None:
        """The grant that an entry makes, before its transfers fill it."""
        kind = posting.kind
        if kind == EntryKind.GRANT or (kind == EntryKind.ADJUST and posting.parsed_details()["amount"] > 0):
            details = posting.parsed_details()
            recurrence = details.get("recurrence")
            self._add(
                GrantState(
                    posting.sequence,
                    details["priority"],
                    details["expires_at"],
                    [0] * len(BUCKETS),
                    details.get("kind", PAID),
                    details.get("effective_at", posting.at),
                    details.get("scope"),
                    allowance=None if recurrence is None else posting.sequence,
                    recurrence=recurrence,
                )
            )
        elif kind == EntryKind.RENEW:
            self._renew(posting, posting.parsed_details())
        elif kind == EntryKind.CREDIT_LINE and self.line is None:
            self.line = GrantState(posting.sequence, -1, None, [0] * len(BUCKETS), CREDIT_LINE, posting.at)
            self.grants[posting.sequence] = self.line

    def _add(self, grant: GrantState) -> None:
        self.grants[grant.number] = grant
        self.scoped_count += grant.scope is not None

    def head_of(self, allowance: int) -> GrantState | None:
        """The lot that carries a recurrence on."""
        lots = (grant for grant in self.grants.values() if grant.allowance == allowance)
        return next((lot for lot in lots if lot.recurrence is not None), None)

    def _renew(self, posting: Posting, details: dict[str, Any]) -> None:
        head = self.head_of(details["allowance"])
        if head is None or head.recurrence is None:
            raise ValueError(f"no grant carries recurrence {details['allowance']} on")
        terms = head.recurrence | {"next": details["period"] + 1}
        head.recurrence = None
        for number in details["carried"]:
            self.grants[number].expires_at = details["expires_at"]
        if not any(source == ISSUED and number == posting.sequence for number, source, _, _ in posting.transfers):
            head.recurrence = terms
            return
        lot = GrantState(posting.sequence, head.priority, details["expires_at"], [0] * len(BUCKETS))
        lot.kind, lot.scope, lot.effective_at = head.kind, head.scope, posting.at
        lot.allowance, lot.recurrence = head.allowance, terms
        self.grants[lot.number] = lot

    def note_repaid(self, posting: Posting, _details: dict[str, Any]) -> None:
        """New credits that went to what the credit line had lent."""
        for number, source, target, amount in posting.transfers:
            if source == AVAILABLE and target == CONSUMED:
                self.grants[number].repaid += amount

    def note_adjusted(self, posting: Posting, details: dict[str, Any]) -> None:
        """As for a grant, where an adjustment is one."""
        if details["amount"] > 0:
            self.note_repaid(posting, details)

    def note_revoked(self, posting: Posting, details: dict[str, Any]) -> None:
        """Grants that end by being revoked."""
        for number in details["grants"]:
            self.grants[number].revoked_at, self.grants[number].recurrence = posting.at, None

    def note_expired(self, posting: Posting, details: dict[str, Any]) -> None:
        """A recurrence that ends with its last lot."""
        if posting.reservation is None and "allowance" in details:
            head = self.head_of(details["allowance"])
            if head is not None:
                head.recurrence = None

    def note_credit_line(self, _posting: Posting, details: dict[str, Any]) -> None:
        """How much may be owed from here on."""
        self.credit_limit = details["limit"]

    def note_limit(self, _posting: Posting, details: dict[str, Any]) -> None:
        """A limit set, changed or lifted."""
        said = [details[name] for name in ("label", "value", "period", "maximum")]
        self.limits[details["limit"]] = LimitState(details["limit"], *said)

    def _follow_hold(self, posting: Posting, number: int, problems: list[Problem]) -> None:
        details = posting.parsed_details()
        if posting.kind == EntryKind.RESERVE:
            hold = self.holds[number] = self._hold(posting, details)
            if sum(held for _, held, _ in hold.slices) != hold.amount:
                problems.append(("hold_uncovered", "its transfers do not hold the amount that it is about"))
            self._count_hold(hold, problems)
            return
        known = self.holds.get(number) or self.closed.get(number)
        if known is None:
            message = f"it is about reservation {number}, which no entry holds open"
            problems.append(("reservation_unknown", message))
            return
        if posting.kind == EntryKind.REFUND:
            self._refund(known, posting, details)
        elif posting.kind == EntryKind.EXTEND:
            self.is_noted = self.is_noted or (known.lapses_at is not None and known.lapses_at == self.noted)
            known.expires_at = details["expires_at"]
        else:
            self._settle(known, posting, details)

    def _hold(self, posting: Posting, details: dict[str, Any]) -> Hold:
        if "card_id" in details:
            self.cards.add(details["card_id"])
        if details.get("outbox"):
            self.starts[posting.sequence] = posting.at
        return Hold(
            posting.sequence,
            details["amount"],
            "held",
            0,
            0,
            posting.at,
            details["expires_at"],
            [[grant, amount, 0] for grant, _, target, amount in posting.transfers if target == HELD],
            details.get("dataset_id"),
            details.get("started_ms"),
            details.get("grace", 0),
            labels=details.get("labels"),
            counted=details.get("counted"),
        )

    def _count_hold(self, hold: Hold, problems: list[Problem]) -> None:
        for number, value, window in hold.counted or ():
            usage = self.usage.setdefault((number, value, window), UsageState())
            usage.spent += hold.amount
            usage.holds += 1
            limit = self.limits[number]
            used = usage.holds if limit.period == LimitPeriod.CONCURRENT else usage.spent
            if limit.maximum is None or (used > limit.maximum and (hold.amount or used == usage.holds)):
                problems.append(("limit_exceeded", f"it holds more than limit {number} leaves"))

    def _settle(self, hold: Hold, posting: Posting, details: dict[str, Any]) -> None:
        for number, source, target, amount in posting.transfers:
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
        if details.get("final", True):
            hold.state = _STATE_BY_KIND[posting.kind]
            for number, value, window in hold.counted or ():
                usage = self.usage[number, value, window]
                usage.spent -= hold.freed
                usage.holds -= 1
            self.holds.pop(hold.number, None)
            self.closed[hold.number] = hold

    def _count_spent(self, hold: Hold, amount: int) -> None:
        for number, value, window in hold.counted or ():
            self.usage[number, value, window].spent += amount

    def _refund(self, hold: Hold, posting: Posting, details: dict[str, Any]) -> None:
        amount = left = sum(move[3] for move in posting.transfers)
        for part in reversed(hold.slices):
            given = min(part[2], left)
            part[2] -= given
            left -= given
        hold.refunded += amount
        self._count_spent(hold, -amount)
        for number, part in details.get("stood_in", ()):
            self.grants[number].repaid -= part

    def due(self) -> list[tuple[int, str, int]]:
        """The moments at which something comes due, and what: `r` or `g`, and its number."""
        moments = [(hold.lapses_at, "r", hold.number) for hold in self.holds.values() if hold.lapses_at is not None]
        for grant in self.grants.values():
            if grant.buckets[SCHEDULED]:
                moments.append((grant.effective_at, "g", grant.number))
            elif grant.expires_at is not None and (grant.buckets[AVAILABLE] or grant.recurrence is not None):
                moments.append((grant.expires_at, "g", grant.number))
        return sorted(moments)


_OF_HOLDS = {"reserve", "capture", "release", "extend", "refund"}

_FOLLOW: dict[str, Callable[[Replay, Posting, dict[str, Any]], None]] = {
    EntryKind.GRANT.value: Replay.note_repaid,
    EntryKind.ACTIVATE.value: Replay.note_repaid,
    EntryKind.RENEW.value: Replay.note_repaid,
    EntryKind.ADJUST.value: Replay.note_adjusted,
    EntryKind.REVOKE.value: Replay.note_revoked,
    EntryKind.EXPIRE.value: Replay.note_expired,
    EntryKind.CREDIT_LINE.value: Replay.note_credit_line,
    EntryKind.LIMIT.value: Replay.note_limit,
}
