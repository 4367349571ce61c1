"""Parts of a card: how amounts, counts, names and moments are read, and how parts are copied."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from estimator import shipped_card
from estimator.rates.parts import Count, Credits, Moment, Multiplier, Part
from tests.estimator.rates.written import card


def test_cards_survive_pickling_and_copying_with_their_id() -> None:
    read = shipped_card("example")
    for again in (pickle.loads(pickle.dumps(read)), copy.copy(read), copy.deepcopy(read), read.model_copy()):
        assert again == read
        assert again.id == read.id


def test_a_changed_copy_is_another_card_and_is_checked() -> None:
    changed = card().model_copy(update={"fee": "0.5"})
    assert changed.id == card(fee="0.5").id
    assert changed.programs is not card().programs
    with pytest.raises(ValueError, match="negative"):
        card().model_copy(update={"fee": "-1"})


class Priced(Part):
    """A part with a field of each kind."""

    amount: Multiplier = Decimal(0)
    credits: Credits = Decimal(0)
    count: Count = 1
    moment: Moment = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("field", "value", "read"),
    [
        ("amount", "0.10", Decimal("0.1")),
        ("amount", "0.000000000001", Decimal("1E-12")),
        ("amount", "-0", Decimal(0)),
        ("credits", "1e3", Decimal(1000)),
        ("count", 2**63 - 1, 2**63 - 1),
        ("moment", "2026-01-01T02:00:00+02:00", datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_field_is_read_exactly(field: str, value: object, read: object) -> None:
    assert getattr(Priced.model_validate({field: value}), field) == read


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("amount", 0.1, "is a binary float"),
        ("amount", True, "must be an amount"),
        ("amount", "cheap", "is not a finite amount"),
        ("amount", "-1", "is negative"),
        ("amount", "1000000000001", "more than a million million"),
        ("amount", "0.0000000000001", "more than twelve decimals"),
        ("credits", "0.0000001", "more than six decimals"),
        ("count", 0, "greater than or equal to 1"),
        ("moment", 1767225600, "must be a date and time with a zone"),
        ("moment", "2026-01-01T00:00:00", "has no time zone"),
    ],
)
def test_a_value_that_is_not_exact_or_out_of_range_is_refused(field: str, value: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Priced.model_validate({field: value})
