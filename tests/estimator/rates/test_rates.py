"""Rate cards: what is read, what is refused and how, what the id covers, and which card is in force."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Context, Decimal, localcontext
from pathlib import Path
from typing import Any

import pytest

from estimator import (
    RateCard,
    RateCardBook,
    RateCardInvalid,
    RateCardNotFound,
    shipped,
    shipped_card,
)
from tests.estimator.rates.written import BASE, card, issues, text


def test_a_card_is_read_from_toml_with_decimals_that_never_were_floats() -> None:
    read = RateCard.from_toml(
        'name = "t"\neffective_from = 2026-01-01T02:00:00+02:00\nrows_max = 10\ntext.row = 0.123456789012\n'
    )
    assert read.text.row == Decimal("0.123456789012")
    assert read.effective_from == datetime(2026, 1, 1, tzinfo=UTC)


def test_a_card_is_read_from_json_with_decimals_that_never_were_floats() -> None:
    read = RateCard.from_json(json.dumps(BASE | {"text": {"row": 0.1}}).replace("0.1", "0.100000000001"))
    assert read.text.row == Decimal("0.100000000001")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"colour": "red"}, [("colour", "unknown_field")]),
        ({"name": None}, [("name", "missing")]),
        ({"name": ""}, [("name", "invalid_length")]),
        ({"rows_max": None}, [("rows_max", "missing")]),
        ({"rows_max": 0}, [("rows_max", "out_of_range")]),
        ({"rows_max": 10**5000}, [("rows_max", "out_of_range")]),
        ({"targets_max": 2**63}, [("targets_max", "out_of_range")]),
        ({"rows_max": "10"}, [("rows_max", "wrong_type")]),
        ({"rows_max": Decimal("1.5")}, [("rows_max", "wrong_type")]),
        ({"rows_max": True}, [("rows_max", "wrong_type")]),
        ({"targets_max": -1}, [("targets_max", "out_of_range")]),
        ({"effective_from": "2026-01-01T00:00:00"}, [("effective_from", "moment_invalid")]),
        ({"effective_from": datetime(2026, 1, 1)}, [("effective_from", "moment_invalid")]),  # noqa: DTZ001
        ({"effective_from": 1767225600}, [("effective_from", "moment_invalid")]),
        ({"effective_from": "soon"}, [("effective_from", "datetime_from_date_parsing")]),
        ({"quantum": "0"}, [("quantum", "out_of_range")]),
        ({"quantum": "0.0000001"}, [("quantum", "amount_invalid")]),
        ({"unit_decimals": 5}, [("unit_decimals", "out_of_range")]),
        ({"unit_decimals": 13}, [("unit_decimals", "out_of_range")]),
        ({"settlement": "later"}, [("settlement", "unknown_value")]),
        ({"fee": "-1"}, [("fee", "negative")]),
        ({"fee": 0.5}, [("fee", "float_refused")]),
        ({"fee": True}, [("fee", "amount_invalid")]),
        ({"fee": "cheap"}, [("fee", "amount_invalid")]),
        ({"fee": "NaN"}, [("fee", "amount_invalid")]),
        ({"fee": Decimal("Infinity")}, [("fee", "amount_invalid")]),
        ({"fee": "1e13"}, [("fee", "out_of_range")]),
        ({"minimum": "5", "cap": "4.99"}, [("cap", "out_of_range")]),
        ({"discounts": {"x": {"percent": "100.01"}}}, [("discounts.x.percent", "percent_invalid")]),
        ({"discounts": {"x": {"percent": "0.001"}}}, [("discounts.x.percent", "percent_invalid")]),
        ({"discounts": {"x": {}}}, [("discounts.x.percent", "missing")]),
        ({"vouchers": {"x": {}}}, [("vouchers.x", "voucher_invalid")]),
        ({"vouchers": {"x": {"percent": "1", "credits": "1"}}}, [("vouchers.x", "voucher_invalid")]),
        ({"text": None}, [("text", "missing")]),
        ({"text": {}}, [("text", "base_price")]),
        ({"text": text(block="1", block_rows=10)}, [("text", "base_price")]),
        ({"text": {"block": "1"}}, [("text", "base_price")]),
        ({"text": {"block_rows": 10}}, [("text", "base_price")]),
        ({"text": text(blocks_min=2)}, [("text.blocks_min", "base_price")]),
        ({"text": text(row="-0.01")}, [("text.row", "negative")]),
        ({"text": text(row="0.0000000000001")}, [("text.row", "over_precise")]),
        ({"text": text(basis="rows")}, [("text.basis", "unknown_value")]),
        ({"text": text(length={"detailed": "2"})}, [("text.length", "default_missing")]),
        ({"text": text(length={"concise": "-1"})}, [("text.length.concise", "negative")]),
        ({"text": text(length={"huge": "2", "concise": "1"})}, [("text.length.huge", "unknown_value")]),
        ({"text": text(recipes={"magic": {"add": "1"}})}, [("text.recipes.magic", "unknown_value")]),
        (
            {"text": text(recipes={"deduplication": {"default": True}})},
            [("text.recipes.deduplication", "surcharge_invalid")],
        ),
        ({"text": text(grounding={"add": "1", "multiply": "2"})}, [("text.grounding", "surcharge_invalid")]),
        ({"text": text(grounding={"included": False})}, [("text.grounding.included", "unknown_value")]),
        ({"text": text(safety={"price": "1"})}, [("text.safety.price", "unknown_field")]),
        ({"text": text(order=["length"])}, [("text.order", "order_invalid")]),
        ({"text": text(grounding={"add": "1"}, order=[])}, [("text.order", "order_invalid")]),
        ({"text": text(grounding={"add": "1"}, order=["grounding", "grounding"])}, [("text.order", "order_invalid")]),
        ({"minutes": {"parallel": 0}}, [("minutes.parallel", "out_of_range")]),
        ({"minutes": {"p95_factor": "0.9"}}, [("minutes.p95_factor", "out_of_range")]),
        ({"minutes": {"factors": {"speed": "2", "grounding": "1"}}}, [("minutes.factors.speed", "unknown_field")]),
    ],
    ids=lambda value: str(value)[:50] if isinstance(value, list) else str(list(value)),
)
def test_what_cannot_be_right_is_refused_at_its_path(changes: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert issues(**changes) == expected


def test_every_problem_of_a_card_comes_in_one_error() -> None:
    assert {path for path, _ in issues(fee="-1", rows_max=0, text={"row": 0.5, "colour": 1}, quantum="x")} == {
        "fee",
        "rows_max",
        "text.row",
        "text.colour",
        "quantum",
    }
    both = {"row": "1", "blocks_min": 3, "length": {"minimal": "1"}, "order": ["safety"]}
    assert issues(text=both) == [
        ("text.blocks_min", "base_price"),
        ("text.length", "default_missing"),
        ("text.order", "order_invalid"),
        ("text.order", "order_invalid"),
    ]


def test_unknown_fields_are_answered_with_the_nearest_name() -> None:
    with pytest.raises(RateCardInvalid, match=r"discounts\.team\.percents: .*Did you mean 'percent'"):
        card(discounts={"team": {"percent": "5", "percents": "5"}})
    with pytest.raises(RateCardInvalid, match=r"text\.tiers\.0\.upto: .*Did you mean 'up_to'"):
        card(text=text(tiers=[{"upto": 5, "multiply": "1"}]))
    with pytest.raises(RateCardInvalid, match=r"text\.roww: .*Did you mean 'row'"):
        card(text=text(roww="1"))


@pytest.mark.parametrize(
    ("reader", "written", "words"),
    [
        ("from_toml", "name = ", "not valid TOML"),
        ("from_toml", 'name = "a"\nname = "b"', "not valid TOML"),
        ("from_json", "{", "not valid JSON"),
        ("from_json", '{"name": "a", "name": "b"}', "'name' appears twice"),
        pytest.param("from_json", "[" * 100_000, "not valid JSON", id="deep json"),
        pytest.param("from_toml", "a=" + "[" * 100_000, "not valid TOML", id="deep toml"),
        ("from_json", "[]", "must be an object, not a list"),
        ("from_json", '{"fee": NaN}', "fee: is not a finite amount"),
        ("from_toml", "fee = inf", "fee: is not a finite amount"),
    ],
)
def test_text_that_is_no_card_is_refused_with_the_place(reader: str, written: str, words: str) -> None:
    with pytest.raises(RateCardInvalid, match=words):
        getattr(RateCard, reader)(written)


def test_the_id_is_of_the_content_however_it_is_written() -> None:
    spelled = card(
        description="",
        quantum="0.010",
        fee=0,
        targets_max=100,
        effective_from="2026-01-01T01:00:00+01:00",
        text={"row": Decimal("1.0E-2"), "order": [], "tiers": [], "basis": "output"},
    )
    assert spelled.id == card().id
    assert spelled == card()
    assert len({card(), spelled, card(fee="0.000001")}) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"description": "d"},
        {"fee": "1"},
        {"text": {"row": "0.02"}},
        {"effective_from": "2026-01-01T00:00:01Z"},
        {"minutes": {"start": 1}},
    ],
    ids=str,
)
def test_other_content_has_another_id(changes: dict[str, Any]) -> None:
    assert card(**changes).id != card().id


@pytest.mark.parametrize("read", [card(), *shipped().values()], ids=lambda read: read.name)
def test_canonical_content_reads_back_to_the_same_card(read: RateCard) -> None:
    again = RateCard.from_json(read.to_json())
    assert again.id == read.id
    assert again.to_json() == read.to_json()


def test_a_default_order_and_the_same_order_spelled_out_are_one_card() -> None:
    section = text(length={"concise": "1"}, safety={"add": "1"}, recipes={"reasoning_traces": {"add": "1"}})
    spelled = section | {"order": ["length", "recipes.reasoning_traces", "safety"]}
    turned = section | {"order": ["safety", "length", "recipes.reasoning_traces"]}
    assert card(text=section).id == card(text=spelled).id != card(text=turned).id


def test_the_callers_decimal_context_changes_no_card() -> None:
    with localcontext(Context(prec=2, Emax=3, Emin=-3)):
        again = RateCard.from_json(shipped_card("example").to_json())
        assert again.id == shipped_card("example").id
        assert again.text.unit_prices_max(9) == shipped_card("example").text.unit_prices_max(9)


def test_cards_are_read_from_files(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_text(card().to_json(), encoding="utf-8")
    assert RateCard.from_file(path).id == card().id
    toml = tmp_path / "card.TOML"
    toml.write_text('name = "base"\neffective_from = 2026-01-01T00:00:00Z\nrows_max = 1_000\ntext.row = 0.01\n')
    assert RateCard.from_file(str(toml)).id == card().id


def test_files_that_are_no_cards_are_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(RateCardNotFound, match=r"cannot be read: .*Check its path"):
        RateCard.from_file(tmp_path / "none.toml")
    with pytest.raises(RateCardInvalid, match=r"ends in \.toml or \.json"):
        RateCard.from_file(tmp_path / "card.yaml")
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'name = "caf\xe9"')
    with pytest.raises(RateCardInvalid, match=r"not UTF-8 at byte 11\. Save it"):
        RateCard.from_file(latin)


def dated(day: int, **changes: Any) -> RateCard:
    return card(effective_from=f"2026-01-{day:02d}T00:00:00Z", **changes)


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        (datetime(2026, 1, 5, tzinfo=UTC), 5),
        (datetime(2026, 1, 9, 23, 59, 59, 999999, tzinfo=UTC), 5),
        (datetime(2026, 1, 10, tzinfo=UTC), 10),
        (datetime(2026, 1, 10, 1, tzinfo=timezone(timedelta(hours=2))), 5),
        (datetime(2099, 1, 1, tzinfo=UTC), 10),
    ],
    ids=str,
)
def test_the_card_in_force_is_the_latest_that_has_started(moment: datetime, day: int) -> None:
    book = RateCardBook([dated(10), dated(5)])
    assert book.at(moment).effective_from.day == day


def test_a_moment_before_the_first_card_or_without_a_zone_is_refused() -> None:
    book = RateCardBook([dated(5)])
    with pytest.raises(RateCardNotFound, match="Add a card whose effective_from"):
        book.at(datetime(2026, 1, 4, 23, 59, 59, tzinfo=UTC))
    with pytest.raises(RateCardNotFound, match="Give an aware datetime"):
        book.at(datetime(2026, 1, 6))  # noqa: DTZ001
    with pytest.raises(RateCardNotFound):
        RateCardBook([]).at(datetime(2026, 1, 6, tzinfo=UTC))


def test_cards_are_found_by_id() -> None:
    first, second = dated(5), dated(10)
    book = RateCardBook([second, first, first])
    assert book.cards == (first, second)
    assert book.get(first.id) is first
    with pytest.raises(RateCardNotFound, match="No rate card has the id 'x'"):
        book.get("x")


def test_two_cards_that_start_together_are_refused() -> None:
    with pytest.raises(RateCardInvalid, match="'base' and 'other' both start at 2026-01-05"):
        RateCardBook([dated(5), dated(5, name="other")])


def test_a_folder_of_cards_is_a_book(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(dated(5).to_json())
    (tmp_path / "notes.md").write_text("no card")
    assert RateCardBook.from_folder(tmp_path).cards == (dated(5),)
    with pytest.raises(RateCardNotFound, match="Name a folder"):
        RateCardBook.from_folder(tmp_path / "empty")


def test_the_json_schema_of_a_card_names_every_field() -> None:
    schema = RateCard.model_json_schema()
    assert set(schema["properties"]) == set(RateCard.model_fields)
