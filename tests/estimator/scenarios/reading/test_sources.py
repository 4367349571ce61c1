"""Reading past runs from files and frames, and refusing what cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas
import polars
import pyarrow
import pytest
from pyarrow import csv, parquet

from estimator import FrameInvalid, RateCard
from estimator.scenarios import RunsUnreadable, compare
from estimator.scenarios.reading import parquet_files, pieces
from estimator.scenarios.reading.sources import open_runs
from tests.estimator.scenarios.past import MANY, RUN, changed, prices, table, total


def write(runs: pyarrow.Table, path: Path, **options: Any) -> Path:
    if path.suffix == ".csv":
        csv.write_csv(runs, path)
    else:
        parquet.write_table(runs, path, **options)
    return path


@pytest.fixture(params=["with Polars", "without"], autouse=True)
def _readers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without":
        monkeypatch.setattr(parquet_files, "_polars", lambda: None)


@pytest.mark.parametrize("name", ["runs.parquet", "runs.csv"])
def test_a_file_gives_what_its_frame_gives(card: RateCard, cheaper: RateCard, tmp_path: Path, name: str) -> None:
    found = compare(write(MANY, tmp_path / name), card, [cheaper])
    frame = compare(MANY, card, [cheaper])
    assert found.groups == frame.groups
    assert found.changes[0].steps == frame.changes[0].steps
    assert {mover.path for mover in found.changes[0].cheaper_runs} == {str(tmp_path / name)}


def test_a_mover_is_named_with_its_file_and_its_row_there(card: RateCard, tmp_path: Path) -> None:
    dearer = changed(card, name="dearer", text__row=Decimal("0.02"))
    small, large = table({"rows": 500}), table({"rows": 5}, {"rows": 9_000})
    paths = [write(small, tmp_path / "1.parquet"), write(large, tmp_path / "2.csv")]
    (change,) = compare(paths, card, [dearer]).changes
    found = [(mover.path, mover.row) for mover in change.dearer_runs]
    assert found == [(str(paths[1]), 1), (str(paths[0]), 0)]


def test_row_groups_are_shared_out_among_threads_and_added_up_exactly(
    card: RateCard, cheaper: RateCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "PIECE_ROWS", 4)
    path = write(MANY, tmp_path / "runs.parquet", row_group_size=2)
    assert [(piece.start, piece.rows) for piece in open_runs(path).pieces] == [(0, 4), (4, 2)]
    found, whole = compare(path, card, [cheaper]), compare(MANY, card, [cheaper])
    assert found.groups == whole.groups
    assert found.changes[0].distribution == whole.changes[0].distribution
    rows = [mover.row for mover in whole.changes[0].cheaper_runs]
    assert [mover.row for mover in found.changes[0].cheaper_runs] == rows


def test_folders_and_patterns_name_all_their_files(card: RateCard, tmp_path: Path) -> None:
    (tmp_path / "2026" / "01").mkdir(parents=True)
    write(MANY, tmp_path / "2026" / "a.parquet")
    write(MANY, tmp_path / "2026" / "01" / "b.parquet")
    (tmp_path / "2026" / "_SUCCESS").write_text("")
    for runs, files in (
        (tmp_path, 2),
        (str(tmp_path / "*" / "*.parquet"), 1),
        (str(tmp_path / "**" / "*.parquet"), 2),
        ([tmp_path / "2026" / "a.parquet", tmp_path / "2026"], 2),
    ):
        assert compare(runs, card, []).baseline.credits == files * total(MANY, card)


def test_integers_of_any_width_and_accounts_that_are_numbers_are_read(card: RateCard, tmp_path: Path) -> None:
    runs = table({"rows": 7, "account": 3}, {"rows": 9, "account": 4}).set_column(
        0, "rows", pyarrow.array([7, 9], pyarrow.uint16())
    )
    found = compare(write(runs, tmp_path / "runs.parquet"), card, [])
    assert {group.key for group in found.by("account")} == {"3", "4"}
    assert found.baseline.credits == sum(prices(runs, card))


def test_a_frame_in_thousands_of_chunks_is_read_as_one(card: RateCard) -> None:
    runs = pyarrow.concat_tables([table({"rows": 7})] * 5_000)
    (piece,) = open_runs(runs).pieces
    assert len(list(piece.read(["rows"]))) == 1


TWO_ZONES = [datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2)))]
CSV_HEAD = "rows,at\n"
UNREADABLE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "nothing there": (lambda _: "nowhere.parquet", "does not exist, and no file matches it"),
    "no such pattern": (lambda folder: str(folder / "*.parquet"), "no file matches it"),
    "folder without runs": (lambda folder: folder, "has no .parquet or .csv file in it"),
    "file of another kind": (lambda folder: _text(folder / "runs.txt", "rows"), "is of no kind that can be read"),
    "empty file": (lambda folder: _text(folder / "runs.parquet", ""), "is empty. Give a file"),
    "empty CSV file": (lambda folder: _text(folder / "runs.csv", ""), "is empty. Give a file"),
    "CSV of a header alone": (lambda folder: _text(folder / "runs.csv", CSV_HEAD), "has no runs"),
    "Parquet of no rows": (lambda folder: write(MANY.slice(0, 0), folder / "runs.parquet"), "has no runs"),
    "frame of no rows": (lambda _: MANY.slice(0, 0), "has no rows"),
    "truncated Parquet": (lambda folder: _cut(write(MANY, folder / "runs.parquet")), "is not sound Parquet"),
    "text named Parquet": (lambda folder: _text(folder / "a.parquet", "rows\n1\n"), "is not sound Parquet"),
    "CSV with a float": (lambda folder: _text(folder / "a.csv", "rows\n1\n2.5\n"), "int64: invalid value '2.5'"),
    "CSV with text": (lambda folder: _text(folder / "a.csv", "rows\nmany\n"), "int64: invalid value 'many'"),
    "CSV with a short line": (lambda folder: _text(folder / "a.csv", "rows,safety\n1\n"), "Expected 2 columns, got 1"),
    "CSV with a column twice": (lambda folder: _text(folder / "a.csv", "rows,rows\n1,2\n"), "column 'rows' twice"),
    "files of several shapes": (lambda folder: _two(folder, MANY, MANY.drop_columns("account")), "has no column 'acc"),
    "files of more columns": (
        lambda folder: _two(folder, MANY.drop_columns("account"), MANY),
        "has a column 'account'",
    ),
    "files in several zones": (lambda folder: _two(folder, MANY, _in_zone(MANY, "Asia/Tokyo")), "in several zones"),
    "files with and without zone": (lambda folder: _two(folder, MANY, _in_zone(MANY, None)), r"zones \(UTC, none\)"),
    "CSV in several zones": (
        lambda folder: _text(folder / "a.csv", CSV_HEAD + "1,2026-01-01T00:00:00Z\n1,2026-01-01T00:00:00+02:00\n"),
        r"at: has dates in several zones \(\+02:00, UTC\)",
    ),
    "CSV partly without a zone": (
        lambda folder: _text(folder / "a.csv", CSV_HEAD + "1,2026-01-01T00:00:00Z\n1,2026-01-01T00:00:00\n"),
        r"several zones \(UTC, none\)",
    ),
    "pandas in several zones": (
        lambda _: pandas.DataFrame({"rows": [1, 2], "at": pandas.Series(TWO_ZONES, dtype=object)}),
        "has dates in several zones",
    ),
    "a number": (lambda _: 12, "cannot be a int. Give a Polars, PyArrow or pandas frame"),
    "no path": (lambda _: [], "is a list of something else than paths"),
}


def _text(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


def _cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-100])
    return path


def _two(folder: Path, first: pyarrow.Table, second: pyarrow.Table) -> list[Path]:
    return [write(first, folder / "1.parquet"), write(second, folder / "2.parquet")]


def _in_zone(runs: pyarrow.Table, zone: str | None) -> pyarrow.Table:
    place = runs.schema.get_field_index("at")
    return runs.set_column(place, "at", runs["at"].cast(pyarrow.timestamp("us", zone)))


@pytest.mark.parametrize("case", UNREADABLE)
def test_what_cannot_be_read_is_refused_with_what_to_do(card: RateCard, tmp_path: Path, case: str) -> None:
    make, message = UNREADABLE[case]
    with pytest.raises(RunsUnreadable, match=message):
        compare(make(tmp_path), card, [])


UNPRICEABLE: dict[str, tuple[pyarrow.Table, str]] = {
    "column missing": (MANY.drop_columns("rows"), "rows: is required"),
    "column misspelt": (MANY.rename_columns({"max_rows": "max_row"}), "Did you mean 'max_rows'"),
    "float rows": (MANY.set_column(0, "rows", pyarrow.array([1.5] * 6)), "must be whole numbers, not of type double"),
    "text rows": (MANY.set_column(0, "rows", pyarrow.array(["1"] * 6)), "must be whole numbers, not of type string"),
    "negative rows": (table({}, {"rows": -5}), r"rows: cannot be priced in 1 row \(row 1: -5\)"),
    "no rows": (table({"rows": 0}), r"row 0: 0"),
    "too many rows": (table({"rows": 50_000_001}), "allows 50,000,000 rows a run"),
    "null configuration": (table({}, {"grounding": None}, {"grounding": None}), r"grounding: .* 2 rows \(row 1: null"),
    "unknown word": (table({"length": "huge"}), "length: .*'huge'"),
    "unknown discount": (table({"discount": "teem"}), "Did you mean 'team'"),
    "null account": (table({}, {"account": None}), "account: is null in 1 run.* Give the account of each run"),
    "null date": (table({}, {"at": None}), "at: is null in 1 run.* Give the date of each run"),
    "date as a number": (table({"at": 20260101}), "at: is of type int64, not a date and time"),
    "date in words": (table({"at": "yesterday"}), "at: holds text that is no date and time"),
}


@pytest.mark.parametrize("case", UNPRICEABLE)
def test_runs_that_cannot_be_priced_are_refused_with_their_column(card: RateCard, case: str) -> None:
    runs, message = UNPRICEABLE[case]
    with pytest.raises(FrameInvalid, match=message):
        compare(runs, card, [])


def test_a_bad_run_of_a_file_is_named_with_the_file_and_its_row_there(card: RateCard, tmp_path: Path) -> None:
    good = write(MANY, tmp_path / "1.parquet")
    bad = write(table(*[{}] * 5, {"rows": -1}), tmp_path / "2.parquet", row_group_size=2)
    with pytest.raises(FrameInvalid, match=r"2\.parquet, rows \d to 5: rows: cannot be priced in 1 row \(row 5: -1\)"):
        compare([good, bad], card, [])


@pytest.mark.parametrize(
    "at",
    [
        pyarrow.array([date(2026, 3, 1)]),
        pyarrow.array(["2026-03-31T23:00:00"]).cast(pyarrow.timestamp("ns")),
        pyarrow.array(["2026-03-31T23:59:59Z"]),
        pyarrow.array(["2026-04-01T01:00:00+02:00"]),
        pyarrow.array(["2026-03-31"]),
        pyarrow.array(["2026-03-31T23:00:00Z"]).dictionary_encode(),
    ],
    ids=["date", "no zone", "text of UTC", "text with an offset", "text of a day", "dictionary"],
)
def test_dates_come_in_many_forms(card: RateCard, at: Any) -> None:
    runs = table({})
    runs = runs.set_column(runs.schema.get_field_index("at"), "at", at)
    assert [group.key for group in compare(runs, card, []).by("month")] == ["2026-03"]


def test_a_polars_category_is_text(card: RateCard) -> None:
    frame = polars.DataFrame({"rows": [5, 6], "length": ["concise", "detailed"]}).cast({"length": polars.Categorical})
    found = compare(frame, card, []).by("length")
    assert [group.key for group in found] == ["concise", "detailed"]


def test_a_column_that_no_scenario_reads_may_hold_anything(card: RateCard) -> None:
    runs = MANY.append_column("notes", pyarrow.array([{"a": 1}] * 6))
    assert compare(runs, card, []).baseline.credits == total(MANY, card)


def test_the_reading_of_a_large_file_tells_how_far_it_is(card: RateCard, tmp_path: Path) -> None:
    told: list[int] = []
    path = write(MANY, tmp_path / "runs.parquet", row_group_size=2)
    compare([path, write(MANY, tmp_path / "runs.csv")], card, [], progress=told.append)
    assert sum(told) == open_runs([path, tmp_path / "runs.csv"]).size


def test_a_movers_columns_are_those_of_its_run(card: RateCard, tmp_path: Path) -> None:
    dearer = changed(card, name="dearer", fee=Decimal(9))
    (change,) = compare(write(table({}), tmp_path / "r.csv"), card, [dearer]).changes
    run = change.dearer_runs[0].run
    assert {name: value for name, value in RUN.items() if value is not None and name != "at"} == {
        name: value for name, value in run.items() if name != "at"
    }
