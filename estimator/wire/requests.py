"""Requests: what a client sends to run or estimate an augmentation.

Both generations of the public client are accepted. A null means the same as leaving the field out, except for
`language_expansion`, where null clears the expansion saved on the dataset. Shapes are checked here; `plan_run`
checks whether the parts fit each other, the dataset and the rate card.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from decimal import ROUND_DOWN, Context, Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    Strict,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from estimator.credits import format_credits, number
from estimator.errors import RequestRejected
from estimator.sentences import shown
from estimator.wire.validation import issues_of

ROWS_LIMIT = 2**63 - 1

_PPM = Decimal("0.000001")
_DOWN = Context(prec=28, rounding=ROUND_DOWN, traps=[])

Length = Literal["minimal", "concise", "detailed", "extensive"]
TrainingType = Literal["instruction_dataset", "preference_pairs"]
SafetyCategory = Literal["violence", "self_harm", "harassment", "hate", "sexual"]


def _read_rows(value: object) -> int:
    """A JSON number that is whole: 500 and 500.0 are the same request."""
    if type(value) is int and 1 <= value <= ROWS_LIMIT:
        return value
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        candidate = _finite(value)
        if 1 <= candidate <= ROWS_LIMIT and int(candidate) == candidate:
            return int(candidate)
    raise PydanticCustomError(
        "rows_invalid",
        "must be a whole number from 1 to {most}, not {shown}. Leave it out to process every row.",
        {"most": ROWS_LIMIT, "shown": shown(value)},
    )


def _read_rate(value: object) -> Decimal:
    """The number exactly as written: a float's shortest text is what the client wrote."""
    rate = None
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        rate = Decimal(repr(float(value))) if isinstance(value, float) else Decimal(value)
    if rate is None or not rate.is_finite() or not Decimal("0.01") <= rate <= 1:
        raise PydanticCustomError(
            "rate_invalid",
            "must be a number from 0.01 to 1, not {shown}. It is the share of rows to expand.",
            {"shown": shown(value)},
        )
    return rate


def _finite(value: int | float | Decimal) -> int | float | Decimal:
    """The value, or 0 for NaN and infinity: comparing a NaN raises or depends on the caller's context."""
    return value if isinstance(value, int) or Decimal(value).is_finite() else 0


def _unordered(categories: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return None if categories is None else tuple(sorted(set(categories)))


Flag = Annotated[bool, Strict()]
# No NUL and, because the pattern is matched on UTF-8, no half of a surrogate pair: databases store neither.
_STORABLE = r"^[^\x00]*$"
Text = Annotated[str, Strict(), StringConstraints(pattern=_STORABLE)]
ColumnName = Annotated[str, Strict(), StringConstraints(min_length=1, pattern=_STORABLE)]
Key = Annotated[str, Strict(), StringConstraints(min_length=1, max_length=255, pattern=_STORABLE)]
Rows = Annotated[int, PlainValidator(_read_rows), WithJsonSchema({"type": "number", "minimum": 1, "multipleOf": 1})]
Rate = Annotated[Decimal, PlainValidator(_read_rate), WithJsonSchema({"type": "number", "minimum": 0.01, "maximum": 1})]


class _WireModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ColumnMapping(_WireModel):
    """Which columns play which part. One of `prompt`, `chat` and `universal_prompt` frames every row."""

    prompt: ColumnName | None = Field(None, description="Column that holds the instruction of each row.")
    chat: ColumnName | None = Field(
        None, description="Column that holds whole conversations; stands alone, except for an image."
    )
    completion: ColumnName | None = Field(None, description="Column that holds the answers; not in chat mode.")
    context: tuple[ColumnName, ...] | None = Field(
        None, description="Columns shown beside the prompt; not in chat mode."
    )
    universal_prompt: ColumnName | None = Field(
        None, description="One instruction for all rows; needs a context column or an image to tell them apart."
    )
    image: ColumnName | None = Field(
        None, description="Column of images; makes the run multimodal and needs a text framing beside it."
    )


class Recipes(_WireModel):
    """Switches for the recipes. One left out takes the rate card's default."""

    deduplication: Flag | None = Field(None, description="Drop rows that nearly repeat another.")
    preference_pairs: Flag | None = Field(
        None, description="Older spelling of `training_type: preference_pairs`; the two must agree."
    )
    prompt_metadata_injection: Flag | None = Field(None, description="Write constraints and context into prompts.")
    prompt_rephrase: Flag | None = Field(None, description="Reword prompts.")
    reasoning_traces: Flag | None = Field(None, description="Write the reasoning out before each answer.")


class RecipeSpecification(_WireModel):
    """The recipes of a run and the version of their schema."""

    version: Text | None = Field(None, description="Kept, and never read: the rate card in force sets the price.")
    recipes: Recipes | None = Field(None, description="Which recipes run.")


class BrandControls(_WireModel):
    """What the generated answers should be like."""

    length: Length | None = Field(None, description="How long answers are; left out, the rate card's default.")
    hallucination_mitigation: Flag | None = Field(None, description="Ground answers in a web search.")
    safety_categories: Annotated[tuple[SafetyCategory, ...] | None, AfterValidator(_unordered)] = Field(
        None, description="Any entry turns safety analysis on, for every category; order and repeats mean nothing."
    )
    blueprint: Text | None = Field(None, description="Free-form instructions on style for every answer.")


class JobSpecification(_WireModel):
    """How much of the dataset to process, and the key that makes retries safe."""

    max_rows: Rows | None = Field(None, description="Process at most this many rows.")
    idempotency_key: Key | None = Field(
        None, description="The same key with the same request gets the first answer again."
    )


class LanguagePair(_WireModel):
    """A country and the language to localise into for it."""

    country: Text = Field(description="ISO 3166-1 alpha-2 country code, such as TW.")
    language: Text = Field(description="Language code, with a script where it matters, such as zh-Hant.")


class LanguageExpansion(_WireModel):
    """Adds, for each target, a translated or localised variant of a share of the rows."""

    type: Literal["translate", "localize"] = Field(description="Whether `languages` or `pairs` name the targets.")
    languages: tuple[Text, ...] | None = Field(None, description="Target languages; for translate only.")
    pairs: tuple[LanguagePair, ...] | None = Field(None, description="Target pairs; for localize only.")
    sample_rate: Rate = Field(description="Share of the input rows that each target gets, 0.01 to 1.")

    @property
    def sample_ppm(self) -> int:
        """The sample rate in whole parts per million; what is finer is dropped."""
        # Not through a ratio of whole numbers, which takes minutes for a rate of very many digits.
        return int(self.sample_rate.quantize(_PPM, context=_DOWN).scaleb(6, _DOWN))


class RunRequest(_WireModel):
    """A request to run an augmentation, or with `estimate` only to price it. Every field may be left out."""

    column_mapping: ColumnMapping | None = Field(None, description="Needed for a run, optional for an estimate.")
    recipe_specification: RecipeSpecification | None = Field(None, description="Which recipes run.")
    brand_controls: BrandControls | None = Field(None, description="What the answers should be like.")
    job_specification: JobSpecification | None = Field(None, description="How much to process, and the retry key.")
    training_type: TrainingType | None = Field(None, description="What the output is for; default instructions.")
    estimate: Flag | None = Field(None, description="True to get the price and start nothing.")
    language_expansion: LanguageExpansion | None = Field(
        None, description="Left out: the dataset's saved expansion. Null: none. An object: this one."
    )

    @classmethod
    def from_wire(cls, body: object) -> RunRequest:
        """Read a decoded JSON body.

        Raises:
            RequestRejected: the body has the wrong shape; `issues` lists every field that has.
        """
        try:
            # Skips the keyword handling of model_validate, a fifth of the time of a small body.
            request: RunRequest = cls.__pydantic_validator__.validate_python(body)
        except ValidationError as error:
            raise RequestRejected(issues_of(error, cls)) from None
        return request

    @property
    def expansion_cleared(self) -> bool:
        """True when the request says null, which clears the expansion saved on the dataset."""
        return self.language_expansion is None and "language_expansion" in self.model_fields_set

    def to_wire(self) -> dict[str, Any]:
        """The request as JSON-safe values, nulls left out except the one that clears an expansion."""
        body: dict[str, Any] = _mapped(self.model_dump(exclude_none=True), number)
        if self.expansion_cleared:
            body["language_expansion"] = None
        return body

    def digest(self) -> str:
        """SHA-256 (hex) of what is asked, however it was spelled.

        The order of keys, `500` or `500.0`, nulls, empty objects, `"estimate": false` and the idempotency key
        itself make no difference; neither the price nor the dataset is part of it.
        """
        body = _without_empty(_mapped(self.model_dump(exclude_none=True), format_credits))
        job = body.get("job_specification", {})
        job.pop("idempotency_key", None)
        if not job:
            body.pop("job_specification", None)
        if not self.estimate:
            body.pop("estimate", None)
        if self.expansion_cleared:
            body["language_expansion"] = None
        return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _mapped(value: Any, write: Callable[[Decimal], object]) -> Any:
    """JSON-safe copy: decimals as `write` writes them, tuples as lists."""
    if isinstance(value, dict):
        return {key: _mapped(item, write) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_mapped(item, write) for item in value]
    return write(value) if isinstance(value, Decimal) else value


def _without_empty(body: dict[str, Any]) -> dict[str, Any]:
    """Drop objects and lists that hold nothing, from the inside out."""
    pruned = {key: _without_empty(item) if isinstance(item, dict) else item for key, item in body.items()}
    return {key: item for key, item in pruned.items() if item not in ({}, [])}
