"""The statement that writes one row, which each store marks in its own way."""

from __future__ import annotations

import pytest

from ledger.storage.shapes import RowShape
from ledger.storage.stores.base import write_of_row

SHAPE = RowShape("t", ("account_id", "number", "a", "b"), ("text", "bigint", "text", "text"), ("account_id", "number"))


@pytest.mark.parametrize("mark", ["$", "?"])
def test_a_row_is_inserted_with_all_its_columns(mark: str) -> None:
    expected = "INSERT INTO t (account_id, number, a, b) VALUES (@1, @2, @3, @4)"
    assert write_of_row(SHAPE, False, mark) == expected.replace("@", mark)


@pytest.mark.parametrize("mark", ["$", "?"])
def test_a_row_is_updated_by_its_key_which_does_not_change(mark: str) -> None:
    expected = "UPDATE t SET a = @3, b = @4 WHERE account_id = @1 AND number = @2"
    assert write_of_row(SHAPE, True, mark) == expected.replace("@", mark)
