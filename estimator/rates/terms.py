"""The terms of a rate card: everything that its prices depend on."""

from __future__ import annotations

from decimal import Decimal
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field

from estimator.rates.parts import COUNT_MAX, Count, Credits, Moment, Name, Part
from estimator.rates.reductions import Discount, Voucher
from estimator.rates.sections import Section


class Terms(Part):
    """What a run costs and when that holds; amounts in credits. The terms say nothing of how long a run takes."""

    name: Name
    description: str = ""
    effective_from: Moment
    rows_max: Count
    targets_max: Annotated[int, Field(ge=0, le=COUNT_MAX, strict=True)] = 100
    quantum: Annotated[Credits, Field(gt=0)] = Decimal("0.01")
    unit_decimals: Annotated[int, Field(ge=6, le=12, strict=True)] = 9
    settlement: Literal["requested", "delivered"] = "requested"
    fee: Credits = Decimal(0)
    minimum: Credits = Decimal(0)
    cap: Credits | None = None
    discounts: dict[Name, Discount] = Field(default_factory=dict)
    vouchers: dict[Name, Voucher] = Field(default_factory=dict)
    text: Section
    image: Section | None = None

    @cached_property
    def sections(self) -> dict[str, Section]:
        """The priced modalities, by name."""
        return {"text": self.text} if self.image is None else {"text": self.text, "image": self.image}
