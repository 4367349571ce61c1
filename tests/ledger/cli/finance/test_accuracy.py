"""`credits accuracy`."""

from __future__ import annotations

import csv
from pathlib import Path

from tests.command_line import Credits


def test_charges_are_held_against_estimates(any_book: Credits, dataset: Path, tmp_path: Path) -> None:
    common = ("launch", "acme", str(dataset), "--map", "prompt=question", "--card", "example")
    launched = [any_book.json(*common, "--dataset-id", name) for name in ("d1", "d2", "d3")]
    for run, rows in zip(launched[:2], ("120", "60"), strict=True):
        counted = ("--rows-processed", rows, "--rows-delivered", rows)
        any_book("settle", "acme", run["run_id"], "--status", "succeeded", *counted)
    # The card charges 1 at least, of 1.45 estimated.
    document = any_book.json("accuracy", "--by", "recipe, length,account", "--share", "0.5")
    total = document["total"]
    assert (total["runs"], total["open"], total["estimated"]) == (2, 1, "2.9")
    assert (total["hold_factor"], document["runs_needed"]) == ("0.6897", 2)
    assert total["hold_factor_exact"] == "20/29"
    assert {group["dimension"] for group in document["groups"]} == {"recipe", "length", "account"}
    assert any_book.json("accuracy")["total"]["hold_factor"] is None
    assert any_book.json("accuracy", "2001")["total"]["runs"] == 0
    path = tmp_path / "accuracy.csv"
    shown = any_book("accuracy", "--by", "account", "--csv", str(path), "--share", "0.5")
    assert "2 runs measured; counted apart: 1 open." in shown
    assert "covered 50% of the runs" in shown
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["dimension"], row["key"], row["runs"]) for row in rows] == [("", "", "2"), ("account", "acme", "2")]


def test_wrong_words_of_accuracy_are_said_in_a_sentence(book: Credits) -> None:
    assert "Did you mean 'length'" in book("accuracy", "--by", "lenght", status=2)
    assert "above 0 and below 1" in book("accuracy", "--share", "1", status=2)
    assert "no number" in book("accuracy", "--share", "most", status=2)
    assert "no share" in book("accuracy", "--share", "nan", status=2)
