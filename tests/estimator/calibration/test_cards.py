"""A card gets new minutes and keeps everything else, comments too."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from estimator import RateCard, RateCardInvalid, RateCardNotFound, shipped_card
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


HEAD = 'name = "x"\neffective_from = 2026-01-01T00:00:00Z\nrows_max = 100\n'
TEXT = '[text] # sold\nrow = "1"\n'
MINUTES = '[minutes] # advice\nstart = "4" # warming up\nrow = "0.1"\n'
FACTORS = '\n[minutes.factors]\n# the slow ones\ngrounding = "1.6" # the web\n"length.detailed" = "1.3"\n'


def test_comments_within_the_minutes_stay_beside_what_stays() -> None:
    changed = with_minutes(HEAD + MINUTES + FACTORS + "\n# what it costs\n" + TEXT, ".toml", MODEL)
    for kept in ("[minutes] # advice\n", '"3" # warming up\n', "# the slow ones\n", '"1.5" # the web\n'):
        assert kept in changed
    assert "length.detailed" not in changed


@pytest.mark.parametrize("minutes", [MINUTES, MINUTES + FACTORS, MINUTES + '\n[minutes.p95_factors]\nminimal = "2"\n'])
def test_a_comment_about_what_follows_the_minutes_still_stands_before_it(minutes: str) -> None:
    changed = with_minutes(HEAD + minutes + "\n# what it costs\n" + TEXT, ".toml", MODEL)
    assert changed.endswith("\n\n# what it costs\n" + TEXT)


@pytest.mark.parametrize(
    "minutes",
    [
        "",
        'minutes = { start = "4", factors = { grounding = "2" } }\n',
        'minutes.start = "4"\nminutes.factors.grounding = "2"\n',
        '[minutes]\nstart = "4"\nfactors.grounding = "2" # the web\nfactors.safety = "2"\n',
        '[minutes]\nfactors = { grounding = "2", safety = "3" }\n',
        '[minutes.factors]\ngrounding = "2"\n',
        "[minutes]\nstart = 4\nrow = 0.0008\n",
    ],
)
def test_minutes_are_replaced_however_they_were_written(minutes: str) -> None:
    for text in (HEAD + minutes + TEXT, HEAD + minutes + TEXT + "[image]\nrow = 1 # dear"):
        card = RateCard.from_toml(with_minutes(text, ".toml", MODEL))
        assert card == RateCard.from_toml(text).model_copy(update={"minutes": MODEL})


def test_a_table_that_the_model_does_not_have_goes() -> None:
    plain = MinutesModel(start=Decimal(1))
    text = with_minutes(HEAD + TEXT, ".toml", MODEL)
    assert RateCard.from_toml(with_minutes(text, ".toml", plain)).minutes == plain


def test_line_ends_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "card.toml"
    path.write_bytes((HEAD + TEXT + MINUTES).replace("\n", "\r\n").encode())
    changed = with_minutes(*card_text(str(path)), MODEL)
    assert changed.count("\n") == changed.count("\r\n") > 15
    assert not with_minutes(HEAD + TEXT + MINUTES, ".toml", MODEL).count("\r")


def test_a_card_that_came_out_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("estimator.calibration.cards._with_table", lambda text, _: text)
    with pytest.raises(RateCardInvalid, match="cannot be replaced"):
        with_minutes(HEAD + TEXT + MINUTES, ".toml", MODEL)
