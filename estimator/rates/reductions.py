"""What a rate card takes off a charge: discounts of customers' plans, and vouchers."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, model_validator
from pydantic_core import PydanticCustomError

from estimator.credits import scaled, to_micro
from estimator.rates.parts import Credits, Part

_MICRO_PER_BASIS_POINT = 10_000


def _hundredths(percent: Decimal) -> Decimal:
    if percent > 100 or to_micro(percent) % _MICRO_PER_BASIS_POINT:
        raise PydanticCustomError("percent_invalid", "must be from 0 to 100 with at most two decimals.")
    return percent


Percent = Annotated[Credits, AfterValidator(_hundredths)]


class Discount(Part):
    """A part of the charge that a customer's plan takes off."""

    percent: Percent

    @property
    def basis_points(self) -> int:
        """Hundredths of a percent: 10,000 is everything."""
        return to_micro(self.percent) // _MICRO_PER_BASIS_POINT


class Voucher(Part):
    """Takes off a percentage or an amount of credits, last of all and never below zero."""

    percent: Percent | None = None
    credits: Credits | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Voucher:
        if (self.percent is None) == (self.credits is None):
            raise PydanticCustomError("voucher_invalid", "must have either percent or credits. Give exactly one.")
        return self

    @property
    def basis_points(self) -> int:
        """Hundredths of a percent; 0 for a voucher of credits."""
        return 0 if self.percent is None else to_micro(self.percent) // _MICRO_PER_BASIS_POINT

    def amount(self, decimals: int) -> int:
        """The credits taken off, in units of 10**-decimals; 0 for a voucher of a percentage."""
        return 0 if self.credits is None else scaled(self.credits, decimals)
