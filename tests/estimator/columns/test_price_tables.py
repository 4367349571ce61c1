"""Codes of configurations, and the unit prices of a card by code."""

from __future__ import annotations

import pytest

from estimator import shipped_card
from estimator.columns import COLUMNS
from estimator.columns.price_tables import (
    CODES,
    DIGITS,
    configuration,
    digit,
    known_inputs,
    modality_of,
    named_inputs,
    possible_codes,
    price_inputs,
    price_table,
)
from tests.estimator.rates.worked import TIERS, card

CARD = shipped_card("example")


def test_the_digits_of_a_code_are_a_mixed_radix_number() -> None:
    weight = 1
    for stride, values in DIGITS.values():
        assert stride == weight
        weight *= values
    assert weight == CODES * 2
    assert [modality_of(code) for code in (0, CODES - 1, CODES)] == ["text", "text", "image"]


def test_a_code_and_its_configuration_say_the_same() -> None:
    section = CARD.text
    for code in possible_codes(COLUMNS):
        chosen = configuration(code, section, COLUMNS)
        assert (chosen.grounding, chosen.safety) == (digit(code, "grounding") == 1, digit(code, "safety") == 1)
        assert chosen.expansion == (digit(code, "targets") == 1)
        assert len(chosen.recipes) == sum(digit(code, name) for name in list(DIGITS)[:4])


def test_an_absent_column_stands_for_the_default_of_the_section() -> None:
    assert configuration(0, CARD.text, ("rows",)).recipes == CARD.text.recipes_default
    assert configuration(0, CARD.text, ("rows", *DIGITS)).recipes == ()
    assert configuration(0, CARD.text, ("rows",)).length == CARD.text.length_default


@pytest.mark.parametrize(
    ("present", "count"),
    [(("rows",), 1), (("rows", "length"), 4), (("rows", "grounding", "targets"), 4), (tuple(COLUMNS), CODES)],
)
def test_only_the_columns_present_make_codes(present: tuple[str, ...], count: int) -> None:
    codes = possible_codes(present)
    assert len(codes) == len(set(codes)) == count
    assert codes == tuple(sorted(codes))


def test_a_price_table_has_the_unit_prices_of_every_configuration() -> None:
    for modality, section in CARD.sections.items():
        table = price_table(CARD, modality, COLUMNS)
        for code in table.possible:
            chosen = configuration(code, section, COLUMNS)
            prices = None if any(section.missing(chosen)) else section.unit_prices(chosen, CARD.unit_decimals).tiers
            assert table.tiers[code] == prices


def test_a_table_is_complete_when_every_possible_code_has_a_price() -> None:
    plain = card({"row": "1"})
    assert price_table(plain, "text", ("rows",)).complete
    assert not price_table(plain, "text", ("rows", "grounding")).complete


def test_prices_alike_for_all_codes_are_known_and_the_others_vary_by_tier() -> None:
    tiered = card({"row": "1", "tiers": [*TIERS[:2], {"multiply": "0"}], "grounding": {"multiply": "2"}})
    table = price_table(tiered, "text", ("rows", "grounding"))
    same, varying = price_inputs(tiered.programs["text"], table)
    assert same == {"unit_price_3": 0}
    assert varying == {"unit_price_1": 0, "unit_price_2": 1}


def test_inputs_without_their_column_are_known() -> None:
    program = CARD.programs["text"]
    assert known_inputs(CARD, program, COLUMNS).keys() == {"billable_max"}
    assert known_inputs(CARD, program, ("rows",)).keys() == {
        "billable_max",
        "sample_ppm",
        "targets",
        "discount_basis_points",
        "voucher_basis_points",
        "voucher_amount",
    }


def test_a_name_decides_the_discount_and_the_two_inputs_of_a_voucher() -> None:
    priced = card(
        {"row": "1"},
        discounts={"half": {"percent": "50"}},
        vouchers={"three": {"credits": "3"}, "tenth": {"percent": "10"}},
        unit_decimals=6,
    )
    assert named_inputs(priced) == {
        "discount_basis_points": ("discount", (("half", 5_000),)),
        "voucher_basis_points": ("voucher", (("three", 0), ("tenth", 1_000))),
        "voucher_amount": ("voucher", (("three", 3_000_000), ("tenth", 0))),
    }
