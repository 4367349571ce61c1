"""What every command checks, its account and its moment, and the commands on an account as a whole."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

import ledger
from estimator import RunOutcome
from ledger import Capture, CommandInvalid, GrantCredits, OpenAccount, Release, Reserve, SettleRun
from ledger.commands import key_scope
from tests.ledger.verbs import launch_command


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


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"period": "week", "maximum": 1}, "period"),
        ({"period": "concurrent", "maximum": True}, "maximum"),
        ({"period": "concurrent", "maximum": 1_000_001}, "maximum"),
        ({"period": "day", "maximum": 1, "value": "p1"}, "value"),
        ({"period": "day", "maximum": 1, "label": "p", "value": ""}, "value"),
    ],
)
def test_a_limit_is_on_a_known_period_and_on_the_value_of_a_label(terms: dict[str, Any], field: str) -> None:
    with pytest.raises(CommandInvalid) as caught:
        ledger.SetLimit("acme", **terms)
    assert caught.value.field == field


@pytest.mark.parametrize(("period", "units"), [("day", 5_000_000), ("concurrent", 5)])
def test_a_limit_counts_micro_credits_or_holds(period: str, units: int) -> None:
    limit = ledger.SetLimit("acme", period, 5)
    assert (limit.maximum_units, limit.period) == (units, ledger.LimitPeriod(period))
    assert ledger.SetLimit("acme", period, None).maximum_units is None


@pytest.mark.parametrize("limit", [-1, 0.5, None])
def test_a_credit_line_is_zero_or_more_credits(limit: Any) -> None:
    assert ledger.SetCreditLine("acme", 0).limit_micro == 0
    with pytest.raises(CommandInvalid, match=r"^limit: "):
        ledger.SetCreditLine("acme", limit)


@pytest.mark.parametrize(("amount", "reason"), [(0, "x"), (Decimal("-0"), "x"), (1, ""), (0.5, "x"), (-(2**63), "x")])
def test_an_adjustment_has_an_amount_either_way_and_a_reason(amount: Any, reason: str) -> None:
    assert ledger.Adjust("acme", Decimal("-0.5"), "x").amount_micro == -500_000
    with pytest.raises(CommandInvalid):
        ledger.Adjust("acme", amount, reason)


RUN = "dataset-d-5"
KEYED: list[tuple[ledger.Command, str, str]] = [
    (GrantCredits("a", 1), "", "99b32522ca887553"),
    (ledger.RevokeGrant("a/g1"), "", "10944571d76e285d"),
    (ledger.Adjust("a", -1, "x"), "", "d135d57b2a0a661b"),
    (ledger.SetCreditLine("a", 1), "", "267cfc628fd20098"),
    (ledger.SetLimit("a", "day", 1), "", "1e2ea7bdb3f906a7"),
    (Reserve("a", 1), "", "213aa4d339457425"),
    (Capture("a/r1"), "", "f370562015eba44d"),
    (Release("a/r1"), "", "4ea6303648de3757"),
    (ledger.Extend("a/r1", timedelta(1)), "", "1e491b9f0b076fe4"),
    (ledger.Refund("a/r1"), "", "705805cf3851d090"),
    (launch_command("a"), "launch:d2", "090ccfb98a7ee58d"),
    (SettleRun("a", RUN, RunOutcome("failed", 0)), "settle", "9e6ecc76bf1b7e61"),
]
"""A command of each kind that may have a key, its key's name space, and the beginning of its first version's digest."""


@pytest.mark.parametrize(("command", "scope", "beginning"), KEYED, ids=lambda value: type(value).__name__)
def test_what_a_key_binds_is_the_same_in_every_version(command: Any, scope: str, beginning: str) -> None:
    """Stored keys are compared with it: another digest would turn an honest retry into a conflict."""
    assert key_scope(command) == scope
    assert command.digest().earlier.hex()[:16] == beginning
    assert command.digest().is_of(command.digest().earlier)
