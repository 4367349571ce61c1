"""Pydantic's errors as issues: paths, codes and sentences."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from estimator.errors import Issue
from estimator.sentences import SUGGESTIONS_MAX
from estimator.wire.validation import issues_of, problems_error


class Inner(BaseModel):
    """A model within another, which refuses two problems of its own."""

    model_config = ConfigDict(extra="forbid")

    size: int = Field(0, ge=0, strict=True)
    kind: Literal["a", "b"] = "a"

    @model_validator(mode="after")
    def _two_problems(self) -> Inner:
        if self.size == 13:
            raise problems_error([Issue("size", "unlucky", "is 13."), Issue("", "whole", "is refused.")])
        return self


class Outer(BaseModel):
    """A model with another in a field and in a table."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field("x", max_length=3, strict=True)
    inner: Inner | None = None
    table: dict[str, Inner] = Field(default_factory=dict)


def issues(content: Any) -> list[Issue]:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(content)
    return list(issues_of(caught.value, Outer))


@pytest.mark.parametrize(
    ("content", "path", "code", "message"),
    [
        ([], "", "wrong_type", "must be an object, not a list."),
        ({"name": 5}, "name", "wrong_type", "must be text, not a number."),
        ({"name": "long"}, "name", "invalid_length", "has 4 characters; give at most 3."),
        ({"inner": {"size": -1}}, "inner.size", "out_of_range", "is -1; give at least 0."),
        ({"inner": {"size": "1"}}, "inner.size", "wrong_type", "must be a whole number, not text."),
        ({"inner": {"kind": "c"}}, "inner.kind", "unknown_value", "must be 'a' or 'b', not 'c'."),
        ({"inner": {"sise": 1}}, "inner.sise", "unknown_field", "Did you mean 'size'?"),
        ({"table": {"t": {"sise": 1}}}, "table.t.sise", "unknown_field", "Did you mean 'size'?"),
        ({"table": {"x" * 99: {"kind": 1}}}, f"table.{'x' * 57}....kind", "unknown_value", "must be"),
    ],
    ids=str,
)
def test_a_problem_has_the_path_the_code_and_the_sentence(content: Any, path: str, code: str, message: str) -> None:
    (issue,) = issues(content)
    assert (issue.path, issue.code) == (path, code)
    assert message in issue.message


def test_problems_of_a_validator_come_below_the_path_of_its_model() -> None:
    found = issues({"table": {"t": {"size": 13}}})
    assert [(issue.path, issue.code) for issue in found] == [("table.t.size", "unlucky"), ("table.t", "whole")]


def test_only_the_first_unknown_fields_get_a_suggestion() -> None:
    found = issues({f"nam{number}": 1 for number in range(SUGGESTIONS_MAX + 2)})
    assert sum("Did you mean" in issue.message for issue in found) == SUGGESTIONS_MAX
    assert [issue.message for issue in found[-2:]] == ["is not a field that exists here. Remove it."] * 2
