"""What a rate card is made of: amounts, counts, names and moments, read exactly or refused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal, Inexact
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from estimator.credits import from_micro, to_micro, unscaled
from estimator.errors import AmountInvalid

_PICO = Decimal("0.000000000001")
COUNT_MAX = 2**63 - 1
_AMOUNT_MAX = Decimal(10) ** 12
# A base price times ten multipliers, each of at most 24 digits, is exact within this precision.
EXACT = Context(prec=400, rounding=ROUND_HALF_EVEN, Emin=-999_999, Emax=999_999, traps=[Inexact])


def _read_amount(value: object) -> Decimal:
    """A price exactly as written. A float no longer has the digits that were written, so it is refused."""
    if isinstance(value, float):
        raise PydanticCustomError("float_refused", 'is a binary float. Write the amount as text, such as "0.01".')
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise PydanticCustomError("amount_invalid", 'must be an amount. Write it as text, such as "0.01".')
    try:
        amount = Decimal(value)
    except ArithmeticError:
        amount = Decimal("NaN")
    if not amount.is_finite():
        raise PydanticCustomError("amount_invalid", 'is not a finite amount. Write it as text, such as "0.01".')
    return _checked_size(amount)


def _checked_size(amount: Decimal) -> Decimal:
    if amount.is_signed() and amount:
        raise PydanticCustomError("negative", "is negative. Give 0 or more; discounts and vouchers take off.")
    if amount > _AMOUNT_MAX:
        raise PydanticCustomError("out_of_range", "is more than a million million. Give a smaller amount.")
    try:
        picos = EXACT.scaleb(EXACT.quantize(amount, _PICO), 12)
    except Inexact:
        raise PydanticCustomError("over_precise", "has more than twelve decimals. Round it first.") from None
    return unscaled(int(picos), 12)


def _whole_micro(amount: Decimal) -> Decimal:
    try:
        return from_micro(to_micro(amount))
    except AmountInvalid as error:
        raise PydanticCustomError("amount_invalid", "cannot be used. {why}", {"why": str(error)}) from None


def _read_moment(value: object) -> object:
    """Only a date with a time: pydantic would take a bare number for seconds since 1970."""
    if isinstance(value, datetime | str):
        return value
    raise PydanticCustomError(
        "moment_invalid", "must be a date and time with a zone. Write it as 2026-01-01T00:00:00Z."
    )


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise PydanticCustomError("moment_invalid", "has no time zone. Write it as 2026-01-01T00:00:00Z.")
    return moment.astimezone(UTC)


Multiplier = Annotated[Decimal, BeforeValidator(_read_amount)]
Credits = Annotated[Multiplier, AfterValidator(_whole_micro)]
Count = Annotated[int, Field(ge=1, le=COUNT_MAX, strict=True)]
Moment = Annotated[datetime, BeforeValidator(_read_moment), AfterValidator(_in_utc)]
Name = Annotated[str, Field(strict=True), StringConstraints(min_length=1, max_length=100)]


class Part(BaseModel):
    """Base of the parts of a card: frozen, and with no field that is not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __getstate__(self) -> dict[Any, Any]:
        """Only the content is pickled; cached values are computed again."""
        state = super().__getstate__()
        fields = type(self).model_fields
        return state | {"__dict__": {name: item for name, item in state["__dict__"].items() if name in fields}}

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A changed copy, checked as if it had been read: a card never keeps the id or program of another."""
        return type(self).model_validate(
            {name: getattr(self, name) for name in self.model_fields_set} | dict(update or {})
        )
