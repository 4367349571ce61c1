"""Plans: every default resolved, every conflict named in one error."""

from __future__ import annotations

import json
from typing import Any

import pytest

from estimator import (
    DatasetProfile,
    RateCard,
    RequestRejected,
    RowCountUnknown,
    RunPlan,
)
from tests.estimator.planned import BARE, EXAMPLE, PROFILE, SAVED, issues, plan


def test_an_empty_estimate_takes_every_default_of_the_card() -> None:
    assert plan({}) == RunPlan(
        modality="text",
        rows=1_000,
        sample_ppm=0,
        targets=0,
        length="concise",
        recipes=("deduplication",),
        training_type="instruction_dataset",
        grounding=False,
        safety=False,
        discount=None,
        voucher=None,
    )


def test_every_choice_of_a_request_reaches_the_plan() -> None:
    body = {
        "column_mapping": {"prompt": "prompt", "completion": "answer", "context": ["notes"]},
        "recipe_specification": {
            "recipes": {"deduplication": False, "reasoning_traces": True, "prompt_rephrase": True}
        },
        "brand_controls": {"length": "extensive", "hallucination_mitigation": True, "safety_categories": ["hate"]},
        "job_specification": {"max_rows": 10},
        "training_type": "preference_pairs",
        "language_expansion": {"type": "translate", "languages": ["es", "ES", "fr"], "sample_rate": 0.5},
    }
    assert plan(body, discount="team", voucher="welcome") == RunPlan(
        modality="text",
        rows=10,
        sample_ppm=500_000,
        targets=2,
        length="extensive",
        recipes=("prompt_rephrase", "reasoning_traces"),
        training_type="preference_pairs",
        grounding=True,
        safety=True,
        discount="team",
        voucher="welcome",
    )


@pytest.mark.parametrize(("max_rows", "rows"), [(None, 1_000), (1, 1), (1_000, 1_000), (5_000, 1_000), (10**15, 1_000)])
def test_billed_rows_are_the_fewer_of_those_asked_and_those_there_are(max_rows: int | None, rows: int) -> None:
    assert plan({"job_specification": {"max_rows": max_rows}}).rows == rows


@pytest.mark.parametrize(
    ("recipes", "on"),
    [
        (None, ("deduplication",)),
        ({}, ("deduplication",)),
        ({"deduplication": None}, ("deduplication",)),
        ({"deduplication": False}, ()),
        ({"reasoning_traces": True}, ("deduplication", "reasoning_traces")),
        ({"reasoning_traces": False}, ("deduplication",)),
    ],
    ids=str,
)
def test_recipes_left_out_take_the_cards_defaults(recipes: dict[str, Any] | None, on: tuple[str, ...]) -> None:
    assert plan({"recipe_specification": {"recipes": recipes}}).recipes == on


def test_a_recipe_that_the_card_lacks_is_off_unless_it_is_asked_for() -> None:
    assert plan({}, PROFILE, BARE).recipes == ()
    assert plan({"recipe_specification": {"recipes": {"deduplication": False}}}, PROFILE, BARE).recipes == ()
    body = {"recipe_specification": {"recipes": {"deduplication": True}}}
    assert issues(body, PROFILE, BARE) == [("recipe_specification.recipes.deduplication", "price_missing")]


def test_everything_that_the_card_does_not_price_is_named_at_its_own_path() -> None:
    body = {
        "column_mapping": {"prompt": "prompt", "image": "picture"},
        "recipe_specification": {"recipes": {"prompt_rephrase": True}},
        "brand_controls": {"length": "detailed", "hallucination_mitigation": True, "safety_categories": ["hate"]},
        "training_type": "preference_pairs",
        "language_expansion": {"type": "translate", "languages": ["es"], "sample_rate": 1},
    }
    assert set(issues(body, PROFILE, BARE)) == {
        ("column_mapping.image", "price_missing"),
        ("recipe_specification.recipes.prompt_rephrase", "price_missing"),
        ("brand_controls.length", "price_missing"),
        ("brand_controls.hallucination_mitigation", "price_missing"),
        ("brand_controls.safety_categories", "price_missing"),
        ("training_type", "price_missing"),
        ("language_expansion", "price_missing"),
    }


def test_a_card_without_a_length_table_sells_its_default_length() -> None:
    assert plan({"brand_controls": {"length": "concise"}}, PROFILE, BARE).length == "concise"


def test_the_older_switch_for_preference_pairs_sets_the_training_type() -> None:
    assert plan({"recipe_specification": {"recipes": {"preference_pairs": True}}}).training_type == "preference_pairs"
    assert (
        plan({"recipe_specification": {"recipes": {"preference_pairs": False}}}).training_type == "instruction_dataset"
    )
    body = {"recipe_specification": {"recipes": {"preference_pairs": True}}}
    assert issues(body, PROFILE, BARE) == [("recipe_specification.recipes.preference_pairs", "price_missing")]


@pytest.mark.parametrize("mapping", [None, {}, {"prompt": None, "context": None}, {"context": []}], ids=str)
def test_a_run_needs_a_mapping_and_an_estimate_does_not(mapping: dict[str, Any] | None) -> None:
    assert issues({"column_mapping": mapping, "estimate": False}) == [("column_mapping", "missing")]
    assert plan({"column_mapping": mapping, "estimate": True}).rows == 1_000


def test_rows_not_counted_are_a_conflict_to_wait_out_unless_the_request_is_wrong_anyway() -> None:
    uncounted = DatasetProfile(row_count=None, columns=("q",))
    with pytest.raises(RowCountUnknown, match="Wait until"):
        plan({}, uncounted)
    assert issues({"column_mapping": {"prompt": "x"}}, uncounted) == [("column_mapping.prompt", "unknown_column")]


def test_an_empty_dataset_is_refused() -> None:
    assert issues({}, DatasetProfile(0, ("q",))) == [("dataset", "dataset_empty")]


def test_more_rows_than_the_card_allows_are_refused_with_the_number_it_allows() -> None:
    many = DatasetProfile(10_001, ("q",))
    with pytest.raises(RequestRejected, match="Set max_rows to that or less") as caught:
        plan({}, many, BARE)
    assert [issue[:2] for issue in caught.value.issues] == [("job_specification.max_rows", "rows_max")]
    assert plan({"job_specification": {"max_rows": 10_000}}, many, BARE).rows == 10_000


def test_a_saved_expansion_holds_until_the_request_clears_or_replaces_it() -> None:
    profile = DatasetProfile(1_000, ("q",), SAVED)
    assert plan({}, profile)[2:4] == (250_000, 2)
    assert plan({"language_expansion": None}, profile)[2:4] == (0, 0)
    replaced = {"language_expansion": {"type": "translate", "languages": ["de"], "sample_rate": 1}}
    assert plan(replaced, profile)[2:4] == (1_000_000, 1)


def test_unknown_discounts_and_vouchers_are_refused_with_those_there_are() -> None:
    assert issues({}, discount="teem", voucher="x") == [
        ("discount", "discount_unknown"),
        ("voucher", "voucher_unknown"),
    ]
    with pytest.raises(RequestRejected, match="Did you mean 'team'"):
        plan({}, discount="teem")


def test_conflicts_of_every_kind_come_in_one_error() -> None:
    body = {
        "column_mapping": {"prompt": "prompt", "chat": "talk"},
        "recipe_specification": {"recipes": {"preference_pairs": True}},
        "training_type": "instruction_dataset",
        "language_expansion": {"type": "localize", "sample_rate": 1},
        "brand_controls": {"hallucination_mitigation": True},
    }
    assert issues(body, DatasetProfile(0, ("prompt",)), BARE, discount="none") == [
        ("column_mapping.prompt", "mapping_conflict"),
        ("column_mapping.chat", "unknown_column"),
        ("language_expansion.pairs", "missing"),
        ("dataset", "dataset_empty"),
        ("recipe_specification.recipes.preference_pairs", "training_conflict"),
        ("brand_controls.hallucination_mitigation", "price_missing"),
        ("discount", "discount_unknown"),
    ]


def test_output_rows_round_the_sample_down_before_the_targets_multiply_it() -> None:
    made = plan(
        {
            "language_expansion": {"type": "translate", "languages": ["es", "fr", "de"], "sample_rate": 0.33},
            "job_specification": {"max_rows": 10},
        }
    )
    assert (made.rows_added, made.rows_output) == (9, 19)


def test_plans_round_trip_through_json_and_have_a_digest() -> None:
    made = plan({"recipe_specification": {"recipes": {"reasoning_traces": True}}}, voucher="welcome")
    again = RunPlan.from_dict(json.loads(json.dumps(made.to_dict())))
    assert again == made
    assert again.digest == made.digest != made._replace(rows=1).digest
    assert len(made.digest) == 64


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"rows": 0}, "rows"),
        ({"rows": True}, "rows"),
        ({"rows": "5"}, "rows"),
        ({"modality": "video"}, "modality"),
        ({"sample_ppm": 1_000_001}, "sample_ppm"),
        ({"targets": -1}, "targets"),
        ({"length": None}, "length"),
        ({"recipes": "deduplication"}, "recipes"),
        ({"recipes": ["reasoning_traces", "deduplication"]}, "recipes"),
        ({"training_type": "x"}, "training_type"),
        ({"grounding": 1}, "grounding"),
        ({"safety": None}, "safety"),
        ({"discount": 5}, "discount"),
        ({"voucher": 5}, "voucher"),
        ({"colour": "red"}, "colour"),
    ],
    ids=str,
)
def test_a_stored_plan_that_was_tampered_with_is_refused(change: dict[str, Any], path: str) -> None:
    with pytest.raises(RequestRejected) as caught:
        RunPlan.from_dict(plan({}).to_dict() | change)
    assert [issue.path for issue in caught.value.issues] == [f"plan.{path}"]


def test_a_stored_plan_with_fields_missing_names_them_all() -> None:
    with pytest.raises(RequestRejected) as caught:
        RunPlan.from_dict({})
    assert {issue.path for issue in caught.value.issues} == {f"plan.{name}" for name in RunPlan._fields}


@pytest.mark.parametrize("rows", [-1, True, 1.5, "10"])
def test_a_profile_refuses_a_row_count_that_is_no_count(rows: Any) -> None:
    with pytest.raises(RequestRejected, match="row_count: must be a count"):
        DatasetProfile(rows, ("q",))


@pytest.mark.parametrize("columns", ["q", ("q", 5), None], ids=str)
def test_a_profile_refuses_columns_that_are_no_names(columns: Any) -> None:
    with pytest.raises(RequestRejected, match="columns: must be a sequence"):
        DatasetProfile(5, columns)


def test_a_profile_keeps_its_columns_as_a_tuple() -> None:
    assert DatasetProfile(5, ["q", "a"]).columns == ("q", "a")  # type: ignore[arg-type]


def test_many_different_requests_leave_the_caches_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A section forgets what it knew rather than grow, and plans the same afterwards."""
    monkeypatch.setattr("estimator.plans._CHOICES_MAX", 2)
    card = RateCard.from_json(EXAMPLE.to_json())
    bodies = [{"brand_controls": {"length": length}} for length in ("minimal", "concise", "detailed", "extensive")]
    assert [plan(body, PROFILE, card) for body in bodies * 2] == [plan(body) for body in bodies * 2]
    assert len(card.text.choices) <= 2
