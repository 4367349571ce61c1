"""The commands of holds check their own values before anything is looked up."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

import ledger
from ledger import Capture, CommandInvalid, GrantCredits, Release, Reserve
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


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"grace": timedelta(seconds=1)}, "grace"),
        ({"grace": timedelta(seconds=-1), "expires_in": timedelta(seconds=1)}, "grace"),
        ({"plan": object()}, "plan"),
        ({"card": object()}, "plan"),
        ({"labels": {"p": ""}}, "labels.p"),
    ],
)
def test_a_hold_whose_terms_make_no_sense_is_refused(terms: dict[str, Any], field: str) -> None:
    with pytest.raises(CommandInvalid) as caught:
        Reserve("acme", 1, **terms)
    assert caught.value.field == field


@pytest.mark.parametrize("over", ["borrow", "", None, 1])
def test_what_a_capture_does_above_its_hold_is_one_of_three_policies(over: Any) -> None:
    assert [Capture("acme/r1", over=policy).over for policy in ledger.OverCapture] == list(ledger.OverCapture)
    with pytest.raises(CommandInvalid, match=r"^over: .*reject, if_available, credit_line"):
        Capture("acme/r1", over=over)


def extend(name: str, **options: Any) -> ledger.Extend:
    """The command to prolong a hold by a day."""
    return ledger.Extend(name, timedelta(1), **options)


@pytest.mark.parametrize("kind", [Capture, Release, ledger.Refund, extend])
def test_a_command_on_a_hold_takes_its_account_from_the_holds_id(kind: Any) -> None:
    """An account that is named beside it must be the same."""
    assert (kind("acme/r7").account_id, kind("acme/r7").number) == ("acme", 7)
    assert kind("acme/r7", account_id="acme").account_id == "acme"
    with pytest.raises(ledger.ReservationNotFound):
        kind("acme/r7", account_id="beta")


def test_what_a_command_says_beyond_its_defaults_is_bound_by_its_name() -> None:
    """So a key that was bound before a field existed still matches; the order of labels binds nothing."""
    plain, hour = Reserve("acme", 1), timedelta(hours=1)
    assert plain.digest() == Reserve("acme", 1, grace=None, labels={}, at_most=False).digest()
    others = [
        Reserve("acme", 1, expires_in=hour),
        Reserve("acme", 1, expires_in=hour, grace=hour),
        Reserve("acme", 1, labels={"a": "1"}),
        Reserve("acme", 1, at_most=True),
    ]
    assert len({plain.digest(), *(other.digest() for other in others)}) == 5
    one, two = Reserve("acme", 1, labels={"a": "1", "b": "2"}), Reserve("acme", 1, labels={"b": "2", "a": "1"})
    assert one.digest() == two.digest()
    captures = [Capture("acme/r1", 1), Capture("acme/r1", 1, final=False), Capture("acme/r1", 1, over="if_available")]
    assert len({capture.digest() for capture in captures}) == 3
