"""The audit of one account: its entries replayed, and every row of it beside what the replay says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ledger.auditing.closings import ClosingsAudit
from ledger.auditing.quick_replay import QuickReplay, is_chained
from ledger.auditing.replay import UNREADABLE, Problem, Replay
from ledger.auditing.rows import AccountRows, Row, Window
from ledger.book.postings import genesis
from ledger.book.states import AccountState, Hold
from ledger.errors import Finding
from ledger.model.ids import format_grant_id, format_reservation_id, format_start_id
from ledger.model.values import EntryKind, StartState
from ledger.storage import cards
from ledger.storage.rows import grant_row, posting_of, reservation_row

Progress = Callable[[int], None]


@dataclass(slots=True)
class AccountAudit:
    """One account's row and its others, and the replay of its entries up to a moment.

    `is_chained_to` is the last entry whose hash, and those of all before, somebody else proves.
    """

    state: AccountState
    rows: AccountRows
    cutoff: int | None = None
    is_chained_to: int = 0
    replay: Replay = field(init=False)
    quick: QuickReplay = field(init=False)
    awaited: dict[int, Any] = field(default_factory=dict)
    strays: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        head = genesis(self.state.account_id, self.state.opened_at)
        self.replay = Replay(self.state.account_id, self.state.opened_at, head, noted=self.state.due_at)
        self.quick = QuickReplay(self.replay)

    def findings(self, progress: Progress) -> list[Finding]:
        """Every finding, in the order of the entries, then the tables'; `progress` is told how many were followed."""
        findings: list[Finding] = []
        try:
            for finding in self._run(progress):
                findings.append(finding)  # noqa: PERF402  # what was found before a row that cannot be read is kept
        except UNREADABLE as error:
            sequence = self.replay.sequence
            message = f"what follows entry {sequence}, or is in it, cannot be read ({error!r})"
            findings.append(self._finding(sequence, "unreadable", message))
        return findings

    def _run(self, progress: Progress) -> Iterator[Finding]:
        closings = ClosingsAudit(self.state, self.rows.others("ledger_closing"), self.replay.grants)
        for window in self.rows.windows():
            yield from self._follow(window)
            closings.follow(window)
            if self.cutoff is not None and window.entries and window.entries[-1][_AT] > self.cutoff:
                return
            yield from self._compare_closed(window)
            self.strays += self._check_window(window)
            progress(len(window.entries))
        self.quick.thaw_all()
        yield from self._check_account()
        yield from self.strays
        yield from self._check_grants()
        yield from self._compare_holds(self.replay.holds | self.replay.closed)
        yield from self._check_due()
        yield from self._check_cards()
        yield from self._check_limits()
        yield from closings.findings()
        yield from self._check_ends()

    def _follow(self, window: Window) -> Iterator[Finding]:
        """Replay a window's entries, up to the cutoff: the ordinary ones of a sound window quickly."""
        is_sound = not window.misplaced and self._is_chained(window)
        quick, cutoff, transfers = self.quick, self.cutoff, window.transfers
        quick.rows = window.holds
        for row in window.entries:
            if cutoff is not None and row[_AT] > cutoff:
                return
            if not (is_sound and quick.take(row, transfers.get(row[_SEQUENCE], ()))):
                yield from self._follow_any(window, row, is_sound)

    def _is_chained(self, window: Window) -> bool:
        """True when every entry of a window is chained; one that cannot be read is not."""
        if not window.entries or window.entries[-1][_SEQUENCE] <= self.is_chained_to:
            return True
        try:
            return is_chained(self.state.account_id, self.replay.head, window.entries, window.transfers)
        except UNREADABLE:
            return False

    def _follow_any(self, window: Window, row: Row, is_chained: bool) -> Iterator[Finding]:
        """Replay one entry; what is wrong with it comes first where the rest of it cannot be read."""
        problems: list[Problem] = []
        unreadable: Exception | None = None
        sequence = row[_SEQUENCE]
        try:
            self.quick.thaw(row[_RESERVATION])
            posting = posting_of(row, window.transfers.get(sequence, []))
            self.replay.follow(posting, problems, is_chained=is_chained)
        except UNREADABLE as error:
            self.replay.sequence, unreadable = sequence, error
        for code, message in problems:
            yield self._finding(sequence, code, message)
        if unreadable is not None:
            raise unreadable
        if sequence in window.misplaced:
            yield self._finding(sequence, "transfer_misplaced", "its transfers are not numbered from 0")

    def _check_window(self, window: Window) -> Iterator[Finding]:
        """Rows numbered as entries of the window are, that no entry of it made."""
        sequences = {row[_SEQUENCE] for row in window.entries}
        for sequence in sorted(window.transfers.keys() - sequences):
            yield self._finding(sequence, "transfer_unknown", "a transfer belongs to no entry")
        made = {row[_SEQUENCE] for row in window.entries if row[_KIND] == EntryKind.RESERVE}
        for number in sorted(window.holds.keys() - made):
            name = format_reservation_id(self.state.account_id, number)
            yield self._finding(number, "reservation_unknown", f"{name} has a row, and no entry that reserved it")
        yield from self._check_starts(window)

    def _check_starts(self, window: Window) -> Iterator[Finding]:
        """The rows of runs to be started: one for each launch that says so, and of no shape that a delivery has not."""
        said, self.replay.starts = self.replay.starts, {}
        for number in sorted(said.keys() | window.starts.keys()):
            name, row = format_start_id(self.state.account_id, number), window.starts.get(number)
            if row is None:
                yield self._finding(number, "start_missing", f"{name} has no row, and its entry says that it has")
            elif number not in said:
                yield self._finding(number, "start_unknown", f"{name} has a row, and no entry that launched it")
            elif row[_CREATED_AT] != said[number] or not _is_start(*row[_CREATED_AT + 1 :]):
                yield self._finding(
                    number, "start_wrong", f"{name} is {row[_CREATED_AT:]}, and no delivery leaves it so"
                )

    def _finding(self, sequence: int | None, code: str, message: str) -> Finding:
        return Finding(self.state.account_id, sequence, code, message)

    def _compare_closed(self, window: Window) -> Iterator[Finding]:
        """Compare the holds that are closed; those of which more was refunded later wait for their refunds."""
        closed, awaited = self.replay.closed, self.awaited
        ready = [n for n, hold in closed.items() if n not in awaited or awaited[n] == hold.refunded]
        rows = self._hold_rows(ready, window)
        for number in ready:
            hold = closed[number]
            if number in rows and rows[number][_REFUNDED] != hold.refunded:
                awaited[number] = rows[number][_REFUNDED]
                continue
            yield from self._compare(rows, {number: hold})
            del closed[number]
            awaited.pop(number, None)

    def _hold_rows(self, numbers: Iterable[int], window: Window) -> dict[int, Row]:
        rows = {number: window.holds[number] for number in numbers if number in window.holds}
        return rows | self.rows.holds(number for number in numbers if number not in rows)

    def _compare_holds(self, expected: dict[int, Hold]) -> Iterator[Finding]:
        yield from self._compare(self.rows.holds(expected), expected)

    def _compare(self, rows: dict[int, tuple[Any, ...]], expected: dict[int, Hold]) -> Iterator[Finding]:
        for number, hold in sorted(expected.items()):
            name, says = (
                format_reservation_id(self.state.account_id, number),
                reservation_row(self.state.account_id, hold),
            )
            if number not in rows:
                yield self._finding(number, "reservation_missing", f"{name} has no row")
            elif rows[number] != says:
                yield self._finding(
                    number, "reservation_wrong", f"{name} is {rows[number][2:]}, entries say {says[2:]}"
                )

    def _check_account(self) -> Iterator[Finding]:
        state, replay = self.state, self.replay
        if replay.sequence != state.sequence:
            message = f"the journal ends at entry {replay.sequence}, the account at {state.sequence}"
            yield self._finding(replay.sequence + 1, "entries_missing", message)
        if state.head != replay.head:
            yield self._finding(replay.sequence, "head_wrong", "the account's head is not the hash of its last entry")
        if state.buckets != replay.buckets:
            yield self._finding(None, "account_wrong", f"its row says {state.buckets}, its entries {replay.buckets}")
        if state.at != replay.at:
            yield self._finding(None, "account_wrong", "its row's latest moment is not that of its last entry")
        terms = (state.credit_limit, state.limits_count, state.scoped_count)
        if terms != (replay.credit_limit, len(replay.limits), replay.scoped_count):
            message = f"its row's credit limit and counts of limits and scopes, {terms}, are not what its entries say"
            yield self._finding(None, "account_wrong", message)

    def _check_grants(self) -> Iterator[Finding]:
        account_id = self.state.account_id
        found = {row[1]: tuple(row) for row in self.rows.others("ledger_grant")}
        expected = {number: grant_row(account_id, grant) for number, grant in self.replay.grants.items()}
        for number in sorted(found.keys() | expected.keys()):
            if found.get(number) != expected.get(number):
                is_row, is_said = (
                    None if row is None else row[2:] for row in (found.get(number), expected.get(number))
                )
                message = f"{format_grant_id(account_id, number)} is {is_row}, entries say {is_said}"
                yield self._finding(number, "grant_wrong", message)

    def _check_due(self) -> Iterator[Finding]:
        """What comes due must be noticed in time, and the moment noted for it be one at which something did."""
        noted = self.state.due_at
        due = self.replay.due()
        for moment, kind, number in due:
            if noted is None or noted > moment:
                name = (format_reservation_id if kind == "r" else format_grant_id)(self.state.account_id, number)
                yield self._finding(number, "due_late", f"{name} would come due unnoticed")
        if noted is None or (due and due[0][0] == noted) or self.replay.is_noted or self.rows.came_due(noted):
            return
        yield self._finding(None, "due_wrong", "nothing of the account comes, or came, due when its row says")

    def _check_cards(self) -> Iterator[Finding]:
        """The cards that launches were priced under, and no others, must be kept, and say what they said."""
        account_id, used = self.state.account_id, self.replay.cards
        kept = {row[1]: row[2] for row in self.rows.others("ledger_card")}
        for card_id in sorted(used - kept.keys()):
            yield cards.card_missing(account_id, card_id)
        for card_id, content in kept.items():
            if not cards.is_card(card_id, content):
                yield cards.card_altered(account_id, card_id)
            elif card_id not in used:
                yield self._finding(None, "card_unknown", f"rate card {card_id} is kept and priced no run")

    def _check_limits(self) -> Iterator[Finding]:
        said: dict[Any, Any] = {
            number: (limit.label, limit.value, limit.period, limit.maximum)
            for number, limit in self.replay.limits.items()
        }
        found: dict[Any, Any] = {row[1]: tuple(row[2:]) for row in self.rows.others("ledger_limit")}
        yield from self._differences(found, said, "limit")
        said = {key: (usage.spent, usage.holds) for key, usage in self.replay.usage.items()}
        found = {tuple(row[1:4]): tuple(row[4:]) for row in self.rows.others("ledger_usage")}
        yield from self._differences(found, said, "usage")

    def _differences(self, found: dict[Any, Any], said: dict[Any, Any], what: str) -> Iterator[Finding]:
        for key in sorted(found.keys() | said.keys()):
            if found.get(key) != said.get(key):
                number = key if isinstance(key, int) else key[0]
                message = f"{what} {key} is {found.get(key)}, entries say {said.get(key)}"
                yield self._finding(number, f"{what}_wrong", message)

    def _check_ends(self) -> Iterator[Finding]:
        """Rows numbered as no entry is that the account counts."""
        last = self.state.sequence
        for table, code in _PAST_THE_END.items():
            number = self.rows.past_the_end(table)
            if number is not None:
                message = f"{table} has a row numbered {number}, and the account counts {last} entries"
                yield self._finding(number, code, message)


_SEQUENCE, _KIND, _AT, _RESERVATION = 1, 2, 3, 8  # columns of an entry's row
_REFUNDED = 13  # of a reservation's
_CREATED_AT = 2  # of a start's


def _is_start(state: object, attempts: int, _next: int, ended_at: int | None, _error: str | None) -> bool:
    """True for what a start can have come to; how far its delivery is, no entry says."""
    if state == StartState.WAITING:
        return attempts >= 0 and ended_at is None
    is_ended = isinstance(ended_at, int) and attempts >= (state == StartState.DELIVERED)
    return is_ended and state in (StartState.DELIVERED, StartState.WITHDRAWN)


_PAST_THE_END = {
    "ledger_entry": "entries_unknown",
    "ledger_transfer": "transfer_unknown",
    "ledger_reservation": "reservation_unknown",
    "ledger_outbox": "start_unknown",
}
