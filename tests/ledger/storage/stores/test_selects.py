"""Descriptions of SELECTs by key: of which table and columns, and the statement for one key."""

from __future__ import annotations

from ledger.schema.tables import GrantRow
from ledger.storage.shapes import table_of
from ledger.storage.stores.selects import Select

GRANT = table_of(GrantRow).columns
KEY = (GRANT.account_id, GRANT.number)


def test_a_select_has_the_names_and_the_types_of_its_key_and_the_columns_in_their_order() -> None:
    found = Select.of("ledger_grant", iter(KEY), [GRANT.priority, GRANT.number])
    assert (found.key, found.types) == (("account_id", "number"), ("text", "bigint"))
    assert found.columns == "t.priority, t.number"
    assert Select.of("ledger_grant", KEY, "max(t.number)").columns == "max(t.number)"


def test_the_statement_for_one_key_has_its_values_after_the_further_ones() -> None:
    plain = Select.of("ledger_grant", KEY, "t.kind")
    assert plain.sql_of_one == "SELECT t.kind FROM ledger_grant t WHERE t.account_id = $1 AND t.number = $2"
    told = Select.of("ledger_grant", KEY, "t.kind", where="t.a = $1 OR t.a = $2", tail="LIMIT 1", extras=2)
    assert told.sql_of_one == (
        "SELECT t.kind FROM ledger_grant t WHERE t.account_id = $3 AND t.number = $4 AND (t.a = $1 OR t.a = $2) LIMIT 1"
    )


def test_two_selects_are_two_even_if_they_say_the_same() -> None:
    """A store keeps its statements by the description itself."""
    first, second = (Select.of("ledger_grant", KEY, "t.kind") for _ in range(2))
    assert first != second
    assert len({first, second}) == 2
