"""A card gets new minutes and keeps everything else, comments too."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from estimator import RateCard, RateCardNotFound, shipped_card
from estimator.calibration.cards import card_text, with_minutes
from estimator.rates import MinutesModel

MODEL = MinutesModel(
    start=Decimal(3),
    row=Decimal("0.0000125"),
    parallel=4,
    p95_factor=Decimal("1.6"),
    factors={"grounding": Decimal("1.5"), "length.extensive": Decimal(3)},
    p95_factors={"concise.grounding": Decimal("2.25")},
)


@pytest.mark.parametrize("name", ["example", "observed"])
def test_only_the_minutes_of_a_toml_card_change(name: str) -> None:
    text, suffix = card_text(name)
    changed = RateCard.from_toml(with_minutes(text, suffix, MODEL))
    assert changed.minutes == MODEL
    assert changed.model_copy(update={"minutes": shipped_card(name).minutes}).to_json() == shipped_card(name).to_json()


def test_comments_stay_where_they_are() -> None:
    text, suffix = card_text("example")
    changed = with_minutes(text, suffix, MODEL)
    before, after = (part.partition("[minutes]")[0] for part in (text, changed))
    assert before == after
    assert "# the total is rounded up to this, once" in changed


def test_a_json_card_is_written_as_json(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_text(shipped_card("example").to_json())
    text, suffix = card_text(str(path))
    assert RateCard.from_json(with_minutes(text, suffix, MODEL)).minutes == MODEL


def test_a_card_that_is_not_there_is_named() -> None:
    with pytest.raises(RateCardNotFound, match=r"nowhere\.toml"):
        card_text("nowhere.toml")
