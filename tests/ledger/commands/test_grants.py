"""The commands of grants check their own values before anything is looked up."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

import ledger
from ledger import CommandInvalid, GrantCredits
from tests.ledger.conftest import START


@pytest.mark.parametrize(
    ("per_credit", "currency"),
    [(0.5, "EUR"), (Decimal("NaN"), "EUR"), (Decimal(-1), "EUR"), (1, "eur"), (1, "EURO"), (1, "E1R"), (True, "EUR")],
)
def test_a_cost_basis_is_exact_money_in_a_currency(per_credit: Any, currency: str) -> None:
    with pytest.raises(ledger.CommandInvalid, match="cost_basis"):
        ledger.CostBasis(per_credit, currency)


@pytest.mark.parametrize(
    "terms",
    [
        {"every": "fortnight"},
        {"every": "day", "count": 0},
        {"every": "day", "count": 1.0},
        {"every": "day", "amount": -1},
        {"every": "day", "amount": 0},
        {"every": "day", "rollover_min": 2, "rollover_max": 1},
        {"every": "day", "anchor": datetime(2026, 1, 1)},  # noqa: DTZ001
    ],
)
def test_a_recurrence_that_makes_no_sense_is_refused(terms: dict[str, Any]) -> None:
    with pytest.raises(ledger.CommandInvalid):
        ledger.Recurrence(**terms)


@pytest.mark.parametrize("priority", [-1, 32_768, 1.0, True, "1"])
def test_a_priority_is_a_small_whole_number(priority: Any) -> None:
    with pytest.raises(CommandInvalid, match="priority"):
        GrantCredits("acme", 1, priority=priority)


def test_a_scope_is_put_in_order_and_its_values_are_told_once() -> None:
    grant = GrantCredits("acme", 1, scope={"b": ["2", "1", "2"], "a": ("x",)})  # type: ignore[dict-item]
    assert list((grant.scope or {}).items()) == [("a", ["x"]), ("b", ["1", "2"])]


@pytest.mark.parametrize(
    ("scope", "field"),
    [({}, "scope"), ([], "scope"), ({"a": "x"}, "scope.a"), ({"a": []}, "scope.a"), ({"a": ["x"] * 101}, "scope.a"),
     ({"": ["x"]}, "scope"), ({"a": [1]}, "scope.a")],
)  # fmt: skip
def test_a_scope_has_labels_each_with_up_to_a_hundred_values(scope: Any, field: str) -> None:
    with pytest.raises(CommandInvalid) as caught:
        GrantCredits("acme", 1, scope=scope)
    assert caught.value.field == field


def test_metadata_is_a_copy_that_the_caller_cannot_change_any_more() -> None:
    given: dict[str, Any] = {"a": [1]}
    grant = GrantCredits("acme", 1, metadata=given)
    given["a"].append(2)
    assert grant.metadata == {"a": [1]}


@pytest.mark.parametrize(
    ("per_credit", "text"),
    [(Decimal("0.0120"), "0.012"), (2, "2"), (Decimal("10"), "10"), (Decimal("1E+2"), "100"), (Decimal("0"), "0")],
)
def test_the_money_of_a_cost_basis_is_written_exactly_without_trailing_zeros(per_credit: Any, text: str) -> None:
    assert ledger.CostBasis(per_credit, "EUR").to_dict() == {"per_credit": text, "currency": "EUR"}


def test_a_recurrence_binds_its_terms_in_micro_credits_and_microseconds() -> None:
    recurrence = ledger.Recurrence("day", 2, Decimal("1.5"), START, 1, 2)
    assert recurrence.bound() == ("day", 2, 1_500_000, 1_772_323_200_000_000, 1_000_000, 2_000_000)
    assert ledger.Recurrence("day").bound() == ("day", 1, None, None, 0, 0)


def test_the_account_of_a_revocation_is_that_of_the_grants_id() -> None:
    revoke = ledger.RevokeGrant("a/g1/g7")
    assert (revoke.account_id, revoke.number) == ("a/g1", 7)
    with pytest.raises(ledger.GrantNotFound):
        ledger.RevokeGrant("acme/g7", account_id="beta")
    with pytest.raises(CommandInvalid, match=r"^reason: "):
        ledger.RevokeGrant("acme/g7", reason="")
