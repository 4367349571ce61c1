"""What a planned run costs and how long it takes, itemised; and how many rows a budget buys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from estimator.credits import format_credits, from_micro, number, to_micro, unscaled
from estimator.plans import RunPlan
from estimator.pricing import Pricing, pricing_of
from estimator.sentences import aligned_text

if TYPE_CHECKING:
    from estimator.rates import RateCard


# Half the time of a named tuple's constructor; line items are most of the work of an estimate.
_new = tuple.__new__


class Minutes(NamedTuple):
    """Minutes that half and 95% of such runs stay below, to the hundredth. Advice, never billed."""

    p50: Decimal
    p95: Decimal


class LineItem(NamedTuple):
    """A signed part of the total: `quantity` units at `unit_price` each, None where it is not per unit."""

    code: str
    label: str
    quantity: int | None
    unit_price: Decimal | None
    credits: Decimal

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe fields, amounts as exact decimal text."""
        return self._asdict() | {
            "unit_price": None if self.unit_price is None else format_credits(self.unit_price),
            "credits": format_credits(self.credits),
        }

    def to_wire(self) -> dict[str, Any]:
        """JSON-safe fields, amounts as JSON numbers."""
        return self._asdict() | {
            "unit_price": None if self.unit_price is None else number(self.unit_price),
            "credits": number(self.credits),
        }


class Estimate(NamedTuple):
    """The price of a plan under a card. `line_items` sum to `credits` exactly.

    `rows_output` are the rows that come out, `rows_billable` those that the card bills (its basis), `units`
    the rows or blocks they make. `credit_multiplier` is credits per 100 output rows at the base price of an
    image run.
    """

    credits: Decimal
    minutes: Minutes
    line_items: tuple[LineItem, ...]
    card_id: str
    card_name: str
    plan: RunPlan
    rows_output: int
    rows_billable: int
    units: int
    credit_multiplier: Decimal | None

    @property
    def rows(self) -> int:
        """Input rows of the plan."""
        return self.plan.rows

    @property
    def multimodal(self) -> bool:
        """True when an image column is mapped."""
        return self.plan.modality == "image"

    @property
    def plan_digest(self) -> str:
        """SHA-256 (hex) of the plan."""
        return self.plan.digest

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe fields, amounts as exact decimal text."""
        return {
            "credits": format_credits(self.credits),
            "minutes": {"p50": format_credits(self.minutes.p50), "p95": format_credits(self.minutes.p95)},
            "line_items": [item.to_dict() for item in self.line_items],
            "card_id": self.card_id,
            "card_name": self.card_name,
            "plan": self.plan.to_dict(),
            "plan_digest": self.plan_digest,
            "rows_output": self.rows_output,
            "rows_billable": self.rows_billable,
            "units": self.units,
            "multimodal": self.multimodal,
            "credit_multiplier": None if self.credit_multiplier is None else format_credits(self.credit_multiplier),
        }

    def as_table(self) -> str:
        """The line items and their total as aligned plain text."""
        return items_table(self.line_items, self.credits)


def items_table(items: Iterable[LineItem], total: Decimal) -> str:
    """Line items and their total as aligned plain text, amounts lined up at the decimal point."""
    rows = [("item", "quantity", "unit price", "credits")]
    for item in items:
        quantity = "" if item.quantity is None else f"{item.quantity:,}"
        price = "" if item.unit_price is None else format_credits(item.unit_price)
        rows.append((item.label, quantity, price, format_credits(item.credits)))
    rows.append(("total", "", "", format_credits(total)))
    places = max(len(row[3].partition(".")[2]) for row in rows[1:])
    rows = [rows[0], *((*row[:3], _padded(row[3], places)) for row in rows[1:])]
    lines = aligned_text(rows, left=1).split("\n")
    rule = "-" * max(map(len, lines))
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def _padded(amount: str, places: int) -> str:
    whole, point, decimals = amount.partition(".")
    return amount if not places else f"{whole}{point or ' '}{decimals:<{places}}"


def estimate(plan: RunPlan, card: RateCard, *, billable_max: int | None = None) -> Estimate:
    """Price a plan under a card, itemised.

    Args:
        plan: what `plan_run` resolved, or a stored plan.
        card: any card that has the prices the plan needs.
        billable_max: bill no more rows than this, as for a run that delivered fewer.

    Raises:
        PriceMissing: the card lacks a price that the plan needs (a card other than the one it was planned
        for). RequestRejected: the plan is larger than that card allows.

    >>> from estimator import DatasetProfile, RunRequest, plan_run, shipped_card
    >>> card, request = shipped_card("observed"), RunRequest.from_wire({"column_mapping": {"prompt": "question"}})
    >>> estimate(plan_run(request, DatasetProfile(1_000, ("question",)), card), card).credits
    Decimal('10')
    """
    if billable_max is None:
        pricing = pricing_of(plan, card)
        values = pricing.run(plan)
    else:
        pricing = pricing_of(plan, card, limited=True)
        values = pricing.run(plan, billable_max)
    rows_output, units = values[pricing.rows_output_at], values[pricing.units_at]
    minutes = (unscaled(pricing.p50.hundredths(rows_output), 2), unscaled(pricing.p95.hundredths(rows_output), 2))
    fields = (
        from_micro(values[pricing.micro_at]),
        _new(Minutes, minutes),
        _line_items(pricing, card.unit_decimals, values, units),
        card.id,
        card.name,
        plan,
        rows_output,
        values[pricing.rows_billable_at],
        units,
        pricing.credit_multiplier,
    )
    return _new(Estimate, fields)


def _line_items(pricing: Pricing, decimals: int, values: Sequence[int], units: int) -> tuple[LineItem, ...]:
    items = [
        _new(LineItem, (code, label, units, unit_price, unscaled(units * part, decimals)))
        for code, label, part, unit_price in pricing.contributions
    ]
    if pricing.tiers_at is not None:
        difference = values[pricing.tiers_at] - units * pricing.unit
        if difference:
            items.append(LineItem("tiers", "Quantity tiers", None, None, unscaled(difference, decimals)))
    for code, label, before, after in pricing.adjustments:
        difference = values[after] - values[before]
        if difference:
            items.append(_new(LineItem, (code, label, None, None, unscaled(difference, decimals))))
    return tuple(items)


def price_micro(plan: RunPlan, card: RateCard) -> int:
    """The price of a plan in micro-credits, without items; as in its estimate. Same errors."""
    pricing = pricing_of(plan, card)
    return pricing.run(plan)[pricing.micro_at]


def affordable_rows(plan: RunPlan, card: RateCard, credits: Decimal) -> int:  # noqa: A002
    """The most rows of such a run that cost no more than `credits`, whatever number of rows the plan has.

    From 0 (which costs nothing) to the card's `rows_max`. Raises `AmountInvalid` for what is no amount of 0
    or more credits, and whatever `estimate` raises.
    """
    budget = to_micro(credits, minimum=0)
    pricing = pricing_of(plan._replace(rows=1), card)
    affordable, too_many = 0, card.rows_max + 1
    while too_many - affordable > 1:
        middle = (affordable + too_many) // 2
        if pricing.run(plan._replace(rows=middle))[pricing.micro_at] <= budget:
            affordable = middle
        else:
            too_many = middle
    return affordable
