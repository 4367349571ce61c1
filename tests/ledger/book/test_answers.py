"""From an entry to the value that its command answers: a first answer and its replay are made by the same function."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

import ledger
from ledger.book import answers
from ledger.book.buckets import AVAILABLE, BALANCES, CONSUMED, HELD, REVOKED
from ledger.book.postings import Posting
from ledger.book.states import AccountState
from ledger.model.moments import to_moment
from ledger.rules import decide
from tests.ledger.conftest import START, later
from tests.ledger.shorthand import NOW, account

COMMANDS: list[ledger.Command] = [
    ledger.GrantCredits("acme", 10, "grant", priority=3, expires_at=later(900), metadata={"a": 1}),
    ledger.GrantCredits("acme", 5, "recurring", recurrence=ledger.Recurrence("day", rollover_max=2)),
    ledger.SetCreditLine("acme", 20, "line"),
    ledger.SetLimit("acme", "day", 500, key="limit"),
    ledger.Adjust("acme", 1, "goodwill", "added"),
    ledger.Adjust("acme", Decimal("-0.5"), "usage", "taken"),
    ledger.Reserve("acme", 12, "hold", timedelta(seconds=60), grace=timedelta(seconds=5), labels={"p": "1"}),
    ledger.Capture("acme/r7", 2, "part", final=False),
    ledger.Extend("acme/r7", timedelta(seconds=9), "longer"),
    ledger.Refund("acme/r7", 1, "back", reason="empty"),
    ledger.Capture("acme/r7", 3, "last"),
    ledger.Reserve("acme", 1, "freed"),
    ledger.Release("acme/r12", "release"),
    ledger.RevokeGrant("acme/g2", "revoke", "charged back"),
]
"""One command of each kind that posts an entry, but those of runs, each with a key."""


def carried_out() -> tuple[AccountState, list[Any]]:
    """An account after the commands, and their answers."""
    state = account()
    results = decide({"acme": state}, COMMANDS, NOW)
    assert [result for result in results if isinstance(result, Exception)] == []
    return state, results


def test_the_answer_of_an_entry_is_that_of_its_command_and_its_replay_differs_by_being_one() -> None:
    state, results = carried_out()
    assert len(state.postings) == len(COMMANDS)
    for posting, result in zip(state.postings, results, strict=True):
        assert answers.answer(posting, replayed=False) == result
        assert answers.answer(posting, replayed=True) == replace(result, replayed=True)


def test_a_hold_in_parts_is_answered_with_what_each_entry_did_and_what_all_of_them_came_to() -> None:
    _, results = carried_out()
    told = {
        command.key: (result.state, result.amount, result.captured, result.refunded, result.freed, result.applied)
        for command, result in zip(COMMANDS, results, strict=True)
        if isinstance(result, ledger.Reservation)
        and isinstance(command, ledger.Reserve | ledger.Capture | ledger.Extend | ledger.Refund | ledger.Release)
    }
    assert told == {
        "hold": ("held", 12, 0, 0, 0, 12),
        "part": ("held", 12, 2, 0, 0, 2),
        "longer": ("held", 12, 2, 0, 0, 0),
        "back": ("held", 12, 2, 1, 0, 1),
        "last": ("captured", 12, 5, 1, 7, 3),
        "freed": ("held", 1, 0, 0, 0, 1),
        "release": ("released", 1, 0, 0, 1, 1),
    }


@pytest.mark.parametrize(("second", "state", "freed"), [(59.999999, "held", 0), (60, "expired", 4)])
def test_a_hold_stands_as_its_latest_entry_left_it_until_it_lapses(second: float, state: str, freed: int) -> None:
    """From its lapse on, what it held is freed, recorded or not."""
    book = account()
    commands = [ledger.GrantCredits("acme", 9), ledger.Reserve("acme", 6, expires_in=timedelta(seconds=60)),
                ledger.Capture("acme/r2", 2, final=False)]  # fmt: skip
    decide({"acme": book}, commands, NOW)
    drawn = book.postings[1].transfers
    found = answers.standing_hold("acme", book.holds[2], drawn, to_moment(later(second)))
    assert (found.state, found.captured, found.freed) == (state, 2, freed)
    assert found.slices == (ledger.Slice("acme/g1", Decimal(6)),)
    assert (found.reserved_at, found.expires_at) == (START, later(60))


def posting(*transfers: tuple[int, int, int, int]) -> Posting:
    """An entry of these transfers."""
    return Posting("a", 9, "capture", 0, 0, "", None, None, 5, "{}", list(transfers), (0,) * 8, b"")


def test_the_slices_of_an_entry_are_summed_by_grant_in_burn_order() -> None:
    """A grant of which part was consumed and part freed is one slice; what was never held is none."""
    entry = posting((7, HELD, CONSUMED, 1_000_000), (2, HELD, CONSUMED, 2_000_000), (7, HELD, REVOKED, 500_000),
                    (3, AVAILABLE, CONSUMED, 4_000_000))  # fmt: skip
    assert answers.slices(entry) == [ledger.Slice("a/g7", Decimal("1.5")), ledger.Slice("a/g2", Decimal(2))]
    assert answers.slices(posting((3, AVAILABLE, CONSUMED, 1))) == answers.slices(posting()) == []
    assert answers.moved(entry, CONSUMED) == 7_000_000
    assert answers.moved(entry, CONSUMED, REVOKED) == 7_500_000


def test_each_figure_of_a_balance_is_under_its_own_name() -> None:
    balance = answers.balance("acme", NOW, [(number + 1) * 10**6 for number in range(len(BALANCES))])
    for number, name in enumerate(BALANCES[1:], 2):
        assert getattr(balance, name) == number
    assert balance.at == START


@pytest.mark.parametrize(("period", "maximum"), [("day", Decimal(5)), ("concurrent", Decimal(5_000_000))])
def test_the_figures_of_a_limit_are_credits_or_a_number_of_holds(period: str, maximum: Decimal) -> None:
    assert answers.limit("acme", "", "*", period, 5_000_000).maximum == maximum
    assert answers.limit("acme", "", "*", period, None).maximum is None


@pytest.mark.parametrize(("limit", "owed", "left"), [(5, 0, 5), (5, 2, 3), (2, 5, 0)])
def test_a_line_below_what_is_owed_has_nothing_left(limit: int, owed: int, left: int) -> None:
    line = answers.credit_line("acme", limit * 10**6, owed * 10**6)
    assert (line.limit, line.owed, line.left) == (limit, owed, left)


def test_what_lapsed_is_summed_over_the_entries_that_recorded_it() -> None:
    state = account()
    commands: list[ledger.Command] = [
        ledger.GrantCredits("acme", 10, expires_at=later(60)),
        ledger.Reserve("acme", 4, expires_in=timedelta(seconds=5)),
        ledger.ExpireDue("acme", later(60)),
    ]
    *_, expiry = decide({"acme": state}, commands, NOW)
    assert expiry == ledger.Expiry("acme", ("acme/r2",), ("acme/g1",), Decimal(4), Decimal(10))


def test_the_public_value_of_an_entry_has_all_that_its_posting_has() -> None:
    state, _ = carried_out()
    for posting in state.postings:
        entry = answers.to_entry(posting)
        assert {field.name for field in fields(entry)} == {field.name for field in fields(ledger.Entry)}
        assert (entry.sequence, entry.kind, entry.key, entry.hash) == (
            posting.sequence, posting.kind, posting.key, posting.hash.hex(),
        )  # fmt: skip
        assert entry.details == posting.parsed_details()
        assert [int(part.amount * 10**6) for part in entry.transfers] == [part[3] for part in posting.transfers]
        assert entry.balance.issued * 10**6 == posting.buckets[0]
