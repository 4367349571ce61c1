"""Responses: what a client gets back, under exactly the names that the public client reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, model_serializer, model_validator

from estimator.credits import format_credits, number


class _Item(Protocol):
    def to_dict(self) -> dict[str, Any]: ...


class _Minutes(Protocol):
    @property
    def p50(self) -> Decimal: ...


class AnswerableEstimate(Protocol):
    """What a response tells of an estimate; an `Estimate` has all of it."""

    @property
    def credits(self) -> Decimal: ...  # noqa: D102
    @property
    def minutes(self) -> _Minutes: ...  # noqa: D102
    @property
    def multimodal(self) -> bool: ...  # noqa: D102
    @property
    def credit_multiplier(self) -> Decimal | None: ...  # noqa: D102
    @property
    def line_items(self) -> Sequence[_Item]: ...  # noqa: D102


def _item_on_wire(item: Mapping[str, Any]) -> dict[str, Any]:
    """A line item whose amounts, kept as exact text, are JSON numbers."""
    amounts = {name: value for name in ("unit_price", "credits") if isinstance(value := item.get(name), str)}
    return dict(item) | {name: number(Decimal(value)) for name, value in amounts.items()}


class RunResponse(BaseModel):
    """The answer to a run or an estimate. Amounts are credits; `run_id` is None exactly for an estimate."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    run_id: str | None = Field(None, description="Names the run that was started; null when none was.")
    estimate: bool = Field(description="True when nothing was started.")
    credits: Decimal = Field(alias="estimatedCreditsConsumed", description="Credits estimated, and for a run reserved.")
    minutes: Decimal = Field(alias="estimatedMinutes", description="Minutes that half of such runs stay below.")
    multimodal: bool = Field(
        False, alias="multimodalPricingApplied", description="True when an image column is mapped."
    )
    credit_multiplier: Decimal | None = Field(
        None, alias="creditMultiplier", description="Credits per 100 output rows of a multimodal run; absent for text."
    )
    available_credits: Decimal | None = Field(None, description="What the account can still spend, where asked.")
    line_items: tuple[dict[str, Any], ...] = Field(
        (), description="What the credits are for, where asked; amounts as text."
    )

    @model_validator(mode="after")
    def _names_its_run(self) -> RunResponse:
        if (self.run_id is None) != self.estimate:
            raise ValueError("an estimate has no run_id and a run has one; set estimate and run_id to agree.")
        return self

    @classmethod
    def of(
        cls,
        estimate: AnswerableEstimate,
        *,
        run_id: str | None = None,
        available_credits: Decimal | None = None,
        itemised: bool = False,
    ) -> RunResponse:
        """The response to an estimate (no `run_id`), or to the run that it was made for."""
        return cls(
            run_id=run_id,
            estimate=run_id is None,
            credits=estimate.credits,
            minutes=estimate.minutes.p50,
            multimodal=estimate.multimodal,
            credit_multiplier=estimate.credit_multiplier,
            available_credits=available_credits,
            line_items=tuple(item.to_dict() for item in estimate.line_items) if itemised else (),
        )

    @model_serializer
    def to_wire(self) -> dict[str, Any]:
        """The JSON object, amounts as numbers; optional keys are absent when they say nothing."""
        body: dict[str, Any] = {
            "run_id": self.run_id,
            "estimate": self.estimate,
            "estimatedCreditsConsumed": number(self.credits),
            "estimatedMinutes": number(self.minutes),
            "multimodalPricingApplied": self.multimodal,
        }
        if self.credit_multiplier is not None:
            body["creditMultiplier"] = number(self.credit_multiplier)
        if self.available_credits is not None:
            body["available_credits"] = number(self.available_credits)
        if self.line_items:
            body["line_items"] = [_item_on_wire(item) for item in self.line_items]
        return body

    def to_dict(self) -> dict[str, Any]:
        """As `to_wire`, every amount as exact decimal text: what is stored. `from_wire` reads it, too."""
        amounts = {
            "estimatedCreditsConsumed": self.credits,
            "estimatedMinutes": self.minutes,
            "creditMultiplier": self.credit_multiplier,
            "available_credits": self.available_credits,
        }
        fields = self.to_wire() | {name: format_credits(value) for name, value in amounts.items() if value is not None}
        if self.line_items:
            fields["line_items"] = [dict(item) for item in self.line_items]
        return fields

    def to_json(self) -> str:
        """The body of the HTTP answer."""
        return json.dumps(self.to_wire(), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_wire(cls, body: Mapping[str, Any]) -> RunResponse:
        """Read back what `to_wire` wrote, as a stored first answer is."""
        return cls.model_validate(dict(body))
