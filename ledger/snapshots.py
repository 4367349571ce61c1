"""Reads what a batch touches, and nothing else, into `states`: a few set-based statements, whatever its size.

Locking comes first: on PostgreSQL the account rows are locked in the order of their ids, and only then are keys,
grants and holds read, so that every statement after sees what the last holder of the lock committed. On SQLite
a prepared engine has taken the database's write lock already; on any other engine, which may begin its
transactions late, a write to the same rows takes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from json import dumps
from typing import Any

from sqlalchemy import Column, Connection, text

from estimator import RateCard
from ledger.bulk import KeyedQuery, table_of
from ledger.commands import Capture, Command, LaunchRun, Release, SettleRun, key_scope
from ledger.errors import AuditFailed
from ledger.instants import to_instant
from ledger.states import BUCKETS, AccountState, GrantState, Posting, ReservationState
from ledger.tables import AccountRow, CardRow, EntryRow, GrantRow, ReservationRow, TransferRow
from ledger.values import Finding

_ACCOUNT = table_of(AccountRow).columns
_GRANT = table_of(GrantRow).columns
_RESERVATION = table_of(ReservationRow).columns
_TRANSFER = table_of(TransferRow).columns
_CARD = table_of(CardRow).columns
ENTRY = table_of(EntryRow).columns

BEGINS_IMMEDIATE = "ledger_begins_immediate"
"""Marks, in a connection's `info`, that its transactions begin by taking SQLite's write lock."""

_INDEX = {name: index for index, name in enumerate(BUCKETS)}

_BY_ACCOUNT = (_ACCOUNT.account_id,)
_BY_NUMBER = (_GRANT.account_id, _GRANT.number)
_BY_DATASET = (_RESERVATION.account_id, _RESERVATION.dataset_id)
_BY_RUN = (*_BY_DATASET, _RESERVATION.started_ms)
_BY_KEY = (ENTRY.account_id, ENTRY.scope, ENTRY.key)
_BY_CARD = (_CARD.account_id, _CARD.card_id)


def _named(columns: Iterable[Column[Any]]) -> str:
    return ", ".join(f"t.{column.name}" for column in columns)


def _query(
    rest: str, keys: tuple[Column[Any], ...], columns: Iterable[Column[Any]], chosen: str | None = None
) -> KeyedQuery:
    """`SELECT columns FROM {keys} JOIN rest`, where `chosen` says otherwise what is selected as those columns."""
    columns = tuple(columns)
    return KeyedQuery(f"SELECT {chosen or _named(columns)} FROM {{keys}} JOIN {rest}", keys, columns)


_READ_ACCOUNTS = _query("ledger_account t USING (account_id)", _BY_ACCOUNT, _ACCOUNT)
_LOCK_POSTGRESQL = _query(
    "ledger_account t USING (account_id) ORDER BY t.account_id FOR NO KEY UPDATE OF t", _BY_ACCOUNT, _ACCOUNT
)
_LIVE_GRANTS = _query(
    "ledger_grant t ON t.account_id = k.account_id WHERE t.available + t.held > 0", _BY_ACCOUNT, _GRANT
)
_KEYED_ENTRIES = _query("ledger_entry t USING (account_id, scope, key)", _BY_KEY, ENTRY)
_ENTRIES = _query("ledger_entry t ON t.account_id = k.account_id AND t.sequence = k.number", _BY_NUMBER, ENTRY)
_MOVE = tuple(_TRANSFER[name] for name in ("account_id", "sequence", "grant_number", "source", "target", "amount"))
_TRANSFERS = _query(
    "ledger_transfer t ON t.account_id = k.account_id AND t.sequence = k.number"
    " ORDER BY t.account_id, t.sequence, t.ordinal",
    _BY_NUMBER,
    _MOVE,
)
_NAMED = _query("ledger_reservation t USING (account_id, number)", _BY_NUMBER, _RESERVATION)
_OF_RUNS = _query("ledger_reservation t USING (account_id, dataset_id, started_ms)", _BY_RUN, _RESERVATION)
_ACTIVE = _query(
    "ledger_reservation t USING (account_id, dataset_id) WHERE t.state = 'held'", _BY_DATASET, _RESERVATION
)
_DUE = _query(
    "ledger_reservation t ON t.account_id = k.account_id WHERE t.state = 'held' AND t.expires_at <= :horizon",
    _BY_ACCOUNT,
    _RESERVATION,
)
_NEXT_DUE = _query(
    "ledger_reservation t ON t.account_id = k.account_id"
    " WHERE t.state = 'held' AND t.expires_at > :horizon GROUP BY t.account_id",
    _BY_ACCOUNT,
    (_RESERVATION.account_id, _RESERVATION.expires_at),
    "t.account_id, min(t.expires_at)",
)
_LAST_RUNS = _query(
    "ledger_reservation t USING (account_id, dataset_id) GROUP BY t.account_id, t.dataset_id",
    _BY_DATASET,
    _BY_RUN,
    "t.account_id, t.dataset_id, max(t.started_ms)",
)
_CARDS = _query("ledger_card t USING (account_id, card_id)", _BY_CARD, _CARD)


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
    if connection.dialect.name == "postgresql":
        rows = _LOCK_POSTGRESQL.fetch(connection, [(account_id,) for account_id in account_ids])
    elif BEGINS_IMMEDIATE in connection.info:
        return read_accounts(connection, account_ids)
    else:
        rows = list(connection.execute(_LOCK_SQLITE, {"ids": dumps(list(account_ids))}).all())
    return {row[0]: _account(row) for row in rows}


_LOCK_SQLITE = text(
    "UPDATE ledger_account SET sequence = sequence WHERE account_id IN (SELECT value FROM json_each(:ids))"
    f" RETURNING {', '.join(column.name for column in _ACCOUNT)}"
).columns(*_ACCOUNT)


def read_accounts(connection: Connection, account_ids: Iterable[str]) -> dict[str, AccountState]:
    """Read accounts without locking them."""
    rows = _READ_ACCOUNTS.fetch(connection, [(account_id,) for account_id in account_ids])
    return {row[0]: _account(row) for row in rows}


def fill(connection: Connection, accounts: dict[str, AccountState], needs: Needs) -> None:
    """Read into account states the grants, holds, keys and runs that commands need."""
    _fill_grants(connection, accounts)
    _fill_keys(connection, accounts, needs.keys)
    rows = _reservation_rows(connection, accounts, needs)
    if rows:
        _fill_reservations(connection, accounts, rows)
    if needs.datasets or needs.runs:
        _fill_runs(connection, accounts, needs)


def _fill_reservations(connection: Connection, accounts: dict[str, AccountState], rows: list[Any]) -> None:
    held = [(row[0], row[1]) for row in rows if row[2] == "held"]
    slices = read_moves(connection, held)
    for account_id, number, *values in rows:
        _add_reservation(accounts[account_id], number, values, slices.get((account_id, number), ()))


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
    for account_id, number, priority, expires_at, *buckets in _LIVE_GRANTS.fetch(connection, live):
        accounts[account_id].grants[number] = GrantState(number, priority, expires_at, buckets)


def _fill_keys(connection: Connection, accounts: dict[str, AccountState], keys: Iterable[tuple[str, str, str]]) -> None:
    rows = _KEYED_ENTRIES.fetch(connection, (key for key in keys if key[0] in accounts))
    for posting in postings_of(connection, rows):
        accounts[posting.account_id].keys[posting.scope, str(posting.key)] = posting


def read_keyed(connection: Connection, account_id: str, scope: str, key: str) -> Posting | None:
    """The entry that bound a key, if any."""
    found = postings_of(connection, _KEYED_ENTRIES.fetch(connection, [(account_id, scope, key)]))
    return found[0] if found else None


def _reservation_rows(connection: Connection, accounts: dict[str, AccountState], needs: Needs) -> list[Any]:
    """Rows of the holds that commands name, of their datasets' active runs, and of what is due; each once."""
    horizon = max([needs.horizon, *(state.at for state in accounts.values())])
    due = [
        (account_id,) for account_id, state in accounts.items() if state.due_at is not None and state.due_at <= horizon
    ]
    if not (due or needs.holds or needs.runs or needs.datasets):
        return []
    rows = [
        *read_reservations(connection, needs.holds),
        *_OF_RUNS.fetch(connection, needs.runs),
        *_ACTIVE.fetch(connection, needs.datasets),
        *_DUE.fetch(connection, due, horizon=horizon),
    ]
    for (account_id,) in due:
        accounts[account_id].hold_due_after = None
    for account_id, moment in _NEXT_DUE.fetch(connection, due, horizon=horizon):
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
    for account_id, dataset_id, started_ms in _LAST_RUNS.fetch(connection, needs.datasets):
        accounts[account_id].started_ms_last[dataset_id] = started_ms
    launched = {
        (account_id, accounts[account_id].runs[dataset_id, started_ms])
        for account_id, dataset_id, started_ms in needs.runs
        if account_id in accounts and (dataset_id, started_ms) in accounts[account_id].runs
    }
    used: set[tuple[str, str]] = set()
    for posting in read_postings(connection, launched):
        accounts[posting.account_id].holds[posting.sequence] = posting
        used.add((posting.account_id, posting.parsed_details()["card_id"]))
    kept = {(row[0], row[1]): row[2] for row in _CARDS.fetch(connection, needs.cards | used)}
    for account_id, card_id in sorted(used - kept.keys()):
        raise AuditFailed([card_missing(account_id, card_id)])
    for (account_id, card_id), content in kept.items():
        if not is_card(card_id, content):
            raise AuditFailed([card_altered(account_id, card_id)])
        accounts[account_id].cards[card_id] = card_of(content)


def card_missing(account_id: str, card_id: str) -> Finding:
    """What is wrong with a card that is not kept."""
    return Finding(account_id, None, "card_missing", f"rate card {card_id} priced a run and is not kept")


def card_altered(account_id: str, card_id: str) -> Finding:
    """What is wrong with a card that does not say what it said."""
    return Finding(account_id, None, "card_altered", f"the text of rate card {card_id} is not what was stored")


@lru_cache(maxsize=64)
def is_card(card_id: str, content: str) -> bool:
    """True for the text that a card's id is the hash of, whatever this version would write for the same card."""
    return sha256(content.encode()).hexdigest() == card_id


@lru_cache(maxsize=64)
def card_of(content: str) -> RateCard:
    """The rate card of a stored text; parsed once for many runs."""
    return RateCard.from_json(content)


def read_reservations(connection: Connection, keys: Iterable[tuple[str, int]]) -> list[Any]:
    """Reservation rows by account and number, all columns in the table's order."""
    return _NAMED.fetch(connection, keys)


def read_postings(connection: Connection, keys: Iterable[tuple[str, int]]) -> list[Posting]:
    """Entries by account and sequence, with their transfers."""
    return postings_of(connection, _ENTRIES.fetch(connection, keys))


def postings_of(connection: Connection, rows: Sequence[Any]) -> list[Posting]:
    """Entry rows, all columns in the table's order, joined with their transfers."""
    moves = read_moves(connection, [(row[0], row[1]) for row in rows])
    return [posting_of(row, moves.get((row[0], row[1]), [])) for row in rows]


def posting_of(row: Any, moves: list[Any]) -> Posting:
    """One entry row, all columns in the table's order, and its transfers."""
    account_id, sequence, kind, at, recorded_at, scope, key, digest, reservation, details, *buckets, entry_hash = row
    return Posting(
        account_id,
        sequence,
        kind,
        at,
        recorded_at,
        scope,
        key,
        None if digest is None else bytes(digest),
        reservation,
        details,
        moves,
        tuple(buckets),
        bytes(entry_hash),
    )


def read_moves(
    connection: Connection, keys: Iterable[tuple[str, int]]
) -> dict[tuple[str, int], list[tuple[int, int, int, int]]]:
    """Transfers by account and sequence, in their order."""
    moves: dict[tuple[str, int], list[tuple[int, int, int, int]]] = {}
    for account_id, sequence, grant, source, target, amount in _TRANSFERS.fetch(connection, keys):
        moves.setdefault((account_id, sequence), []).append((grant, _INDEX[source], _INDEX[target], amount))
    return moves


def read_sequence(connection: Connection, account_id: str) -> int | None:
    """The sequence of an account's latest entry, to tell whether a read was overtaken."""
    sequence: int | None = connection.execute(
        text("SELECT sequence FROM ledger_account WHERE account_id = :account_id"), {"account_id": account_id}
    ).scalar_one_or_none()
    return sequence
