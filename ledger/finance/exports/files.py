"""Exports: the book as one journal, or as a folder with every table, written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from estimator.errors import ExtraMissing
from estimator.files.writing import beside, written_whole
from ledger.errors import CommandInvalid
from ledger.finance.exports.journals import CSV_LINE_END, write_beancount, write_hledger, write_journal
from ledger.finance.stream import ROWS_AT_ONCE, stream_book
from ledger.schema.tables import metadata
from ledger.storage.sessions import connection_to_all
from ledger.storage.stores import store_of, stream


class ExportFormat(StrEnum):
    """beancount and hledger: one journal. csv and parquet: a folder with every table, and the journal as CSV."""

    BEANCOUNT = "beancount"
    HLEDGER = "hledger"
    CSV = "csv"
    PARQUET = "parquet"


def export_book(
    session: Session, kind: ExportFormat | str, path: Path | str, *, zone: tzinfo = UTC, at: datetime | None = None
) -> int:
    """Write the whole book to a file, or to a folder that does not exist yet; answers how many entries it has.

    Args:
        session: its transaction is the moment of the book that is written; nothing is changed.
        kind: what to write.
        path: where; what is there stays there until all is written.
        zone: whose days and months the journals have. Tables have amounts and moments as they are stored
            (micro-credits, microseconds since 1970 UTC); their CSV has bytes in hex, and quotes around every text, so
            that an empty text differs from none.
        at: a journal of what had taken effect by then. Tables have no earlier state.

    Raises `CommandInvalid` for an unknown kind, for a folder that exists and for tables `at` a moment; `ExtraMissing`
    without PyArrow.
    """
    path = Path(path)
    try:
        kind = ExportFormat(kind)
    except ValueError:
        raise CommandInvalid("kind", f"is {kind!r}. Give one of {', '.join(ExportFormat)}.") from None
    write = {ExportFormat.BEANCOUNT: write_beancount, ExportFormat.HLEDGER: write_hledger}.get(kind)
    if write is not None:
        with written_whole(path) as out:
            return write(stream_book(session, at=at), out, zone=zone)
    if at is not None:
        raise CommandInvalid(
            "at", "is for journals: tables are as they stand. Export beancount or hledger, or leave it out."
        )
    if path.exists():
        raise CommandInvalid("path", f"{str(path)!r} exists. Give a folder that does not, so that nothing is lost.")
    with beside(path) as folder:
        folder.mkdir()
        return _write_folder(session, kind, folder, zone)


def _write_folder(session: Session, kind: ExportFormat, folder: Path, zone: tzinfo) -> int:
    write = _write_csv if kind is ExportFormat.CSV else _write_parquet
    connection = connection_to_all(session)
    for table in metadata.sorted_tables:
        write(folder / f"{table.name}.{kind}", table, connection)
    with (folder / "journal.csv").open("w", encoding="utf-8", newline="") as out:
        return write_journal(stream_book(session), out, zone=zone)


def _rows(connection: sa.Connection, table: sa.Table, columns: str) -> Iterator[Sequence[Sequence[Any]]]:
    """The rows of a table by its key, many at a time."""
    keys = ", ".join(column.name for column in table.primary_key.columns)
    statement = f"SELECT {columns} FROM {table.name} ORDER BY {keys}"
    return stream(connection, statement, size=ROWS_AT_ONCE)


def _write_csv(path: Path, table: sa.Table, connection: sa.Connection) -> None:
    """The database makes each line: values that are fetched one by one take twice as long."""
    as_hex = store_of(connection).sql_of_hex
    line = " || ',' || ".join(_as_text(column, as_hex) for column in table.columns)
    with path.open("w", encoding="utf-8", newline="") as out:
        out.write(",".join(column.name for column in table.columns) + CSV_LINE_END)
        for part in _rows(connection, table, line):
            out.write(CSV_LINE_END.join([text for (text,) in part]) + CSV_LINE_END)


def _as_text(column: sa.Column[Any], as_hex: str) -> str:
    """A field of a CSV in SQL; every text has quotes, so that an empty one differs from none."""
    if isinstance(column.type, sa.LargeBinary):
        text = as_hex.format(column.name)
    elif isinstance(column.type, sa.Text):
        text = f"""'"' || replace({column.name}, '"', '""') || '"'"""
    else:
        text = f"CAST({column.name} AS TEXT)"
    return f"coalesce({text}, '')" if column.nullable else text


def _write_parquet(path: Path, table: sa.Table, connection: sa.Connection) -> None:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise ExtraMissing("Parquet files", "parquet") from None
    kinds = {sa.BigInteger: pa.int64(), sa.SmallInteger: pa.int16(), sa.LargeBinary: pa.binary()}
    schema = pa.schema([(column.name, kinds.get(type(column.type), pa.string())) for column in table.columns])
    with parquet.ParquetWriter(path, schema) as writer:
        for part in _rows(connection, table, ", ".join(schema.names)):
            columns = [
                pa.array(values, kind) for values, kind in zip(zip(*part, strict=True), schema.types, strict=True)
            ]
            writer.write_batch(pa.record_batch(columns, schema))
