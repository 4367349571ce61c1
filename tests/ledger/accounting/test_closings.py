"""A closing's hash covers every column of its row, and the closing before."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.accounting.closings import ClosingRecord

RECORD = ClosingRecord("acme", 1, "2026-03", "UTC", 10, 20, 3, b"head", 30, "anna", "{}")
CHANGES: dict[str, Any] = {
    "account_id": "beta",
    "number": 2,
    "name": "2026-04",
    "zone": "Europe/Berlin",
    "since": 11,
    "until": 21,
    "sequence": 4,
    "head": b"tail",
    "closed_at": 31,
    "closed_by": "bert",
    "figures": "[]",
}


def test_every_column_but_the_hash_is_listed() -> None:
    assert set(CHANGES) == set(ClosingRecord._fields) - {"hash"}


@pytest.mark.parametrize("name", CHANGES)
def test_another_value_of_a_column_gives_another_hash(name: str) -> None:
    changed = RECORD._replace(**{name: CHANGES[name]})
    assert changed.chained(b"before").hash != RECORD.chained(b"before").hash


def test_the_hash_builds_on_the_one_before_and_not_on_its_own() -> None:
    chained = RECORD.chained(b"before")
    assert chained.hash != RECORD.chained(b"other").hash
    assert chained.chained(b"before") == chained
    assert chained._replace(hash=b"") == RECORD


def test_the_hash_of_a_closing_never_changes() -> None:
    assert RECORD.chained(b"before").hash.hex() == "f49f995c77e813d2d714e1515482dd7b94803b5fe313b2495969d6ccdfdef0cb"
