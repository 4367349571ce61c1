"""Hypothesis strategies: random rate cards that are valid, and plans, budgets and outcomes that fit them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

from hypothesis import strategies as st

from estimator import RateCard, RunOutcome, RunPlan

RECIPES = ("deduplication", "prompt_metadata_injection", "prompt_rephrase", "reasoning_traces")
LENGTHS = ("minimal", "concise", "detailed", "extensive")
TRAINING_TYPES = ("instruction_dataset", "preference_pairs")


def amounts(most: int, decimals: int) -> st.SearchStrategy[str]:
    """Decimal text from 0 to `most`, written digit by digit."""
    return st.tuples(st.integers(0, most - 1), st.integers(0, 10**decimals - 1)).map(
        lambda parts: f"{parts[0]}.{parts[1]:0{decimals}d}"
    )


prices = st.one_of(amounts(5, 9), amounts(2, 7), st.sampled_from(["0", "0.01", "1", "10", "0.0000005"]))
multipliers = st.one_of(amounts(4, 4), st.sampled_from(["0", "1", "1.5", "0.5"]))
surcharges = st.one_of(
    st.fixed_dictionaries({"add": prices}),
    st.fixed_dictionaries({"multiply": multipliers}),
    st.just({"included": True}),
)


@st.composite
def tiers(draw: st.DrawFn, mode: str) -> list[dict[str, Any]]:
    """Tiers in order; in cliff mode each bills at least what the one before did, at a price no lower."""
    ends = sorted(draw(st.sets(st.integers(1, 3_000), max_size=3)))
    if mode != "cliff":
        return [{"up_to": end, "multiply": draw(multipliers)} for end in ends] + [{"multiply": draw(multipliers)}]
    rising = sorted(draw(st.lists(multipliers, min_size=len(ends) + 1, max_size=len(ends) + 1)), key=Decimal)
    steps: list[dict[str, Any]] = [{"up_to": end, "multiply": rising[n]} for n, end in enumerate(ends)]
    return [*steps, {"multiply": rising[-1], "bill": draw(st.integers(max(ends, default=0) + 1, 10_000))}]


@st.composite
def sections(draw: st.DrawFn) -> dict[str, Any]:
    section: dict[str, Any] = {"basis": draw(st.sampled_from(["output", "input", "added"]))}
    if draw(st.booleans()):
        section["row"] = draw(prices)
    else:
        section |= {
            "block_rows": draw(st.sampled_from([1, 7, 100])),
            "block": draw(prices),
            "blocks_min": draw(st.sampled_from([0, 0, 3])),
        }
    if draw(st.booleans()):
        section["length_default"] = draw(st.sampled_from(LENGTHS))
        kept = draw(st.sets(st.sampled_from(LENGTHS))) | {section["length_default"]}
        section["length"] = {name: draw(multipliers) for name in sorted(kept)}
    section["recipes"] = {
        name: draw(surcharges) | {"default": draw(st.booleans())}
        for name in sorted(draw(st.sets(st.sampled_from(RECIPES))))
    }
    section["training"] = {name: draw(surcharges) for name in sorted(draw(st.sets(st.sampled_from(TRAINING_TYPES))))}
    for name in ("grounding", "safety"):
        if draw(st.booleans()):
            section[name] = draw(surcharges)
    if draw(st.sampled_from([True, True, True, False])):
        section["expansion"] = draw(surcharges)
    if draw(st.booleans()):
        section["tiers_mode"] = draw(st.sampled_from(["graduated", "volume", "cliff"]))
        section["tiers"] = draw(tiers(section["tiers_mode"]))
    if draw(st.booleans()):
        section["order"] = draw(st.permutations(priced_dimensions(section)))
    return section


def priced_dimensions(section: dict[str, Any]) -> list[str]:
    """What an `order` has to name."""
    names = ["length"] if section.get("length") else []
    names += [f"recipes.{name}" for name in section["recipes"]]
    names += ["training"] if section["training"] else []
    return names + [name for name in ("grounding", "safety", "expansion") if name in section]


@st.composite
def card_contents(draw: st.DrawFn) -> dict[str, Any]:
    """The content of a valid card, as it would be written in JSON."""
    content: dict[str, Any] = {
        "name": "random",
        "effective_from": "2026-01-01T00:00:00Z",
        "rows_max": draw(st.sampled_from([1, 500, 20_000])),
        "targets_max": draw(st.sampled_from([10, 3, 0])),
        "quantum": draw(st.sampled_from(["0.000001", "0.000001", "0.000003", "0.01", "0.37", "5"])),
        "unit_decimals": draw(st.sampled_from([6, 6, 7, 9])),
        "settlement": draw(st.sampled_from(["requested", "delivered"])),
        "fee": draw(st.one_of(st.just("0"), amounts(3, 6))),
        "minimum": draw(st.one_of(st.just("0"), amounts(20, 6))),
        "discounts": draw(st.dictionaries(st.sampled_from(["team", "all"]), percents)),
        "vouchers": draw(
            st.dictionaries(
                st.sampled_from(["v1", "v2"]),
                st.one_of(percents, st.fixed_dictionaries({"credits": amounts(30, 6)})),
            )
        ),
        "text": draw(sections()),
    }
    if draw(st.booleans()):
        content["cap"] = str(draw(st.integers(21, 5_000)))
    if draw(st.booleans()):
        content["image"] = draw(sections())
    return content


percents = st.integers(0, 10_000).map(lambda points: {"percent": f"{points // 100}.{points % 100:02d}"})
cards = card_contents().map(RateCard.from_dict)


class Sizes(NamedTuple):
    """How large a plan and its outcome are, as shares of the most there can be, in thousandths.

    Drawn before anything else: what Hypothesis draws last, after a whole card, is mostly the least possible.
    """

    rows: int
    rate: int
    targets: int
    processed: int
    delivered: int
    edge: bool


thousandths = st.integers(0, 1_000)
sizes = st.builds(Sizes, thousandths, thousandths, thousandths, thousandths, thousandths, st.booleans())


def part(least: int, most: int, share: int) -> int:
    """The integer that lies so many thousandths of the way."""
    return least + (most - least) * share // 1_000


@st.composite
def plans(draw: st.DrawFn, card: RateCard, size: Sizes) -> RunPlan:
    """A plan that the card prices; `size.edge` puts its rows beside the end of a tier where there is one."""
    modality = draw(st.sampled_from(sorted(card.sections)))
    section = card.sections[modality]
    targets = part(0, card.targets_max, size.targets) if section.expansion is not None else 0
    rows = part(1, card.rows_max, size.rows)
    ends = [tier.up_to + beyond for tier in section.tiers if tier.up_to is not None for beyond in (0, 1)]
    ends = [end for end in ends if end <= card.rows_max]
    if size.edge and ends:
        rows = ends[size.rows % len(ends)]
    lengths = sorted(section.length) or [section.length_default]
    trainings = sorted({"instruction_dataset", *section.training})
    return RunPlan(
        modality=modality,
        rows=rows,
        sample_ppm=part(10_000, 1_000_000, size.rate) if targets else 0,
        targets=targets,
        length=draw(st.sampled_from(lengths)),
        recipes=tuple(name for name in RECIPES if name in section.recipes and draw(st.booleans())),
        training_type=draw(st.sampled_from(trainings)),
        grounding=section.grounding is not None and draw(st.booleans()),
        safety=section.safety is not None and draw(st.booleans()),
        discount=draw(st.sampled_from([*card.discounts, None])),
        voucher=draw(st.sampled_from([*card.vouchers, None])),
    )


@st.composite
def priced_plans(draw: st.DrawFn) -> tuple[RateCard, RunPlan]:
    """A random card and a plan that it prices."""
    size = draw(sizes)
    card = draw(cards)
    return card, draw(plans(card, size))


@st.composite
def ended_runs(draw: st.DrawFn) -> tuple[RateCard, RunPlan, RunOutcome]:
    """A random card, a plan that it prices, and how the run may end."""
    size = draw(sizes)
    status = draw(st.sampled_from(["succeeded", "failed", "cancelled"]))
    card = draw(cards)
    plan = draw(plans(card, size))
    processed = part(0, plan.rows, size.processed)
    delivered = part(0, plan.rows_output, size.delivered) if processed else 0
    return card, plan, RunOutcome(status, processed, delivered)
