"""Discounts and vouchers: hundredths of a percent, and amounts in units of the card."""

from __future__ import annotations

import pytest

from estimator.rates.reductions import Discount, Voucher


@pytest.mark.parametrize(("percent", "points"), [("0", 0), ("0.01", 1), ("12.5", 1_250), ("100", 10_000)])
def test_a_percentage_is_whole_hundredths_of_a_percent(percent: str, points: int) -> None:
    assert Discount(percent=percent).basis_points == points  # type: ignore[arg-type]
    assert Voucher(percent=percent).basis_points == points  # type: ignore[arg-type]


@pytest.mark.parametrize("percent", ["100.01", "0.001", "-1"])
def test_a_percentage_out_of_range_or_finer_is_refused(percent: str) -> None:
    with pytest.raises(ValueError, match="percent"):
        Discount(percent=percent)  # type: ignore[arg-type]


def test_a_voucher_takes_off_credits_or_a_percentage_and_not_both() -> None:
    amount, percent = Voucher(credits="1.5"), Voucher(percent="10")  # type: ignore[arg-type]
    assert (amount.basis_points, amount.amount(9)) == (0, 1_500_000_000)
    assert (percent.basis_points, percent.amount(9)) == (1_000, 0)
    for content in ({}, {"credits": "1", "percent": "1"}):
        with pytest.raises(ValueError, match="Give exactly one"):
            Voucher.model_validate(content)
