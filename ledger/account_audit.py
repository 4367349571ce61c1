"""The audit of one account: its entries replayed, and every row of it beside what the replay says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, text

from ledger import snapshots
from ledger.bulk import RowShape
from ledger.entries import read_windows
from ledger.ids import format_grant_id, format_reservation_id
from ledger.journal import grant_row, reservation_row
from ledger.replay import Problem, Replay
from ledger.states import AccountState, Posting, ReservationState, genesis
from ledger.tables import GrantRow
from ledger.values import Finding

# What reading a row of any shape can raise: a tampered row is a finding, never a failure of the audit.
UNREADABLE = (LookupError, ValueError, TypeError, AttributeError, ArithmeticError)


@dataclass(slots=True)
class AccountAudit:
    """One account's row, and the replay of its entries up to a moment."""

    connection: Connection
    state: AccountState
    cutoff: int | None
    replay: Replay = field(init=False)
    refunded: dict[int, ReservationState] = field(default_factory=dict)

    def __post_init__(self) -> None:
        head = genesis(self.state.account_id, self.state.opened_at)
        self.replay = Replay(self.state.account_id, self.state.opened_at, head)

    def run(self) -> Iterator[Finding]:
        """Every finding, in the order of the entries, then the tables'."""
        misplaced: set[int] = set()
        problems: list[Problem] = []
        replay = self.replay
        for window in read_windows(
            self.connection, self.state.account_id, last=self.state.sequence, misplaced=misplaced
        ):
            for posting in window:
                if self.cutoff is not None and posting.at > self.cutoff:
                    return
                unreadable = self._follow(posting, problems)
                if problems:
                    for code, message in problems:
                        yield self._finding(posting.sequence, code, message)
                    problems.clear()
                if unreadable is not None:
                    raise unreadable
                if posting.sequence in misplaced:
                    yield self._finding(posting.sequence, "transfer_misplaced", "its transfers are not numbered from 0")
            yield from self._compare_closed()
        yield from self._check_account()
        yield from self._check_grants()
        yield from self._compare_holds(replay.holds)
        yield from self._compare_holds(self.refunded)
        yield from self._check_due()
        yield from self._check_cards()
        yield from self._check_limits()
        yield from self._check_counts()

    def _follow(self, posting: Posting, problems: list[Problem]) -> Exception | None:
        """Replay an entry; answers why it cannot be read, where that is so, once its problems are known."""
        try:
            self.replay.follow(posting, problems)
        except UNREADABLE as error:
            return error
        return None

    def _finding(self, sequence: int | None, code: str, message: str) -> Finding:
        return Finding(self.state.account_id, sequence, code, message)

    def _compare_closed(self) -> Iterator[Finding]:
        """Compare the holds that a window closed; those refunded later wait for their refunds, to the end."""
        closed = self.replay.closed
        rows = self._hold_rows(closed)
        for number in list(closed):
            if number in self.refunded or (number in rows and rows[number][_REFUNDED]):
                self.refunded[number] = closed[number]
        yield from self._compare(rows, {n: hold for n, hold in closed.items() if n not in self.refunded})
        self.replay.closed = dict(self.refunded)

    def _hold_rows(self, numbers: Any) -> dict[int, tuple[Any, ...]]:
        keys = ((self.state.account_id, number) for number in sorted(numbers))
        return {row[1]: tuple(row) for row in snapshots.read_reservations(self.connection, keys)}

    def _compare_holds(self, expected: dict[int, ReservationState]) -> Iterator[Finding]:
        yield from self._compare(self._hold_rows(expected), expected)

    def _compare(self, rows: dict[int, tuple[Any, ...]], expected: dict[int, ReservationState]) -> Iterator[Finding]:
        for number, hold in sorted(expected.items()):
            name, says = format_reservation_id(self.state.account_id, number), self._says(hold)
            if number not in rows:
                yield self._finding(number, "reservation_missing", f"{name} has no row")
            elif rows[number] != says:
                yield self._finding(
                    number, "reservation_wrong", f"{name} is {rows[number][2:]}, entries say {says[2:]}"
                )

    def _says(self, hold: ReservationState) -> tuple[Any, ...]:
        return reservation_row(self.state.account_id, hold)

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
        rows = self.connection.execute(_GRANTS, {"account_id": account_id})
        found = {row[1]: tuple(row) for row in rows}
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
        if noted is None or (due and due[0][0] == noted) or noted in self.replay.lapses_once:
            return
        values = {"account_id": self.state.account_id, "noted": noted}
        if self.connection.execute(_DUE_ONCE, values).first() is None:
            yield self._finding(None, "due_wrong", "nothing of the account comes, or came, due when its row says")

    def _check_cards(self) -> Iterator[Finding]:
        """The cards that launches were priced under, and no others, must be kept, and say what they said."""
        account_id, used = self.state.account_id, self.replay.cards
        kept = {row[0]: row[1] for row in self.connection.execute(_CARDS, {"account_id": account_id})}
        for card_id in sorted(used - kept.keys()):
            yield snapshots.card_missing(account_id, card_id)
        for card_id, content in kept.items():
            if not snapshots.is_card(card_id, content):
                yield snapshots.card_altered(account_id, card_id)
            elif card_id not in used:
                yield self._finding(None, "card_unknown", f"rate card {card_id} is kept and priced no run")

    def _check_limits(self) -> Iterator[Finding]:
        values = {"account_id": self.state.account_id}
        said: dict[Any, Any] = {
            number: (limit.label, limit.value, limit.period, limit.maximum)
            for number, limit in self.replay.limits.items()
        }
        found: dict[Any, Any] = {row[0]: tuple(row[1:]) for row in self.connection.execute(_LIMITS, values)}
        yield from self._differences(found, said, "limit")
        said = {key: (usage.spent, usage.holds) for key, usage in self.replay.usage.items()}
        found = {tuple(row[:3]): tuple(row[3:]) for row in self.connection.execute(_USAGE, values)}
        yield from self._differences(found, said, "usage")

    def _differences(self, found: dict[Any, Any], said: dict[Any, Any], what: str) -> Iterator[Finding]:
        for key in sorted(found.keys() | said.keys()):
            if found.get(key) != said.get(key):
                number = key if isinstance(key, int) else key[0]
                message = f"{what} {key} is {found.get(key)}, entries say {said.get(key)}"
                yield self._finding(number, f"{what}_wrong", message)

    def _check_counts(self) -> Iterator[Finding]:
        """Rows that no entry made."""
        count, transfers, entries = self.connection.execute(_COUNTS, {"account_id": self.state.account_id}).one()
        if count != self.replay.holds_count:
            message = f"{count} reservation rows, {self.replay.holds_count} entries that reserved"
            yield self._finding(None, "reservation_unknown", message)
        if transfers:
            yield self._finding(transfers, "transfer_unknown", "a transfer belongs to no entry")
        if entries != self.state.sequence:
            yield self._finding(None, "entries_unknown", f"{entries} entries, the account counts {self.state.sequence}")


_REFUNDED = 13  # the column of a reservation's row that says what was refunded
_OF_ACCOUNT = "WHERE account_id = :account_id"
_GRANTS = text(f"SELECT {', '.join(RowShape.of(GrantRow).columns)} FROM ledger_grant {_OF_ACCOUNT} ORDER BY number")
_CARDS = text(f"SELECT card_id, content FROM ledger_card {_OF_ACCOUNT} ORDER BY card_id")
_LIMITS = text(f"SELECT number, label, value, period, maximum FROM ledger_limit {_OF_ACCOUNT}")
_USAGE = text(f"SELECT limit_number, value, window_start, spent, holds FROM ledger_usage {_OF_ACCOUNT}")
_DUE_ONCE = text(
    f"SELECT 1 FROM ledger_reservation {_OF_ACCOUNT} AND lapses_at = :noted UNION ALL"
    f" SELECT 1 FROM ledger_grant {_OF_ACCOUNT} AND (expires_at = :noted OR effective_at = :noted) LIMIT 1"
)
_COUNTS = text(
    "SELECT (SELECT count(*) FROM ledger_reservation WHERE account_id = :account_id),"
    " (SELECT min(sequence) FROM ledger_transfer t WHERE account_id = :account_id AND NOT EXISTS"
    " (SELECT 1 FROM ledger_entry e WHERE e.account_id = t.account_id AND e.sequence = t.sequence)),"
    " (SELECT count(*) FROM ledger_entry WHERE account_id = :account_id)"
)
