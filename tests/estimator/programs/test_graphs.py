"""Graphs of steps: what several programs share stands once, and rewrites keep every value."""

from __future__ import annotations

import pytest

from estimator import RateCard, shipped_card
from estimator.programs.graphs import Graph, common_scale, degrees
from estimator.programs.program import INT64_MAX, Op, ProgramStep

ANY = (-INT64_MAX, INT64_MAX)


@pytest.fixture(scope="module")
def card() -> RateCard:
    return shipped_card("example")


def adding(graph: Graph, op: Op, left: int, right: int) -> int:
    return graph.operation(ProgramStep("step", op, (), *ANY), left, right)


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
