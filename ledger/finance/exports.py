"""Exports: the book as one file that other tools accept, or every table of it, written whole or not at all."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from estimator.errors import ExtraMissing
from estimator.files import written_whole
from ledger.bulk import stream_raw
from ledger.errors import CommandInvalid
from ledger.finance.book import ROWS_AT_ONCE, stream_book
from ledger.finance.journals import write_beancount, write_hledger, write_journal
from ledger.tables import metadata


class ExportFormat(StrEnum):
    """beancount and hledger: one journal. csv and parquet: a folder with every table, and the journal as CSV."""

    BEANCOUNT = "beancount"
    HLEDGER = "hledger"
    CSV = "csv"
    PARQUET = "parquet"


def export_book(
    session: Session,
    kind: ExportFormat | str,
    path: Path | str,
    *,
    zone: tzinfo = UTC,
    at: datetime | None = None,
) -> int:
    """Write the whole book to a file, or to a folder that does not exist yet; answers how many entries it has.

    Args:
        session: its transaction is the moment of the book that is written; nothing is changed.
        kind: what to write.
        path: where; what is there stays there until all is written.
        zone: whose days and months the journals have; amounts and moments of tables are as they are stored
            (micro-credits, microseconds since 1970 UTC), bytes in hex where the file has only text.
        at: a journal of what had taken effect by then. Tables are as they stand and have no earlier state.

    Raises `CommandInvalid` for an unknown kind, for a folder that exists and for tables `at` a moment, `ExtraMissing`
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
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        beside = Path(folder) / path.name
        beside.mkdir()
        count = _write_folder(session, kind, beside, zone)
        beside.rename(path)
    return count


def _write_folder(session: Session, kind: ExportFormat, folder: Path, zone: tzinfo) -> int:
    is_text = kind is ExportFormat.CSV
    write = _write_csv if is_text else _write_parquet
    for table in metadata.sorted_tables:
        write(folder / f"{table.name}.{kind}", table, _rows(session, table, is_text))
    with (folder / "journal.csv").open("w", encoding="utf-8", newline="") as out:
        return write_journal(stream_book(session), out, zone=zone)


def _rows(session: Session, table: sa.Table, is_text: bool) -> Iterator[Sequence[Sequence[Any]]]:
    """The rows of a table by its key, many at a time; for a file of text its bytes in hex, by the database."""
    connection = session.connection()
    as_text = _HEX[connection.dialect.name] if is_text else "{}"
    columns = [
        as_text.format(column.name) if isinstance(column.type, sa.LargeBinary) else column.name
        for column in table.columns
    ]
    keys = [column.name for column in table.primary_key.columns]
    statement = f"SELECT {', '.join(columns)} FROM {table.name} ORDER BY {', '.join(keys)}"
    return stream_raw(connection, statement, size=ROWS_AT_ONCE)


_HEX = {"sqlite": "lower(hex({}))", "postgresql": "encode({}, 'hex')"}


def _write_csv(path: Path, table: sa.Table, parts: Iterator[Sequence[Sequence[Any]]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow([column.name for column in table.columns])
        for part in parts:
            writer.writerows(part)


def _write_parquet(path: Path, table: sa.Table, parts: Iterator[Sequence[Sequence[Any]]]) -> None:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise ExtraMissing("Parquet files", "parquet") from None
    kinds = {sa.BigInteger: pa.int64(), sa.SmallInteger: pa.int16(), sa.LargeBinary: pa.binary()}
    schema = pa.schema([(column.name, kinds.get(type(column.type), pa.string())) for column in table.columns])
    with parquet.ParquetWriter(path, schema) as writer:
        for part in parts:
            columns = [
                pa.array(values, kind) for values, kind in zip(zip(*part, strict=True), schema.types, strict=True)
            ]
            writer.write_batch(pa.record_batch(columns, schema))


__all__ = ["ExportFormat", "export_book"]
