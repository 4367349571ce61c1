"""Options that commands share: moments, cards, requests and places to write."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from estimator import RateCardNotFound, RequestRejected, shipped_card
from estimator.cli.options import RequestOptions, card_in_force, check_place, parse_moment, read_book, read_card
from estimator.cli.terminal import CommandFailed


def test_a_moment_is_read_in_utc() -> None:
    assert parse_moment(None) is None
    assert parse_moment(" 2026-01-31T09:00:00+01:00 ") == datetime(2026, 1, 31, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "words"),
    [("soon", "no ISO 8601"), ("2026-01-31", "no time zone"), ("0001-01-01T00:00:00+05:00", "years 1 to 9999")],
)
def test_a_moment_that_is_none_is_refused_with_its_option(text: str, words: str) -> None:
    with pytest.raises(CommandFailed, match=words) as caught:
        parse_moment(text, "--until")
    assert caught.value.code == "moment_invalid"
    assert "--until" in str(caught.value)


def test_a_card_is_a_shipped_name_or_a_file(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_text(shipped_card("example").to_json(), encoding="utf-8")
    assert read_card("example") == read_card(str(path)) == shipped_card("example")
    with pytest.raises(RateCardNotFound, match="Use one of example, observed"):
        read_card("exmple")


def test_a_folder_of_several_cards_needs_a_moment(tmp_path: Path) -> None:
    for name in ("example", "observed"):
        (tmp_path / f"{name}.json").write_text(shipped_card(name).to_json(), encoding="utf-8")
    book = read_book(str(tmp_path))
    with pytest.raises(CommandFailed, match="Say with --at"):
        card_in_force(book, None)
    assert card_in_force(book, datetime(2026, 6, 1, tzinfo=UTC)) == shipped_card("example")
    assert card_in_force(read_book("example"), None) == shipped_card("example")


def test_an_option_overrides_its_part_of_the_request_alone(tmp_path: Path) -> None:
    path = tmp_path / "request.json"
    body: dict[str, Any] = {"brand_controls": {"length": "minimal", "blueprint": "dry"}, "training_type": None}
    path.write_text(json.dumps(body), encoding="utf-8")
    options = RequestOptions(str(path), ["prompt=q", "context=a", "context=b"], "detailed", max_rows=5, key="k")
    assert options.read(estimate=True).to_wire() == {
        "brand_controls": {"length": "detailed", "blueprint": "dry"},
        "column_mapping": {"prompt": "q", "context": ["a", "b"]},
        "job_specification": {"max_rows": 5, "idempotency_key": "k"},
        "estimate": True,
    }


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (RequestOptions(mapping=["prompt"]), "names no role and column"),
        (RequestOptions(mapping=["prompt=a", "prompt=b"]), "gives prompt twice"),
        (RequestOptions(recipes_on=["x"], recipes_off=["x"]), "both on and off"),
        (RequestOptions("nowhere.json"), "cannot be read"),
    ],
)
def test_options_that_contradict_themselves_are_refused(options: RequestOptions, words: str) -> None:
    with pytest.raises(CommandFailed, match=words):
        options.read()


def test_a_part_of_the_wrong_kind_is_left_for_the_request_to_refuse(tmp_path: Path) -> None:
    path = tmp_path / "request.json"
    path.write_text('{"brand_controls": 5}', encoding="utf-8")
    with pytest.raises(RequestRejected, match="brand_controls: must be an object"):
        RequestOptions(str(path), length="minimal").read()


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    check_place(None)
    check_place(tmp_path / "new.csv")
    for path, words in ((tmp_path, "is a folder"), (tmp_path / "no" / "new.csv", "does not exist")):
        with pytest.raises(CommandFailed, match=words):
            check_place(path)
