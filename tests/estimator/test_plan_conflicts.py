"""Conflicts within a request, and between its columns and the dataset."""

from __future__ import annotations

from typing import Any

import pytest

from estimator import (
    DatasetProfile,
    RequestRejected,
)
from tests.estimator.planned import issues, plan


@pytest.mark.parametrize(("switch", "training_type"), [(True, "instruction_dataset"), (False, "preference_pairs")])
def test_a_switch_that_contradicts_the_training_type_is_refused(switch: bool, training_type: str) -> None:
    body = {"recipe_specification": {"recipes": {"preference_pairs": switch}}, "training_type": training_type}
    assert issues(body) == [("recipe_specification.recipes.preference_pairs", "training_conflict")]


@pytest.mark.parametrize("switch", [True, False])
def test_a_switch_that_agrees_with_the_training_type_is_taken(switch: bool) -> None:
    training_type = "preference_pairs" if switch else "instruction_dataset"
    body = {"recipe_specification": {"recipes": {"preference_pairs": switch}}, "training_type": training_type}
    assert plan(body).training_type == training_type


@pytest.mark.parametrize(
    ("mapping", "modality"),
    [
        ({"prompt": "prompt"}, "text"),
        ({"prompt": "prompt", "completion": "answer", "context": ["notes", "answer"]}, "text"),
        ({"prompt": "prompt", "context": []}, "text"),
        ({"chat": "notes"}, "text"),
        ({"chat": "notes", "context": []}, "text"),
        ({"chat": "notes", "image": "picture"}, "image"),
        ({"universal_prompt": "any text at all", "context": ["notes"]}, "text"),
        ({"universal_prompt": "any text at all", "image": "picture", "completion": "answer"}, "image"),
        ({"prompt": "prompt", "image": "picture"}, "image"),
    ],
    ids=str,
)
def test_each_mode_of_mapping_is_taken(mapping: dict[str, Any], modality: str) -> None:
    assert plan({"column_mapping": mapping}).modality == modality


@pytest.mark.parametrize(
    ("mapping", "paths"),
    [
        ({"prompt": "prompt", "chat": "notes"}, ["prompt"]),
        ({"chat": "notes", "completion": "answer", "context": ["answer"]}, ["completion", "context"]),
        ({"chat": "notes", "universal_prompt": "x"}, ["universal_prompt"]),
        ({"prompt": "prompt", "universal_prompt": "x", "context": ["notes"]}, ["universal_prompt"]),
        ({"universal_prompt": "x"}, ["universal_prompt"]),
        ({"universal_prompt": "x", "context": []}, ["universal_prompt"]),
        ({"image": "picture"}, ["image"]),
        ({"completion": "answer"}, ["completion"]),
        ({"context": ["notes"]}, ["context"]),
    ],
    ids=str,
)
def test_mappings_that_contradict_themselves_are_refused(mapping: dict[str, Any], paths: list[str]) -> None:
    assert issues({"column_mapping": mapping}) == [(f"column_mapping.{path}", "mapping_conflict") for path in paths]


def test_every_unknown_column_is_named_with_the_nearest_known_one() -> None:
    mapping = {"prompt": "promt", "completion": "zzz", "context": ["notes", "answers"], "image": "picture "}
    with pytest.raises(RequestRejected) as caught:
        plan({"column_mapping": mapping, "estimate": True})
    assert [issue.path for issue in caught.value.issues] == [
        "column_mapping.prompt",
        "column_mapping.completion",
        "column_mapping.image",
        "column_mapping.context.1",
    ]
    assert "'promt' is not a column of the dataset. Did you mean 'prompt'?" in str(caught.value)
    assert "Use one of: prompt, answer, notes, picture." in str(caught.value)


def test_a_dataset_without_columns_says_so() -> None:
    with pytest.raises(RequestRejected, match="There is none to choose from"):
        plan({"column_mapping": {"prompt": "q"}}, DatasetProfile(5, ()))


@pytest.mark.parametrize(
    ("expansion", "targets"),
    [
        ({"type": "translate", "languages": ["zh", "zh-Hans", "ZH-HANS"]}, 1),
        ({"type": "translate", "languages": ["zh-Hant", "zh", "yue", "fil"], "pairs": []}, 4),
        (
            {
                "type": "localize",
                "pairs": [{"country": "tw", "language": "zh-Hant"}, {"country": "TW", "language": "ZH-hant"}],
            },
            1,
        ),
        (
            {"type": "localize", "pairs": [{"country": "HK", "language": "yue"}, {"country": "TW", "language": "yue"}]},
            2,
        ),
    ],
    ids=str,
)
def test_targets_are_counted_once_whatever_their_case(expansion: dict[str, Any], targets: int) -> None:
    assert plan({"language_expansion": expansion | {"sample_rate": 1}}).targets == targets


@pytest.mark.parametrize(
    ("expansion", "expected"),
    [
        ({"type": "translate"}, [("languages", "missing")]),
        ({"type": "translate", "languages": []}, [("languages", "missing")]),
        ({"type": "localize"}, [("pairs", "missing")]),
        ({"type": "localize", "languages": ["es"]}, [("languages", "expansion_conflict")]),
        (
            {"type": "translate", "languages": ["es"], "pairs": [{"country": "TW", "language": "es"}]},
            [("pairs", "expansion_conflict")],
        ),
        (
            {"type": "translate", "languages": ["es", "Spanish", ""]},
            [("languages.1", "language_invalid"), ("languages.2", "language_invalid")],
        ),
        (
            {"type": "localize", "pairs": [{"country": "TWN", "language": "e"}]},
            [("pairs.0.language", "language_invalid"), ("pairs.0.country", "country_invalid")],
        ),
        (
            {"type": "translate", "languages": [f"a{a}" for a in "abcdefghijklmnopqrstu"]},
            [("languages", "targets_max")],
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_expansions_that_make_no_sense_are_refused(expansion: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    found = issues({"language_expansion": expansion | {"sample_rate": 1}})
    assert found == [(f"language_expansion.{path}", code) for path, code in expected]
