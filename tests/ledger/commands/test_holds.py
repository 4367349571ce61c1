"""The commands of holds check their own values before anything is looked up."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from ledger import (
    Capture,
    CommandInvalid,
    GrantCredits,
    Reserve,
)
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


@pytest.mark.parametrize("lasts", [timedelta(0), timedelta(seconds=-1), timedelta(days=40_000), 5])
def test_a_hold_lasts_longer_than_nothing_and_at_most_a_century(lasts: Any) -> None:
    with pytest.raises(CommandInvalid, match="expires_in"):
        Reserve("acme", 1, expires_in=lasts)


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
