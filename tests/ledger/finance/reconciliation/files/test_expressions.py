"""Texts of a file become exact amounts, moments and references, as the mapping says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from ledger.finance import RecordsUnreadable
from tests.ledger.finance.reconciliation.files.conftest import COLUMNS, Read, amounts


@pytest.mark.parametrize("name", ["r", "é", "~r~", "r é", "\tr", "r\u200b"])
@pytest.mark.parametrize("before", ["", " ", "\u00a0", "\u3000 "])
@pytest.mark.parametrize("after", ["", " ", "\u2007", " \u202f "])
def test_spaces_of_any_kind_around_a_text_are_no_part_of_it(read: Read, name: str, before: str, after: str) -> None:
    (record,) = read(f'run,credits,when\n"{before}{name}{after}",1,\n')
    assert record.reference == name


@pytest.mark.parametrize(
    ("text", "rule", "expected"),
    [
        ("1,234,567.89", {"thousands": ","}, "1234567.89"),
        ("1.234.567,89", {"thousands": ".", "decimal": ","}, "1234567.89"),
        ("1\u00a0234,5", {"thousands": " ", "decimal": ","}, "1234.5"),
        ("1'234.5", {"thousands": "'"}, "1234.5"),
        ("1234,5", {"decimal": ","}, "1234.5"),
        ("+0.000001", {}, "0.000001"),
        ("1.50000000", {}, "1.5"),
        ("-.5", {}, None),
        ("999999999999.999999", {}, "999999999999.999999"),
        ("-999999999999.9999990", {}, "-999999999999.999999"),
        ("999999.999999", {}, "999999.999999"),
        ("1000000.000001", {}, "1000000.000001"),
        ("-1000000", {}, "-1000000"),
        ("\u00a01.5\u3000", {}, "1.5"),
        ("7", {"sign": "inverted"}, "-7"),
        ("-7", {"sign": "absolute"}, "7"),
    ],
)
def test_amounts_are_read_exactly_as_the_mapping_says(
    read: Read, text: str, rule: dict[str, str], expected: str | None
) -> None:
    content = f'run,credits,when\nr1,"{text}",\n'
    if expected is None:
        with pytest.raises(RecordsUnreadable, match="no amount"):
            read(content, amount=rule)
        return
    assert amounts(read(content, amount=rule)) == [expected]


MONEY: dict[str, Any] = {"side": "grants", "columns": {"reference": "run", "amount": "credits", "currency": "currency"}}


def test_minor_units_have_the_decimals_of_their_currency(read: Read) -> None:
    content = "run,credits,currency\na,1234,usd\nb,1234,JPY\nc,1234,kwd\nd,12.5,EUR\n"
    found = read(content, amount={"unit": "minor"}, **MONEY)
    assert [f"{r.amount} {r.currency}" for r in found] == ["12.34 USD", "1234 JPY", "1.234 KWD", "0.125 EUR"]


def test_a_currency_must_have_three_letters(read: Read) -> None:
    with pytest.raises(RecordsUnreadable, match="line 3, column 'currency': is 'euro', no currency"):
        read("run,credits,currency\na,1,usd\nb,1,euro\n", amount={"unit": "money"}, **MONEY)
    assert amounts(read("run,credits,currency\nb,0.1,\n", amount={"unit": "money", "currency": "EUR"}, **MONEY)) == [
        "0.1"
    ]


TYPED: dict[str, Any] = {"columns": COLUMNS | {"type": "type"}}


def test_only_the_types_that_are_named_are_read_and_some_count_below_zero(read: Read) -> None:
    content = "run,credits,when,type\na,5,,Charge\nb,5,,refund\nc,nothing,,payout\n"
    rules = {"filter": {"types": ["charge", "refund"]}, "amount": {"negative_types": ["refund"]}}
    assert amounts(read(content, **TYPED, **rules)) == ["5", "-5"]


@pytest.mark.parametrize(
    ("texts", "time", "hour"),
    [
        (["2026-07-01T10:00:00+02:00", "2026-07-01 08:00:00Z", "2026-07-01 08:00"], {"zone": "UTC"}, 8),
        (["2026-07-01 10:00", "2026-07-01T10:00:00.000"], {"zone": "Europe/Berlin"}, 8),
        (
            ["01.07.2026 10:00", "07/01/2026 10:00 AM", "2026-07-01 10:00:00"],
            {"zone": "Europe/Berlin", "formats": ["%d.%m.%Y %H:%M", "%m/%d/%Y %I:%M %p", "iso"]},
            8,
        ),
        (["1782892800"], {"zone": "UTC", "formats": ["epoch"]}, 8),
        (["1782892800000"], {"zone": "UTC", "formats": ["epoch_ms"]}, 8),
    ],
)
def test_dates_in_several_formats_are_read_in_the_zone_that_is_named(
    read: Read, texts: list[str], time: dict[str, Any], hour: int
) -> None:
    lines = "".join(f"r{number},1,{text}\n" for number, text in enumerate(texts))
    assert {r.at for r in read(f"run,credits,when\n{lines}", time=time)} == {datetime(2026, 7, 1, hour, tzinfo=UTC)}


def test_references_are_joined_and_taken_out_of_text(read: Read) -> None:
    columns = {"reference": ["account", "note"], "amount": "credits"}
    content = "account,note,credits\nacme,INV-7 for May,1\n"
    assert read(content, columns=columns)[0].reference == "acme/INV-7 for May"
    rule = {"pattern": "(INV-[0-9]+)", "ignore_case": True}
    assert read(content, columns=columns, reference=rule)[0].reference == "inv-7"
