"""Reads what a batch touches, and nothing else, into `book.states`: a few statements over sets, for any size of batch.

Locks come first. On PostgreSQL the account rows are locked in the order of their ids, and only then are keys, grants
and holds read, so these reads see what the last holder of the lock committed. On SQLite a prepared engine has taken
the database's write lock already. A host's own SQLite engine may begin its transactions late: there a write to the
same rows takes the lock.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from ledger.book.burning import burn_key
from ledger.book.states import AccountState, GrantState, LimitState, UsageState
from ledger.commands import (
    Capture,
    Command,
    Extend,
    LaunchRun,
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
from ledger.storage.cards import card_altered, card_missing, card_of, is_card
from ledger.storage.driver import driver_cursor
from ledger.storage.engines import BEGINS_IMMEDIATE
from ledger.storage.history import postings_of, read_postings
from ledger.storage.rows import account_of, grant_of, reservation_of


@dataclass(slots=True)
class Needs:
    """The rows that commands name, by the keys with which they are looked up."""

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
    all_grants: set[str] = field(default_factory=set)
    labels: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    moments: dict[str, set[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, commands: Iterable[Command], now: int) -> Needs:
        """The rows that these commands name. `horizon` is the latest of their moments and of `now`."""
        needs = cls(now=now, horizon=now)
        for command in commands:
            account_id = command.account_id
            needs.accounts.add(account_id)
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
        if isinstance(command, Reserve):
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


def lock_accounts(connection: Connection, account_ids: Iterable[str]) -> dict[str, AccountState]:
    """Lock accounts in the order of their ids and read them. Accounts that do not exist are left out."""
    if connection.dialect.name == "postgresql":
        rows = queries.LOCK_ACCOUNTS.fetch(connection, [(account_id,) for account_id in account_ids])
    elif BEGINS_IMMEDIATE in connection.info:
        return read_accounts(connection, account_ids)
    else:
        rows = list(connection.execute(queries.LOCK_SQLITE, {"ids": json.dumps(list(account_ids))}).all())
    return {row[0]: account_of(row) for row in rows}


def read_accounts(connection: Connection, account_ids: Iterable[str]) -> dict[str, AccountState]:
    """Read accounts without locking them. Accounts that do not exist are left out."""
    rows = queries.READ_ACCOUNTS.fetch(connection, [(account_id,) for account_id in account_ids])
    return {row[0]: account_of(row) for row in rows}


def fill(connection: Connection, accounts: dict[str, AccountState], needs: Needs) -> None:
    """Read the grants, holds, keys, runs and limits that commands need into account states."""
    _fill_live_grants(connection, accounts, needs)
    _fill_keys(connection, accounts, needs.keys)
    for row in _reservation_rows(connection, accounts, needs):
        _add_reservation(accounts[row[0]], row[1:])
    _fill_named_grants(connection, accounts, needs)
    if needs.datasets or needs.runs:
        _fill_runs(connection, accounts, needs)
    limited = {account_id: state for account_id, state in accounts.items() if state.limits_count}
    if limited:
        _fill_limits(connection, limited, needs)


def _is_due(state: AccountState, needs: Needs) -> bool:
    return state.due_at is not None and state.due_at <= max(needs.horizon, state.at)


def _fill_live_grants(connection: Connection, accounts: dict[str, AccountState], needs: Needs) -> None:
    """Read all live grants of accounts that may need any of them, and of other accounts those that burn first."""
    whole: list[tuple[str]] = []
    paged: list[tuple[str]] = []
    for account_id, state in accounts.items():
        if state.sequence:
            is_whole = account_id in needs.all_grants or state.scoped_count or _is_due(state, needs)
            (whole if is_whole else paged).append((account_id,))
    for row in queries.LIVE_GRANTS.fetch(connection, whole):
        accounts[row[0]].add_grant(grant_of(row))
    read: dict[str, list[GrantState]] = {}
    for row in _first_grants(connection, paged):
        grant = grant_of(row)
        accounts[row[0]].add_grant(grant)
        read.setdefault(row[0], []).append(grant)
    for account_id, grants in read.items():
        if len(grants) == queries.GRANTS_PAGE:
            accounts[account_id].page_end = max(map(burn_key, grants))


def _first_grants(connection: Connection, keys: list[tuple[str]]) -> list[Any]:
    if not keys:
        return []
    if connection.dialect.name == "postgresql":
        return queries.FIRST_GRANTS_POSTGRESQL.fetch(connection, keys)
    rows: list[Any] = []
    with driver_cursor(connection) as cursor:
        for key in keys:
            cursor.execute(queries.FIRST_GRANTS_SQLITE, key)
            rows += cursor.fetchall()
    return rows


def _fill_named_grants(connection: Connection, accounts: dict[str, AccountState], needs: Needs) -> None:
    """Read the grants that commands name and that holds have slices of, live or not, where they were not read yet."""
    wanted = {(account_id, number) for account_id, number in needs.grants if account_id in accounts}
    for account_id, state in accounts.items():
        for hold in state.holds.values():
            wanted.update((account_id, part[0]) for part in hold.slices)
    missing = [(account_id, number) for account_id, number in wanted if number not in accounts[account_id].grants]
    rows = queries.GRANTS.fetch(connection, sorted(missing))
    lent = [(account_id,) for account_id in needs.refunded if account_id in accounts and accounts[account_id].line]
    rows += queries.REPAYING_GRANTS.fetch(connection, lent)
    for row in rows:
        if row[1] not in accounts[row[0]].grants:
            accounts[row[0]].add_grant(grant_of(row))


def _fill_limits(connection: Connection, accounts: dict[str, AccountState], needs: Needs) -> None:
    """Read the limits of accounts that have any, and the counters that commands and holds may touch."""
    for row in queries.LIMITS.fetch(connection, [(account_id,) for account_id in accounts]):
        account_id, number, label, value, period, maximum = row
        accounts[account_id].limits[number] = LimitState(number, label, value, period, maximum)
    keys = {key for account_id, state in accounts.items() for key in _usage_keys(account_id, state, needs)}
    for account_id, number, value, window, spent, holds in queries.USAGE.fetch(connection, sorted(keys)):
        accounts[account_id].usage[number, value, window] = UsageState(spent, holds)


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


def _fill_keys(connection: Connection, accounts: dict[str, AccountState], keys: Iterable[tuple[str, str, str]]) -> None:
    rows = queries.KEYED_ENTRIES.fetch(connection, (key for key in keys if key[0] in accounts))
    for posting in postings_of(connection, rows):
        accounts[posting.account_id].keys[posting.scope, str(posting.key)] = posting


def _reservation_rows(connection: Connection, accounts: dict[str, AccountState], needs: Needs) -> list[Any]:
    """Rows of the holds that commands name, of active runs on their datasets, and of holds that are due; each once."""
    horizon = max([needs.horizon, *(state.at for state in accounts.values())])
    due = [
        (account_id,) for account_id, state in accounts.items() if state.due_at is not None and state.due_at <= horizon
    ]
    if not (due or needs.holds or needs.runs or needs.datasets):
        return []
    rows = [
        *read_reservations(connection, needs.holds),
        *queries.RESERVATIONS_OF_RUNS.fetch(connection, needs.runs),
        *queries.ACTIVE_RUNS.fetch(connection, needs.datasets),
        *queries.DUE_RESERVATIONS.fetch(connection, due, horizon=horizon),
    ]
    for (account_id,) in due:
        accounts[account_id].hold_due_after = None
    for account_id, moment in queries.NEXT_DUE.fetch(connection, due, horizon=horizon):
        accounts[account_id].hold_due_after = moment
    return list({(row[0], row[1]): row for row in rows}.values())


def _add_reservation(state: AccountState, columns: Any) -> None:
    hold = reservation_of(columns)
    state.holds[hold.number] = hold
    if hold.dataset_id is not None and hold.started_ms is not None:
        state.runs[hold.dataset_id, hold.started_ms] = hold.number
        if hold.state == "held":
            state.active[hold.dataset_id] = hold.number


def _fill_runs(connection: Connection, accounts: dict[str, AccountState], needs: Needs) -> None:
    """Read for launches the latest start and whether the card is stored; for settlements the launch and its card."""
    for account_id, dataset_id, started_ms in queries.LAST_RUNS.fetch(connection, needs.datasets):
        accounts[account_id].started_ms_last[dataset_id] = started_ms
    launched = {
        (account_id, accounts[account_id].runs[dataset_id, started_ms])
        for account_id, dataset_id, started_ms in needs.runs
        if account_id in accounts and (dataset_id, started_ms) in accounts[account_id].runs
    }
    used: set[tuple[str, str]] = set()
    for posting in read_postings(connection, launched):
        accounts[posting.account_id].launches[posting.sequence] = posting
        used.add((posting.account_id, posting.parsed_details()["card_id"]))
    kept = {(row[0], row[1]): row[2] for row in queries.CARDS.fetch(connection, needs.cards | used)}
    for account_id, card_id in sorted(used - kept.keys()):
        raise AuditFailed([card_missing(account_id, card_id)])
    for (account_id, card_id), content in kept.items():
        if not is_card(card_id, content):
            raise AuditFailed([card_altered(account_id, card_id)])
        accounts[account_id].cards[card_id] = card_of(content)


def read_reservations(connection: Connection, keys: Iterable[tuple[str, int]]) -> list[Any]:
    """Reservation rows by account and number, all columns in the table's order."""
    return queries.RESERVATIONS.fetch(connection, keys)
