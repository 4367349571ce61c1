"""Pieces of Parquet files, read one after another while the file is what it was, and when it is not any more."""

from __future__ import annotations

from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from estimator.scenarios.reading import pieces
from estimator.scenarios.reading.parquet_files import open_parquet

ROWS = pyarrow.table({"rows": [1, 2, 3, 4], "max_rows": [5, 6, 7, 8]})


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four runs in two pieces."""
    monkeypatch.setattr(pieces, "PIECE_ROWS", 2)
    path = tmp_path / "runs.parquet"
    parquet.write_table(ROWS, path, row_group_size=2)
    return path


def rows_of(piece: pieces.Piece) -> list[int]:
    """The rows of each of a piece's runs."""
    return [rows for batch in piece.read(["rows"]) for rows in batch.column("rows").to_pylist()]


def test_every_piece_has_its_own_runs_in_any_order(path: Path) -> None:
    _, (first, second) = open_parquet(path)
    assert rows_of(second) == [3, 4]
    assert rows_of(first) == [1, 2]
    assert rows_of(second) == [3, 4]


def test_columns_that_changed_places_meanwhile_are_not_taken_for_each_other(path: Path) -> None:
    _, (first, second) = open_parquet(path)
    assert rows_of(first) == [1, 2]
    parquet.write_table(ROWS.select(["max_rows", "rows"]), path, row_group_size=2)
    assert rows_of(second) == [3, 4]
