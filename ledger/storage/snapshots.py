"""Reads what a batch touches, and nothing else, into `book.states`: a few statements over sets, for any size of batch.

What depends only on the commands is read at once, in one round trip where the driver can do that: locks first, and
then keys, grants, holds, runs and cards, so that these reads see what the last holder of a lock committed. What depends
on those rows (limits, what is due, grants that holds name) follows, where there is any. On PostgreSQL the account rows
are locked, in the order of their ids; on SQLite the database.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from ledger.book.burning import burn_key
from ledger.book.postings import genesis
from ledger.book.states import AccountState, GrantState, LimitState, UsageState
from ledger.commands import (
    Capture,
    Command,
    Extend,
    GetBalance,
    LaunchRun,
    OpenAccount,
    Refund,
    Release,
    Reserve,
    RevokeGrant,
    SettleRun,
    key_scope,
)
from ledger.errors import AuditFailed
from ledger.model.cycles import window_start
from ledger.model.moments import to_moment
from ledger.storage import queries
from ledger.storage.cards import card_altered, card_missing, card_of, expect_card, expected_card, is_card
from ledger.storage.history import moves_of, read_sequence
from ledger.storage.rows import account_of, grant_of, posting_of, reservation_of
from ledger.storage.stores import store_of
from ledger.storage.stores.base import Request
from ledger.storage.stores.selects import Key, Select


@dataclass(slots=True)
class Needs:
    """The rows that commands name, by the keys with which they are looked up.

    `any_grants` are accounts of which live grants are needed, `all_grants` those of which all are; `opening` are
    accounts to be opened, with the moment of each.
    """

    accounts: set[str] = field(default_factory=set)
    now: int = 0
    horizon: int = 0
    keys: set[tuple[str, str, str]] = field(default_factory=set)
    holds: set[tuple[str, int]] = field(default_factory=set)
    runs: set[tuple[str, str, int]] = field(default_factory=set)
    datasets: set[tuple[str, str]] = field(default_factory=set)
    cards: set[tuple[str, str]] = field(default_factory=set)
    grants: set[tuple[str, int]] = field(default_factory=set)
    refunded: set[str] = field(default_factory=set)
    any_grants: set[str] = field(default_factory=set)
    all_grants: set[str] = field(default_factory=set)
    labels: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    moments: dict[str, set[int]] = field(default_factory=dict)
    opening: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, commands: Iterable[Command], now: int) -> Needs:
        """The rows that these commands name. `horizon` is the latest of their moments and of `now`."""
        needs = cls(now=now, horizon=now)
        for command in commands:
            account_id = command.account_id
            needs.accounts.add(account_id)
            if not isinstance(command, OpenAccount | GetBalance):
                needs.any_grants.add(account_id)
            if command.at is not None:
                at = to_moment(command.at)
                needs.horizon = max(needs.horizon, at)
                needs.moments.setdefault(account_id, set()).add(at)
            key = getattr(command, "key", None)
            if key is not None:
                needs.keys.add((account_id, key_scope(command), key))
            needs.add_named(command)
        return needs

    def add_named(self, command: Command) -> None:
        """Note the rows that a command names."""
        account_id = command.account_id
        if isinstance(command, OpenAccount):
            self.opening.setdefault(account_id, self.now if command.at is None else to_moment(command.at))
        elif isinstance(command, Reserve):
            if command.labels:
                self.labels.append((account_id, command.labels))
        elif isinstance(command, Capture | Release | Extend | Refund):
            self.holds.add((account_id, command.number))
            if isinstance(command, Refund):
                self.refunded.add(account_id)
        elif isinstance(command, SettleRun):
            self.runs.add((account_id, command.dataset_id, command.started_ms))
        elif isinstance(command, LaunchRun):
            self.datasets.add((account_id, command.dataset_id))
            self.cards.add((account_id, command.card.id))
            self.labels.append((account_id, {"dataset": command.dataset_id} | (command.labels or {})))
        elif isinstance(command, RevokeGrant):
            self.grants.add((account_id, command.number))
            self.all_grants.add(account_id)


Rows = list[Any]


class _Reader:
    """Statements that are sent together, and who takes their rows."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._store = store_of(connection)
        self._asked: list[tuple[Request, Callable[[Rows], None]]] = []

    def ask(self, select: Select, keys: Iterable[Key], take: Callable[[Rows], None], *extras: Any) -> None:
        """Read the rows of some keys with the next `send`; without keys nothing is read and nobody called."""
        found = keys if isinstance(keys, list) else list(keys)
        request = self._store.select(select, found, extras) if found else None
        if request is not None:
            self._asked.append((request, take))

    def carry_out(self, request: Request, take: Callable[[Rows], None]) -> None:
        """Carry out a statement with the next `send`, before what is asked after it."""
        self._asked.append((request, take))

    def send(self) -> bool:
        """Send what was asked, hand the rows over in that order, and say whether there was anything."""
        asked, self._asked = self._asked, []
        if asked:
            found = self._store.run(self._connection, [request for request, _ in asked])
            for (_, take), rows in zip(asked, found, strict=True):
                take(rows)
        return bool(asked)


def read_states(
    connection: Connection, needs: Needs, accounts: Select = queries.READ_ACCOUNTS
) -> dict[str, AccountState]:
    """The accounts that commands name, with the rows that they need; those that do not exist are left out.

    `accounts` says how their own rows are read. With `queries.LOCK_ACCOUNTS` nobody else writes to them until the
    transaction ends. Without a lock a writer may come between the statements: `is_overtaken` says so afterwards.
    """
    loading = _Loading(connection, needs)
    loading.read_what_is_named(accounts)
    loading.read_what_follows()
    return loading.accounts


def read_accounts(connection: Connection, account_ids: Iterable[str]) -> dict[str, AccountState]:
    """Read the rows of accounts alone, without locking them. Accounts that do not exist are left out."""
    return read_states(connection, Needs(set(account_ids)))


def is_overtaken(connection: Connection, state: AccountState) -> bool:
    """Whether somebody has written an entry of an account since it was read."""
    return read_sequence(connection, state.account_id) != state.sequence


class _Loading:
    """Account states while they are read, in the blocks of statements that the module describes."""

    def __init__(self, connection: Connection, needs: Needs) -> None:
        self.accounts: dict[str, AccountState] = {}
        self._needs = needs
        self._reader = _Reader(connection)
        self._opened: list[str] = []
        self._asked: set[tuple[Any, ...]] = set()
        self._pages: dict[str, list[GrantState]] = {}
        self._keyed: Rows = []
        self._launched: Rows = []
        self._moves: Rows = []
        self._cards: dict[tuple[str, str], str] = {}

    def read_what_is_named(self, accounts: Select) -> None:
        """Open accounts, read them, and read all that is looked up by what the commands say."""
        needs, ask = self._needs, self._reader.ask
        if needs.opening:
            rows = [(name, at, genesis(name, at)) for name, at in sorted(needs.opening.items())]
            self._reader.carry_out(Request(_OPEN, rows, is_each=True), self._take_opened)
        ask(accounts, _alone(sorted(needs.accounts)), self._take_accounts)
        some = needs.any_grants - needs.all_grants
        # One by one, the first grants of each account: of many accounts that takes longer than all grants of all.
        paged = some if len(some) == 1 else some & _many_grants
        ask(queries.FIRST_GRANTS, _alone(sorted(paged)), self._take_pages)
        ask(queries.LIVE_GRANTS, _alone(sorted(some - paged | needs.all_grants)), self._take_grants)
        ask(queries.KEYED_ENTRIES, needs.keys, self._keyed.extend)
        ask(queries.RESERVATIONS, needs.holds, self._take_holds)
        if needs.runs or needs.datasets:
            self._ask_for_runs()
        self._reader.send()
        for account_id, grants in self._pages.items():
            if len(grants) == queries.GRANTS_PAGE:
                self.accounts[account_id].page_end = max(map(burn_key, grants))
        for account_id, state in self.accounts.items():
            if len(state.grants) >= queries.GRANTS_PAGE:
                _note_many_grants(account_id)

    def read_what_follows(self) -> None:
        """Read what those rows call for, and what is found to be called for then."""
        needs, accounts, ask = self._needs, self.accounts, self._reader.ask
        self._ask_for_due()
        ask(queries.TRANSFERS, [(row[0], row[1]) for row in self._keyed], self._moves.extend)
        if needs.runs:
            launched = self._launches()
            ask(queries.ENTRIES, launched, self._launched.extend)
            ask(queries.TRANSFERS, launched, self._moves.extend)
        lent = [(name,) for name in needs.refunded if name in accounts and accounts[name].line]
        ask(queries.REPAYING_GRANTS, lent, self._take_missing_grants)
        limited = [(name,) for name, state in accounts.items() if state.limits_count]
        ask(queries.LIMITS, limited, self._take_limits)
        self._ask_for_named_grants()
        while self._reader.send():
            # Grants of holds that are due, counters of limits and of holds, cards of launches.
            self._ask_for_named_grants()
            keys = {key for name, state in accounts.items() if state.limits for key in _usage_keys(name, state, needs)}
            self._ask_once(queries.USAGE, keys, self._take_usage)
            used = {(row[0], _card_of_launch(row)) for row in self._launched}
            self._ask_once(queries.CARDS, used, self._take_cards)
        if self._keyed or self._launched:
            self._put_postings()
        if self._cards or self._launched:
            self._put_cards()

    def _ask_for_runs(self) -> None:
        needs, ask = self._needs, self._reader.ask
        ask(queries.RESERVATIONS_OF_RUNS, needs.runs, self._take_holds)
        ask(queries.ACTIVE_RUNS, needs.datasets, self._take_holds)
        ask(queries.LAST_RUNS, needs.datasets, self._take_last_runs)
        # The card of a run that is settled is known when its launch was read. Until then the last one is expected.
        expected = {(account_id, card_id) for account_id, _, _ in needs.runs if (card_id := expected_card(account_id))}
        self._ask_once(queries.CARDS, needs.cards | expected, self._take_cards)

    def _ask_for_due(self) -> None:
        """Ask for what comes due in accounts, and for all their live grants where those that burn first do not do."""
        accounts = self.accounts
        horizon = max([self._needs.horizon, *(state.at for state in accounts.values())])
        due = {name for name, state in accounts.items() if state.due_at is not None and state.due_at <= horizon}
        whole = due - self._needs.any_grants - self._needs.all_grants
        for account_id, state in accounts.items():
            if state.page_end is not None and (state.scoped_count or account_id in due):
                state.page_end = None
                whole.add(account_id)
        self._reader.ask(queries.LIVE_GRANTS, _alone(sorted(whole)), self._take_grants)
        for account_id in due:
            accounts[account_id].hold_due_after = None
        self._reader.ask(queries.DUE_RESERVATIONS, _alone(due), self._take_holds, horizon)
        self._reader.ask(queries.NEXT_DUE, _alone(due), self._take_next_due, horizon)

    def _ask_once(self, select: Select, keys: Iterable[Key], take: Callable[[Rows], None]) -> None:
        """Ask for the keys that this statement was not asked for before."""
        new = sorted({key for key in keys if (select.table, *key) not in self._asked})
        self._asked.update((select.table, *key) for key in new)
        self._reader.ask(select, new, take)

    def _ask_for_named_grants(self) -> None:
        """Ask for the grants that commands name and that holds have slices of, live or not, where they are missing."""
        accounts = self.accounts
        wanted = {key for key in self._needs.grants if key[0] in accounts}
        for account_id, state in accounts.items():
            for hold in state.holds.values():
                wanted.update((account_id, part[0]) for part in hold.slices)
        if not wanted:
            return
        missing = (key for key in wanted if key[1] not in accounts[key[0]].grants)
        self._ask_once(queries.GRANTS, missing, self._take_grants)

    def _launches(self) -> list[tuple[str, int]]:
        """The entries that launched the runs which commands settle."""
        found: list[tuple[str, int]] = []
        for account_id, dataset_id, started_ms in self._needs.runs:
            state = self.accounts.get(account_id)
            if state is not None and (dataset_id, started_ms) in state.runs:
                found.append((account_id, state.runs[dataset_id, started_ms]))
        return found

    def _known(self, rows: Rows) -> Rows:
        """The rows whose account is there; the audit is told of others."""
        return [row for row in rows if row[0] in self.accounts]

    def _take_opened(self, rows: Rows) -> None:
        self._opened = [account_id for (account_id,) in rows]

    def _take_accounts(self, rows: Rows) -> None:
        self.accounts = {row[0]: account_of(row) for row in rows}
        for account_id in self._opened:
            self.accounts[account_id].is_opened_here = True

    def _take_grants(self, rows: Rows) -> None:
        for row in self._known(rows):
            self.accounts[row[0]].add_grant(grant_of(row))

    def _take_missing_grants(self, rows: Rows) -> None:
        self._take_grants([row for row in self._known(rows) if row[1] not in self.accounts[row[0]].grants])

    def _take_pages(self, rows: Rows) -> None:
        for row in self._known(rows):
            grant = grant_of(row)
            self.accounts[row[0]].add_grant(grant)
            self._pages.setdefault(row[0], []).append(grant)

    def _take_holds(self, rows: Rows) -> None:
        for row in self._known(rows):
            state, hold = self.accounts[row[0]], reservation_of(row[1:])
            state.holds.setdefault(hold.number, hold)
            if hold.dataset_id is not None and hold.started_ms is not None:
                state.runs[hold.dataset_id, hold.started_ms] = hold.number
                if hold.state == "held":
                    state.active[hold.dataset_id] = hold.number

    def _take_last_runs(self, rows: Rows) -> None:
        for account_id, dataset_id, started_ms in self._known(rows):
            if started_ms is not None:
                self.accounts[account_id].started_ms_last[dataset_id] = started_ms

    def _take_next_due(self, rows: Rows) -> None:
        for account_id, moment in self._known(rows):
            self.accounts[account_id].hold_due_after = moment

    def _take_limits(self, rows: Rows) -> None:
        for account_id, number, label, value, period, maximum in self._known(rows):
            self.accounts[account_id].limits[number] = LimitState(number, label, value, period, maximum)

    def _take_usage(self, rows: Rows) -> None:
        for account_id, number, value, window, spent, holds in rows:
            self.accounts[account_id].usage[number, value, window] = UsageState(spent, holds)

    def _take_cards(self, rows: Rows) -> None:
        for account_id, card_id, content in rows:
            self._cards[account_id, card_id] = content

    def _put_postings(self) -> None:
        """Give the accounts the entries that bound keys and that launched runs, with their transfers."""
        moves = moves_of(self._moves)
        for row in self._known(self._keyed):
            posting = posting_of(row, moves.get((row[0], row[1]), []))
            self.accounts[posting.account_id].keys[posting.scope, str(posting.key)] = posting
        for row in self._launched:
            posting = posting_of(row, moves.get((row[0], row[1]), []))
            self.accounts[posting.account_id].launches[posting.sequence] = posting

    def _put_cards(self) -> None:
        """Give the accounts the cards that launches and settlements are priced under. Raises `AuditFailed`."""
        used = {(row[0], _card_of_launch(row)) for row in self._launched}
        for account_id, card_id in sorted(used - self._cards.keys()):
            raise AuditFailed([card_missing(account_id, card_id)])
        for account_id, card_id in sorted(self._cards.keys() & (used | self._needs.cards)):
            content = self._cards[account_id, card_id]
            if not is_card(card_id, content):
                raise AuditFailed([card_altered(account_id, card_id)])
            self.accounts[account_id].cards[card_id] = card_of(content)
            expect_card(account_id, card_id)


_NOTED_MAX = 4096
_many_grants: set[str] = set()
"""Accounts that this process has seen with more live grants than are read at first."""


def _note_many_grants(account_id: str) -> None:
    if len(_many_grants) >= _NOTED_MAX:
        _many_grants.clear()
    _many_grants.add(account_id)


_OPEN = (
    "INSERT INTO ledger_account (account_id, opened_at, sequence, at, head,"
    " issued, available, held, consumed, expired, revoked) VALUES ($1, $2, 0, $2, $3, 0, 0, 0, 0, 0, 0)"
    " ON CONFLICT (account_id) DO NOTHING RETURNING account_id"
)


def _alone(account_ids: Iterable[str]) -> list[Key]:
    return [(account_id,) for account_id in account_ids]


_DETAILS = [column.name for column in queries.ENTRY].index("details")


def _card_of_launch(row: Any) -> str:
    card_id: str = json.loads(row[_DETAILS])["card_id"]
    return card_id


def _usage_keys(account_id: str, state: AccountState, needs: Needs) -> set[tuple[str, int, str, int]]:
    """The keys of counters: those of the holds that were read, and for new holds those of every moment of the batch."""
    moments = {max(moment, state.at) for moment in (needs.moments.get(account_id, set()) | {needs.now})}
    labels = [{}, *(labels for owner, labels in needs.labels if owner == account_id)]
    keys = {
        (account_id, limit.number, value, window_start(limit.period, moment))
        for limit in state.limits.values()
        for named in labels
        if (value := limit.value_of(named)) is not None
        for moment in moments
    }
    for hold in state.holds.values():
        keys.update((account_id, number, value, window) for number, value, window in hold.counted or ())
    return keys
