"""The ledger's reads: statements over the rows of many keys, and the columns of their results."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Column, text

from ledger.book.burning import KIND_RANKS
from ledger.schema.tables import (
    EXPIRY_ORDER,
    IS_LIVE,
    AccountRow,
    CardRow,
    EntryRow,
    GrantRow,
    LimitRow,
    ReservationRow,
    TransferRow,
    UsageRow,
)
from ledger.storage.keyed import KeyedQuery
from ledger.storage.shapes import table_of

ACCOUNT = table_of(AccountRow).columns
_GRANT = table_of(GrantRow).columns
_RESERVATION = table_of(ReservationRow).columns
_TRANSFER = table_of(TransferRow).columns
_CARD = table_of(CardRow).columns
ENTRY = table_of(EntryRow).columns

_BY_ACCOUNT = (ACCOUNT.account_id,)
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
    """`SELECT columns FROM {keys} JOIN rest`. `chosen` gives the expressions where they are not plain columns."""
    columns = tuple(columns)
    return KeyedQuery(f"SELECT {chosen or _named(columns)} FROM {{keys}} JOIN {rest}", keys, columns)


READ_ACCOUNTS = _query("ledger_account t USING (account_id)", _BY_ACCOUNT, ACCOUNT)
LOCK_ACCOUNTS = _query(
    "ledger_account t USING (account_id) ORDER BY t.account_id FOR NO KEY UPDATE OF t", _BY_ACCOUNT, ACCOUNT
)
LIVE_GRANTS = _query(f"ledger_grant t ON t.account_id = k.account_id WHERE {IS_LIVE}", _BY_ACCOUNT, _GRANT)
GRANTS = _query("ledger_grant t USING (account_id, number)", _BY_NUMBER, _GRANT)
REPAYING_GRANTS = _query("ledger_grant t ON t.account_id = k.account_id WHERE t.repaid > 0", _BY_ACCOUNT, _GRANT)

GRANTS_PAGE = 64
"""How many live grants, in burn order, an operation reads at first. It reads all where these do not suffice."""

_RANK = " ".join(f"WHEN '{kind}' THEN {rank}" for kind, rank in KIND_RANKS.items())
BURN_ORDER = f"priority, {EXPIRY_ORDER}, CASE kind {_RANK} END, effective_at, number"
"""The order of `book.burning.burn_key`, as SQL."""

FIRST_GRANTS_POSTGRESQL = _query(
    "LATERAL (SELECT g.* FROM ledger_grant g WHERE g.account_id = k.account_id"
    f" AND ({IS_LIVE}) ORDER BY {BURN_ORDER} LIMIT {GRANTS_PAGE}) t ON true",
    _BY_ACCOUNT,
    _GRANT,
)
FIRST_GRANTS_SQLITE = (
    f"SELECT {_named(_GRANT)} FROM ledger_grant t WHERE account_id = ? AND ({IS_LIVE})"
    f" ORDER BY {BURN_ORDER} LIMIT {GRANTS_PAGE}"
)
KEYED_ENTRIES = _query("ledger_entry t USING (account_id, scope, key)", _BY_KEY, ENTRY)
ENTRIES = _query("ledger_entry t ON t.account_id = k.account_id AND t.sequence = k.number", _BY_NUMBER, ENTRY)
_MOVE = tuple(_TRANSFER[name] for name in ("account_id", "sequence", "grant_number", "source", "target", "amount"))
TRANSFERS = _query(
    "ledger_transfer t ON t.account_id = k.account_id AND t.sequence = k.number"
    " ORDER BY t.account_id, t.sequence, t.ordinal",
    _BY_NUMBER,
    _MOVE,
)
RESERVATIONS = _query("ledger_reservation t USING (account_id, number)", _BY_NUMBER, _RESERVATION)
RESERVATIONS_OF_RUNS = _query("ledger_reservation t USING (account_id, dataset_id, started_ms)", _BY_RUN, _RESERVATION)
ACTIVE_RUNS = _query(
    "ledger_reservation t USING (account_id, dataset_id) WHERE t.state = 'held'", _BY_DATASET, _RESERVATION
)
DUE_RESERVATIONS = _query(
    "ledger_reservation t ON t.account_id = k.account_id WHERE t.state = 'held' AND t.lapses_at <= :horizon",
    _BY_ACCOUNT,
    _RESERVATION,
)
NEXT_DUE = _query(
    "ledger_reservation t ON t.account_id = k.account_id"
    " WHERE t.state = 'held' AND t.lapses_at > :horizon GROUP BY t.account_id",
    _BY_ACCOUNT,
    (_RESERVATION.account_id, _RESERVATION.lapses_at),
    "t.account_id, min(t.lapses_at)",
)
LAST_RUNS = _query(
    "ledger_reservation t USING (account_id, dataset_id) GROUP BY t.account_id, t.dataset_id",
    _BY_DATASET,
    _BY_RUN,
    "t.account_id, t.dataset_id, max(t.started_ms)",
)
CARDS = _query("ledger_card t USING (account_id, card_id)", _BY_CARD, _CARD)

_LIMIT = table_of(LimitRow).columns
_USAGE = table_of(UsageRow).columns
LIMITS = _query("ledger_limit t ON t.account_id = k.account_id", _BY_ACCOUNT, _LIMIT)
USAGE = _query(
    "ledger_usage t USING (account_id, limit_number, value, window_start)",
    (_USAGE.account_id, _USAGE.limit_number, _USAGE.value, _USAGE.window_start),
    _USAGE,
)

LOCK_SQLITE = text(
    "UPDATE ledger_account SET sequence = sequence WHERE account_id IN (SELECT value FROM json_each(:ids))"
    f" RETURNING {', '.join(column.name for column in ACCOUNT)}"
).columns(*ACCOUNT)
