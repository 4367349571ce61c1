"""The reader of outside records: a CSV or Parquet file into the scratch database, as a mapping says.

DuckDB reads it, many times faster than Python. Where it fails, or a text is no amount or moment, `diagnosis` reads the
file again and names the line and the column.
"""

from __future__ import annotations

import codecs
import csv
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from estimator.sentences import nearest
from ledger.finance.reconciliation.files import diagnosis
from ledger.finance.reconciliation.files.errors import RecordsUnreadable
from ledger.finance.reconciliation.files.expressions import kept_types, select_records
from ledger.finance.reconciliation.files.mappings import RecordMapping
from ledger.finance.reconciliation.files.scratch import Scratch, named, quoted

LINE_MAX = 1_000_000
"""Bytes that a line may have."""

_CHUNK = 1 << 20
_EXAMPLES = 1_000


def read_records(scratch: Scratch, table: str, path: Path | str, mapping: RecordMapping) -> int:
    """Make a table of a file's records; answers how many the mapping's filter left out.

    Raises `RecordsUnreadable`, with line and column.
    """
    path = Path(path)
    if not path.exists():
        raise RecordsUnreadable(path, "does not exist. Check the path.")
    if path.is_dir():
        raise RecordsUnreadable(path, "is a folder. Name one file of it.")
    source = _Parquet(scratch, path) if path.suffix.lower() == ".parquet" else _Csv(scratch, path, mapping)
    _require_columns(path, source, mapping)
    kept = kept_types(mapping, source.types)
    query = select_records(mapping, source.types, source.sql, kept=kept)
    scratch.execute(f"SET TimeZone = {quoted(mapping.time.zone or 'UTC')}")
    try:
        scratch.execute(f"CREATE TABLE {table} AS {query}")
        (total,) = scratch.one(f"SELECT count(*) FROM {source.sql}") if kept != "true" else (None,)
    except scratch.failures as error:
        raise source.explain(error) from None
    count, wrong = scratch.one(f"SELECT count(*), min(wrong) FROM {table}")
    if wrong is not None:
        raise _wrong_value(scratch, source, mapping, wrong)
    return 0 if total is None else int(total) - int(count)


def _require_columns(path: Path, source: _Parquet | _Csv, mapping: RecordMapping) -> None:
    names = source.names
    for columns in mapping.columns.named.values():
        for column in columns:
            if names.count(column) > 1:
                places = " and ".join(str(place + 1) for place, name in enumerate(names) if name == column)
                problem = f"stands in the header more than once, as columns {places}. Rename all but one of them."
                raise RecordsUnreadable(path, problem, line=source.header_line, column=column)
            if column not in names:
                problem = f"is not in the header. {nearest(column, dict.fromkeys(names))}"
                raise RecordsUnreadable(path, problem, line=source.header_line, column=column)


def _wrong_value(scratch: Scratch, source: _Parquet | _Csv, mapping: RecordMapping, field: str) -> RecordsUnreadable:
    """The refusal of a text that its column must not have, with the first line that has one."""
    (column,) = mapping.columns.named[field]
    place = named(source.types[column][0])
    # The same query, with the text of the wrong column beside it.
    beside = f"(SELECT *, coalesce(CAST({place} AS VARCHAR), '') AS said FROM {source.sql})"
    query = select_records(mapping, source.types, beside, kept=kept_types(mapping, source.types), also="said")
    rows = scratch.execute(
        f"SELECT DISTINCT said FROM ({query}) WHERE wrong = $field ORDER BY 1 LIMIT {_EXAMPLES}", {"field": field}
    )
    line, text = source.find(column, {row[0] for row in rows})
    return RecordsUnreadable(source.path, diagnosis.problem(mapping, field, text), line=line, column=column)


class _Parquet:
    """A Parquet file as DuckDB reads it."""

    header_line = None

    def __init__(self, scratch: Scratch, path: Path) -> None:
        self.path = path
        self.sql = f"read_parquet({quoted(str(path))})"
        try:
            rows = scratch.execute(f"DESCRIBE SELECT * FROM {self.sql}")
        except scratch.failures as error:
            raise self.explain(error) from None
        self.names = [row[0] for row in rows]
        self.types = {row[0]: (row[0], str(row[1])) for row in rows}

    def find(self, _column: str, texts: set[str]) -> tuple[int | None, str]:
        """One of the texts, without a line: Parquet has none."""
        return None, min(texts)

    def explain(self, error: Exception) -> RecordsUnreadable:
        """The refusal for a failure of DuckDB."""
        said = str(error).splitlines()[0].rstrip(".")
        return RecordsUnreadable(self.path, f"is no Parquet file that can be read ({said}). Export it again.")


class _Csv:
    """A CSV file as DuckDB reads it: in UTF-8, its columns by their places."""

    def __init__(self, scratch: Scratch, path: Path, mapping: RecordMapping) -> None:
        self.path = path
        self._format = mapping.file
        self.header_line = mapping.file.skip_lines + 1
        self.names = self._header()
        plain = self._plain(scratch)
        self.types = {name: (f"c{place}", "TEXT") for place, name in enumerate(self.names)}
        columns = ", ".join(f"'c{place}': 'VARCHAR'" for place in range(len(self.names)))
        self.sql = (
            f"read_csv({quoted(str(plain))}, columns = {{{columns}}}, header = true, auto_detect = false,"
            f" delim = {quoted(mapping.file.delimiter)}, quote = {quoted(mapping.file.quote)},"
            f" escape = {quoted(mapping.file.quote)}, skip = {mapping.file.skip_lines},"
            f" max_line_size = {LINE_MAX}, compression = 'none')"
        )

    def opened(self) -> IO[bytes]:
        """The file's bytes."""
        return gzip.open(self.path) if self.path.suffix.lower() == ".gz" else self.path.open("rb")  # type: ignore[return-value]

    def find(self, column: str, texts: set[str]) -> tuple[int | None, str]:
        """The first line that has one of the texts in a column, and that text."""
        with self.opened() as file:
            return diagnosis.find_text(file, self._format, self.names.index(column), texts)

    def explain(self, error: Exception) -> RecordsUnreadable:
        """The refusal for a failure of DuckDB: what is wrong with the file, and where."""
        with self.opened() as file:
            found = diagnosis.find_fault(file, self._format, self.names, LINE_MAX)
        if found is None:
            said = str(error).splitlines()[0].rstrip(".")
            return RecordsUnreadable(self.path, f"cannot be read as CSV ({said}). Look at how it is written.")
        return RecordsUnreadable(self.path, found.problem, line=found.line, column=found.column)

    def _plain(self, scratch: Scratch) -> Path:
        """The file in UTF-8: itself where it is, else a copy."""
        is_plain = codecs.lookup(self._format.encoding).name in ("utf-8", "utf-8-sig", "ascii")
        if is_plain and self.path.suffix.lower() != ".gz":
            return self.path
        beside = scratch.folder / f"{len(list(scratch.folder.iterdir()))}.csv"
        with self.opened() as file, beside.open("w", encoding="utf-8", newline="") as out:
            try:
                for part in _decoded(file, self._format.encoding):
                    out.write(part)
            except UnicodeDecodeError as error:
                raise self.explain(error) from None
            except (OSError, EOFError) as error:
                raise RecordsUnreadable(self.path, f"cannot be unpacked ({error}). Copy it again.") from None
        return beside

    def _header(self) -> list[str]:
        """The names in the header."""
        with self.opened() as file:
            try:
                lines = diagnosis.text_lines(file, self._format, is_lenient=True)
                names = next(diagnosis.fields_of(lines, self._format), None)
            except csv.Error as error:
                problem = f"is no header ({error}). Check delimiter and quote."
                raise RecordsUnreadable(self.path, problem, line=self.header_line) from None
        if not names:
            problem = "is empty. Give a file with a header and records, or set file.skip_lines."
            raise RecordsUnreadable(self.path, problem, line=self.header_line)
        return [name.strip() for name in names]


def _decoded(file: IO[bytes], encoding: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    while chunk := file.read(_CHUNK):
        yield decoder.decode(chunk)
    yield decoder.decode(b"", final=True)
