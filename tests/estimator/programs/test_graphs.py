"""Graphs of steps: what several programs share stands once, and rewrites keep every value."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from estimator import RateCard, RunPlan, price_micro, shipped_card
from estimator.credits import to_micro
from estimator.frames.kernel import BlockPricer, Kernel, Workspace
from estimator.frames.reader import Reader
from estimator.programs.graphs import Graph, common_scale, degrees
from estimator.programs.program import INT64_MAX, Op, ProgramStep
from estimator.scenarios.fields import with_field

ANY = (-INT64_MAX, INT64_MAX)


@pytest.fixture(scope="module")
def card() -> RateCard:
    return shipped_card("example")


def adding(graph: Graph, op: Op, left: int, right: int) -> int:
    return graph.operation(ProgramStep("step", op, (), *ANY), left, right)


def batch(rows: list[int]) -> Any:
    lengths = ["minimal", "concise", "detailed", "extensive"]
    return pa.record_batch(
        {
            "rows": rows,
            "max_rows": pa.array([None] * len(rows), pa.int64()),
            "length": [lengths[place % 4] for place in range(len(rows))],
            "grounding": [place % 3 == 0 for place in range(len(rows))],
        }
    )


def instructions(cards: list[RateCard], rows: list[int]) -> list[int]:
    """How many instructions each card adds to those before it."""
    pricing = BlockPricer(cards)
    results = pricing.prices(Reader(batch(rows)).runs(), Workspace())
    assert results is not None
    assert len(list(results)) == len(cards)
    (found,) = pricing._layouts.values()
    return [len(part) for part in found.steps._parts]


def test_an_operation_that_is_put_in_twice_is_found_again_whatever_its_order() -> None:
    graph = Graph()
    rows, price = graph.input("rows", 0, 9), graph.input("price", 0, 9)
    first = adding(graph, Op.ADD, graph.constant(3), rows)
    assert adding(graph, Op.ADD, rows, graph.constant(3)) == first
    assert adding(graph, Op.MUL, rows, price) == adding(graph, Op.MUL, rows, price)
    assert len(graph.steps) == 5


@pytest.mark.parametrize(("op", "bound"), [(Op.MIN, 100), (Op.MAX, 5)])
def test_constants_that_are_added_meet_below_a_minimum_or_maximum(op: Op, bound: int) -> None:
    graph = Graph()
    rows = graph.input("rows", 0, 1000)
    bounded = adding(graph, op, adding(graph, Op.ADD, rows, graph.constant(2)), graph.constant(bound))
    result = graph.steps[adding(graph, Op.ADD, bounded, graph.constant(40))]
    inner, constant = (graph.steps[place] for place in result.operands)
    assert (result.op, constant.least) == (op, bound + 40)
    assert (inner.op, graph.steps[inner.operands[1]].least) == (Op.ADD, 42)


def test_a_constant_that_would_leave_64_bits_below_a_cap_stays_above_it() -> None:
    graph = Graph()
    rows = graph.input("rows", 0, INT64_MAX - 1)
    capped = adding(graph, Op.MIN, rows, graph.constant(100))
    result = graph.steps[adding(graph, Op.ADD, capped, graph.constant(40))]
    assert (result.op, result.operands[0]) == (Op.ADD, capped)


@pytest.mark.parametrize(
    ("tiers", "multiples"),
    [
        ([(20, 18), (10, 9), (0, 0)], (10, 9)),
        ([(0, 6), (0, 4)], (0, 1)),
        ([(20, 18), (10, 8)], None),
        ([(20, 18), (0, 1)], None),
        ([(0, 0)], None),
    ],
)
def test_prices_have_a_scale_where_they_are_whole_times_the_same_multiples(
    tiers: list[tuple[int, ...]], multiples: tuple[int, ...] | None
) -> None:
    scale = common_scale(tiers)
    assert (None if scale is None else scale.multiples) == multiples
    if scale is not None:
        assert all(tuple(scale.of(prices) * each for each in scale.multiples) == prices for prices in tiers)


@pytest.mark.parametrize("mode", ["graduated", "volume", "cliff"])
def test_the_charge_over_tiers_grows_as_many_times_as_its_prices(card: RateCard, mode: str) -> None:
    tiers = [{"up_to": 100, "multiply": "1"}, {"multiply": "0.9"} | ({"bill": 10**9} if mode == "cliff" else {})]
    text = card.text.model_copy(update={"tiers": tiers, "tiers_mode": mode})
    program = card.model_copy(update={"text": text}).programs["text"]
    found = degrees(program, {"unit_price_1": 1, "unit_price_2": 1})
    assert found[program.positions["charge"]] == 1
    assert found[program.positions["with_fee"]] is None
    assert found[program.positions["units"]] == 0


def test_a_card_that_differs_in_a_price_adds_few_steps_to_those_it_shares(card: RateCard) -> None:
    dearer = with_field(card, "text.row", Decimal("0.02"))
    shared, own = instructions([card, dearer], [5, 900_000])
    assert shared > 2 * own
    assert own == 6  # price, charge, fee and rounding, minimum, quanta, micro-credits


def test_a_constant_is_added_where_it_was_added_before() -> None:
    """As a fee is, and then what rounds up, to a charge that is another one and more."""
    graph = Graph()
    charge, more = graph.input("charge", 0, 1000), graph.input("more", 0, 1000)
    fee, rounding = graph.constant(40), graph.constant(9)
    both = adding(graph, Op.ADD, adding(graph, Op.ADD, charge, fee), rounding)
    for _ in range(3):
        charge = adding(graph, Op.ADD, charge, more)
        raised = adding(graph, Op.ADD, adding(graph, Op.ADD, charge, fee), rounding)
        assert graph.steps[raised].operands == (both, more)
        both = raised


def raised(card: RateCard, thousandths: list[int]) -> list[RateCard]:
    """The card with its price of a row raised, or lowered, by so much."""
    return [with_field(card, "text.row", card.text.row + Decimal(each) / 1000) for each in thousandths]


def test_cards_in_equal_steps_look_up_one_difference_between_them(card: RateCard) -> None:
    first, second, *others = instructions(raised(card, [0, 1, 2, 3, 4]), [5, 900_000])
    assert first > second
    assert others == [4, 4, 4]  # the difference, the minimum, quanta, micro-credits


STEPS = {
    "equal": [0, 1, 2, 3],
    "of one kind": [0, 2, 3, 9, 10],
    "none between": [0, 1, 1, 2],
    "down": [4, 3, 2, 1],
    "up and down": [0, 1, 0, 1, 2, 1],
}


@pytest.mark.parametrize("thousandths", STEPS.values(), ids=STEPS)
@pytest.mark.parametrize(
    "field", [None, "fee", "quantum", "minimum", "text.length.minimal", "rows_max", "unit_decimals"]
)
def test_cards_in_steps_are_priced_together_as_apart(card: RateCard, thousandths: list[int], field: str | None) -> None:
    """Also where one of them differs in something else."""
    cards = raised(card, thousandths)
    if field is not None:
        cards[2] = with_field(cards[2], field, {"rows_max": 2_000_000, "unit_decimals": 9}.get(field, Decimal(2)))
    runs = batch([1, 99_999, 100_000, 100_001, 1_999_999, 2_000_000, 7, 123_456])
    for in_quanta in (False, True):
        results = BlockPricer(cards, in_quanta=in_quanta).prices(Reader(runs).runs(), Workspace())
        assert results is not None
        together = [np.broadcast_to(prices.amounts, 8).tolist() for prices in results]
        units = [to_micro(each.quantum) if in_quanta else 1 for each in cards]
        alone = [(Kernel(each).price(runs) // unit).tolist() for each, unit in zip(cards, units, strict=True)]
        assert together == alone


def test_tiers_that_no_run_of_a_block_reaches_are_left_out(card: RateCard) -> None:
    (few,), (many,) = instructions([card], [5, 60_000]), instructions([card], [5, 49_000_000])
    assert 2 * few < many


def test_cards_of_other_limits_tiers_and_quanta_are_priced_together_as_apart(card: RateCard) -> None:
    others = [
        with_field(card, "quantum", Decimal("0.25")),
        with_field(card, "text.tiers.0.multiply", Decimal("0.999999999")),
        with_field(card, "text.tiers.1.multiply", Decimal("0.333333333")),
        with_field(card, "rows_max", 2_000_000),
        with_field(card, "minimum", 250_000),
        with_field(card, "unit_decimals", 8),
    ]
    cards = [card, *others]
    runs = batch([1, 99_999, 100_000, 100_001, 1_999_999, 2_000_000, 7, 123_456])
    results = BlockPricer(cards).prices(Reader(runs).runs(), Workspace())
    assert results is not None
    together = [np.broadcast_to(prices.amounts, 8).tolist() for prices in results]
    assert together == [Kernel(each).price(runs).tolist() for each in cards]


@pytest.mark.parametrize("rows", [9, 10, 11, 100_000, 100_001, 150_000, 1_000_001, 1_900_000, 50_000_000])
def test_what_is_left_out_for_the_largest_run_of_a_block_is_not_needed_by_it(card: RateCard, rows: int) -> None:
    plan = RunPlan("text", rows, 0, 0, "minimal", (), "instruction_dataset", True, False)
    runs = pa.record_batch({"rows": [rows], "length": ["minimal"], "grounding": [True], "deduplication": [False]})
    assert Kernel(card).price(runs).tolist() == [price_micro(plan, card)]
