"""Statements as files: CSV for spreadsheets, Parquet for programs, JSON for both, written as the lines are read.

CSV has a row for each opening and closing balance and for each entry, and below an entry a row for each of its line
items; the column `row` says which. Every column of amounts can be added up by itself: the opening balance and all
`change_*` make the closing balance, and the `item_credits` of a launch or a settlement make what it held or charged.

Texts are written so that no spreadsheet runs them (`ledger.finance.spreadsheets`).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, tzinfo
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from estimator import LineItem
from estimator.credits import format_credits, from_micro
from estimator.errors import ExtraMissing
from ledger.documents import credits_text, plain
from ledger.finance.spreadsheets import text_cell
from ledger.finance.statements.reading import COLUMNS, AccountStatement, StatementLine
from ledger.finance.statements.totals import StatementTotals
from ledger.model.values import Balance

_TEXTS = ("account_id", "kind", "key", "reason", "reservation_id", "run_id", "dataset_id", "card_id", "card_name")
_CHANGES = tuple(f"change_{column}" for column in COLUMNS)
_BALANCES = (*COLUMNS, "owed")
CSV_COLUMNS = (
    "row",
    "account_id",
    "sequence",
    "at",
    "recorded_at",
    *_TEXTS[1:],
    "item",
    "label",
    "quantity",
    "unit_price",
    "item_credits",
    *_CHANGES,
    *_BALANCES,
)
_ROWS_AT_ONCE = 5_000


def write_statements_csv(statements: Iterable[AccountStatement], out: TextIO, *, zone: tzinfo = UTC) -> None:
    """Write statements as one CSV file, moments in a zone; `recorded_at` is empty for what is not recorded yet."""
    writer = csv.DictWriter(out, CSV_COLUMNS, restval="")
    writer.writeheader()
    for statement in statements:
        name = {"account_id": text_cell(statement.account_id)}
        begins = {} if statement.since is None else {"at": _moment(statement.since, zone)}
        writer.writerow({"row": "opening"} | name | begins | _balance(statement.opening))
        for line in statement.lines:
            head = name | {"sequence": line.entry.sequence}
            writer.writerow({"row": "entry"} | head | _entry(line, zone))
            writer.writerows({"row": "item"} | head | _item(item) for item in line.line_items)
        ends = {"at": _moment(statement.until, zone)}
        writer.writerow({"row": "closing"} | name | ends | _balance(statement.closing))


def _entry(line: StatementLine, zone: tzinfo) -> dict[str, Any]:
    entry = line.entry
    fields = {"at": _moment(entry.at, zone)} | {name: text_cell(value) for name, value in _texts(line).items()}
    if line.is_recorded:
        fields["recorded_at"] = _moment(entry.recorded_at, zone)
    fields |= zip(_CHANGES, map(credits_text, line.changes), strict=True)
    return fields | _balance(entry.balance)


def _texts(line: StatementLine) -> dict[str, str | None]:
    """The texts of a line, by column."""
    entry = line.entry
    reason = entry.details.get("reason")
    return {
        "account_id": entry.account_id,
        "kind": entry.kind.value,
        "key": entry.key,
        "reason": None if reason is None else str(reason),
        "reservation_id": entry.reservation_id,
        "run_id": line.run_id,
        "dataset_id": line.dataset_id,
        "card_id": line.card_id,
        "card_name": line.card_name,
    }


def _item(item: LineItem) -> dict[str, Any]:
    return {
        "item": text_cell(item.code),
        "label": text_cell(item.label),
        "quantity": "" if item.quantity is None else item.quantity,
        "unit_price": "" if item.unit_price is None else format_credits(item.unit_price),
        "item_credits": format_credits(item.credits),
    }


def _balance(balance: Balance) -> dict[str, str]:
    return {name: format_credits(getattr(balance, name)) for name in _BALANCES}


def _moment(moment: datetime, zone: tzinfo) -> str:
    try:
        return moment.astimezone(zone).isoformat()
    except OverflowError:  # the end of the year 9999, in a zone where it is later
        return moment.astimezone(UTC).isoformat()


def statement_document(statement: AccountStatement) -> dict[str, Any]:
    """A statement as JSON-safe values, without its entries."""
    return {
        "account_id": statement.account_id,
        "since": plain(statement.since),
        "until": plain(statement.until),
        "opening": plain(statement.opening),
        "closing": plain(statement.closing),
    }


def line_document(line: StatementLine) -> dict[str, Any]:
    """A line as JSON-safe values: the entry, its run and its line items."""
    entry: dict[str, Any] = plain(line.entry)
    return entry | {
        "is_recorded": line.is_recorded,
        "run_id": line.run_id,
        "dataset_id": line.dataset_id,
        "card_id": line.card_id,
        "card_name": line.card_name,
        "line_items": [item.to_dict() for item in line.line_items],
        "changes": dict(zip(COLUMNS, map(credits_text, line.changes), strict=True)),
    }


def totals_document(totals: StatementTotals) -> dict[str, Any]:
    """The totals of a period's statements as JSON-safe values, each row by bucket."""

    def named(amounts: list[int]) -> dict[str, str]:
        return dict(zip(COLUMNS, map(credits_text, amounts), strict=True))

    return {
        "accounts": totals.accounts,
        "entries": totals.entries,
        "unrecorded": totals.unrecorded,
        "opening": named(totals.opening),
        "changes": {kind: named(amounts) for kind, amounts in totals.changes.items()},
        "closing": named(totals.closing),
    }


def write_statement_json(statement: AccountStatement, out: TextIO) -> None:
    """Write one statement as a JSON document, amounts as exact decimal text, moments in UTC."""
    head = json.dumps(statement_document(statement), indent=2)
    out.write(head.removesuffix("\n}") + ',\n  "entries": [')
    separator = "\n"
    for line in statement.lines:
        out.write(separator + json.dumps(line_document(line)))
        separator = ",\n"
    out.write("\n  ]\n}\n")


def write_statements_parquet(statements: Iterable[AccountStatement], path: Path) -> None:
    """Write statements as a Parquet file: a row for each balance and entry, its line items nested in it.

    Amounts are decimals of six places, moments microseconds in UTC; `recorded_at` is null for what is not recorded
    yet. Raises `ExtraMissing` without PyArrow.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise ExtraMissing("Parquet files", "parquet") from None
    schema = _schema(pa)
    rows = (row for statement in statements for row in _rows(statement))
    with parquet.ParquetWriter(path, schema) as writer:
        while part := list(islice(rows, _ROWS_AT_ONCE)):
            writer.write_batch(pa.RecordBatch.from_pylist(part, schema))


def _schema(pa: Any) -> Any:
    moment, credits_, price = pa.timestamp("us", "UTC"), pa.decimal128(19, 6), pa.decimal128(38, 12)
    item = [("code", pa.string()), ("label", pa.string()), ("quantity", pa.int64())]
    items = pa.list_(pa.struct([*item, ("unit_price", price), ("credits", price)]))
    kinds = {"row": pa.string(), "sequence": pa.int64(), "at": moment, "recorded_at": moment, "line_items": items}
    names = ("row", "account_id", "sequence", "at", "recorded_at", *_TEXTS[1:], "line_items", *_CHANGES, *_BALANCES)
    amounts = {*_CHANGES, *_BALANCES}
    return pa.schema([(name, kinds.get(name, credits_ if name in amounts else pa.string())) for name in names])


def _rows(statement: AccountStatement) -> Iterator[dict[str, Any]]:
    def balance(row: str, at: datetime | None, found: Balance) -> dict[str, Any]:
        amounts = {name: getattr(found, name) for name in _BALANCES}
        return {"row": row, "account_id": statement.account_id, "at": at} | amounts

    yield balance("opening", statement.since, statement.opening)
    for line in statement.lines:
        entry = line.entry
        row = balance("entry", entry.at, entry.balance) | _texts(line)
        row |= zip(_CHANGES, map(from_micro, line.changes), strict=True)
        row |= {"sequence": entry.sequence, "recorded_at": entry.recorded_at if line.is_recorded else None}
        yield row | {"line_items": [item._asdict() for item in line.line_items]}
    yield balance("closing", statement.until, statement.closing)
