"""One priced modality of a rate card (`[text]`, `[image]`): base price, surcharges, tiers, and unit prices.

A unit of billing is one row, or one block of `block_rows` rows. The base price and every `add` are credits
per unit of billing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from estimator.errors import Issue
from estimator.rates.parts import COUNT_MAX, EXACT, Count, Multiplier, Part
from estimator.sentences import nearest
from estimator.wire.requests import Length, TrainingType
from estimator.wire.validation import problems_error

RecipeName = Literal["deduplication", "prompt_metadata_injection", "prompt_rephrase", "reasoning_traces"]

RECIPES: tuple[str, ...] = get_args(RecipeName)
LENGTHS: tuple[str, ...] = get_args(Length)
TRAINING_TYPES: tuple[str, ...] = get_args(TrainingType)
DIMENSIONS = ("length", *(f"recipes.{name}" for name in RECIPES), "training", "grounding", "safety", "expansion")
"""What can change a unit price, in the order applied unless a section declares another."""

PPM = 1_000_000
"""Parts per million: the whole of a share."""

_ROUNDING = Context(prec=400, rounding=ROUND_HALF_EVEN, Emin=-999_999, Emax=999_999, traps=[])


class Surcharge(Part):
    """What a choice does to the unit price: exactly one of `add`, `multiply` and `included = true`."""

    add: Multiplier | None = None
    multiply: Multiplier | None = None
    included: Literal[True] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Surcharge:
        if sum(kind is not None for kind in (self.add, self.multiply, self.included)) != 1:
            raise PydanticCustomError(
                "surcharge_invalid", "must have exactly one of add, multiply and included. Give one."
            )
        return self

    def apply(self, price: Decimal) -> Decimal:
        """The unit price with this surcharge, exactly."""
        if self.add is not None:
            return EXACT.add(price, self.add)
        return price if self.multiply is None else EXACT.multiply(price, self.multiply)


class RecipeSurcharge(Surcharge):
    """What a recipe costs, and whether it runs when a request does not mention it."""

    default: Annotated[bool, Field(strict=True)] = False


class Tier(Part):
    """The units of billing after the tier before and up to `up_to`, and what multiplies their price."""

    up_to: Count | None = None
    multiply: Multiplier
    bill: Count | None = None


class Configuration(NamedTuple):
    """The choices of a plan that its unit price depends on; `expansion` says whether there are targets."""

    length: str
    recipes: tuple[str, ...]
    training_type: str
    grounding: bool
    safety: bool
    expansion: bool


class Section(Part):
    """The prices of one modality; see the module and `DIMENSIONS`."""

    row: Multiplier | None = None
    block_rows: Count | None = None
    block: Multiplier | None = None
    blocks_min: Annotated[int, Field(ge=0, le=COUNT_MAX, strict=True)] = 0
    basis: Literal["output", "input", "added"] = "output"
    length: dict[Length, Multiplier] = Field(default_factory=dict)
    length_default: Length = "concise"
    recipes: dict[RecipeName, RecipeSurcharge] = Field(default_factory=dict)
    training: dict[TrainingType, Surcharge] = Field(default_factory=dict)
    grounding: Surcharge | None = None
    safety: Surcharge | None = None
    expansion: Surcharge | None = None
    order: tuple[str, ...] | None = None
    tiers_mode: Literal["graduated", "volume", "cliff"] = "graduated"
    tiers: tuple[Tier, ...] = ()

    @model_validator(mode="after")
    def _holds_together(self) -> Section:
        problems = [*self._base_problems(), *self._order_problems()]
        if problems:
            raise problems_error(problems)
        return self

    def _base_problems(self) -> Iterator[Issue]:
        by_block = self.block_rows is not None or self.block is not None
        if by_block == (self.row is not None):
            problem = "two base prices. Keep" if by_block else "no base price. Give"
            yield Issue("", "base_price", f"has {problem} row, or block_rows with block.")
        elif by_block and (self.block_rows is None or self.block is None):
            yield Issue("", "base_price", "is priced by block. Give both block_rows and block.")
        if self.blocks_min and not by_block:
            yield Issue("blocks_min", "base_price", "needs a price by block. Remove it, or give block_rows and block.")
        if self.length and self.length_default not in self.length:
            message = f"has no {self.length_default!r}, the default. Add it to the table."
            yield Issue("length", "default_missing", message)

    def _order_problems(self) -> Iterator[Issue]:
        if self.order is None:
            return
        priced = self._priced()
        for name in dict.fromkeys(self.order):
            if name not in priced:
                yield Issue("order", "order_invalid", f"names {name!r}, which has no price. {nearest(name, priced)}")
            elif self.order.count(name) > 1:
                yield Issue("order", "order_invalid", f"names {name!r} more than once. Name it once.")
        missing = [name for name in priced if name not in self.order]
        if missing:
            yield Issue("order", "order_invalid", f"leaves out {', '.join(missing)}. Say where each is applied.")

    def tier_problems(self, units_max: int) -> Iterator[Issue]:
        """What is wrong with the tiers of a section that bills at most `units_max` units."""
        reached = 0
        billed = Decimal(0)
        for number, tier in enumerate(self.tiers):
            path, last = f"tiers.{number}", number == len(self.tiers) - 1
            if tier.up_to is None and not last:
                yield Issue(path, "tiers_invalid", "has no up_to, so the tiers after it are never reached. Give one.")
            elif tier.up_to is not None:
                if tier.up_to <= reached:
                    message = f"ends at {tier.up_to} and the one before at {reached}. Put them in order."
                    yield Issue(path, "tiers_overlap", message)
                reached = tier.up_to
                if last and reached < units_max:
                    message = f"ends at {reached} and a run may have {units_max} units. Remove up_to."
                    yield Issue(path, "tiers_gap", message)
            bill = self._tier_bill(tier)
            if self.tiers_mode != "cliff":
                if tier.bill is not None:
                    yield Issue(path, "tiers_invalid", 'has bill, which only tiers_mode = "cliff" uses. Remove it.')
            elif bill is None:
                yield Issue(path, "tiers_invalid", "is unbounded and a step, so it needs bill: the units it charges.")
            else:
                charged = EXACT.multiply(tier.multiply, bill)
                if charged < billed:
                    yield Issue(path, "tiers_fall", "costs less than the step before it. Raise its bill or multiply.")
                billed = max(billed, charged)

    @staticmethod
    def _tier_bill(tier: Tier) -> int | None:
        return tier.up_to if tier.bill is None else tier.bill

    def _priced(self) -> tuple[str, ...]:
        """The dimensions that have a price here, in default order."""
        present = {
            "length": bool(self.length),
            "training": bool(self.training),
            "grounding": self.grounding is not None,
            "safety": self.safety is not None,
            "expansion": self.expansion is not None,
        } | {f"recipes.{name}": True for name in self.recipes}
        return tuple(name for name in DIMENSIONS if present.get(name, False))

    @cached_property
    def recipes_default(self) -> tuple[str, ...]:
        """The recipes that run when a request does not mention them, in the order of `RECIPES`."""
        unasked = {name for name, surcharge in self.recipes.items() if surcharge.default}
        return tuple(name for name in RECIPES if name in unasked)

    @cached_property
    def choices(self) -> dict[Any, Any]:
        """A cache for plans: the choices of a request, resolved under this section."""
        return {}

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The priced dimensions, in the order they are applied."""
        return self._priced() if self.order is None else self.order

    @property
    def base(self) -> Decimal:
        """Credits per unit of billing before any surcharge."""
        price = self.block if self.row is None else self.row
        assert price is not None
        return price

    def units_max(self, rows_max: int, targets_max: int) -> int:
        """The most units of billing that a run within the card's limits can have."""
        rows = {"input": rows_max, "added": rows_max * targets_max}.get(self.basis, rows_max * (1 + targets_max))
        return rows if self.block_rows is None else max(self.blocks_min, -(-rows // self.block_rows))

    def missing(self, configuration: Configuration) -> Iterator[str]:
        """The dimensions (`length.detailed`, `grounding`) that a configuration uses and lack a price."""
        chosen = configuration
        if chosen.length not in self.length and (self.length or chosen.length != self.length_default):
            yield f"length.{chosen.length}"
        for name in chosen.recipes:
            if name not in self.recipes:
                yield f"recipes.{name}"
        if chosen.training_type not in self.training and chosen.training_type != TRAINING_TYPES[0]:
            yield f"training.{chosen.training_type}"
        if chosen.grounding and self.grounding is None:
            yield "grounding"
        if chosen.safety and self.safety is None:
            yield "safety"
        if chosen.expansion and self.expansion is None:
            yield "expansion"

    def surcharge(self, dimension: str, chosen: Configuration) -> Surcharge | None:
        """What a dimension does under a configuration; None for nothing."""
        kind, _, name = dimension.partition(".")
        if kind == "recipes":
            return self.recipes[name] if name in chosen.recipes else None  # type: ignore[index]
        if kind == "length":
            return Surcharge(multiply=self.length[chosen.length])  # type: ignore[index]
        if kind == "training":
            return self.training.get(chosen.training_type)  # type: ignore[call-overload, no-any-return]
        switched: dict[str, tuple[bool, Surcharge | None]] = {
            "grounding": (chosen.grounding, self.grounding),
            "safety": (chosen.safety, self.safety),
            "expansion": (chosen.expansion, self.expansion),
        }
        on, surcharge = switched[kind]
        return surcharge if on else None

    def unit_prices(self, configuration: Configuration, decimals: int) -> UnitPrices:
        """The unit price of a configuration whose dimensions this section prices, in units of 10**-decimals.

        Contributions are the differences of the rounded running price, so they sum to the rounded unit price.
        """
        running = self.base
        scaled = _rounded(running, decimals)
        contributions = [("base", scaled)]
        for dimension in self.dimensions:
            surcharge = self.surcharge(dimension, configuration)
            if surcharge is not None:
                running = surcharge.apply(running)
                after = _rounded(running, decimals)
                if after != scaled:
                    contributions.append((dimension, after - scaled))
                scaled = after
        return UnitPrices(scaled, tuple(contributions), self.tier_prices(running, decimals))

    def tier_prices(self, unit: Decimal, decimals: int) -> tuple[int, ...]:
        """The price in each tier (one where there are none), in units of 10**-decimals, for an exact unit price."""
        tiers = tuple(_rounded(EXACT.multiply(unit, tier.multiply), decimals) for tier in self.tiers)
        return tiers or (_rounded(unit, decimals),)

    def unit_prices_max(self, decimals: int) -> tuple[int, ...]:
        """The greatest unit price of each tier over all configurations, in units of 10**-decimals.

        Every surcharge keeps the order of prices, so the dearest choice in each dimension gives the dearest price.
        """
        dearest = self.base
        for dimension in self.dimensions:
            dearest = max(choice.apply(dearest) for choice in self._choices(dimension))
        return self.tier_prices(dearest, decimals)

    def _choices(self, dimension: str) -> Iterable[Surcharge]:
        kind, _, name = dimension.partition(".")
        untouched = Surcharge(included=True)
        if kind == "length":
            return [Surcharge(multiply=multiplier) for multiplier in self.length.values()]
        if kind == "training":
            return [*self.training.values(), untouched]
        if kind == "recipes":
            return [self.recipes[name], untouched]  # type: ignore[index]
        return [surcharge for surcharge in (getattr(self, kind), untouched) if surcharge is not None]


class UnitPrices(NamedTuple):
    """A configuration's unit price, what it is made of, and the price in each tier; all scaled integers."""

    unit: int
    contributions: tuple[tuple[str, int], ...]
    tiers: tuple[int, ...]


def _rounded(price: Decimal, decimals: int) -> int:
    return int(_ROUNDING.scaleb(_ROUNDING.quantize(price, Decimal((0, (1,), -decimals))), decimals))
