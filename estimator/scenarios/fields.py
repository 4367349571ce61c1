"""Fields of a rate card by dotted path, such as `text.row` or `text.tiers.0.multiply` (tiers count from 0).

A changed card is read again from its content, so it is checked, compiled and named like any other.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from estimator.credits import format_credits
from estimator.rates import RateCard
from estimator.scenarios.errors import ScenarioInvalid
from estimator.sentences import shown

FieldValue = Decimal | int | str | bool

_MICRO = Decimal("0.000001")
_COUNTS = ("rows_max", "targets_max", "block_rows", "blocks_min", "up_to", "bill", "unit_decimals")
_STEPS = {
    **dict.fromkeys(("fee", "minimum", "cap", "quantum", "credits"), _MICRO),
    "percent": Decimal("0.01"),
    **dict.fromkeys(_COUNTS, Decimal(1)),
}
_PRICES = ("row", "block", "add", "multiply")
_ORDERED = (*_PRICES, "fee", "minimum", "cap", "percent", "credits", "blocks_min", "block_rows")


def with_field(card: RateCard, path: str, value: FieldValue) -> RateCard:
    """A copy of a card with one field changed.

    Raises:
        ScenarioInvalid: the path leads through something that has no fields, or the value is a float.
        RateCardInvalid: no such field exists, or the card cannot be used with that value.
    """
    if isinstance(value, float):
        raise ScenarioInvalid(path, f'{value!r} is a binary float. Give a Decimal, such as Decimal("0.01").')
    content = _content(card)
    *parents, name = path.split(".")
    place: Any = content
    for parent in parents:
        place = _step_into(place, parent, path)
    if not isinstance(place, dict):
        raise _no_field(place, name, path)
    place[name] = _written(name, value)
    return RateCard.from_dict(content)


def quantum_of(card: RateCard, path: str) -> Decimal:
    """The step that a field is solved in.

    A millionth for credits, a hundredth for percents, 1 for counts; for prices and multipliers the card's
    `unit_decimals`, to which unit prices are rounded. Raises `ScenarioInvalid` for a field that is no number.
    """
    parents, _, name = path.rpartition(".")
    if name in _STEPS:
        return _STEPS[name]
    if name in _PRICES or parents.endswith("length"):
        return Decimal(1).scaleb(-card.unit_decimals)
    known = ", ".join([*_STEPS, *_PRICES])
    raise ScenarioInvalid(path, f"is no number that a total depends on. End the path in one of: {known}.")


def keeps_order(path: str) -> bool:
    """True for a field whose growth changes the price of every run in one direction, under any card.

    Prices, multipliers, the fee, the minimum, the cap and the fewest blocks only raise prices (the unit price, its
    rounding and every step of a program keep order). Percents, voucher credits and the rows of a block only lower
    them. The ends of tiers, the quantum and the decimals of unit prices can do both.
    """
    parents, _, name = path.rpartition(".")
    return name in _ORDERED or parents.endswith("length")


def _content(card: RateCard) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(card.to_json())
    for modality, section in card.sections.items():
        if section.order is None:
            del content[modality]["order"]  # the canonical text spells it out, and a new surcharge would not be in it
    return content


def _written(name: str, value: FieldValue) -> object:
    if not isinstance(value, Decimal):
        return value
    whole = name in _COUNTS and value == value.to_integral_value()
    return int(value) if whole else format_credits(value)


def _step_into(place: Any, name: str, path: str) -> Any:
    if isinstance(place, dict):
        return place.setdefault(name, {})
    if isinstance(place, list):
        return place[_position(place, name, path)]
    raise _no_field(place, name, path)


def _no_field(place: Any, name: str, path: str) -> ScenarioInvalid:
    what = "a list" if isinstance(place, list) else shown(place)
    return ScenarioInvalid(path, f"leads through {what}, which has no field {name!r}. Give the path of one value.")


def _position(place: list[Any], name: str, path: str) -> int:
    if not name.isascii() or not name.isdigit() or int(name) >= len(place):
        last = len(place) - 1
        raise ScenarioInvalid(path, f"has no part {name!r}. Count from 0 to {last}, as in tiers.0.multiply.")
    return int(name)
