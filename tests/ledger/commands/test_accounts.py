"""What every command checks, its account and its moment, and the commands on an account as a whole."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

import ledger
from estimator import RunOutcome
from ledger import (
    Capture,
    CommandInvalid,
    GrantCredits,
    OpenAccount,
    Release,
    Reserve,
    SettleRun,
)


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
