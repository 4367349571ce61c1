"""The ledger as records to be compared: its runs, captures, grants or entries, read from the book alone.

A lapse that is due and not recorded yet is no entry: run `ledger.expire_due` first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy.orm import Session

from ledger.finance.reconciliation.files.mappings import RecordMapping
from ledger.finance.stream import ROWS_AT_ONCE
from ledger.model.ids import format_grant_id, format_reservation_id, format_run_id
from ledger.runs import RunState
from ledger.storage.sessions import connection_of, connection_over
from ledger.storage.stores import store_of, stream

RecordRow = tuple[str | None, str, int, str | None, int, str, str, str | None]
"""Reference, account, amount, currency, moment, status, id, and what a credit of the grant cost."""

_MONEY = 10**12
_FOREVER = 2**62


def read_side(
    session: Session, mapping: RecordMapping, *, account_id: str | None = None, until: int | None = None
) -> Iterator[RecordRow]:
    """The records of the mapping's side, in any order, as they stood just before a moment (now by default)."""
    read = {"runs": _runs, "captures": _captures, "grants": _grants, "entries": _entries}[mapping.side]
    values: list[Any] = [_FOREVER if until is None else until]
    of_one = ""
    if account_id is not None:
        of_one = " AND {}.account_id = $2"
        values.append(account_id)
    kept = frozenset(mapping.filter.here)
    for row in read(session, mapping, of_one, values):
        if not kept or row[5] in kept:
            yield row


def _rows(session: Session, statement: str, values: Sequence[Any]) -> Iterator[Any]:
    """The rows of a statement whose `$1` is the moment and whose `$2`, if it has one, is the account."""
    connection = connection_over(session, values[1] if len(values) > 1 else None)
    for part in stream(connection, statement, values, size=ROWS_AT_ONCE):
        yield from part


def _json(session: Session, column: str, *path: str) -> str:
    """SQL of a text at a path in an entry's details."""
    return store_of(connection_of(session)).sql_of_json(column, path)


_ENDS = "e.kind IN ('capture', 'release', 'expire')"
_RUNS = f"""
    SELECT r.account_id, r.number, r.dataset_id, r.started_ms, r.reserved_at, r.state, x.ended,
           coalesce(x.taken, 0), coalesce(x.refunded, 0), coalesce(x.processed, 0), x.outcome
    FROM ledger_reservation r LEFT JOIN (
        SELECT e.account_id, e.reservation,
               max(CASE WHEN {_ENDS} THEN e.at END) AS ended,
               CAST(sum(CASE WHEN t.target = 'consumed' AND e.at < $1 THEN t.amount END) AS BIGINT) AS taken,
               CAST(sum(CASE WHEN t.source = 'consumed' AND e.at < $1 THEN t.amount END) AS BIGINT) AS refunded,
               {{processed}} AS processed, {{outcome}} AS outcome
        FROM ledger_entry e LEFT JOIN ledger_transfer t ON t.account_id = e.account_id AND t.sequence = e.sequence
        WHERE e.reservation IS NOT NULL AND e.kind IN ('capture', 'release', 'expire', 'refund') {{of_entries}}
        GROUP BY e.account_id, e.reservation
    ) x ON x.account_id = r.account_id AND x.reservation = r.number
    WHERE r.dataset_id IS NOT NULL AND r.reserved_at < $1 {{of_runs}}"""


def _runs(session: Session, mapping: RecordMapping, of_one: str, values: list[Any]) -> Iterator[RecordRow]:
    processed, outcome = "CAST(NULL AS BIGINT)", "CAST(NULL AS TEXT)"
    is_rows, is_of_outcomes = mapping.amount.unit == "rows", mapping.status.of == "outcome"
    if is_rows:
        rows = _json(session, "e.details", "outcome", "rows_processed")
        processed = f"max(CASE WHEN {_ENDS} AND e.at < $1 THEN CAST({rows} AS BIGINT) END)"
    if is_of_outcomes:
        outcome = f"max(CASE WHEN {_ENDS} THEN {_json(session, 'e.details', 'outcome', 'status')} END)"
    statement = _RUNS.format(
        processed=processed, outcome=outcome, of_entries=of_one.format("e"), of_runs=of_one.format("r")
    )
    for account, number, dataset, started, reserved, state, ended, taken, refunded, counted, ended_as in _rows(
        session, statement, values
    ):
        is_open = state == "held" or ended is None or ended >= values[0]
        amount = counted if is_rows else taken - refunded if mapping.amount.net_of_refunds else taken
        moment, status = (reserved, "held") if is_open else (ended, state)
        if is_of_outcomes:
            # As in `ledger.runs`: a hold that was captured by hand, without an outcome, is a run that succeeded.
            status = _OUTCOMES.get(status, status) if is_open or ended_as is None else ended_as
        run = format_run_id(dataset, started)
        yield run, account, amount, None, moment, status, format_reservation_id(account, number), None


_OUTCOMES = {"held": RunState.ACTIVE.value, "captured": RunState.SUCCEEDED.value}

_CAPTURES = """
    SELECT e.account_id, e.sequence, e.at, r.number, r.dataset_id, r.started_ms,
           CAST(coalesce(sum(t.amount), 0) AS BIGINT)
    FROM ledger_entry e
    JOIN ledger_reservation r ON r.account_id = e.account_id AND r.number = e.reservation
    LEFT JOIN ledger_transfer t
        ON t.account_id = e.account_id AND t.sequence = e.sequence AND t.target = 'consumed'
    WHERE e.kind = 'capture' AND e.at < $1 {of_one}
    GROUP BY e.account_id, e.sequence, e.at, r.number, r.dataset_id, r.started_ms"""


def _captures(session: Session, _mapping: RecordMapping, of_one: str, values: list[Any]) -> Iterator[RecordRow]:
    statement = _CAPTURES.format(of_one=of_one.format("e"))
    for account, sequence, at, number, dataset, started, amount in _rows(session, statement, values):
        is_run = dataset is not None
        reference = format_run_id(dataset, started) if is_run else format_reservation_id(account, number)
        yield reference, account, amount, None, at, "capture", f"{account}/{sequence}", None


_GRANTS = """
    SELECT g.account_id, g.number, e.at, g.kind, {reference}, {per_credit}, {currency},
           CAST(sum(t.amount) AS BIGINT)
    FROM ledger_grant g
    JOIN ledger_entry e ON e.account_id = g.account_id AND e.sequence = g.number
    JOIN ledger_entry f ON f.account_id = g.account_id AND f.sequence = coalesce(g.allowance, g.number)
    JOIN ledger_transfer t ON t.account_id = g.account_id AND t.sequence = g.number
        AND t.grant_number = g.number AND t.source = 'issued'
    WHERE e.kind IN ('grant', 'renew') AND e.at < $1 {of_one}
    GROUP BY g.account_id, g.number, e.at, g.kind, f.details"""


def _grants(session: Session, mapping: RecordMapping, of_one: str, values: list[Any]) -> Iterator[RecordRow]:
    paths = {"reference": ("external_ref",), "per_credit": ("cost_basis", "per_credit")}
    paths["currency"] = ("cost_basis", "currency")
    found = {name: _json(session, "f.details", *path) for name, path in paths.items()}
    statement = _GRANTS.format(of_one=of_one.format("g"), **found)
    for account, number, at, kind, reference, per_credit, currency, micro in _rows(session, statement, values):
        amount, grant = micro, format_grant_id(account, number)
        if mapping.is_money:
            if per_credit is None:
                continue  # a grant that was given away has no charge to be compared with
            amount = micro * int(Decimal(per_credit) * _MONEY)
        yield reference or grant, account, amount, currency if mapping.is_money else None, at, kind, grant, per_credit


_ENTRIES = """
    SELECT e.account_id, e.sequence, e.kind, e.at, CAST(coalesce(sum(t.amount), 0) AS BIGINT)
    FROM ledger_entry e LEFT JOIN ledger_transfer t ON t.account_id = e.account_id AND t.sequence = e.sequence
    WHERE e.at < $1 {of_one} GROUP BY e.account_id, e.sequence, e.kind, e.at"""


def _entries(session: Session, _mapping: RecordMapping, of_one: str, values: list[Any]) -> Iterator[RecordRow]:
    for account, sequence, kind, at, amount in _rows(session, _ENTRIES.format(of_one=of_one.format("e")), values):
        place = f"{account}/{sequence}"
        yield place, account, amount, None, at, kind, place, None
