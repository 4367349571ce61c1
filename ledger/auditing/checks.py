"""What must hold of an account once its entries are replayed: one function a check, `CHECKS` in the findings' order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ledger.auditing.closings import ClosingsAudit
from ledger.auditing.replay import Replay
from ledger.auditing.rows import AuditedRows, StoredRow
from ledger.book.states import AccountState
from ledger.errors import Finding
from ledger.model.ids import format_grant_id, format_reservation_id
from ledger.storage import cards
from ledger.storage.rows import grant_row, reservation_row


@dataclass(slots=True)
class Replayed:
    """An account beside the replay of its entries.

    `state` is its own row, `rows` its rows of the other tables. `strays` are the findings about rows that no entry
    made, met while the entries were read.
    """

    state: AccountState
    rows: AuditedRows
    replay: Replay
    closings: ClosingsAudit
    strays: list[Finding] = field(default_factory=list)

    def finding(self, sequence: int | None, code: str, message: str) -> Finding:
        """A finding about the account."""
        return Finding(self.state.account_id, sequence, code, message)


def check_account(account: Replayed) -> Iterator[Finding]:
    """The account's own row says what its entries add up to."""
    state, replay, finding = account.state, account.replay, account.finding
    if replay.sequence != state.sequence:
        message = f"the journal ends at entry {replay.sequence}, the account at {state.sequence}"
        yield finding(replay.sequence + 1, "entries_missing", message)
    if state.head != replay.head:
        yield finding(replay.sequence, "head_wrong", "the account's head is not the hash of its last entry")
    if state.buckets != replay.buckets:
        yield finding(None, "account_wrong", f"its row says {state.buckets}, its entries {replay.buckets}")
    if state.at != replay.at:
        yield finding(None, "account_wrong", "its row's latest moment is not that of its last entry")
    terms = (state.credit_limit, state.limits_count, state.scoped_count)
    if terms != (replay.credit_limit, len(replay.limits), replay.scoped_count):
        message = f"its row's credit limit and counts of limits and scopes, {terms}, are not what its entries say"
        yield finding(None, "account_wrong", message)


def check_strays(account: Replayed) -> Iterator[Finding]:
    """Every transfer, reservation and start has an entry that made it."""
    yield from account.strays


def check_grants(account: Replayed) -> Iterator[Finding]:
    """Every grant says what its entries add up to."""
    account_id = account.state.account_id
    found = {row[1]: tuple(row) for row in account.rows.others("ledger_grant")}
    expected = {number: grant_row(account_id, grant) for number, grant in account.replay.grants.items()}
    for number in sorted(found.keys() | expected.keys()):
        row, said = found.get(number), expected.get(number)
        if row != said:
            name = format_grant_id(account_id, number)
            message = f"{name} is {row and row[2:]}, entries say {said and said[2:]}"
            yield account.finding(number, "grant_wrong", message)


def check_reservations(account: Replayed) -> Iterator[Finding]:
    """Every hold that is open, or waited for refunds, is what its row says."""
    holds = account.replay.open_holds | account.replay.closed_holds
    rows = account.rows.reservations(holds)
    for number, hold in sorted(holds.items()):
        said = reservation_row(account.state.account_id, hold)
        if rows.get(number) != said:
            yield reservation_finding(account, number, rows.get(number), said)


def reservation_finding(account: Replayed, number: int, row: StoredRow | None, said: StoredRow) -> Finding:
    """The finding about a hold whose row, None for a missing one, is not what its entries say."""
    name = format_reservation_id(account.state.account_id, number)
    if row is None:
        return account.finding(number, "reservation_missing", f"{name} has no row")
    return account.finding(number, "reservation_wrong", f"{name} is {row[2:]}, entries say {said[2:]}")


def check_due(account: Replayed) -> Iterator[Finding]:
    """What comes due is noticed in time, and at the moment noted for it something comes, or came, due."""
    noted, replay = account.state.due_at, account.replay
    due = replay.due()
    for moment, kind, number in due:
        if noted is None or noted > moment:
            name = (format_reservation_id if kind == "r" else format_grant_id)(account.state.account_id, number)
            yield account.finding(number, "due_late", f"{name} would come due unnoticed")
    if noted is None or (due and due[0][0] == noted) or replay.is_noted or account.rows.came_due(noted):
        return
    yield account.finding(None, "due_wrong", "nothing of the account comes, or came, due when its row says")


def check_cards(account: Replayed) -> Iterator[Finding]:
    """The rate cards that launches were priced under, and no others, are kept, with the content they had."""
    account_id, used = account.state.account_id, account.replay.cards
    kept = {row[1]: row[2] for row in account.rows.others("ledger_card")}
    for card_id in sorted(used - kept.keys()):
        yield cards.card_missing(account_id, card_id)
    for card_id, content in kept.items():
        if not cards.is_card(card_id, content):
            yield cards.card_altered(account_id, card_id)
        elif card_id not in used:
            yield account.finding(None, "card_unknown", f"rate card {card_id} is kept and priced no run")


def check_limits(account: Replayed) -> Iterator[Finding]:
    """The spend limits are those that entries set."""
    said: dict[Any, Any] = {
        number: (limit.label, limit.value, limit.period, limit.maximum)
        for number, limit in account.replay.limits.items()
    }
    found = {row[1]: tuple(row[2:]) for row in account.rows.others("ledger_limit")}
    yield from _differences(account, found, said, "limit")


def check_usage(account: Replayed) -> Iterator[Finding]:
    """What counts against each limit is what holds and captures add up to."""
    said: dict[Any, Any] = {key: (usage.spent, usage.holds) for key, usage in account.replay.usage.items()}
    found = {tuple(row[1:4]): tuple(row[4:]) for row in account.rows.others("ledger_usage")}
    yield from _differences(account, found, said, "usage")


def _differences(account: Replayed, found: dict[Any, Any], said: dict[Any, Any], what: str) -> Iterator[Finding]:
    for key in sorted(found.keys() | said.keys()):
        if found.get(key) != said.get(key):
            number = key if isinstance(key, int) else key[0]
            message = f"{what} {key} is {found.get(key)}, entries say {said.get(key)}"
            yield account.finding(number, f"{what}_wrong", message)


def check_closings(account: Replayed) -> Iterator[Finding]:
    """Every closing says what the entries that it counts add up to."""
    yield from account.closings.findings()


def check_ends(account: Replayed) -> Iterator[Finding]:
    """No row is numbered as an entry that the account does not count."""
    last = account.state.sequence
    for table, code in _CODES_PAST_THE_END.items():
        number = account.rows.past_the_end(table)
        if number is not None:
            message = f"{table} has a row numbered {number}, and the account counts {last} entries"
            yield account.finding(number, code, message)


_CODES_PAST_THE_END = {
    "ledger_entry": "entries_unknown",
    "ledger_transfer": "transfer_unknown",
    "ledger_reservation": "reservation_unknown",
    "ledger_outbox": "start_unknown",
}

CHECKS: tuple[Callable[[Replayed], Iterator[Finding]], ...] = (
    check_account,
    check_strays,
    check_grants,
    check_reservations,
    check_due,
    check_cards,
    check_limits,
    check_usage,
    check_closings,
    check_ends,
)
