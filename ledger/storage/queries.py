"""The ledger's reads by key: which rows of which table, and the columns of their results."""

from __future__ import annotations

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
from ledger.storage.shapes import table_of
from ledger.storage.stores.selects import Select

ACCOUNT = table_of(AccountRow).columns
_GRANT = table_of(GrantRow).columns
_RESERVATION = table_of(ReservationRow).columns
_TRANSFER = table_of(TransferRow).columns
_CARD = table_of(CardRow).columns
ENTRY = table_of(EntryRow).columns
_LIMIT = table_of(LimitRow).columns
_USAGE = table_of(UsageRow).columns

_OF_ACCOUNT = (ACCOUNT.account_id,)
_BY_NUMBER = (_GRANT.account_id, _GRANT.number)
_BY_SEQUENCE = (ENTRY.account_id, ENTRY.sequence)
_BY_DATASET = (_RESERVATION.account_id, _RESERVATION.dataset_id)

READ_ACCOUNTS = Select.of("ledger_account", _OF_ACCOUNT, ACCOUNT)
LOCK_ACCOUNTS = Select.of("ledger_account", _OF_ACCOUNT, ACCOUNT, lock="FOR NO KEY UPDATE")
TAKE_ACCOUNTS = Select.of("ledger_account", _OF_ACCOUNT, ACCOUNT, lock="FOR NO KEY UPDATE SKIP LOCKED")
"""As `LOCK_ACCOUNTS`, without those that another transaction has locked."""

MARKS = Select.of("ledger_account", _OF_ACCOUNT, "t.account_id, t.sequence, t.closings_count")
LIVE_GRANTS = Select.of("ledger_grant", _OF_ACCOUNT, _GRANT, where=IS_LIVE)
GRANTS = Select.of("ledger_grant", _BY_NUMBER, _GRANT)
REPAYING_GRANTS = Select.of("ledger_grant", _OF_ACCOUNT, _GRANT, where="t.repaid > 0")

GRANTS_PAGE = 64
"""How many live grants, in burn order, an operation reads at first. It reads all where these do not suffice."""

_RANK = " ".join(f"WHEN '{kind}' THEN {rank}" for kind, rank in KIND_RANKS.items())
BURN_ORDER = f"priority, {EXPIRY_ORDER}, CASE kind {_RANK} END, effective_at, number"
"""The order of `book.burning.burn_key`, as SQL."""

FIRST_GRANTS = Select.of(
    "ledger_grant", _OF_ACCOUNT, _GRANT, where=IS_LIVE, tail=f"ORDER BY {BURN_ORDER} LIMIT {GRANTS_PAGE}", is_each=True
)
KEYED_ENTRIES = Select.of("ledger_entry", (ENTRY.account_id, ENTRY.scope, ENTRY.key), ENTRY)
ENTRIES = Select.of("ledger_entry", _BY_SEQUENCE, ENTRY)
TRANSFERS = Select.of(
    "ledger_transfer",
    (_TRANSFER.account_id, _TRANSFER.sequence),
    [_TRANSFER[name] for name in ("account_id", "sequence", "grant_number", "source", "target", "amount")],
    tail="ORDER BY t.account_id, t.sequence, t.ordinal",
)
RESERVATIONS = Select.of("ledger_reservation", (_RESERVATION.account_id, _RESERVATION.number), _RESERVATION)
RESERVATIONS_OF_RUNS = Select.of("ledger_reservation", (*_BY_DATASET, _RESERVATION.started_ms), _RESERVATION)
ACTIVE_RUNS = Select.of("ledger_reservation", _BY_DATASET, _RESERVATION, where="t.state = 'held'")
DUE_RESERVATIONS = Select.of(
    "ledger_reservation", _OF_ACCOUNT, _RESERVATION, where="t.state = 'held' AND t.lapses_at <= $1", extras=1
)
NEXT_DUE = Select.of(
    "ledger_reservation",
    _OF_ACCOUNT,
    "t.account_id, min(t.lapses_at)",
    where="t.state = 'held' AND t.lapses_at > $1",
    tail="GROUP BY t.account_id",
    extras=1,
)
LAST_RUNS = Select.of(
    "ledger_reservation",
    _BY_DATASET,
    "t.account_id, t.dataset_id, max(t.started_ms)",
    tail="GROUP BY t.account_id, t.dataset_id",
)
CARDS = Select.of("ledger_card", (_CARD.account_id, _CARD.card_id), _CARD)
LIMITS = Select.of("ledger_limit", _OF_ACCOUNT, _LIMIT)
USAGE = Select.of("ledger_usage", (_USAGE.account_id, _USAGE.limit_number, _USAGE.value, _USAGE.window_start), _USAGE)
