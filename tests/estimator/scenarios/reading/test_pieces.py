"""Pieces of past runs: their columns, their sizes, and errors that name the file."""

from __future__ import annotations

from pathlib import Path

import pyarrow
import pytest

from estimator import FrameInvalid
from estimator.scenarios import RunsUnreadable
from estimator.scenarios.reading.pieces import Source, readable, refuse_empty
from estimator.scenarios.reading.sources import open_runs
from tests.estimator.scenarios.past import MANY


def test_the_priced_columns_leave_out_what_an_earlier_pricing_added() -> None:
    runs = MANY.append_column("credits_micro", pyarrow.array([1] * 6))
    assert open_runs(runs).priced_columns == open_runs(MANY).priced_columns
    with pytest.raises(FrameInvalid, match="Did you mean 'rows'"):
        _ = Source(pyarrow.schema({"row": pyarrow.int64()}), ()).priced_columns


def test_an_error_while_reading_names_the_file() -> None:
    for error, words in (
        (OSError(5, "Input/output error"), r"a\.csv: cannot be read \(Input/output error\)"),
        (pyarrow.ArrowInvalid("bad\n magic."), r"a\.csv: is not sound CSV \(bad magic\)"),
    ):
        with pytest.raises(RunsUnreadable, match=words), readable(Path("a.csv"), "CSV"):
            raise error


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.touch()
    with pytest.raises(RunsUnreadable, match="is empty"):
        refuse_empty(path)
