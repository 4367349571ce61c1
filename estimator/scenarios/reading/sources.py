"""Past runs as Arrow record batches: from frames in memory, or from files that may be larger than memory.

A source is a list of pieces that can be read on their own, again and again, by several threads: slices of a
frame, row groups of a Parquet file, a CSV file. Only the piece being read is in memory.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from estimator.scenarios.errors import RunsUnreadable
from estimator.scenarios.reading.parquet_files import open_parquet
from estimator.scenarios.reading.pieces import (
    BATCH_ROWS,
    COUNT_COLUMNS,
    PIECE_ROWS,
    READ_COLUMNS,
    SWITCH_COLUMNS,
    TEXT_COLUMNS,
    Piece,
    Source,
    readable,
    refuse_empty,
)

if TYPE_CHECKING:
    import pyarrow

_CHUNKS_MAX = 16
_UTC = ("Z", "UTC", "Etc/UTC", "+00:00", "+0000", "+00")
_SUFFIXES = (".parquet", ".csv")


def open_runs(runs: Any) -> Source:
    """The source behind a Polars, PyArrow or pandas frame, or behind paths of Parquet and CSV files.

    Args:
        runs: a frame; or one path, folder or pattern, or several of them. Folders are searched below as well.

    Raises:
        RunsUnreadable: nothing is there, a file is empty, cut off or of another kind, the files have different
            columns, or the dates of one column are in several zones.
        ExtraMissing: NumPy or PyArrow is not installed.
    """
    from estimator.frames import arrays  # noqa: F401  # raises ExtraMissing before any other error

    if isinstance(runs, Source):
        return runs
    if isinstance(runs, str | Path):
        return _open_files([runs])
    if isinstance(runs, list | tuple):
        if not runs or not all(isinstance(path, str | Path) for path in runs):
            raise RunsUnreadable("runs", "is a list of something else than paths. Give paths, or one frame.")
        return _open_files(runs)
    return _open_table(_as_table(runs))


def _as_table(frame: Any) -> pyarrow.Table:
    import pyarrow

    if isinstance(frame, pyarrow.Table):
        return frame
    if isinstance(frame, pyarrow.RecordBatch):
        return pyarrow.Table.from_batches([frame])
    kind = type(frame).__module__.partition(".")[0]
    if kind == "polars" and hasattr(frame, "collect"):
        frame = frame.collect()
    if kind == "polars" and hasattr(frame, "to_arrow"):
        return frame.to_arrow()
    if kind == "pandas" and hasattr(frame, "columns"):
        if "at" in frame.columns:
            _refuse_mixed_objects(frame["at"])
        return pyarrow.Table.from_pandas(frame, preserve_index=False)
    raise RunsUnreadable(
        "runs",
        f"cannot be a {type(frame).__name__}. Give a Polars, PyArrow or pandas frame, or the path of Parquet files.",
    )


def _refuse_mixed_objects(moments: Any) -> None:
    """Refuse moments of several zones: pandas keeps them as objects, and Arrow would convert them silently."""
    if moments.dtype == object:
        zones = {zone_name(moment.tzinfo) for moment in moments if hasattr(moment, "tzinfo")}
        if len(zones) > 1:
            raise mixed_zones("at", zones)


def zone_name(zone: object) -> str:
    """One name for each way of saying UTC, and for no zone at all."""
    name = "none" if zone is None else str(zone).upper() if str(zone).islower() else str(zone)
    return "UTC" if name in _UTC else name


def mixed_zones(where: str, zones: Iterable[str]) -> RunsUnreadable:
    """The refusal of dates in several zones."""
    listed = ", ".join(sorted(zones))
    return RunsUnreadable(where, f"has dates in several zones ({listed}). Convert them to UTC first.")


def _open_table(table: pyarrow.Table) -> Source:
    if not table.num_rows:
        raise RunsUnreadable("runs", "has no rows. Give a frame with at least one run.")
    starts = range(0, table.num_rows, PIECE_ROWS)
    pieces = [_slice(table, start, min(PIECE_ROWS, table.num_rows - start)) for start in starts]
    return Source(table.schema, tuple(pieces))


def _slice(table: pyarrow.Table, start: int, rows: int) -> Piece:
    def read(columns: Sequence[str]) -> Iterator[pyarrow.RecordBatch]:
        part = table.select([name for name in columns if name in table.column_names]).slice(start, rows)
        if part.column(0).num_chunks > _CHUNKS_MAX:  # a batch has a cost of its own, whatever its length
            part = part.combine_chunks()
        yield from part.to_batches(max_chunksize=BATCH_ROWS)

    return Piece("", start, rows, rows, read)


def _open_files(sources: Iterable[str | Path]) -> Source:
    files = [path for source in sources for path in _files_of(str(source))]
    schema: pyarrow.Schema | None = None
    pieces: list[Piece] = []
    for path in dict.fromkeys(files):
        opener = _open_csv if path.suffix.lower() == ".csv" else open_parquet
        found, parts = opener(path)
        if schema is not None:
            _check_same(path, schema, found)
        schema = schema or found
        pieces += parts
    if schema is None or not any(piece.rows != 0 for piece in pieces):
        raise RunsUnreadable(files[0], "has no runs. Give a file with at least one row.")
    return Source(schema, tuple(piece for piece in pieces if piece.rows != 0))


def _files_of(source: str) -> list[Path]:
    path = Path(source)
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.suffix.lower() in _SUFFIXES and file.is_file())
        if not found:
            raise RunsUnreadable(source, "has no .parquet or .csv file in it. Name the folder that holds the runs.")
        return found
    if path.exists():
        if path.suffix.lower() not in _SUFFIXES:
            raise RunsUnreadable(source, f"is of no kind that can be read. Give one of {', '.join(_SUFFIXES)}.")
        return [path]
    matches = sorted(Path(match) for match in glob.glob(source, recursive=True))
    if not matches:
        raise RunsUnreadable(source, "does not exist, and no file matches it. Check the path.")
    return [file for match in matches for file in _files_of(str(match))]


def _check_same(path: Path, first: pyarrow.Schema, found: pyarrow.Schema) -> None:
    """Refuse a file whose columns differ from those of the files before it."""
    for name in READ_COLUMNS:
        if (name in first.names) != (name in found.names):
            which = "has no" if name in first.names else "has a"
            raise RunsUnreadable(path, f"{which} column {name!r}, unlike the files before it. Make them alike.")
    kinds = [schema.field("at").type for schema in (first, found) if "at" in schema.names]
    # The zones of a CSV file are in its texts, and are checked when those are read.
    zones = {zone_name(kind.tz) for kind in kinds if hasattr(kind, "tz")}
    if len(zones) > 1:
        raise mixed_zones(f"{path}: at", zones)


def _open_csv(path: Path) -> tuple[pyarrow.Schema, list[Piece]]:
    with readable(path, "CSV"):
        refuse_empty(path)
        with _csv_reader(path, None) as reader:
            schema = reader.schema
            runs = sum(batch.num_rows for batch in islice(reader, 1))
    if not runs:
        raise RunsUnreadable(path, "has no runs. Give a file with at least one row.")
    doubled = [name for name in schema.names if schema.names.count(name) > 1]
    if doubled:
        raise RunsUnreadable(path, f"names the column {doubled[0]!r} twice. Rename one of them.")

    def read(columns: Sequence[str]) -> Iterator[pyarrow.RecordBatch]:
        with readable(path, "CSV"), _csv_reader(path, [name for name in columns if name in schema.names]) as reader:
            yield from reader

    return schema, [Piece(str(path), 0, None, path.stat().st_size, read)]


def _csv_reader(path: Path, columns: Sequence[str] | None) -> Any:
    import pyarrow
    from pyarrow import csv

    kinds: dict[str, Any] = dict.fromkeys(COUNT_COLUMNS, pyarrow.int64())
    kinds |= dict.fromkeys(SWITCH_COLUMNS, pyarrow.bool_())
    # A date stays text until all its zones have been looked at.
    kinds |= dict.fromkeys([*TEXT_COLUMNS, "at"], pyarrow.string())
    convert = csv.ConvertOptions(
        column_types=kinds, strings_can_be_null=True, null_values=[""], include_columns=list(columns or ())
    )
    return csv.open_csv(path, convert_options=convert)
