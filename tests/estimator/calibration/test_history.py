"""Past runs are read as they would be priced, with their times; what is no run or no time is named, counted, shown."""

from __future__ import annotations

from datetime import UTC, timedelta, timezone
from pathlib import Path

import pyarrow
import pytest
from pyarrow import csv, parquet

from estimator import FrameInvalid, shipped_card
from estimator.calibration import read_history
from tests.estimator.calibration.past import history, moments

CARD = shipped_card("example")
TAKEN = [1.5, 20.0, 0.25]


def small(**columns: object) -> pyarrow.Table:
    return history(3, minutes=TAKEN, **columns)


def test_minutes_are_given_or_told_by_two_moments() -> None:
    assert read_history(small(), CARD).minutes.tolist() == TAKEN
    told = history(3, **{"minutes": None, **moments(TAKEN)})
    assert read_history(told, CARD).minutes.tolist() == TAKEN


def test_rows_are_those_that_come_out() -> None:
    table = history(2, rows=[1000, 50], max_rows=[10, None], sample_ppm=[500_000, 0], targets=[3, 0])
    assert read_history(table, CARD).rows.tolist() == [10 + 5 * 3, 50]


def test_what_the_runs_lack_is_as_the_card_has_it() -> None:
    found = read_history(pyarrow.table({"rows": [5], "minutes": [1]}), CARD)
    assert found.slowed["recipes.deduplication"].tolist() == [True]
    assert found.slowed["length.concise"].tolist() == [True]
    assert found.slowed["grounding"].tolist() == [False]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_files_are_read_like_frames(tmp_path: Path, kind: str) -> None:
    table = history(50)
    write = {"csv": csv.write_csv, "parquet": parquet.write_table}[kind]
    write(table, tmp_path / f"history.{kind}")
    found = read_history(tmp_path, CARD)
    assert found.minutes.tolist() == table["minutes"].to_pylist()
    assert found.rows.tolist() == table["rows"].to_pylist()


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"minutes": None}, "minutes: is required: how long each run took"),
        ({"minutes": None, "minuts": TAKEN}, "Is 'minuts' meant to be 'minutes'"),
        ({"minutes": None, **moments(TAKEN), "ended_at": None}, "ended_at: is required beside started_at"),
        ({"minutes": None, **moments(TAKEN), "started_at": None, "start_at": TAKEN}, "Is 'start_at' meant to be"),
        ({"length": None, "lenght": ["concise"] * 3}, "lenght: is no column that is priced. Did you mean 'length'"),
        ({"rows": None, "row": [5, 5, 5]}, "Did you mean 'rows'"),
        ({"minutes": [1.0, 2.0, 1e9 + 1]}, "Give minutes from 0 to 1,000,000,000"),
        ({"rows": [5, 10**9, 5]}, r"rows: cannot be priced in 1 row \(row 1: 1000000000\)"),
        ({"sample_ppm": [0, 10, 10], "targets": [0, 21, 20]}, r"targets: cannot be priced in 1 row \(row 1: 21\)"),
        ({"minutes": ["1", "2", "3"]}, "must be numbers of minutes, not of type string"),
        ({"minutes": [1.0, -2.0, None]}, r"no length of time in 2 rows \(row 1: -2.0, row 2: null\)"),
        ({"minutes": [1.0, float("nan"), float("inf")]}, "no length of time in 2 rows"),
        ({"rows": [0, 5, 5]}, "rows: cannot be priced in 1 row"),
        ({"rows": [1.0, 5.0, 5.0]}, "must be whole numbers"),
        ({"length": ["concise", "long", "concise"]}, "length: cannot be priced in 1 row"),
        ({"minutes": None, "started_at": [1, 2, 3], "ended_at": [1, 2, 3]}, "must be moments"),
    ],
)
def test_what_is_no_run_or_no_time_is_refused(columns: dict[str, object], says: str) -> None:
    with pytest.raises(FrameInvalid, match=says):
        read_history(history(3, **({"minutes": TAKEN} | columns)), CARD)


def test_what_runs_cost_is_not_looked_at() -> None:
    dear = pyarrow.table({"rows": [5], "minutes": [1], "voucher": ["nobody's"], "credits_micro": [7]})
    assert len(read_history(dear, CARD)) == 1
    unsold = pyarrow.table({"rows": [5], "modality": ["image"], "prompt_rephrase": [True], "minutes": [1]})
    assert read_history(unsold, CARD).slowed["recipes.prompt_rephrase"].tolist() == [True]
    both = pyarrow.concat_tables([unsold, unsold]).combine_chunks()
    with pytest.raises(FrameInvalid) as caught:
        read_history(both.append_column("grounding", pyarrow.array([None, True])), CARD)
    assert [issue.path for issue in caught.value.issues] == ["grounding"]


def test_a_time_that_is_there_twice_is_refused() -> None:
    twice = pyarrow.table([[5], [1], [2]], ["rows", "minutes", "minutes"])
    with pytest.raises(FrameInvalid, match="minutes: is the name of more than one column"):
        read_history(twice, CARD)


def test_moments_of_two_zones_are_refused() -> None:
    ended = moments(TAKEN, timezone(timedelta(hours=2)))["ended_at"]
    table = history(3, **{"minutes": None, **moments(TAKEN, UTC), "ended_at": ended})
    with pytest.raises(FrameInvalid, match="Convert both to UTC"):
        read_history(table, CARD)
