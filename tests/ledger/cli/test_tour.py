"""The tour: every step holds, on HumanEval and on any other dataset, and it notices when one does not."""

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

NAMES = ["profile", "estimate", "grant", "launch", "replay", "refusal", "settle", "statement", "audit"]


def test_the_tour_of_human_eval_holds_in_every_step(command: Credits) -> None:
    tour = command.json("tour")
    steps = {step["name"]: step["result"] for step in tour["steps"]}
    assert list(steps) == NAMES
    assert steps["profile"]["row_count"] == 164
    assert steps["profile"]["columns"] == ["task_id", "prompt", "entry_point", "canonical_solution", "test"]
    price = Decimal(steps["estimate"]["credits"])
    assert Decimal(steps["launch"]["balance"]["held"]) == price
    assert steps["replay"]["launch"] == steps["launch"]["launch"] | {"replayed": True}
    assert steps["replay"]["balance"] == steps["launch"]["balance"]
    assert 0 < steps["refusal"]["error"]["affordable_rows"] < 164
    settled = steps["settle"]["settlement"]
    assert Decimal(settled["captured"]) + Decimal(settled["freed"]) == price
    assert Decimal(settled["captured"]) < price
    assert steps["audit"]["findings"] == []


def test_the_tour_explains_each_step_and_leaves_nothing_behind(command: Credits) -> None:
    printed = command("tour")
    assert [line[0] for line in printed.splitlines() if line[1:3] == ". "] == list("123456789")
    assert printed.endswith("Every step held. The book is gone with its file.\n")
    assert max(map(len, printed.splitlines())) <= 120


def test_the_tour_can_keep_its_book(command: Credits, tmp_path: Path) -> None:
    path = tmp_path / "kept.sqlite"
    assert command.json("tour", "--keep", str(path))["kept"] == str(path)
    kept = Credits(f"sqlite:///{path}")
    assert kept.json("account", "list") == ["tour"]
    assert kept.json("audit")["clean"] is True
    assert "exists already" in command("tour", "--keep", str(path), status=2)


def test_the_tour_keeps_its_book_under_any_name(command: Credits, dataset: Path, tmp_path: Path) -> None:
    command("tour", str(dataset), "--keep", str(tmp_path / "a?b#c.sqlite"))
    assert {path.name for path in tmp_path.iterdir()} == {dataset.name, "a?b#c.sqlite"}


def test_the_tour_works_for_a_file_of_any_name(command: Credits, tmp_path: Path) -> None:
    path = tmp_path / ("é" * 120 + ".csv")
    path.write_text("name\na\n", encoding="utf-8")
    assert len(command.json("tour", str(path))["steps"]) == 9


def test_the_tour_can_be_taken_twice_in_one_database(database_url: str, dataset: Path) -> None:
    book = Credits(database_url)
    for _ in range(2):
        book("tour", str(dataset), "--database-url", database_url)
    assert len(book.json("account", "list")) == 2
    assert book.json("audit") == {"clean": True, "accounts": 2, "findings": []}


def test_the_tour_never_takes_its_database_from_the_environment(book: Credits, dataset: Path) -> None:
    book("tour", str(dataset))
    assert book.json("account", "list") == ["acme"]


@pytest.mark.parametrize("rows", [1, 2, 3, 99, 100_001])
def test_the_tour_works_for_any_number_of_rows(command: Credits, tmp_path: Path, rows: int) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("name,size\n" + "a,1\n" * rows, encoding="utf-8")
    refusal = command.json("tour", str(path))["steps"][5]["result"]["error"]
    assert refusal["affordable_rows"] < rows


def test_the_tour_needs_a_column_with_a_name(command: Credits, tmp_path: Path) -> None:
    path = tmp_path / "nameless.jsonl"
    path.write_text('{}\n{"": 1}\n', encoding="utf-8")
    assert "names no column" in command("tour", str(path), status=2)


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
