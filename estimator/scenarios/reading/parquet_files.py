"""Past runs in Parquet files, a few row groups at a time.

PyArrow reads texts, as the codes that the file stores. Polars, where it is installed, reads numbers and true/false
values in a third of the time. Both give the same Arrow arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from estimator.scenarios.errors import RunsUnreadable
from estimator.scenarios.reading import pieces
from estimator.scenarios.reading.pieces import BATCH_ROWS, TEXT_COLUMNS, Piece, readable, refuse_empty

if TYPE_CHECKING:
    import pyarrow


def open_parquet(path: Path) -> tuple[pyarrow.Schema, list[Piece]]:
    """The columns of a file and its pieces. Raises `RunsUnreadable`."""
    from pyarrow import parquet

    with readable(path, "Parquet"):
        refuse_empty(path)
        with parquet.ParquetFile(path) as file:
            schema, metadata = file.schema_arrow, file.metadata
    scan = _Scan(path)
    found: list[Piece] = []
    first = start = rows = 0
    for number in range(metadata.num_row_groups):
        rows += metadata.row_group(number).num_rows
        if rows >= pieces.PIECE_ROWS or number == metadata.num_row_groups - 1:
            groups = _RowGroups(path, schema, metadata, scan, range(first, number + 1), start, rows)
            found.append(Piece(str(path), start, rows, rows, groups.read))
            first, start, rows = number + 1, start + rows, 0
    return schema, found


class _Scan:
    """A file as Polars reads it: its footer is read once for all pieces, unless the file has changed meanwhile."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[tuple[int, int], Any] | None = None

    def read(self, start: int, rows: int, columns: Sequence[str]) -> pyarrow.Table:
        """Some columns of some rows. Raises `RunsUnreadable`."""
        polars = _polars()
        try:
            return self._lazy(polars).slice(start, rows).select(columns).collect().to_arrow()
        except polars.exceptions.PolarsError as error:
            detail = " ".join(str(error).split()).rstrip(".")
            raise RunsUnreadable(self._path, f"is not sound Parquet ({detail}). Write or copy it again.") from error

    def _lazy(self, polars: Any) -> Any:
        status = self._path.stat()
        version = (status.st_size, status.st_mtime_ns)
        # Concurrent threads may make one each; they are equal.
        seen = self._seen
        if seen is None or seen[0] != version:
            seen = self._seen = (version, polars.scan_parquet(self._path, glob=False, hive_partitioning=False))
        return seen[1]


class _RowGroups:
    """Neighbouring row groups of a file, which start at a row and have so many."""

    def __init__(
        self, path: Path, schema: pyarrow.Schema, metadata: Any, scan: _Scan, groups: range, start: int, rows: int
    ) -> None:
        self._path, self._schema, self._metadata, self._scan = path, schema, metadata, scan
        self._groups, self._start, self._rows = groups, start, rows

    def read(self, columns: Sequence[str]) -> Iterator[pyarrow.RecordBatch]:
        """Record batches of some of the columns. Raises `RunsUnreadable`."""
        wanted = [name for name in columns if name in self._schema.names]
        # Polars reads a piece whole; a row group far larger than a piece would take too much memory.
        plain = [name for name in wanted if self._is_plain(name)] if self._rows <= 2 * pieces.PIECE_ROWS else []
        if plain and _polars() is not None:
            yield from self._read_by_both(wanted, plain)
        else:
            yield from self._stream(wanted)

    def _is_plain(self, name: str) -> bool:
        from pyarrow import types

        kind = self._schema.field(name).type
        return bool(types.is_integer(kind) or types.is_boolean(kind))

    def _stream(self, columns: Sequence[str]) -> Iterator[pyarrow.RecordBatch]:
        with readable(self._path, "Parquet"), self._opened() as file:
            groups = list(self._groups)
            yield from file.iter_batches(BATCH_ROWS, row_groups=groups, columns=list(columns), use_threads=False)

    def _read_by_both(self, columns: Sequence[str], plain: Sequence[str]) -> Iterator[pyarrow.RecordBatch]:
        import pyarrow

        numbers = self._scan.read(self._start, self._rows, plain)
        others = [name for name in columns if name not in plain]
        with readable(self._path, "Parquet"):
            arrays = {name: numbers.column(name) for name in plain}
            if others:
                with self._opened() as file:
                    texts = file.read_row_groups(list(self._groups), columns=others, use_threads=False)
                arrays |= {name: texts.column(name) for name in others}
            table = pyarrow.table({name: arrays[name] for name in columns})
        yield from table.to_batches(max_chunksize=BATCH_ROWS)

    def _opened(self) -> Any:
        from pyarrow import parquet, types

        kinds = {name: self._schema.field(name).type for name in TEXT_COLUMNS if name in self._schema.names}
        texts = [name for name, kind in kinds.items() if types.is_string(kind) or types.is_large_string(kind)]
        return parquet.ParquetFile(self._path, metadata=self._metadata, read_dictionary=texts)


def _polars() -> Any:
    try:
        import polars
    except ImportError:
        return None
    return polars
