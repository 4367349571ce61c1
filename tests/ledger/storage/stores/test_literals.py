"""PostgreSQL's array literals: a column written at once equals its values written one by one."""

from __future__ import annotations

import pytest

from ledger.storage.stores import literals

HARD = ['"', "\\", '","', "{}", "NULL", "null", " ", "a,b", "é\u2028", "'", "\t\n", "%s", ":row", "$1"]
COLUMNS = [("text", HARD), ("bigint", [0, -1, 2**63 - 1]), ("bytea", [b"", b"\x00\xff", b'"\\'])]


@pytest.mark.parametrize(("kind", "values"), COLUMNS)
def test_a_column_says_what_its_values_say_one_by_one(kind: str, values: list[object]) -> None:
    for column in (values, values[:1], [None, *values], [*values, None], [None], [None, None]):
        assert literals.items(kind, column) == ",".join(literals.item(kind, value) for value in column)
