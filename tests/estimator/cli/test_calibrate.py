"""`credits card calibrate`: a card with new minutes, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pyarrow import csv, parquet

from estimator import RateCard
from estimator.calibration.bounds import shares
from estimator.calibration.cards import card_text
from tests.command_line import Credits
from tests.estimator.calibration.past import history


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    path = tmp_path / "history.parquet"
    parquet.write_table(history(1000, noise=0.2), path)
    return path


def test_the_card_is_written_with_its_new_minutes(command: Credits, runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.toml"
    document = json.loads(command("card", "calibrate", str(runs), "--card", "example", "--out", str(out), "--json"))
    assert document["card"]["id"] == RateCard.from_file(out).id
    assert abs(float(document["minutes"]["factors"]["grounding"]) - 1.75) < 0.1
    assert 88 < float(document["backtest"]["covered_percent"]) <= 100


def test_without_a_file_the_model_is_shown(command: Credits, runs: Path) -> None:
    shown = command("card", "calibrate", str(runs), "--card", "example")
    assert "took no longer than the p95" in shown
    assert "Nothing is written" in shown
    assert "none: 19 are needed for one" in shown


def test_a_bound_that_broken_runs_do_not_support_says_so(command: Credits, tmp_path: Path) -> None:
    table = history(1000, length=["minimal"] * 300 + ["concise"] * 700, grounding=None)
    minutes = table["minutes"].to_pylist()
    for at in [at for at, tenth in enumerate(shares(300)) if tenth in (6, 7)][:8]:
        minutes[at] = 9e8
    path = tmp_path / "broken.csv"
    csv.write_csv(table.set_column(table.schema.get_field_index("minutes"), "minutes", [minutes]), path)
    assert "none: too many took extremely long" in command("card", "calibrate", str(path), "--card", "example")


def test_a_card_takes_the_place_of_the_one_it_was_made_from(command: Credits, runs: Path, tmp_path: Path) -> None:
    card = tmp_path / "card.toml"
    card.write_bytes(card_text("example")[0].replace("\n", "\r\n").encode())
    said = command("card", "calibrate", str(runs), "--card", str(card), "--out", str(card))
    assert "Give it a later effective_from" in said
    assert b"# Fictional prices" in card.read_bytes()
    assert card.read_bytes().count(b"\n") == card.read_bytes().count(b"\r\n")
    assert RateCard.from_file(card).minutes.p95_factors


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["none.parquet", "--card", "example"], "does not exist"),
        (["{runs}", "--card", "exampel"], "ships with the package"),
        (["{runs}", "--card", "example", "--out", "new.json"], "End the name of --out in .toml"),
        (["{runs}", "--card", "example", "--out", "{folder}"], "is a folder. Name a file"),
        (["{runs}", "--card", "example", "--out", "{folder}/none/new.toml"], "does not exist. Make it first"),
    ],
)
def test_what_cannot_be_read_or_written_ends_with_2(
    command: Credits, runs: Path, arguments: list[str], says: str
) -> None:
    folder = runs.with_name("folder.toml")
    folder.mkdir()
    given = (text.format(runs=runs, folder=folder) for text in arguments)
    assert says in command("card", "calibrate", *given, status=2)


def test_a_file_that_is_cut_off_leaves_the_old_card(command: Credits, runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.toml"
    out.write_text("before")
    runs.write_bytes(runs.read_bytes()[:-100])
    said = command("card", "calibrate", str(runs), "--card", "example", "--out", str(out), status=2)
    assert "not sound Parquet" in said
    assert out.read_text() == "before"
