"""Dimensions: which there are, which are chosen, and how their keys are numbered."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from estimator import FrameInvalid
from estimator.columns.price_tables import CODES, DIGITS
from estimator.scenarios import RunsUnreadable, ScenarioInvalid
from estimator.scenarios.counting.dimensions import (
    DIMENSIONS,
    Accounts,
    Months,
    available,
    chosen,
    coded_keys,
    key_order,
)


def test_a_dimension_is_available_where_one_of_its_columns_is() -> None:
    assert available(["rows"]) == ()
    assert available(["rows", "at", "reasoning_traces", "safety"]) == ("month", "recipe", "safety")


def test_all_available_dimensions_are_chosen_unless_some_are_asked_for() -> None:
    assert chosen(None, ["rows", "account", "length"]) == ("account", "length")
    assert chosen(["length", "account", "length"], ["account", "length"]) == ("length", "account")


@pytest.mark.parametrize(
    ("asked", "words"),
    [("acount", "Did you mean 'account'"), ("month", "needs a column at"), ("account", "Did you mean 'acct'. Rename")],
)
def test_a_dimension_that_is_unknown_or_lacks_its_column_is_refused(asked: str, words: str) -> None:
    with pytest.raises(ScenarioInvalid, match=words):
        chosen([asked], ["rows", "acct"])


def test_a_code_tells_the_keys_of_every_coded_dimension() -> None:
    code = CODES + DIGITS["safety"][0] + 3 * DIGITS["length"][0] + DIGITS["reasoning_traces"][0]
    assert {name: list(coded_keys(name, code)) for name in DIMENSIONS[2:]} == {
        "recipe": ["reasoning_traces"],
        "length": ["extensive"],
        "grounding": ["false"],
        "safety": ["true"],
        "training_type": ["instruction_dataset"],
        "modality": ["image"],
    }
    assert list(coded_keys("recipe", 0)) == ["none"]
    assert key_order("recipe")[-1] == "none"
    assert key_order("safety") == ("true", "false")


def test_accounts_are_numbered_as_they_are_read_also_from_other_dictionaries() -> None:
    accounts = Accounts()
    assert accounts.number(pa.array(["b", "a", "b"])).tolist() == [0, 1, 0]
    assert accounts.number(pa.array(["a", "c"]).dictionary_encode()).tolist() == [1, 2]
    assert accounts.number(pa.array(["c", "a"])).tolist() == [2, 1]
    other = Accounts()
    other.number(pa.array(["d", "a"]))
    assert accounts.take_over(other).tolist() == [3, 1]
    assert accounts.keys == ["b", "a", "c", "d"]


def test_months_are_numbered_as_they_are_read_and_taken_over() -> None:
    months, other = Months(), Months()
    assert months.number(pa.array(["2026-02-01", "2025-12-31", "2026-02-28"])).tolist() == [1, 0, 1]
    other.number(pa.array(["2026-03-01"]))
    assert months.take_over(other).tolist() == [2]
    assert months.keys == ["2025-12", "2026-02", "2026-03"]


def test_dates_of_two_zones_are_refused_across_batches_and_threads() -> None:
    zoned, plain = pa.array(["2026-02-01T00:00:00Z"]), pa.array(["2026-02-01T00:00:00"])
    months, other = Months(), Months()
    months.number(zoned)
    with pytest.raises(RunsUnreadable, match=r"zones \(UTC, none\)"):
        months.number(plain)
    other.number(plain)
    with pytest.raises(RunsUnreadable, match="several zones"):
        Months.take_over(months, other)


def test_a_run_without_account_or_date_is_refused() -> None:
    with pytest.raises(FrameInvalid, match="account: is null in 1 runs of a batch"):
        Accounts().number(pa.array(["a", None]))
    with pytest.raises(FrameInvalid, match="at: is of type int64"):
        Months().number(pa.array(np.arange(3)))
