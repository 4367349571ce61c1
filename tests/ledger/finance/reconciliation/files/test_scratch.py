"""The scratch database: exact whole numbers in and out, quoted names, and no folder left behind."""

from __future__ import annotations

import gc

import pytest

from ledger.finance import AccountingPeriod
from ledger.finance.reconciliation.files.scratch import Period, Scratch, named, quoted


@pytest.mark.parametrize(("scale", "most"), [(6, 2**63 - 1), (18, 10**37)])
def test_amounts_keep_every_digit_of_their_type(scale: int, most: int) -> None:
    scratch = Scratch(scale)
    columns = {"ref": "VARCHAR", "amount": scratch.amount_type}
    scratch.create("t", columns)
    assert scratch.fill("t", columns, [("a", most), ("b", -most), ("c", None)]) == 3
    assert [(ref, None if value is None else int(value)) for ref, value in scratch.stream("SELECT * FROM t")] == [
        ("a", most),
        ("b", -most),
        ("c", None),
    ]
    scratch.close()


def test_the_folder_is_removed_when_it_is_closed_or_collected() -> None:
    closed, dropped = Scratch(6), Scratch(6)
    folders = [closed.folder, dropped.folder]
    assert all(folder.is_dir() for folder in folders)
    closed.close()
    dropped.connection.close()
    del dropped
    gc.collect()
    assert not any(folder.exists() for folder in folders)


@pytest.mark.parametrize("text", ["it's", 'a "b"', "'; DROP TABLE t; --", ""])
def test_any_text_and_any_name_can_be_put_into_a_statement(text: str) -> None:
    scratch = Scratch(6)
    name = text or "x"
    scratch.execute(f"CREATE TABLE t ({named(name)} VARCHAR)")
    scratch.execute(f"INSERT INTO t VALUES ({quoted(text)})")
    assert scratch.one(f"SELECT {named(name)} FROM t") == (text,)
    scratch.close()


@pytest.mark.parametrize("period", [None, AccountingPeriod.parse("1970-01-01")])
def test_a_period_has_the_same_moments_in_python_and_in_sql(period: AccountingPeriod | None) -> None:
    scratch, inside = Scratch(6), Period.of(period)
    day = 86_400_000_000
    for moment in (None, -1, 0, 1, day - 1, day):
        (found,) = scratch.one(f"SELECT {inside.sql('m')} FROM (SELECT CAST($m AS BIGINT) AS m)", {"m": moment})
        assert found is inside.has(moment)
    assert Period.of(None).has(-1)
    scratch.close()
