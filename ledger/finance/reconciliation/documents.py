"""A reconciliation as JSON-safe values, as lines of CSV, and as one page of HTML that prints well."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from decimal import Decimal
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import Any, TextIO

from estimator.errors import ExtraMissing
from ledger.documents import exact_text, moment_text
from ledger.finance.reconciliation.judgement import plain_amount
from ledger.finance.reconciliation.results import ReconciliationResult, ReconciliationSummary, Record, ResultKind

CSV_COLUMNS = (
    "kind",
    "reference",
    "account_id",
    "currency",
    "records_here",
    "amount_here",
    "records_there",
    "amount_there",
    "difference",
    "at_here",
    "at_there",
    "status_here",
    "status_there",
    "ids_here",
    "ids_there",
    "matched_by",
    "cause",
    "correction",
)
PAGE_FINDINGS_MAX = 5_000
"""Findings that a page shows: a browser is slow with more."""


def result_to_dict(result: ReconciliationResult) -> dict[str, Any]:
    """A result as JSON-safe values, amounts as exact text."""
    return {
        "kind": result.kind.value,
        "cause": result.cause,
        "matched_by": result.basis.value,
        "reference": result.reference,
        "account_id": result.account_id,
        "records_here": result.count_here,
        "records_there": result.count_there,
        "amount_here": exact_text(result.amount_here),
        "amount_there": exact_text(result.amount_there),
        "difference": exact_text(result.difference),
        "here": [_record(record) for record in result.here],
        "there": [_record(record) for record in result.there],
        "correction": result.correction,
        "correction_key": result.correction_key,
    }


def _record(record: Record) -> dict[str, Any]:
    return {
        "reference": record.reference,
        "account_id": record.account_id,
        "amount": exact_text(record.amount),
        "currency": record.currency,
        "at": None if record.at is None else moment_text(record.at),
        "status": record.status,
        "record_id": record.record_id,
    }


def summary_to_dict(summary: ReconciliationSummary) -> dict[str, Any]:
    """A summary as JSON-safe values; where amounts have no currency its name is empty."""
    return {
        "clean": summary.is_clean,
        "unit": summary.unit,
        "records_here": summary.records_here,
        "records_there": summary.records_there,
        "left_out": summary.left_out,
        "findings": summary.findings,
        "counts": {kind.value: count for kind, count in summary.counts.items()},
        "matched_as": summary.matched_as,
        "by_amount_and_time": summary.by_amount_and_time,
        "amounts_here": {name or "": exact_text(amount) for name, amount in summary.amounts_here.items()},
        "amounts_there": {name or "": exact_text(amount) for name, amount in summary.amounts_there.items()},
    }


def write_csv(results: Iterable[ReconciliationResult], out: TextIO) -> int:
    """Write a line for each result, amounts as exact text; answers how many."""
    writer = csv.writer(out)
    writer.writerow(CSV_COLUMNS)
    count = 0
    for result in results:
        writer.writerow(_line(result))
        count += 1
    return count


def _line(result: ReconciliationResult) -> list[object]:
    both = (*result.here, *result.there)
    return [
        result.kind.value,
        result.reference,
        result.account_id,
        _listed(record.currency for record in both),
        result.count_here,
        exact_text(result.amount_here),
        result.count_there,
        exact_text(result.amount_there),
        exact_text(result.difference),
        *(_listed(None if r.at is None else moment_text(r.at) for r in side) for side in (result.here, result.there)),
        *(_listed(record.status for record in side) for side in (result.here, result.there)),
        *(_listed(record.record_id for record in side) for side in (result.here, result.there)),
        result.basis.value,
        result.cause,
        result.correction,
    ]


def _listed(values: Iterable[str | None]) -> str:
    return " ".join(dict.fromkeys(value for value in values if value is not None))


def render_page(
    results: Iterable[ReconciliationResult],
    summary: ReconciliationSummary,
    *,
    here: str,
    there: str,
    facts: Iterable[tuple[str, str]] = (),
) -> Iterator[str]:
    """The page, piece by piece: what was compared, how much of it agrees, and the findings with both sides.

    Raises `ExtraMissing` without the extra `reconcile`.
    """
    counts = [(kind.value.replace("_", " "), f"{count:,}") for kind, count in summary.counts.items() if count]
    currencies = dict.fromkeys([*summary.amounts_here, *summary.amounts_there])
    sums = []
    for name in currencies:
        ours, theirs = (side.get(name, Decimal(0)) for side in (summary.amounts_here, summary.amounts_there))
        sums.append((name or summary.unit, *map(plain_amount, (ours, theirs, theirs - ours))))
    pieces: Iterator[str] = _template().generate(
        here=here,
        there=there,
        facts=list(facts),
        summary=summary,
        counts=counts,
        sums=sums,
        shapes=[(name, f"{count:,}") for name, count in summary.matched_as.items() if count],
        findings=map(_shown, islice(results, PAGE_FINDINGS_MAX)),
        left=max(0, summary.findings - PAGE_FINDINGS_MAX),
    )
    yield from pieces


def _shown(result: ReconciliationResult) -> dict[str, Any]:
    return {
        "kind": result.kind.value.replace("_", " "),
        "is_missing": result.kind in (ResultKind.MISSING_HERE, ResultKind.MISSING_THERE),
        "cause": result.cause,
        "reference": result.reference or "",
        "account": result.account_id or "",
        "sides": [
            ([_words(record) for record in side], count - len(side))
            for side, count in ((result.here, result.count_here), (result.there, result.count_there))
        ],
        "difference": plain_amount(result.difference),
        "correction": result.correction,
    }


def _words(record: Record) -> str:
    amount = plain_amount(record.amount) + (f" {record.currency}" if record.currency else "")
    at = "" if record.at is None else moment_text(record.at)
    return ", ".join(part for part in (amount, at, record.status, record.record_id) if part)


@cache
def _template() -> Any:
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError:
        raise ExtraMissing("A reconciliation as HTML", "reconcile") from None
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
