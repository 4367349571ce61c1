"""The audit of one account: its entries are replayed, then `checks.CHECKS` compare every row of it with the replay."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ledger.auditing.checks import CHECKS, Replayed, reservation_finding
from ledger.auditing.closings import ClosingsAudit
from ledger.auditing.replay import Defect, Replay
from ledger.auditing.rows import AT, KIND, SEQUENCE, UNREADABLE, AuditedRows, Window
from ledger.book.postings import genesis
from ledger.book.states import AccountState
from ledger.errors import Finding
from ledger.model.ids import format_reservation_id, format_start_id
from ledger.model.values import EntryKind, StartState
from ledger.storage.rows import reservation_row

EntriesDone = Callable[[int], None]
"""Told how many more entries are audited."""


@dataclass(slots=True)
class AccountAudit:
    """One account's row and its others, and the replay of its entries up to a moment.

    `is_chained_to` is the last entry whose hash, and those of all before, another process proves.
    `awaited` is, by hold, what its row says is refunded, for closed holds of which later entries refund more.
    """

    state: AccountState
    rows: AuditedRows
    cutoff: int | None = None
    is_chained_to: int = 0
    replay: Replay = field(init=False)
    account: Replayed = field(init=False)
    awaited: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        state = self.state
        head = genesis(state.account_id, state.opened_at)
        self.replay = Replay(state.account_id, state.opened_at, head, noted=state.due_at)
        closings = ClosingsAudit(state, self.rows.others("ledger_closing"), self.replay.grants)
        self.account = Replayed(state, self.rows, self.replay, closings)

    def findings(self, progress: EntriesDone) -> list[Finding]:
        """Every finding, in the order of the entries, then of the checks."""
        findings: list[Finding] = []
        try:
            for finding in self._run(progress):
                findings.append(finding)  # noqa: PERF402  # what was found before a row that cannot be read is kept
        except UNREADABLE as error:
            sequence = self.replay.sequence
            message = f"what follows entry {sequence}, or is in it, cannot be read ({error!r})"
            findings.append(self.account.finding(sequence, "unreadable", message))
        return findings

    def _run(self, progress: EntriesDone) -> Iterator[Finding]:
        for window in self.rows.windows():
            yield from self._follow(window)
            self.account.closings.follow(window)
            if self.cutoff is not None and window.entries and window.entries[-1][AT] > self.cutoff:
                return
            yield from self._compare_closed(window)
            self.account.strays += self._strays(window)
            progress(len(window.entries))
        for check in CHECKS:
            yield from check(self.account)

    def _follow(self, window: Window) -> Iterator[Finding]:
        """Replay a window's entries, up to the cutoff; a hold that ends as its row says is compared with it at once."""
        replay, cutoff, misplaced = self.replay, self.cutoff, window.misplaced
        is_chained = not misplaced and self._is_chained(window)
        account_id, transfers_of, row_of = self.state.account_id, window.transfers.get, window.reservations.get
        defects: list[Defect] = []
        for row in window.entries:
            if cutoff is not None and row[AT] > cutoff:
                return
            sequence = row[SEQUENCE]
            try:
                hold = replay.follow(row, transfers_of(sequence, ()), defects, is_chained=is_chained)
            except UNREADABLE:
                replay.sequence = sequence
                yield from self._told(sequence, defects)
                raise
            if is_chained and hold is not None and row_of(hold.number) == reservation_row(account_id, hold):
                del replay.closed_holds[hold.number]
            if defects:
                yield from self._told(sequence, defects)
            if sequence in misplaced:
                yield self.account.finding(sequence, "transfer_misplaced", "its transfers are not numbered from 0")

    def _told(self, sequence: int, defects: list[Defect]) -> list[Finding]:
        findings = [self.account.finding(sequence, code, message) for code, message in defects]
        defects.clear()
        return findings

    def _is_chained(self, window: Window) -> bool:
        """True when the hash of every entry of a window is known to be right."""
        if not window.entries or window.entries[-1][SEQUENCE] <= self.is_chained_to:
            return True
        return window.is_chained_to(self.state.account_id, self.replay.head)

    def _strays(self, window: Window) -> Iterator[Finding]:
        """Rows that are numbered as entries of the window are and that none of them made."""
        finding, account_id = self.account.finding, self.state.account_id
        sequences = {row[SEQUENCE] for row in window.entries}
        for sequence in sorted(window.transfers.keys() - sequences):
            yield finding(sequence, "transfer_unknown", "a transfer belongs to no entry")
        reserved = {row[SEQUENCE] for row in window.entries if row[KIND] == _RESERVE}
        for number in sorted(window.reservations.keys() - reserved):
            name = format_reservation_id(account_id, number)
            yield finding(number, "reservation_unknown", f"{name} has a row, and no entry that reserved it")
        said, self.replay.starts = self.replay.starts, {}
        for number in sorted(said.keys() | window.starts.keys()):
            name, row = format_start_id(account_id, number), window.starts.get(number)
            if row is None:
                yield finding(number, "start_missing", f"{name} has no row, and its entry says that it has")
            elif number not in said:
                yield finding(number, "start_unknown", f"{name} has a row, and no entry that launched it")
            elif row[_CREATED_AT] != said[number] or not _is_start(*row[_CREATED_AT + 1 :]):
                yield finding(number, "start_wrong", f"{name} is {row[_CREATED_AT:]}, and no delivery leaves it so")

    def _compare_closed(self, window: Window) -> Iterator[Finding]:
        """Compare the holds that are closed; those of which later entries refund more wait for their refunds."""
        closed, awaited, rows = self.replay.closed_holds, self.awaited, window.reservations
        ready = closed.copy()
        for number in awaited.keys() & closed.keys():
            if awaited[number] != closed[number].refunded:
                del ready[number]
        earlier = ready.keys() - rows.keys()
        if earlier:
            rows = rows | self.rows.reservations(earlier)
        for number, hold in ready.items():
            row, said = rows.get(number), reservation_row(self.state.account_id, hold)
            if row != said:
                if row is not None and row[_REFUNDED] != hold.refunded:
                    awaited[number] = row[_REFUNDED]
                    continue
                yield reservation_finding(self.account, number, row, said)
            del closed[number]
            awaited.pop(number, None)


_RESERVE = EntryKind.RESERVE.value
_REFUNDED = 13  # a column of a reservation's row
_CREATED_AT = 2  # of a start's


def _is_start(state: object, attempts: int, _next: int, ended_at: int | None, _error: str | None) -> bool:
    """True for what deliveries can leave of a start; how many were made, no entry says."""
    if state == StartState.WAITING:
        return attempts >= 0 and ended_at is None
    is_ended = isinstance(ended_at, int) and attempts >= (state == StartState.DELIVERED)
    return is_ended and state in (StartState.DELIVERED, StartState.WITHDRAWN)
