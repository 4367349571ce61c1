"""Public ids: one spelling each, and what each of them names."""

from __future__ import annotations

from typing import Any

import pytest

import ledger
from ledger import Capture
from ledger.model.ids import (
    format_grant_id,
    format_reservation_id,
    format_run_id,
    format_start_id,
    parse_grant_id,
    parse_reservation_id,
    parse_run_id,
    parse_start_id,
)


def test_ids_are_read_back_whatever_the_account_is_called() -> None:
    assert Capture("a/r1/g2/r3").account_id == "a/r1/g2"
    assert parse_grant_id("a/r1/g2") == ("a/r1", 2)
    assert parse_run_id("dataset-d-1-2-17") == ("d-1-2", 17)
    with pytest.raises(ledger.GrantNotFound):
        parse_grant_id("acme/r2")


@pytest.mark.parametrize("account_id", ["acme", "a/r1", "a/g2/o3", "日本", "/", " "])
def test_an_id_is_read_back_as_its_account_and_number(account_id: str) -> None:
    for number in (0, 1, 10**18 - 1):
        assert parse_grant_id(format_grant_id(account_id, number)) == (account_id, number)
        assert parse_reservation_id(format_reservation_id(account_id, number)) == (account_id, number)
        assert parse_start_id(format_start_id(account_id, number), "after") == (account_id, number)
        assert parse_run_id(format_run_id(account_id, number)) == (account_id, number)


SPELLINGS = ["", "{}", "{}1", "acme{}", "acme{}01", "acme{}-1", "acme{}+1", "acme{} 1", "acme{}1 ", "acme{}1.0",
             "acme{}٣", "acme{}²", "acme{}1_0", "acme{}" + "9" * 19, "\ud800{}1", "a\x00{}1"]  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_another_spelling_of_an_id_names_nothing(spelling: str) -> None:
    """One spelling each: no leading zero, no sign, no digits of other scripts, nothing beyond int64."""
    with pytest.raises(ledger.GrantNotFound):
        parse_grant_id(spelling.format("/g"))
    with pytest.raises(ledger.ReservationNotFound):
        parse_reservation_id(spelling.format("/r"))
    with pytest.raises(ledger.CommandInvalid, match=r"^after: "):
        parse_start_id(spelling.format("/o"), "after")


@pytest.mark.parametrize("name", ["d-5", "Dataset-d-5", "dataset-d-", "dataset-d-٣", "dataset--5", "dataset-d--05"])
def test_another_spelling_of_a_run_id_names_no_run(name: str) -> None:
    with pytest.raises(ledger.RunNotFound):
        parse_run_id(name)


@pytest.mark.parametrize("value", [5, None, b"acme/g1", ["acme/g1"]])
def test_what_is_no_text_is_no_id(value: Any) -> None:
    for parse, missing in (
        (parse_grant_id, ledger.GrantNotFound),
        (parse_reservation_id, ledger.ReservationNotFound),
        (parse_run_id, ledger.RunNotFound),
    ):
        with pytest.raises(missing):
            parse(value)
