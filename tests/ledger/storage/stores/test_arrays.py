"""Columns of values: lists that say the type of their elements."""

from __future__ import annotations

import pytest

from ledger.schema.tables import metadata
from ledger.storage.shapes import type_of
from ledger.storage.stores.arrays import ARRAYS, array_of

KINDS = sorted({type_of(column) for table in metadata.sorted_tables for column in table.columns})


@pytest.mark.parametrize("kind", KINDS)
def test_each_type_of_a_column_has_an_array_that_says_it(kind: str) -> None:
    found = array_of(kind, iter([1, None]))
    assert found == [1, None]
    assert isinstance(found, list)
    assert type(found) in ARRAYS
    assert found.kind == kind
