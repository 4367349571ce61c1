"""Laws of compiled programs: the proof of their bounds holds, and refuses exactly what it must."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator import RateCard, RateCardOverflow
from estimator.programs.program import INT64_MAX, Op, Program
from tests.strategies import card_contents, cards


def extremes(program: Program, choose: st.DataObject) -> dict[str, int]:
    """Each input at one of its ends."""
    ends = {step.name: (step.least, step.greatest) for step in program.steps if step.op is Op.INPUT}
    return {name: choose.draw(st.sampled_from(pair), label=name) for name, pair in ends.items()}


def within(program: Program, choose: st.DataObject) -> dict[str, int]:
    """Each input anywhere in its interval."""
    ends = {step.name: (step.least, step.greatest) for step in program.steps if step.op is Op.INPUT}
    return {name: choose.draw(st.integers(*pair), label=name) for name, pair in ends.items()}


@given(cards, st.data())
def test_every_value_lies_in_its_proven_interval(card: RateCard, data: st.DataObject) -> None:
    for program in card.programs.values():
        for inputs in (extremes(program, data), within(program, data)):
            values = program.evaluate(inputs)
            for step in program.steps:
                assert step.least <= values[step.name] <= step.greatest, step
                assert -INT64_MAX <= step.least <= step.greatest <= INT64_MAX


@given(cards, st.data())
def test_every_program_keeps_the_order_of_rows(card: RateCard, data: st.DataObject) -> None:
    for program in card.programs.values():
        inputs = within(program, data)
        more = inputs | {"rows": data.draw(st.integers(inputs["rows"], card.rows_max))}
        assert program.evaluate(inputs)["micro"] <= program.evaluate(more)["micro"]


@given(cards)
def test_programs_only_divide_by_positive_constants(card: RateCard) -> None:
    for program in card.programs.values():
        for step in program.steps:
            if step.op is Op.FLOORDIV:
                dividend, divisor = (program.steps[position] for position in step.operands)
                assert dividend.least >= 0
                assert divisor.op is Op.CONST
                assert divisor.least > 0
            assert all(program.steps[operand] is not step for operand in step.operands)


@given(card_contents(), st.integers(10**9, 10**15), st.integers(1, 10**6))
def test_a_card_that_could_overflow_is_refused_and_one_that_cannot_is_not(
    content: dict[str, object], rows_max: int, targets_max: int
) -> None:
    loaded = load(content | {"rows_max": rows_max, "targets_max": targets_max})
    if isinstance(loaded, RateCardOverflow):
        assert abs(loaded.bound) > INT64_MAX
        assert loaded.step in str(loaded)
    else:
        assert all(step.greatest <= INT64_MAX for program in loaded.programs.values() for step in program.steps)
        assert (1 + targets_max) * rows_max <= INT64_MAX


def load(content: dict[str, object]) -> RateCard | RateCardOverflow:
    """The card, or its refusal for a program that could overflow."""
    try:
        return RateCard.from_dict(content)
    except RateCardOverflow as error:
        return error


def test_the_bound_of_a_plain_card_is_tight() -> None:
    """The greatest rows_max that loads is the one whose charge still fits; one row more is refused."""
    content = {
        "name": "tight",
        "effective_from": "2026-01-01T00:00:00Z",
        "targets_max": 0,
        "quantum": "0.000001",
        "unit_decimals": 6,
        "text": {"row": "1000000"},
    }
    fits = INT64_MAX // 10**12
    assert RateCard.from_dict(content | {"rows_max": fits}).programs["text"].steps[-1].greatest == fits * 10**12
    with pytest.raises(RateCardOverflow, match="step 'charge' of its program could reach"):
        RateCard.from_dict(content | {"rows_max": fits + 1})
