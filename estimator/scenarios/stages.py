"""The way from one rate card to another, one part of the card at a time, each intermediate card a real one.

The parts change in a fixed order: base price, length, recipes, grounding, safety, training, expansion, the order
of the surcharges, tiers, fee, discounts, minimum and cap, vouchers, rounding. Every card on the way is priced
exactly as any other, so the changes between neighbours sum to the whole change. Another order would divide the
joint effect of two parts differently.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from estimator.errors import RateCardInvalid
from estimator.rates import RateCard
from estimator.rates.sections import Section, Tier

_SECTION_PARTS: dict[str, tuple[str, ...]] = {
    "base": ("row", "block_rows", "block", "blocks_min", "basis"),
    "length": ("length", "length_default"),
    "recipes": ("recipes",),
    "grounding": ("grounding",),
    "safety": ("safety",),
    "training": ("training",),
    "expansion": ("expansion",),
    "order": (),
    "tiers": ("tiers_mode", "tiers"),
}
_CARD_PARTS: dict[str, tuple[str, ...]] = {
    "fee": ("fee",),
    "discounts": ("discounts",),
    "bounds": ("minimum", "cap"),
    "vouchers": ("vouchers",),
    "rounding": ("quantum", "unit_decimals"),
}
LABELS = {
    "base": "Base price",
    "length": "Length",
    "recipes": "Recipes",
    "grounding": "Hallucination mitigation",
    "safety": "Safety analysis",
    "training": "Training type",
    "expansion": "Language expansion",
    "order": "Order of the surcharges",
    "tiers": "Quantity tiers",
    "fee": "Fee per run",
    "discounts": "Discounts",
    "bounds": "Minimum and cap",
    "vouchers": "Vouchers",
    "rounding": "Rounding",
}
"""The parts of a card in the order they change, and what to call them."""


class Stage(NamedTuple):
    """One part of the way: what changed, and the card with that and everything before it changed."""

    codes: tuple[str, ...]
    card: RateCard

    @property
    def label(self) -> str:
        """The parts that changed, for people."""
        first, *others = (LABELS[code] for code in self.codes)
        return " and ".join([first, *(label[0].lower() + label[1:] for label in others)])


def stages(baseline: RateCard, candidate: RateCard) -> tuple[Stage, ...]:
    """The parts in which two cards differ, in order; the last card prices as the candidate does.

    Where a card on the way would be invalid (a base price that only the new tiers keep within 64 bits), its part
    changes together with the next one.
    """
    found: list[Stage] = []
    before = _start(baseline, candidate)
    changed: set[str] = set()
    waiting: list[str] = []
    for code in LABELS:
        changed.add(code)
        try:
            card = _mixed(baseline, candidate, changed)
        except RateCardInvalid:
            waiting.append(code)
            continue
        if card.id != before:
            found.append(Stage((*waiting, code), card))
            before = card.id
        waiting.clear()
    if waiting:
        return (*found, Stage(tuple(waiting), candidate))
    # The last card prices as the candidate, but has the limits of both cards; the candidate itself stands for it.
    return (*found[:-1], found[-1]._replace(card=candidate)) if found else ()


def _start(baseline: RateCard, candidate: RateCard) -> str:
    try:
        return _mixed(baseline, candidate, ()).id
    except RateCardInvalid:
        return baseline.id


def _mixed(baseline: RateCard, candidate: RateCard, changed: Collection[str]) -> RateCard:
    """The baseline with some parts taken from the candidate, for runs that both can price."""
    fields: dict[str, Any] = {
        "name": candidate.name,
        "effective_from": candidate.effective_from,
        "rows_max": min(baseline.rows_max, candidate.rows_max),
        "targets_max": min(baseline.targets_max, candidate.targets_max),
    }
    for code, names in _CARD_PARTS.items():
        source = candidate if code in changed else baseline
        fields |= {name: getattr(source, name) for name in names}
    for modality in baseline.sections.keys() & candidate.sections.keys():
        fields[modality] = _mixed_section(baseline.sections[modality], candidate.sections[modality], changed)
    return RateCard.from_dict(fields)


def _mixed_section(baseline: Section, candidate: Section, changed: Collection[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for code, names in _SECTION_PARTS.items():
        source = candidate if code in changed else baseline
        fields |= {name: getattr(source, name) for name in names}
    fields["tiers"] = tuple(_open_ended(fields["tiers"], cliff=fields["tiers_mode"] == "cliff"))
    if baseline.order is not None or candidate.order is not None:
        first, second = (candidate, baseline) if "order" in changed else (baseline, candidate)
        fields["order"] = _order(fields, first, second)
    return fields


def _open_ended(tiers: tuple[Tier, ...], *, cliff: bool) -> Iterator[Tier]:
    """The same tiers, the last without end, so that it prices the rows that another part of the way may add."""
    for number, tier in enumerate(tiers, 1):
        if number < len(tiers) or tier.up_to is None:
            yield tier
        else:
            bill = (tier.up_to if tier.bill is None else tier.bill) if cliff else None
            yield Tier(multiply=tier.multiply, bill=bill)


def _order(fields: dict[str, Any], first: Section, second: Section) -> tuple[str, ...]:
    """The priced dimensions as one section applies them, then those that only the other one has."""
    priced = Section.model_validate({**fields, "order": None, "tiers": ()}).dimensions
    wanted = dict.fromkeys([*first.dimensions, *second.dimensions])
    return tuple(name for name in wanted if name in priced)
