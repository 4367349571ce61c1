"""Files of records to be compared with each other, and the mapping that reads them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ledger.finance import ReconciliationResult, RecordMapping, reconcile
from tests.ledger.conftest import START

HEADER = ("reference", "account", "amount", "currency", "at", "status", "id")
MAPPING: dict[str, Any] = {
    "side": "captures",
    "columns": {
        "reference": "reference",
        "account": "account",
        "amount": "amount",
        "at": "at",
        "status": "status",
        "id": "id",
    },
    "time": {"zone": "UTC"},
    "tolerance": {"time": "1h", "window": "1d"},
}
IN_MONEY: dict[str, Any] = MAPPING | {
    "side": "grants",
    "columns": MAPPING["columns"] | {"currency": "currency"},
    "amount": {"unit": "money"},
    "status": {},
}


class Line(NamedTuple):
    """One line of a file of records."""

    reference: str = "run-000001"
    account: str = "acme"
    amount: str = "5.25"
    currency: str = "EUR"
    at: str = START.isoformat()
    status: str = "capture"
    id: str = ""


ONE = Line()


def parts(*amounts: str) -> list[Line]:
    """Lines of one reference with these amounts."""
    return [ONE._replace(amount=amount) for amount in amounts]


def kinds(results: Iterable[ReconciliationResult]) -> list[str]:
    """The kinds of results, in their order."""
    return [result.kind.value for result in results]


def at(**after: float) -> str:
    """A moment some time after the start, as a file has it."""
    return (START + timedelta(**after)).isoformat()


def write_lines(path: Path, lines: Iterable[Line]) -> Path:
    """A CSV of lines."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([HEADER, *lines])
    return path


Compare = Callable[..., list[ReconciliationResult]]


@pytest.fixture
def compare(tmp_path: Path) -> Compare:
    """Writes lines of both sides and answers the findings, or with `matched` what matched."""

    def run(
        ours: Iterable[Line],
        theirs: Iterable[Line],
        mapping: dict[str, Any] = MAPPING,
        *,
        matched: bool = False,
        **options: Any,
    ) -> list[ReconciliationResult]:
        here, there = (write_lines(tmp_path / name, lines) for name, lines in (("ours", ours), ("theirs", theirs)))
        with reconcile(here, there, RecordMapping.from_dict(mapping), **options) as found:
            findings = list(found)
            counted = found.summary.counts
            assert sum(counted.values()) - counted["matched"] == found.summary.findings == len(findings)
            matches = list(found.matches())
            if options.get("period") is None:
                assert counted["matched"] == len(matches)
            return matches if matched else findings

    return run
