"""Exact amounts: what converts, what is refused, and what a context of the caller's cannot change."""

from __future__ import annotations

from decimal import Context, Decimal, localcontext

import pytest

from estimator.credits import (
    MICRO_MAX,
    MICRO_PER_CREDIT,
    format_credits,
    from_micro,
    number,
    parse_credits,
    scaled,
    to_micro,
    unscaled,
)
from estimator.errors import AmountInvalid


@pytest.mark.parametrize(
    ("amount", "micro"),
    [
        (0, 0),
        (5, 5_000_000),
        (Decimal(5), 5_000_000),
        (Decimal("5E+3"), 5_000_000_000),
        (Decimal("0.000001"), 1),
        (Decimal("-0.000001"), -1),
        (Decimal("1.10000000000000000000000"), 1_100_000),
        (Decimal("0E-9999"), 0),
        (Decimal(MICRO_MAX).scaleb(-6), MICRO_MAX),
    ],
)
def test_amounts_convert_exactly(amount: Decimal | int, micro: int) -> None:
    assert to_micro(amount) == micro


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        (0.5, "never a float"),
        (True, "not an exact amount"),
        ("5", "never a float or text"),
        (None, "Give a Decimal"),
        (Decimal("NaN"), "not a finite amount"),
        (Decimal("sNaN"), "not a finite amount"),
        (Decimal("-Infinity"), "not a finite amount"),
        (Decimal("0.0000001"), "more than six decimals"),
        (Decimal("1E-999999"), "more than six decimals"),
        (Decimal("1.0000000000000000000000000000000000000000000000001"), "more than six decimals"),
        (Decimal("9223372036854.775808"), "too many digits"),
        (Decimal("1E+999999"), "too many digits"),
        (-(2**63), "too many digits"),
        pytest.param(10**5000, "too many digits", id="5001 digits"),
    ],
)
def test_what_is_no_exact_amount_is_refused_with_advice(amount: object, words: str) -> None:
    with pytest.raises(AmountInvalid, match=words) as caught:
        to_micro(amount)  # type: ignore[arg-type]
    assert caught.value.value is amount
    assert caught.value.to_dict()["code"] == "amount_invalid"


@pytest.mark.parametrize(("amount", "minimum"), [(-1, 0), (Decimal("-0.000001"), 0), (0, 1)])
def test_an_amount_below_the_least_allowed_is_refused_with_that_least(amount: Decimal | int, minimum: int) -> None:
    with pytest.raises(AmountInvalid, match=f"Give {'0.000001' if minimum else '0'} or more"):
        to_micro(amount, minimum=minimum)


def test_an_amount_of_exactly_the_least_allowed_is_taken() -> None:
    assert to_micro(0, minimum=0) == 0
    assert to_micro(Decimal("0.000001"), minimum=1) == 1


@pytest.mark.parametrize(
    ("micro", "text"),
    [
        (0, "0"),
        (5_000_000, "5"),
        (50_000_000, "50"),
        (5_500_000, "5.5"),
        (-1, "-0.000001"),
        (MICRO_MAX, "9223372036854.775807"),
        (10**30, "1000000000000000000000000"),
    ],
)
def test_micro_credits_convert_back_without_exponent_or_trailing_zeros(micro: int, text: str) -> None:
    assert str(from_micro(micro)) == text
    assert Decimal(text) * MICRO_PER_CREDIT == micro


def test_the_callers_decimal_context_changes_nothing() -> None:
    with localcontext(Context(prec=3, Emax=9, Emin=-9)):
        assert to_micro(Decimal("12345.678901")) == 12_345_678_901
        assert str(from_micro(12_345_678_901)) == "12345.678901"
        assert parse_credits("12345.678901") == Decimal("12345.678901")
        assert format_credits(Decimal("12345.678901")) == "12345.678901"
        assert str(unscaled(123_456_789_012, 9)) == "123.456789012"


@pytest.mark.parametrize(
    ("text", "amount"), [("12", "12"), (" 0.5 ", "0.5"), ("-3.250", "-3.25"), ("+1.", "1"), (".5", "0.5")]
)
def test_typed_amounts_are_read(text: str, amount: str) -> None:
    assert str(parse_credits(text)) == amount


@pytest.mark.parametrize("text", ["", "1e3", "1,000", "1_000", "٣", "NaN", "0x10", "1.0000001", "9" * 40, "- 1"])
def test_typed_text_that_is_no_plain_amount_is_refused(text: str) -> None:
    with pytest.raises(AmountInvalid):
        parse_credits(text)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (Decimal("5E+3"), "5000"),
        (Decimal("5.500"), "5.5"),
        (Decimal("-0.00"), "0"),
        (Decimal("100"), "100"),
        (7, "7"),
        (Decimal("1E-9"), "0.000000001"),
    ],
)
def test_amounts_print_in_plain_notation(amount: Decimal | int, text: str) -> None:
    assert format_credits(amount) == text


def test_json_numbers_are_integers_where_they_can_be() -> None:
    values = [number(Decimal(text)) for text in ("5", "5.000", "5.25", "-0.01")]
    assert values == [5, 5, 5.25, -0.01]
    assert [type(value) for value in values] == [int, int, float, float]


def test_a_credit_is_a_million_micro_credits() -> None:
    assert to_micro(1) == MICRO_PER_CREDIT == 1_000_000


def test_amounts_scale_exactly() -> None:
    assert scaled(Decimal("1.000001"), 6) == 1_000_001
    assert scaled(Decimal("1.000001"), 12) == 1_000_001_000_000
