"""The tour: every step holds, on HumanEval and on any other dataset, and it notices when one does not."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

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
