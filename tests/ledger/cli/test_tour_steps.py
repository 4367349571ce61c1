"""The steps of the tour: a mapping for any columns, a balance that is too small, and claims that are checked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest

import ledger.cli
import ledger.cli.tour_steps
from estimator import DatasetProfile, RunRequest, affordable_rows, plan_run, price_micro, shipped_card
from ledger.cli.tour_steps import choose_mapping, left_over
from ledger.model.values import Balance
from tests.command_line import Credits


@pytest.mark.parametrize(
    ("columns", "mapping"),
    [
        (["id", "instruction", "response"], {"prompt": "instruction", "completion": "response"}),
        (["id", "Question", "Answer"], {"prompt": "Question", "completion": "Answer"}),
        (["prompt", "text"], {"prompt": "prompt"}),
        (["id", "messages"], {"chat": "messages"}),
        (["task_id", "prompt", "canonical_solution"], {"prompt": "prompt", "completion": "canonical_solution"}),
        (["user_text", "n"], {"prompt": "user_text"}),
        (["a", "b"], {"prompt": "a"}),
        (["", "b"], {"prompt": "b"}),
    ],
)
def test_columns_are_mapped_by_what_they_are_called(columns: Sequence[str], mapping: dict[str, str]) -> None:
    assert choose_mapping(columns) == mapping


@pytest.mark.parametrize("rows", [1, 2, 10, 1_000, 1_000_000, 20_000_000, 50_000_000])
def test_what_is_left_over_is_too_little_and_never_less_than_nothing(rows: int) -> None:
    card = shipped_card("example")
    profile = DatasetProfile(rows, ("p",))
    plan = plan_run(RunRequest.from_wire({"estimate": True, "brand_controls": {"length": "extensive"}}), profile, card)
    left = left_over(plan, card, Decimal("1.45"))
    assert 0 <= left * 1_000_000 < price_micro(plan, card)
    assert affordable_rows(plan, card, left) < rows


def test_a_claim_that_does_not_hold_ends_the_tour(
    command: Credits, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_too_many(*arguments: object, **options: object) -> Balance:
        found = ledger.get_balance(*arguments, **options)  # type: ignore[arg-type]
        return Balance(found.account_id, found.at, found.available + 1, *[Decimal(0)] * 4)

    monkeypatch.setattr(ledger.cli.tour_steps, "get_balance", one_too_many)
    result = command.runner.invoke(ledger.cli.app, ["tour", str(dataset), "--json"])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert json.loads(result.stderr)["code"] == "tour_broken"
