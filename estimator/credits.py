"""Exact amounts: `Decimal` credits in Python, integer micro-credits wherever they are kept.

One credit is 1,000,000 micro-credits. Nothing here depends on the caller's decimal context, and no float
is ever taken for an amount; `number` makes one for JSON, at the last moment.
"""

from __future__ import annotations

import re
import reprlib
from decimal import ROUND_HALF_EVEN, Context, Decimal, Inexact, InvalidOperation, Overflow
from functools import lru_cache

from estimator.errors import AmountInvalid

MICRO_PER_CREDIT = 1_000_000
MICRO_MAX = 2**63 - 1
"""The most micro-credits that one amount can hold: what a signed 64-bit column stores."""

_DECIMALS = 6
_MICRO = Decimal("0.000001")
_CREDITS_MAX_WHOLE = MICRO_MAX // MICRO_PER_CREDIT
# Forty digits hold any 64-bit amount many times over; whatever needs more is refused, never rounded.
_EXACT = Context(
    prec=40,
    rounding=ROUND_HALF_EVEN,
    Emin=-999_999,
    Emax=999_999,
    capitals=1,
    clamp=0,
    flags=[],
    traps=[Inexact, InvalidOperation, Overflow],
)
POWERS: tuple[int, ...] = tuple(10**decimals for decimals in range(13))
_UNITS = tuple(Decimal((0, (1,), -decimals)) for decimals in range(13))
# Bound once: these run several times in every estimate and for every amount of a book.
_multiply, _normalize, _quantize = _EXACT.multiply, _EXACT.normalize, _EXACT.quantize
_PLAIN = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")


def to_micro(amount: Decimal | int, *, minimum: int | None = None) -> int:
    """Micro-credits of an amount of credits, exactly.

    Args:
        amount: credits, with at most six decimals; a float, text or bool is no amount.
        minimum: the least micro-credits allowed: 0 refuses negative amounts, 1 refuses zero as well.

    Raises:
        AmountInvalid: not a number, not finite, over-precise, beyond 64 bits, or below `minimum`.

    >>> to_micro(Decimal("1.45"))
    1450000
    """
    if isinstance(amount, Decimal):
        try:
            micro = int(_multiply(_quantize(amount, _MICRO), MICRO_PER_CREDIT))
        except (Inexact, InvalidOperation, ValueError):
            raise _refusal(amount) from None
    elif isinstance(amount, int) and not isinstance(amount, bool):
        micro = amount * MICRO_PER_CREDIT
    else:
        raise AmountInvalid(
            amount,
            f"{reprlib.repr(amount)} is not an exact amount of credits. "
            "Give a Decimal or an int, never a float or text.",
        )
    if not -MICRO_MAX <= micro <= MICRO_MAX:
        raise _too_large(amount)
    if minimum is not None and micro < minimum:
        least = format_credits(from_micro(minimum))
        raise AmountInvalid(amount, f"{amount} credits is too little. Give {least} or more.")
    return micro


def _refusal(amount: Decimal) -> AmountInvalid:
    if not amount.is_finite():
        return AmountInvalid(amount, f"{amount} is not a finite amount of credits. Give a plain number.")
    if amount.adjusted() > len(str(_CREDITS_MAX_WHOLE)):
        return _too_large(amount)
    return AmountInvalid(
        amount, f"{amount} credits has more than six decimals. Round it to a millionth of a credit first."
    )


def _too_large(amount: Decimal | int) -> AmountInvalid:
    return AmountInvalid(
        amount, f"The amount has too many digits for the book. Give at most {_CREDITS_MAX_WHOLE:,} credits at once."
    )


# Most of the amounts in an answer are zero or have just been seen; a cached one costs a tenth of a made one.
@lru_cache(maxsize=4096)
def from_micro(micro: int) -> Decimal:
    """Credits of a number of micro-credits (of fewer than 40 digits), exactly, without trailing zeros.

    >>> from_micro(1_450_000)
    Decimal('1.45')
    """
    return unscaled(micro, _DECIMALS)


def scaled(amount: Decimal, decimals: int) -> int:
    """An amount of credits (at most six decimals) in units of 10**-decimals; `decimals` is from 6 to 12."""
    return to_micro(amount) * POWERS[decimals - _DECIMALS]


def unscaled(amount: int, decimals: int) -> Decimal:
    """The exact amount of an integer (of fewer than 40 digits) in units of 10**-decimals (at most 12)."""
    whole, rest = divmod(amount, POWERS[decimals])
    return _normalize(_multiply(_UNITS[decimals], amount)) if rest else Decimal(whole)


def parse_credits(text: str) -> Decimal:
    """Read an amount that a person typed: `12`, `0.5`, `-3.25`.

    Raises:
        AmountInvalid: anything but plain decimal notation, or an amount that `to_micro` refuses.

    >>> parse_credits(" 12.50 ")
    Decimal('12.5')
    """
    stripped = text.strip()
    if not _PLAIN.fullmatch(stripped):
        raise AmountInvalid(
            text,
            f"{reprlib.repr(text)} is not an amount of credits. Write plain digits with a point, such as 12 or 0.5.",
        )
    return from_micro(to_micro(Decimal(stripped)))


def format_credits(amount: Decimal | int) -> str:
    """Plain notation for people: no exponent, no trailing zeros, no negative zero.

    >>> format_credits(Decimal("1E+3")), format_credits(Decimal("-0.00"))
    ('1000', '0')
    """
    text = format(amount, "f") if isinstance(amount, Decimal) else str(amount)
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def grouped_credits(amount: Decimal | int) -> str:
    """Plain notation with every digit, in groups of three: `1,234.5`."""
    return format(Decimal(format_credits(amount)), ",f")


def number(amount: Decimal) -> int | float:
    """The JSON number of an amount: for the wire only, never for arithmetic."""
    return int(amount) if amount == amount.to_integral_value() else float(amount)
