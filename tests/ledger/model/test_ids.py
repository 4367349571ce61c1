"""Public ids: one spelling each, and what each of them names."""

from __future__ import annotations

import pytest

import ledger
from ledger import (
    Capture,
)
from ledger.model.ids import parse_grant_id, parse_run_id


def test_ids_are_read_back_whatever_the_account_is_called() -> None:
    assert Capture("a/r1/g2/r3").account_id == "a/r1/g2"
    assert parse_grant_id("a/r1/g2") == ("a/r1", 2)
    assert parse_run_id("dataset-d-1-2-17") == ("d-1-2", 17)
    with pytest.raises(ledger.GrantNotFound):
        parse_grant_id("acme/r2")
