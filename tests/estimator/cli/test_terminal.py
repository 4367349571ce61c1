"""The terminal: what failures become, and how wide output is."""

from __future__ import annotations

import io

import pytest
import typer
from rich.table import Table
from rich.text import Text

from estimator import RateCardNotFound
from estimator.cli.terminal import FOLDED_WIDTH, CommandFailed, CommandGroup, ExitStatus, emit, emit_file, least_width


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (CommandFailed("own", "Said."), "own", "Said."),
        (RateCardNotFound("x", "No card."), "rate_card_not_found", "No card."),
        (typer.BadParameter("no such thing"), "usage", "no such thing. See `credits --help`."),
        (FileNotFoundError(2, "No such file", "a.csv"), "unreadable", "Cannot use 'a.csv': No such file."),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_failure_has_a_code_and_a_sentence(error: Exception, code: str, words: str) -> None:
    failure = CommandGroup().explain(error)
    assert failure is not None
    assert (failure.code, failure.status) == (code, ExitStatus.BAD_INPUT)
    assert words in failure.message


def test_an_unexpected_error_is_no_failure_of_the_user() -> None:
    assert CommandGroup().explain(RuntimeError("?")) is None


def test_the_fields_of_another_error_are_told_with_it() -> None:
    assert CommandFailed("a", "b").to_dict() == {"code": "a", "message": "b"}
    failure = CommandGroup().explain(RateCardNotFound("x", "No card."))
    assert failure is not None
    assert failure.to_dict()["wanted"] == "x"


def test_a_table_keeps_the_width_of_its_digits_and_folds_its_names() -> None:
    table = Table()
    table.add_column("Name", overflow="fold")
    table.add_column("Credits", no_wrap=True)
    table.add_row("x" * 50, "1,234,567,890")
    assert least_width(table) == FOLDED_WIDTH + 13 + 3
    assert least_width(Text("SELECT 1", no_wrap=True)) == 8
    assert least_width(Text("a sentence")) == 0


def test_one_document_or_one_text_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"a": 1}, Text("shown"), as_json=True)
    emit({"a": 1}, Text("shown"), as_json=False)
    emit_file(io.StringIO("rest"))
    assert capsys.readouterr().out == '{\n  "a": 1\n}\nshown\nrest'
