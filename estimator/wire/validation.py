"""Pydantic's errors as issues: sentences that say what is wrong and what to write instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from estimator.errors import Issue
from estimator.sentences import SUGGESTIONS_MAX, nearest, shown

_KINDS: Mapping[type, str] = {
    dict: "an object",
    list: "a list",
    tuple: "a list",
    str: "text",
    bool: "a true/false value",
    int: "a number",
    float: "a number",
    type(None): "null",
}

_NAME_MAX = 60


def problems_error(problems: Sequence[Issue]) -> PydanticCustomError:
    """One error for a model validator to raise, carrying every problem with a path below that model."""
    return PydanticCustomError(
        "problems", "{summary}", {"summary": "; ".join(map(str, problems)), "problems": list(problems)}
    )


def issues_of(error: ValidationError, model: type[BaseModel]) -> tuple[Issue, ...]:
    """Every problem in a validation error of `model`, in the order of its fields."""
    issues: list[Issue] = []
    for detail in error.errors(include_url=False):
        location = tuple(part for part in detail["loc"] if part != "[key]")
        below = detail.get("ctx", {}).get("problems")
        if below is None:
            issues.append(_issue(detail, location, model, suggesting=len(issues) < SUGGESTIONS_MAX))
        else:
            issues += [issue._replace(path=_path((*location, issue.path))) for issue in below]
    return tuple(issues)


def _path(location: Sequence[int | str]) -> str:
    return ".".join(_shortened(str(part)) for part in location if part != "")


def _shortened(name: str) -> str:
    return name if len(name) <= _NAME_MAX else name[: _NAME_MAX - 3] + "..."


def _issue(detail: ErrorDetails, location: tuple[int | str, ...], model: type[BaseModel], *, suggesting: bool) -> Issue:
    kind = detail["type"]
    if kind == "extra_forbidden":
        message = "is not a field that exists here."
        if suggesting:
            message += f" {nearest(str(location[-1]), _fields_at(model, location[:-1]))}"
        else:
            message += " Remove it."
        return Issue(_path(location), "unknown_field", message)
    code, write = _SENTENCES.get(kind, (kind, _own_words))
    return Issue(_path(location), code, write(detail))


def _fields_at(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    """Field names of the model that a path leads to; names in a table and places in a list lead nowhere new."""
    for part in location:
        if part in model.model_fields:
            model = _model_in(model.model_fields[str(part)].annotation) or model
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (_model_in(argument) for argument in getattr(annotation, "__args__", ()))
    return next((model for model in inner if model is not None), None)


def _kind(value: object) -> str:
    return _KINDS.get(type(value), type(value).__name__)


def _wanted(what: str) -> Callable[[ErrorDetails], str]:
    return lambda detail: f"must be {what}, not {_kind(detail['input'])}."


def _length(detail: ErrorDetails) -> str:
    context = detail["ctx"]
    bound = f"at most {context['max_length']}" if "max_length" in context else f"at least {context['min_length']}"
    return f"has {len(detail['input'])} characters; give {bound}."


def _choice(detail: ErrorDetails) -> str:
    return f"must be {detail['ctx']['expected']}, not {shown(detail['input'])}."


def _bound(detail: ErrorDetails) -> str:
    context = detail["ctx"]
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    limit = next(f"{words[name]} {context[name]}" for name in words if name in context)
    return f"is {shown(detail['input'])}; give {limit}."


def _own_words(detail: ErrorDetails) -> str:
    message = detail["msg"]
    return message if message.endswith((".", "?")) else f"is not usable: {message}. Correct or remove it."


_SENTENCES: Mapping[str, tuple[str, Callable[[ErrorDetails], str]]] = {
    "missing": ("missing", lambda _: "is required; add it."),
    "model_type": ("wrong_type", _wanted("an object")),
    "model_attributes_type": ("wrong_type", _wanted("an object")),
    "dict_type": ("wrong_type", _wanted("an object")),
    "invalid_key": ("unknown_field", lambda _: "is no field name; use text as names."),
    "tuple_type": ("wrong_type", _wanted("a list")),
    "bool_type": ("wrong_type", _wanted("true or false")),
    "string_type": ("wrong_type", _wanted("text")),
    "int_type": ("wrong_type", _wanted("a whole number")),
    "int_parsing": ("wrong_type", _wanted("a whole number")),
    "int_from_float": ("wrong_type", _wanted("a whole number")),
    "string_unicode": ("invalid_text", lambda _: "holds half of a surrogate pair; send well-formed Unicode."),
    "string_pattern_mismatch": ("invalid_text", lambda _: "holds a NUL character; remove it."),
    "string_too_short": ("invalid_length", _length),
    "string_too_long": ("invalid_length", _length),
    "literal_error": ("unknown_value", _choice),
    "enum": ("unknown_value", _choice),
    "greater_than_equal": ("out_of_range", _bound),
    "greater_than": ("out_of_range", _bound),
    "less_than_equal": ("out_of_range", _bound),
    "less_than": ("out_of_range", _bound),
}
