"""Commands refuse values that make no sense before anything is looked up."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

import ledger
from estimator import RunOutcome
from ledger import Capture, CommandInvalid, GrantCredits, OpenAccount, Release, Reserve, SettleRun
from ledger.model.ids import parse_grant_id, parse_run_id
from tests.ledger.conftest import START

NOT_AMOUNTS: list[Any] = [
    Decimal(-1), Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Decimal("0.0000001"),
    Decimal("1." + "0" * 40 + "1"), Decimal("1e30"), 2**63, Decimal("9223372036854.775808"), 1.5, "1", True, None,
]  # fmt: skip


@pytest.mark.parametrize("amount", [*NOT_AMOUNTS, 0, Decimal("-0")])
def test_a_grant_and_a_hold_need_an_exact_amount_above_zero(amount: Any) -> None:
    for kind in (GrantCredits, Reserve):
        with pytest.raises(CommandInvalid) as caught:
            kind("acme", amount)
        assert caught.value.field == "amount"


@pytest.mark.parametrize("amount", NOT_AMOUNTS[:-1])
def test_a_capture_needs_an_exact_amount_of_zero_or_more(amount: Any) -> None:
    with pytest.raises(CommandInvalid):
        Capture("acme/r1", amount)


@pytest.mark.parametrize("account_id", ["", "x" * 256, 5, None, "a\x00", "\udfff"])
def test_an_account_id_is_a_text_of_1_to_255_characters(account_id: Any) -> None:
    for make in (OpenAccount, ledger.ExpireDue, lambda name: Reserve(name, 1), lambda name: GrantCredits(name, 1)):
        with pytest.raises(CommandInvalid) as caught:
            make(account_id)
        assert caught.value.field == "account_id"


@pytest.mark.parametrize("at", [datetime(2026, 1, 1), "2026-01-01", 5])  # noqa: DTZ001
def test_a_moment_needs_a_time_zone(at: Any) -> None:
    for make in (
        lambda: Reserve("acme", 1, at=at),
        lambda: Capture("acme/r1", at=at),
        lambda: Release("acme/r1", at=at),
        lambda: OpenAccount("acme", at),
        lambda: GrantCredits("acme", 1, at=at),
    ):
        with pytest.raises(CommandInvalid) as caught:
            make()
        assert caught.value.field == "at"
    with pytest.raises(CommandInvalid, match="expires_at"):
        GrantCredits("acme", 1, expires_at=at)


@pytest.mark.parametrize(
    "at",
    [
        datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-12))),
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
    ],
)
def test_a_moment_that_utc_cannot_say_is_refused(at: datetime) -> None:
    for make in (
        lambda: Reserve("acme", 1, at=at),
        lambda: Capture("acme/r1", at=at),
        lambda: OpenAccount("acme", at),
        lambda: GrantCredits("acme", 1, expires_at=at),
        lambda: SettleRun("acme", "dataset-d-5", RunOutcome("failed", 0), at),
    ):
        with pytest.raises(CommandInvalid, match="outside the years"):
            make()


@pytest.mark.parametrize("priority", [-1, 32_768, 1.0, True, "1"])
def test_a_priority_is_a_small_whole_number(priority: Any) -> None:
    with pytest.raises(CommandInvalid, match="priority"):
        GrantCredits("acme", 1, priority=priority)


@pytest.mark.parametrize("lasts", [timedelta(0), timedelta(seconds=-1), timedelta(days=40_000), 5])
def test_a_hold_lasts_longer_than_nothing_and_at_most_a_century(lasts: Any) -> None:
    with pytest.raises(CommandInvalid, match="expires_in"):
        Reserve("acme", 1, expires_in=lasts)


@pytest.mark.parametrize(
    "run_id", ["", "dataset-", "dataset--5", "dataset-d", "d1-5", "dataset-d-05", "dataset-\ud800-5", 5]
)
def test_what_is_no_run_id_names_no_run(run_id: Any) -> None:
    with pytest.raises(ledger.RunNotFound):
        SettleRun("acme", run_id, None)  # type: ignore[arg-type]


def test_ids_are_read_back_whatever_the_account_is_called() -> None:
    assert Capture("a/r1/g2/r3").account_id == "a/r1/g2"
    assert parse_grant_id("a/r1/g2") == ("a/r1", 2)
    assert parse_run_id("dataset-d-1-2-17") == ("d-1-2", 17)
    with pytest.raises(ledger.GrantNotFound):
        parse_grant_id("acme/r2")


def test_every_refusal_of_a_value_says_what_to_give(subtests: Any) -> None:
    makers = {
        "amount": lambda: Reserve("acme", Decimal("0.0000001")),
        "key": lambda: Reserve("acme", 1, ""),
        "account_id": lambda: Reserve("", 1),
        "expires_in": lambda: Reserve("acme", 1, expires_in=timedelta(0)),
    }
    for field, make in makers.items():
        with subtests.test(field), pytest.raises(CommandInvalid) as caught:
            make()
        assert caught.value.to_dict()["field"] == field
        assert caught.value.status_hint == 400


def test_the_moment_is_no_part_of_what_a_key_binds() -> None:
    assert Reserve("acme", 1, "k", at=START).digest() == Reserve("acme", Decimal("1.0"), "k").digest()
    assert Reserve("acme", 1, "k").digest() != Reserve("acme", 2, "k").digest()
