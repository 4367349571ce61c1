"""Estimates against actuals: what is measured, what is counted apart, and how much of an estimate to hold."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

import ledger
from estimator import RateCard, RateCardBook
from ledger.finance import AccountingPeriod, RunAccuracy, measure_accuracy
from ledger.finance.runs.accuracy import runs_needed
from ledger.schema.triggers import remove_triggers
from tests.ledger.conftest import START, later
from tests.ledger.finance.statements.test_reading import LONG, run, settle
from tests.ledger.test_runs import BODY, launch

FREE = RateCard.from_toml(
    """
name = "free"
effective_from = 2026-01-01T00:00:00Z
rows_max = 1_000
quantum = "0.01"
[text]
row = "0"
[text.training]
instruction_dataset.included = true
[text.length]
concise = "1"
"""
)


def of(groups: list[RunAccuracy], dimension: str) -> dict[str, RunAccuracy]:
    return {group.key: group for group in groups if group.dimension == dimension}


def open_all(session: Session, *names: str) -> None:
    for name in names:
        ledger.open_account(session, name, at=START - timedelta(days=30))
        ledger.grant_credits(session, name, 1_000, at=START - timedelta(days=30))


def test_only_runs_that_succeeded_are_measured_and_the_others_counted_apart(session: Session) -> None:
    open_all(session, "acme")
    ends = (("succeeded", 90), ("failed", 50), ("failed", 0), ("cancelled", 10))
    for number, (status, rows) in enumerate(ends):
        settle(session, "acme", run(session, "acme", 100, later(number), dataset=f"d{number}"), rows, later(9), status)
    holds = [launch(session, dataset_id=f"h{number}", at=later(10)).reservation_id for number in range(4)]
    parts, above, released, _open = map(str, holds)
    ledger.capture(session, parts, 1, final=False, at=later(11))
    ledger.capture(session, parts, 3, at=later(12))
    ledger.capture(session, above, 7, over="if_available", at=later(12))
    ledger.refund(session, above, 2, reason="empty", at=later(13))
    ledger.release(session, released, at=later(12))
    launch(session, dataset_id="l", at=later(12), expires_in=timedelta(seconds=5))
    ledger.expire_due(session, at=later(60))
    (total,) = measure_accuracy(session)
    assert (total.runs, total.above, total.below) == (3, 1, 2)
    assert total.apart == {"open": 1, "cancelled": 1, "failed": 2, "released": 1, "lapsed": 1}
    assert total.difference * 10**6 == total.captured - total.estimated
    first = total.estimated - 10 * 10**6
    assert total.captured - 11 * 10**6 < first
    assert total.deviation == (first - (total.captured - 11 * 10**6)) + 1 * 10**6 + 2 * 10**6
    assert total.error == Fraction(total.captured - total.estimated, total.estimated)


def test_runs_are_told_apart_by_recipe_length_grounding_account_and_month_of_a_zone(session: Session) -> None:
    open_all(session, "acme", "=1+1")
    moments = {"acme": START - timedelta(minutes=30), "=1+1": later(1)}
    for name, moment in moments.items():
        body = LONG if name == "acme" else {"column_mapping": {"prompt": "prompt"}}
        settle(session, name, run(session, name, 100, moment, body=body), 50, moment + timedelta(days=40))
    by = ("recipe", "length", "grounding", "account", "month")
    groups = measure_accuracy(session, by=by, zone=ZoneInfo("Europe/Berlin"))
    assert of(groups, "recipe")["reasoning_traces"].runs == 1
    assert {key: group.runs for key, group in of(groups, "length").items()} == {"concise": 1, "detailed": 1}
    assert {key: group.runs for key, group in of(groups, "grounding").items()} == {"true": 1, "false": 1}
    assert {key: group.runs for key, group in of(groups, "account").items()} == {"=1+1": 1, "acme": 1}
    assert {key: group.runs for key, group in of(groups, "month").items()} == {"2026-03": 2}
    assert of(measure_accuracy(session, by=["month"]), "month").keys() == {"2026-02", "2026-03"}
    assert groups[0].estimated == sum(group.estimated for group in of(groups, "account").values())
    (february,) = measure_accuracy(session, AccountingPeriod.parse("2026-02"))
    assert (february.runs, february.estimated) == (1, of(groups, "account")["acme"].estimated)


def test_the_hold_factor_is_the_smallest_that_would_have_covered_the_share(session: Session) -> None:
    open_all(session, "acme")
    charged = [Decimal(5)] * 3 + [Decimal("4.5"), Decimal("4.999999"), Decimal("0.000001")]
    for number, amount in enumerate(charged):
        hold = launch(session, dataset_id=f"d{number}", at=later(number)).reservation_id
        ledger.capture(session, str(hold), amount, at=later(number))
    expected = {
        "0.1": Fraction(1, 5_000_000),
        "0.33": Fraction(9, 10),
        "0.5": Fraction(4_999_999, 5_000_000),
        "0.8": Fraction(1),
    }
    for share, factor in expected.items():
        (total,) = measure_accuracy(session, share=Decimal(share))
        assert total.hold_factor == factor, share
        covered = sum(amount <= 5 * factor for amount in charged)
        assert covered >= Decimal(share) * len(charged)
        assert sum(amount < 5 * factor for amount in charged) < Decimal(share) * len(charged)
    (total,) = measure_accuracy(session, share=Decimal("0.84"))
    assert (runs_needed(Decimal("0.84")), total.runs, total.hold_factor) == (7, 6, None)
    (total,) = measure_accuracy(session)
    assert (runs_needed(Decimal("0.95")), total.hold_factor) == (20, None)


def test_what_was_free_is_covered_by_any_factor_unless_it_was_charged(session: Session) -> None:
    open_all(session, "acme")
    for number, amount in enumerate((0, 0, 0, 1)):
        hold = launch(session, dataset_id=f"d{number}", cards=RateCardBook([FREE]), at=later(number)).reservation_id
        ledger.capture(session, str(hold), amount, over="if_available", at=later(number))
    assert measure_accuracy(session, share=Decimal("0.5"))[0].hold_factor == 0
    assert measure_accuracy(session, share=Decimal("0.74"))[0].hold_factor == 0
    (total,) = measure_accuracy(session, share=Decimal("0.75"))
    assert (total.runs, total.error, total.above, total.hold_factor) == (4, None, 1, 0)
    hold = launch(session, dataset_id="d9", cards=RateCardBook([FREE]), at=later(9)).reservation_id
    ledger.capture(session, str(hold), 1, over="if_available", at=later(9))
    assert measure_accuracy(session, share=Decimal("0.75"))[0].hold_factor is None


def test_what_cannot_be_asked_is_refused_and_a_broken_entry_is_a_finding(session: Session) -> None:
    open_all(session, "acme")
    with pytest.raises(ledger.CommandInvalid, match="Did you mean 'length'"):
        measure_accuracy(session, by=["lenght"])
    for share in ("0", "1", "1.5", "-1"):
        with pytest.raises(ledger.CommandInvalid, match="share"):
            measure_accuracy(session, share=Decimal(share))
    assert measure_accuracy(session)[0].runs == 0
    launch(session, BODY)
    session.commit()
    with session.get_bind().begin() as connection:  # type: ignore[union-attr]
        remove_triggers(connection)
    session.execute(text("""UPDATE ledger_entry SET details = '{"plan": {}, "card_id": "x"}' WHERE sequence = 2"""))
    with pytest.raises(ledger.AuditFailed, match="entry_unreadable"):
        measure_accuracy(session, by=["length"])
