"""What the tables are made of: types of columns, names of constraints, and references that SQLite alone checks."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateTable

from ledger.schema.columns import LedgerRow
from ledger.schema.tables import UPDATED_COLUMNS, EntryRow, LimitRow, metadata
from ledger.storage.shapes import table_of

TYPES = {sa.BigInteger, sa.Text, sa.LargeBinary, sa.SmallInteger}


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.name)
def test_a_column_is_a_whole_number_a_text_or_bytes(table: sa.Table) -> None:
    """And a number of a primary key is given by the ledger, never by the database."""
    assert {type(column.type) for column in table.columns} <= TYPES
    assert [column for column in table.primary_key if column.autoincrement is True] == []


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.name)
def test_a_column_that_a_later_revision_added_has_a_value_for_the_rows_before_it(table: sa.Table) -> None:
    """Nothing that may be left out in Python is missing in the database."""
    for column in table.columns:
        if column.default is not None and column.default.is_scalar and column.default.arg is not None:
            assert column.server_default is not None, column.name


def test_every_constraint_has_a_name_that_no_other_has() -> None:
    names = [
        (table.name, constraint.name)
        for table in metadata.tables.values()
        for constraint in table.constraints
        if constraint.name
    ]
    assert len(set(names)) == len(names) == sum(len(table.constraints) for table in metadata.tables.values())


def test_references_of_what_every_operation_adds_are_checked_by_sqlite_alone() -> None:
    """Others are checked by every database."""
    made = {
        (dialect.name, row.__name__): "FOREIGN KEY" in str(CreateTable(table_of(row)).compile(dialect=dialect))
        for dialect in (postgresql.dialect(), sqlite.dialect())
        for row in (EntryRow, LimitRow)
    }
    assert made == {
        ("postgresql", "EntryRow"): False,
        ("postgresql", "LimitRow"): True,
        ("sqlite", "EntryRow"): True,
        ("sqlite", "LimitRow"): True,
    }


@pytest.mark.parametrize("row", LedgerRow.__subclasses__(), ids=lambda row: row.__name__)
def test_a_table_updates_columns_that_it_has_and_none_of_its_key(row: type[LedgerRow]) -> None:
    table = table_of(row)
    assert set(row.updated) <= set(table.columns.keys()) - set(table.primary_key.columns.keys())
    assert UPDATED_COLUMNS.get(table.name, ()) == row.updated
