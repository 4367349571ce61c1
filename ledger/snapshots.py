"""Reads what a batch touches, and nothing else, into `states`: a few set-based statements, whatever its size.

Locking comes first: on PostgreSQL the account rows are locked in the order of their ids, and only then are keys,
grants and holds read, so that every statement after sees what the last holder of the lock committed. On SQLite
the lock is a write to the same rows, which takes the database's write lock even where the host's engine begins
its transactions late.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, text

from estimator import RateCard
from ledger.bulk import RowShape, select_matching
from ledger.commands import Capture, Command, LaunchRun, Release, SettleRun, key_scope
from ledger.instants import to_instant
from ledger.states import BUCKETS, AccountState, GrantState, Posting, ReservationState
from ledger.tables import AccountRow, EntryRow, GrantRow, ReservationRow

_ACCOUNT = RowShape.of(AccountRow).columns
_GRANT = RowShape.of(GrantRow).columns
_RESERVATION = RowShape.of(ReservationRow).columns
ENTRY = RowShape.of(EntryRow).columns
_INDEX = {name: index for index, name in enumerate(BUCKETS)}

_BY_ACCOUNT = (("account_id", "text"),)
_BY_NUMBER = (("account_id", "text"), ("number", "bigint"))
_BY_DATASET = (("account_id", "text"), ("dataset_id", "text"))
_BY_RUN = (("account_id", "text"), ("dataset_id", "text"), ("started_ms", "bigint"))
_BY_KEY = (("account_id", "text"), ("scope", "text"), ("key", "text"))
_BY_CARD = (("account_id", "text"), ("card_id", "text"))


def _columns(names: Sequence[str]) -> str:
    return ", ".join(f"t.{name}" for name in names)


_KEYED_ENTRIES = f"SELECT {_columns(ENTRY)} FROM {{keys}} JOIN ledger_entry t USING (account_id, scope, key)"
_ENTRIES = (
    f"SELECT {_columns(ENTRY)} FROM {{keys}} JOIN ledger_entry t"
    " ON t.account_id = k.account_id AND t.sequence = k.number"
)
_TRANSFERS = (
    "SELECT t.account_id, t.sequence, t.grant_number, t.source, t.target, t.amount"
    " FROM {keys} JOIN ledger_transfer t ON t.account_id = k.account_id AND t.sequence = k.number"
    " ORDER BY t.account_id, t.sequence, t.ordinal"
)
_LIVE_GRANTS = (
    f"SELECT {_columns(_GRANT)} FROM {{keys}} JOIN ledger_grant t"
    " ON t.account_id = k.account_id WHERE t.available + t.held > 0"
)
_RESERVATIONS = f"SELECT {_columns(_RESERVATION)} FROM {{keys}} JOIN ledger_reservation t "
_RESERVATIONS_NAMED = _RESERVATIONS + "USING (account_id, number)"
_RESERVATIONS_OF_RUNS = _RESERVATIONS + "USING (account_id, dataset_id, started_ms)"
_RESERVATIONS_ACTIVE = _RESERVATIONS + "USING (account_id, dataset_id) WHERE t.state = 'held'"
_RESERVATIONS_DUE = (
    _RESERVATIONS + "ON t.account_id = k.account_id WHERE t.state = 'held' AND t.expires_at <= :horizon"
)
_NEXT_DUE = (
    "SELECT t.account_id, min(t.expires_at) FROM {keys} JOIN ledger_reservation t ON t.account_id = k.account_id"
    " WHERE t.state = 'held' AND t.expires_at > :horizon GROUP BY t.account_id"
)
_LAST_RUNS = (
    "SELECT t.account_id, t.dataset_id, max(t.started_ms) FROM {keys} JOIN ledger_reservation t"
    " USING (account_id, dataset_id) GROUP BY t.account_id, t.dataset_id"
)
_CARDS = "SELECT t.account_id, t.card_id, t.content FROM {keys} JOIN ledger_card t USING (account_id, card_id)"


@dataclass(slots=True)
class Needs:
    """What commands name: the keys by which rows are looked up."""

    accounts: set[str] = field(default_factory=set)
    horizon: int = 0
    keys: set[tuple[str, str, str]] = field(default_factory=set)
    holds: set[tuple[str, int]] = field(default_factory=set)
    runs: set[tuple[str, str, int]] = field(default_factory=set)
    datasets: set[tuple[str, str]] = field(default_factory=set)
    cards: set[tuple[str, str]] = field(default_factory=set)

    @classmethod
    def of(cls, commands: Iterable[Command], now: int) -> Needs:
        """What these commands name, the latest moment among them as `horizon`."""
        needs = cls(horizon=now)
        for command in commands:
            account_id = command.account_id
            needs.accounts.add(account_id)
            if command.at is not None:
                needs.horizon = max(needs.horizon, to_instant(command.at))
            key = getattr(command, "key", None)
            if key is not None:
                needs.keys.add((account_id, key_scope(command), key))
            if isinstance(command, Capture | Release):
                needs.holds.add((account_id, command.number))
            elif isinstance(command, SettleRun):
                needs.runs.add((account_id, command.dataset_id, command.started_ms))
            elif isinstance(command, LaunchRun):
                needs.datasets.add((account_id, command.dataset_id))
                needs.cards.add((account_id, command.card.id))
        return needs


def lock_accounts(connection: Connection, account_ids: Iterable[str]) -> dict[str, AccountState]:
    """Lock accounts in the order of their ids and read them; those that do not exist are not in the answer."""
    postgresql = connection.dialect.name == "postgresql"
    rows = select_matching(
        connection, _LOCK_POSTGRESQL if postgresql else _LOCK_SQLITE, [(i,) for i in sorted(account_ids)], _BY_ACCOUNT
    )
    return {row[0]: _account(row) for row in rows}


_LOCK_POSTGRESQL = (
    f"SELECT {_columns(_ACCOUNT)} FROM {{keys}} JOIN ledger_account t USING (account_id)"
    " ORDER BY t.account_id FOR NO KEY UPDATE OF t"
)
_LOCK_SQLITE = (
    "UPDATE ledger_account SET sequence = sequence WHERE account_id IN"
    f" (SELECT json_extract(value, '$[0]') FROM json_each(:keys)) RETURNING {', '.join(_ACCOUNT)}"
)
_READ = f"SELECT {_columns(_ACCOUNT)} FROM {{keys}} JOIN ledger_account t USING (account_id)"


def read_accounts(connection: Connection, account_ids: Iterable[str]) -> dict[str, AccountState]:
    """Read accounts without locking them."""
    rows = select_matching(connection, _READ, [(i,) for i in account_ids], _BY_ACCOUNT)
    return {row[0]: _account(row) for row in rows}


def fill(connection: Connection, accounts: dict[str, AccountState], needs: Needs) -> None:
    """Read into account states the grants, holds, keys and runs that commands need."""
    _fill_grants(connection, accounts)
    _fill_keys(connection, accounts, needs.keys)
    rows = _reservation_rows(connection, accounts, needs)
    held = [(row[0], row[1]) for row in rows if row[2] == "held"]
    slices = read_moves(connection, held)
    for account_id, number, *values in rows:
        _add_reservation(accounts[account_id], number, values, slices.get((account_id, number), ()))
    _fill_runs(connection, accounts, needs)


def _account(row: Any) -> AccountState:
    account_id, opened_at, sequence, at, head, *buckets, due_at = row
    return AccountState(
        account_id,
        opened_at,
        sequence,
        at,
        bytes(head),
        buckets,
        due_at,
        # What is not read lapses no earlier than the account's next due moment.
        hold_due_after=due_at,
    )


def _fill_grants(connection: Connection, accounts: dict[str, AccountState]) -> None:
    live = [(account_id,) for account_id, state in accounts.items() if state.sequence]
    for account_id, number, priority, expires_at, *buckets in select_matching(
        connection, _LIVE_GRANTS, live, _BY_ACCOUNT
    ):
        accounts[account_id].grants[number] = GrantState(number, priority, expires_at, buckets)


def _fill_keys(
    connection: Connection, accounts: dict[str, AccountState], keys: Iterable[tuple[str, str, str]]
) -> None:
    rows = select_matching(connection, _KEYED_ENTRIES, (key for key in keys if key[0] in accounts), _BY_KEY)
    for posting in postings_of(connection, rows):
        accounts[posting.account_id].keys[posting.scope, str(posting.key)] = posting


def read_keyed(connection: Connection, account_id: str, scope: str, key: str) -> Posting | None:
    """The entry that bound a key, if any."""
    found = postings_of(connection, select_matching(connection, _KEYED_ENTRIES, [(account_id, scope, key)], _BY_KEY))
    return found[0] if found else None


def _reservation_rows(connection: Connection, accounts: dict[str, AccountState], needs: Needs) -> list[Any]:
    """Rows of the holds that commands name, of their datasets' active runs, and of what is due; each once."""
    horizon = max([needs.horizon, *(state.at for state in accounts.values())])
    due = [
        (account_id,) for account_id, state in accounts.items() if state.due_at is not None and state.due_at <= horizon
    ]
    rows = [
        *read_reservations(connection, needs.holds),
        *select_matching(connection, _RESERVATIONS_OF_RUNS, needs.runs, _BY_RUN),
        *select_matching(connection, _RESERVATIONS_ACTIVE, needs.datasets, _BY_DATASET),
        *select_matching(connection, _RESERVATIONS_DUE, due, _BY_ACCOUNT, horizon=horizon),
    ]
    for (account_id,) in due:
        accounts[account_id].hold_due_after = None
    for account_id, moment in select_matching(connection, _NEXT_DUE, due, _BY_ACCOUNT, horizon=horizon):
        accounts[account_id].hold_due_after = moment
    return list({(row[0], row[1]): row for row in rows}.values())


def _add_reservation(state: AccountState, number: int, values: list[Any], moves: Iterable[Any]) -> None:
    held_state, amount, captured, freed, reserved_at, expires_at, dataset_id, started_ms = values
    hold = ReservationState(
        number,
        amount,
        held_state,
        captured,
        freed,
        reserved_at,
        expires_at,
        [(grant, part) for grant, _, _, part in moves],
        dataset_id,
        started_ms,
    )
    state.reservations[number] = hold
    if dataset_id is not None:
        state.runs[dataset_id, started_ms] = number
        if held_state == "held":
            state.active[dataset_id] = number


def _fill_runs(connection: Connection, accounts: dict[str, AccountState], needs: Needs) -> None:
    """For launches, the latest start and whether the card is kept; for settlements, the launch and its card."""
    for account_id, dataset_id, started_ms in select_matching(connection, _LAST_RUNS, needs.datasets, _BY_DATASET):
        accounts[account_id].started_ms_last[dataset_id] = started_ms
    launched = {
        (account_id, accounts[account_id].runs[dataset_id, started_ms])
        for account_id, dataset_id, started_ms in needs.runs
        if account_id in accounts and (dataset_id, started_ms) in accounts[account_id].runs
    }
    cards = set(needs.cards)
    for posting in read_postings(connection, launched):
        accounts[posting.account_id].holds[posting.sequence] = posting
        cards.add((posting.account_id, posting.parsed_details()["card_id"]))
    for account_id, card_id, content in select_matching(connection, _CARDS, cards, _BY_CARD):
        accounts[account_id].cards[card_id] = card_of(content)


@lru_cache(maxsize=64)
def card_of(content: str) -> RateCard:
    """The rate card of a stored text; parsed once for many runs."""
    return RateCard.from_json(content)


def read_reservations(connection: Connection, keys: Iterable[tuple[str, int]]) -> list[Any]:
    """Reservation rows by account and number, all columns in the table's order."""
    return select_matching(connection, _RESERVATIONS_NAMED, keys, _BY_NUMBER)


def read_postings(connection: Connection, keys: Iterable[tuple[str, int]]) -> list[Posting]:
    """Entries by account and sequence, with their transfers."""
    return postings_of(connection, select_matching(connection, _ENTRIES, keys, _BY_NUMBER))


def postings_of(connection: Connection, rows: Sequence[Any]) -> list[Posting]:
    """Entry rows, all columns in the table's order, joined with their transfers."""
    moves = read_moves(connection, [(row[0], row[1]) for row in rows])
    return [posting_of(row, moves.get((row[0], row[1]), [])) for row in rows]


def posting_of(row: Any, moves: list[Any]) -> Posting:
    """One entry row, all columns in the table's order, and its transfers."""
    *head, digest, reservation, details, issued, available, held, consumed, expired, revoked, entry_hash = row
    buckets = (issued, available, held, consumed, expired, revoked)
    digest = None if digest is None else bytes(digest)
    return Posting(*head, digest, reservation, details, moves, buckets, bytes(entry_hash))


def read_moves(
    connection: Connection, keys: Iterable[tuple[str, int]]
) -> dict[tuple[str, int], list[tuple[int, int, int, int]]]:
    """Transfers by account and sequence, in their order."""
    moves: dict[tuple[str, int], list[tuple[int, int, int, int]]] = {}
    for account_id, sequence, grant, source, target, amount in select_matching(
        connection, _TRANSFERS, keys, _BY_NUMBER
    ):
        moves.setdefault((account_id, sequence), []).append((grant, _INDEX[source], _INDEX[target], amount))
    return moves


def read_sequence(connection: Connection, account_id: str) -> int | None:
    """The sequence of an account's latest entry, to tell whether a read was overtaken."""
    sequence: int | None = connection.execute(
        text("SELECT sequence FROM ledger_account WHERE account_id = :account_id"), {"account_id": account_id}
    ).scalar_one_or_none()
    return sequence
