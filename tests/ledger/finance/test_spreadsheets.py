"""Texts of CSV files that people open: none is run as a formula, and each can be read back."""

from __future__ import annotations

import pytest

from ledger.finance.spreadsheets import text_cell

FULL_WIDTH = [f"{sign}1" for sign in "\uff1d\uff0b\uff0d\uff20"]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "\nx", "'x", *FULL_WIDTH])
def test_a_text_that_may_be_run_gets_one_apostrophe(text: str) -> None:
    assert text_cell(text) == "'" + text


@pytest.mark.parametrize(("text", "cell"), [("acme", "acme"), ("a=1", "a=1"), ("", ""), (None, "")])
def test_any_other_text_stays_as_it_is_and_none_is_empty(text: str | None, cell: str) -> None:
    assert text_cell(text) == cell
