"""The wire: what is accepted of both client generations, what is refused and how, and what the digest covers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from estimator import RequestRejected, RunRequest

SEED_BODY = {
    "brand_controls": {
        "hallucination_mitigation": True,
        "length": "extensive",
        "safety_categories": ["violence", "hate", "violence"],
    },
    "column_mapping": {"prompt": "q", "chat": None, "completion": "a", "context": ["c"]},
    "estimate": False,
    "job_specification": {"idempotency_key": "k1", "max_rows": 500.0},
    "recipe_specification": {
        "recipes": {
            "deduplication": True,
            "preference_pairs": False,
            "prompt_metadata_injection": True,
            "prompt_rephrase": None,
            "reasoning_traces": True,
        },
        "version": "2",
    },
}
NEWER_BODY = {
    "column_mapping": {"universal_prompt": "Summarise", "context": ["c"], "image": "i"},
    "recipe_specification": {"recipes": {"deduplication": True}},
    "job_specification": {"max_rows": 10},
    "brand_controls": {"length": "minimal", "blueprint": "Be kind."},
    "training_type": "preference_pairs",
    "estimate": True,
    "language_expansion": {
        "type": "localize",
        "pairs": [{"country": "TW", "language": "zh-Hant"}],
        "sample_rate": 0.3,
    },
}


def issues(body: object) -> list[tuple[str, str]]:
    """Path and code of every issue of a body that is refused."""
    with pytest.raises(RequestRejected) as caught:
        RunRequest.from_wire(body)
    assert all(issue.message.endswith((".", "?")) for issue in caught.value.issues)
    return [(issue.path, issue.code) for issue in caught.value.issues]


@pytest.mark.parametrize("body", [{}, SEED_BODY, NEWER_BODY], ids=["empty", "seed", "newer"])
def test_bodies_of_both_client_generations_round_trip(body: dict[str, Any]) -> None:
    request = RunRequest.from_wire(body)
    assert RunRequest.from_wire(request.to_wire()) == request
    assert RunRequest.model_validate(body) == request


def test_values_are_normalised() -> None:
    request = RunRequest.from_wire(SEED_BODY)
    assert request.brand_controls is not None
    assert request.brand_controls.safety_categories == ("hate", "violence")
    assert request.to_wire()["job_specification"] == {"idempotency_key": "k1", "max_rows": 500}
    assert "chat" not in request.to_wire()["column_mapping"]


@pytest.mark.parametrize("body", [None, [], "x", 3, True])
def test_a_body_that_is_no_object_is_one_issue_without_a_path(body: object) -> None:
    assert issues(body) == [("", "wrong_type")]


@pytest.mark.parametrize("rows", [500, 500.0, Decimal("5E+2"), 1, 2**63 - 1])
def test_whole_numbers_of_rows_are_taken_however_written(rows: float) -> None:
    request = RunRequest.from_wire({"job_specification": {"max_rows": rows}})
    assert request.job_specification is not None
    assert request.job_specification.max_rows == rows
    assert type(request.job_specification.max_rows) is int


@pytest.mark.parametrize(
    "rows",
    [1.5, 0, -3, True, "500", float("nan"), float("inf"), Decimal("sNaN"), Decimal("1E+999999"), 2**63, 1e300, [5], {}],
    ids=str,
)
def test_anything_else_for_max_rows_is_refused(rows: object) -> None:
    assert issues({"job_specification": {"max_rows": rows}}) == [("job_specification.max_rows", "rows_invalid")]


@pytest.mark.parametrize(
    "rate", [0, 0.009, 1.01, -1, True, "0.5", None, float("nan"), float("inf"), Decimal("NaN")], ids=str
)
def test_sample_rates_outside_their_range_are_refused(rate: object) -> None:
    body = {"language_expansion": {"type": "translate", "languages": ["es"], "sample_rate": rate}}
    assert issues(body) == [("language_expansion.sample_rate", "rate_invalid")]


@pytest.mark.parametrize(
    ("rate", "ppm"),
    [(0.29, 290_000), (0.1, 100_000), (1, 1_000_000), (Decimal("0.0100009"), 10_000), (1 / 3, 333_333), (0.01, 10_000)],
)
def test_sample_rates_are_kept_as_written_and_read_to_a_millionth(rate: float, ppm: int) -> None:
    request = RunRequest.from_wire(
        {"language_expansion": {"type": "translate", "languages": ["es"], "sample_rate": rate}}
    )
    assert request.language_expansion is not None
    assert str(request.language_expansion.sample_rate) == str(rate)
    assert request.language_expansion.sample_ppm == ppm


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"colum_mapping": {}}, [("colum_mapping", "unknown_field")]),
        ({1: 2}, [("1", "unknown_field")]),
        ({"column_mapping": {"promt": "q"}}, [("column_mapping.promt", "unknown_field")]),
        ({"column_mapping": {"prompt": ""}}, [("column_mapping.prompt", "invalid_length")]),
        ({"column_mapping": {"prompt": 5}}, [("column_mapping.prompt", "wrong_type")]),
        ({"column_mapping": {"context": "c"}}, [("column_mapping.context", "wrong_type")]),
        ({"column_mapping": {"context": ["c", 1]}}, [("column_mapping.context.1", "wrong_type")]),
        ({"column_mapping": []}, [("column_mapping", "wrong_type")]),
        (
            {"recipe_specification": {"recipes": {"magic": True}}},
            [("recipe_specification.recipes.magic", "unknown_field")],
        ),
        (
            {"recipe_specification": {"recipes": {"deduplication": 1}}},
            [("recipe_specification.recipes.deduplication", "wrong_type")],
        ),
        ({"recipe_specification": {"version": 2}}, [("recipe_specification.version", "wrong_type")]),
        ({"brand_controls": {"length": "huge"}}, [("brand_controls.length", "unknown_value")]),
        ({"brand_controls": {"safety_categories": "hate"}}, [("brand_controls.safety_categories", "wrong_type")]),
        (
            {"brand_controls": {"safety_categories": ["hate", "gore"]}},
            [("brand_controls.safety_categories.1", "unknown_value")],
        ),
        ({"brand_controls": {"blueprint": "\ud800"}}, [("brand_controls.blueprint", "invalid_text")]),
        ({"brand_controls": {"blueprint": "a\x00b"}}, [("brand_controls.blueprint", "invalid_text")]),
        ({"column_mapping": {"prompt": "\udfff"}}, [("column_mapping.prompt", "invalid_text")]),
        ({"job_specification": {"idempotency_key": "a\x00"}}, [("job_specification.idempotency_key", "invalid_text")]),
        ({"job_specification": {"idempotency_key": ""}}, [("job_specification.idempotency_key", "invalid_length")]),
        (
            {"job_specification": {"idempotency_key": "k" * 256}},
            [("job_specification.idempotency_key", "invalid_length")],
        ),
        ({"job_specification": {"idempotency_key": 7}}, [("job_specification.idempotency_key", "wrong_type")]),
        ({"training_type": "dpo"}, [("training_type", "unknown_value")]),
        ({"estimate": "true"}, [("estimate", "wrong_type")]),
        ({"estimate": 1}, [("estimate", "wrong_type")]),
        (
            {"language_expansion": {}},
            [("language_expansion.type", "missing"), ("language_expansion.sample_rate", "missing")],
        ),
        (
            {"language_expansion": {"type": "localize", "pairs": [{"country": "TW"}], "sample_rate": 1}},
            [("language_expansion.pairs.0.language", "missing")],
        ),
    ],
    ids=str,
)
def test_wrong_shapes_name_the_path_of_the_field(body: object, expected: list[tuple[str, str]]) -> None:
    assert issues(body) == expected


def test_every_wrong_field_is_named_in_one_error() -> None:
    body = {"estimate": 1, "brand_controls": {"length": 3}, "job_specification": {"max_rows": 0, "key": "k"}}
    assert {path for path, _ in issues(body)} == {
        "estimate",
        "brand_controls.length",
        "job_specification.max_rows",
        "job_specification.key",
    }


def test_a_misspelt_field_is_answered_with_the_nearest_name_at_that_place() -> None:
    with pytest.raises(RequestRejected, match=r"column_mapping\.promt: .* Did you mean 'prompt'\?"):
        RunRequest.from_wire({"column_mapping": {"promt": "q"}})
    with pytest.raises(RequestRejected, match=r"Use one of: deduplication, preference_pairs"):
        RunRequest.from_wire({"recipe_specification": {"recipes": {"xyz": True}}})


def test_text_of_every_script_and_many_lines_is_taken() -> None:
    text = "naïve\n日本語\t🦜\r\n"
    body = {"brand_controls": {"blueprint": text}, "column_mapping": {"prompt": text}}
    assert RunRequest.from_wire(body).to_wire() == body


def test_keys_of_one_and_of_255_characters_are_taken() -> None:
    for key in ("k", "k" * 255):
        assert RunRequest.from_wire({"job_specification": {"idempotency_key": key}}).to_wire() == {
            "job_specification": {"idempotency_key": key}
        }


def test_requests_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        RunRequest.from_wire({}).estimate = True  # type: ignore[misc]


def test_plain_pydantic_validation_raises_pydantics_own_error() -> None:
    with pytest.raises(ValidationError):
        RunRequest.model_validate({"estimate": 1})


def test_language_expansion_has_three_states() -> None:
    omitted, cleared = RunRequest.from_wire({}), RunRequest.from_wire({"language_expansion": None})
    given = RunRequest.from_wire(NEWER_BODY)
    assert [request.expansion_cleared for request in (omitted, cleared, given)] == [False, True, False]
    assert omitted.to_wire() == {}
    assert cleared.to_wire() == {"language_expansion": None}
    assert len({omitted.digest(), cleared.digest(), given.digest()}) == 3


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"column_mapping": None, "estimate": False, "brand_controls": {}}),
        (
            {},
            {
                "job_specification": {"idempotency_key": "k"},
                "recipe_specification": {"recipes": {"deduplication": None}},
            },
        ),
        (
            {"job_specification": {"max_rows": 500}},
            {"job_specification": {"max_rows": 500.0, "idempotency_key": "other"}},
        ),
        (
            {"brand_controls": {"safety_categories": ["hate", "sexual"]}},
            {"brand_controls": {"safety_categories": ["sexual", "hate", "hate"], "blueprint": None}},
        ),
        (
            {"language_expansion": {"type": "translate", "languages": ["es"], "sample_rate": 0.5}},
            {
                "language_expansion": {
                    "sample_rate": Decimal("0.500"),
                    "languages": ["es"],
                    "type": "translate",
                    "pairs": None,
                }
            },
        ),
        (SEED_BODY, dict(reversed(SEED_BODY.items()))),
    ],
    ids=range(6),
)
def test_the_digest_is_of_what_is_asked_not_of_how_it_is_spelled(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert RunRequest.from_wire(one).digest() == RunRequest.from_wire(other).digest()


@pytest.mark.parametrize(
    "other",
    [
        {"estimate": True},
        {"job_specification": {"max_rows": 501}},
        {"column_mapping": {"prompt": "q"}},
        {"recipe_specification": {"recipes": {"deduplication": False}}},
        {"recipe_specification": {"version": "2"}},
        {"training_type": "instruction_dataset"},
    ],
    ids=str,
)
def test_another_request_has_another_digest(other: dict[str, Any]) -> None:
    assert RunRequest.from_wire(other).digest() not in {
        RunRequest.from_wire({}).digest(),
        RunRequest.from_wire({"job_specification": {"max_rows": 500}}).digest(),
    }


def test_digests_never_change_between_releases() -> None:
    """A stored key must recognise an honest retry for ever, so the canonical form is pinned."""
    assert RunRequest.from_wire({}).digest() == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert (
        RunRequest.from_wire(SEED_BODY).digest() == "b3d3fbffb77e21986ceb70e5772436ac1eeac032e0d4b4ae082abcf729344a01"
    )
    assert (
        RunRequest.from_wire(NEWER_BODY).digest() == "b924fab043ab01c4cc9436057fdfe3a82865e4e2ec8a2ff8788b84bec0bc7265"
    )


def test_every_field_is_described_in_the_json_schema() -> None:
    schema = RunRequest.model_json_schema()
    parts = [schema, *schema["$defs"].values()]
    assert all(field.get("description") for part in parts for field in part["properties"].values())
