"""`credits card calibrate`: a card with new minutes, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pyarrow import parquet

from estimator import RateCard
from tests.cli.conftest import Credits
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


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["none.parquet", "--card", "example"], "does not exist"),
        (["{runs}", "--card", "exampel"], "ships with the package"),
        (["{runs}", "--card", "example", "--out", "new.json"], "End the name of --out in .toml"),
    ],
)
def test_what_cannot_be_read_or_written_ends_with_2(
    command: Credits, runs: Path, arguments: list[str], says: str
) -> None:
    assert says in command("card", "calibrate", *(text.format(runs=runs) for text in arguments), status=2)


def test_a_file_that_is_cut_off_leaves_the_old_card(command: Credits, runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.toml"
    out.write_text("before")
    runs.write_bytes(runs.read_bytes()[:-100])
    said = command("card", "calibrate", str(runs), "--card", "example", "--out", str(out), status=2)
    assert "not sound Parquet" in said
    assert out.read_text() == "before"
