"""How the texts of arguments and options are read, and what is refused in a sentence."""

from __future__ import annotations

from datetime import timedelta

import pytest

from estimator.cli.terminal import CommandFailed
from ledger.cli.arguments import duration_of, parse_pairs, parse_scope
from ledger.errors import CommandInvalid
from ledger.model.moments import parse_duration
from tests.command_line import Credits


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("grant", "acme", "5", "--cost", "5"), "cost_invalid"),
        (("grant", "acme", "5", "--cost", "x EUR"), "cost_invalid"),
        (("grant", "acme", "5", "--cost", "0.1 eur"), "command_invalid"),
        (("grant", "acme", "5", "--every", "fortnight"), "command_invalid"),
        (("grant", "acme", "5", "--rollover-max", "3"), "option_missing"),
        (("grant", "acme", "5", "--scope", "project"), "pair_invalid"),
        (("reserve", "acme", "5", "--label", "a=1", "--label", "a=2"), "pair_invalid"),
        (("reserve", "acme", "5", "--label", "a"), "pair_invalid"),
        (("reserve", "acme", "5", "--expires-in", "soon"), "duration_invalid"),
        (("reserve", "acme", "5", "--expires-in", "99999999999999d"), "duration_invalid"),
        (("reserve", "acme", "5", "--expires-in", "40000d"), "command_invalid"),
        (("reserve", "acme", "5", "--grace", "5s"), "command_invalid"),
        (("extend", "acme/r9", "1y"), "duration_invalid"),
        (("limit", "acme", "concurrent", "0.5"), "maximum_invalid"),
        (("limit", "acme", "day", "1", "--value", "p1"), "command_invalid"),
        (("adjust", "acme", "0", "--reason", "x"), "command_invalid"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(book: Credits, arguments: tuple[str, ...], code: str) -> None:
    assert book.json(*arguments, status=2)["code"] == code


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        (" 1.5h ", timedelta(minutes=90)),
        ("30d", timedelta(days=30)),
        ("0.000001s", timedelta(microseconds=1)),
        ("999999999d", timedelta(days=999_999_999)),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text: str, expected: timedelta) -> None:
    assert parse_duration(text, "grace") == duration_of(text, "--grace") == expected


@pytest.mark.parametrize("text", ["", "5", "5y", "-5s", "1.0000001s", "1e3s", "5 s", "1000000000d", f"{'9' * 19}s"])
def test_what_is_no_duration_is_refused_by_the_model_and_by_the_terminal(text: str) -> None:
    with pytest.raises(CommandInvalid) as refused:
        parse_duration(text, "grace")
    assert refused.value.field == "grace"
    with pytest.raises(CommandFailed, match="--grace: ") as failed:
        duration_of(text, "--grace")
    assert failed.value.code == "duration_invalid"


def test_pairs_are_named_once_and_scopes_as_often_as_they_have_values() -> None:
    assert parse_pairs(["a=1", "b=x=y", "c="], "--label") == {"a": "1", "b": "x=y", "c": ""}
    assert parse_scope(["project=p1", "team=t", "project=p2"]) == {"project": ["p1", "p2"], "team": ["t"]}
    assert (parse_pairs(None, "--label"), parse_pairs([], "--label"), parse_scope(None)) == (None, None, None)
