"""A request resolved against a dataset and a rate card: every default filled in, all conflicts named."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from estimator.errors import Issue, RequestRejected, RowCountUnknown
from estimator.plan_conflicts import expansion_issues, is_empty, mapping_issues, training_issues
from estimator.rates.sections import LENGTHS, PPM, RECIPES, TRAINING_TYPES, Configuration, Section
from estimator.sentences import nearest, shown
from estimator.wire.requests import BrandControls, LanguageExpansion, Recipes, RecipeSpecification, RunRequest

if TYPE_CHECKING:
    from estimator.rates import RateCard

Choices = tuple[str, tuple[str, ...], str, bool, bool]

_CHOICES_MAX = 4096
_PATHS = {
    "length": "brand_controls.length",
    "recipes": "recipe_specification.recipes",
    "training": "training_type",
    "grounding": "brand_controls.hallucination_mitigation",
    "safety": "brand_controls.safety_categories",
    "expansion": "language_expansion",
}


@dataclass(frozen=True, slots=True)
class DatasetProfile:
    """What is known of a dataset: its rows (None while uncounted), its columns, and its saved expansion.

    Raises `RequestRejected` for a row count that is no count, or columns that are not distinct texts.
    """

    row_count: int | None
    columns: tuple[str, ...]
    language_expansion: LanguageExpansion | None = None

    def __post_init__(self) -> None:
        issues = []
        rows = self.row_count
        if rows is not None and (not isinstance(rows, int) or isinstance(rows, bool) or rows < 0):
            message = f"must be a count of 0 or more rows, or None, not {shown(rows)}."
            issues.append(Issue("row_count", "row_count_invalid", message))
        if not isinstance(self.columns, list | tuple) or not all(isinstance(name, str) for name in self.columns):
            message = "must be a sequence of column names. Give a tuple of text."
            issues.append(Issue("columns", "columns_invalid", message))
        else:
            object.__setattr__(self, "columns", tuple(self.columns))
        if issues:
            raise RequestRejected(issues)


class RunPlan(NamedTuple):
    """What a run will do, with nothing left to default. Any card that has the prices can price it.

    `sample_ppm` is the share of rows expanded for each of `targets`, in parts per million; both 0 without
    expansion. `recipes` holds the names that are on, in a fixed order.
    """

    modality: str
    rows: int
    sample_ppm: int
    targets: int
    length: str
    recipes: tuple[str, ...]
    training_type: str
    grounding: bool
    safety: bool
    discount: str | None = None
    voucher: str | None = None

    @property
    def rows_added(self) -> int:
        """Rows that the expansion adds."""
        return self.rows * self.sample_ppm // PPM * self.targets

    @property
    def rows_output(self) -> int:
        """Rows that come out: those put in, and those added."""
        return self.rows + self.rows_added

    @property
    def configuration(self) -> Configuration:
        """The choices that the unit price depends on."""
        return Configuration(
            self.length, self.recipes, self.training_type, self.grounding, self.safety, self.targets > 0
        )

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the plan's canonical JSON."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe fields; `from_dict` reads them."""
        return self._asdict() | {"recipes": list(self.recipes)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> RunPlan:
        """Read a stored plan. Raises `RequestRejected` for fields that are missing, unknown or wrong."""
        issues = list(_stored_issues(fields))
        if issues:
            raise RequestRejected(issues)
        return cls(**{**fields, "recipes": tuple(fields["recipes"])})


def _counted(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _named(value: object) -> bool:
    return value is None or isinstance(value, str)


def _stored_issues(fields: Mapping[str, Any]) -> Iterator[Issue]:
    checks = {
        "modality": lambda value: value in ("text", "image"),
        "rows": lambda value: _counted(value) and value > 0,
        "sample_ppm": lambda value: _counted(value) and value <= PPM,
        "targets": _counted,
        "length": lambda value: value in LENGTHS,
        "recipes": lambda value: isinstance(value, list | tuple) and list(value) == [n for n in RECIPES if n in value],
        "training_type": lambda value: value in TRAINING_TYPES,
        "grounding": lambda value: isinstance(value, bool),
        "safety": lambda value: isinstance(value, bool),
        "discount": _named,
        "voucher": _named,
    }
    for name, fits in checks.items():
        if name not in fields:
            yield Issue(f"plan.{name}", "missing", "is required; store plans as to_dict gives them.")
        elif not fits(fields[name]):
            message = f"cannot be {shown(fields[name])}; store plans as to_dict gives them."
            yield Issue(f"plan.{name}", "wrong_type", message)
    for name in fields:
        if name not in checks:
            yield Issue(f"plan.{name}", "unknown_field", f"is not a field of a plan. {nearest(name, checks)}")


def plan_run(
    request: RunRequest,
    profile: DatasetProfile,
    card: RateCard,
    *,
    discount: str | None = None,
    voucher: str | None = None,
) -> RunPlan:
    """Resolve a request against the dataset it is for and the card it will be priced under.

    Args:
        request: the shape has been checked already.
        profile: the dataset's rows and columns, and its saved expansion.
        card: supplies the defaults of what the request leaves out, and says what can be bought.
        discount: name of the customer's discount on the card.
        voucher: name of a voucher on the card.

    Raises:
        RequestRejected: every conflict within the request, with the dataset and with the card, in one error.
        RowCountUnknown: nothing else is wrong, and the dataset has not been counted.
    """
    issues: list[Issue] = []
    mapping = request.column_mapping
    section, modality = card.text, "text"
    if mapping is not None:
        issues += mapping_issues(mapping, profile.columns)
        if mapping.image is not None:
            section, modality = _image_section(card, issues), "image"
    if not request.estimate and (mapping is None or is_empty(mapping)):
        message = "is required for a run. Map prompt, chat or universal_prompt."
        issues.append(Issue("column_mapping", "missing", message))
    expansion = request.language_expansion
    if expansion is None and profile.language_expansion is not None and not request.expansion_cleared:
        expansion = profile.language_expansion
    targets = sample_ppm = 0
    if expansion is not None:
        targets, found = expansion_issues(expansion, card.targets_max)
        sample_ppm = expansion.sample_ppm
        issues += found
    rows = _rows(request, profile, card, issues)
    choices, missing = _choices(request, section, targets > 0)
    issues += missing
    if discount is not None or voucher is not None:
        _check_names(card, discount, voucher, issues)
    if issues:
        raise RequestRejected(issues)
    if profile.row_count is None:
        raise RowCountUnknown
    return RunPlan(modality, rows, sample_ppm, targets, *choices, discount, voucher)


def _image_section(card: RateCard, issues: list[Issue]) -> Section:
    """The prices of a run with images; else those of text, so that other problems are still found."""
    if card.image is not None:
        return card.image
    issues.append(_price_missing("column_mapping.image", "image"))
    return card.text


def _rows(request: RunRequest, profile: DatasetProfile, card: RateCard, issues: list[Issue]) -> int:
    """Rows to process: the fewer of `max_rows` and the dataset's. Programs start from these.

    `frames.reader` and `sql.select` apply the same rule to columns.
    """
    available = profile.row_count
    if available is None:
        return 0
    if not available:
        issues.append(Issue("dataset", "dataset_empty", "has no rows. Add rows to the dataset first."))
    job = request.job_specification
    asked = None if job is None else job.max_rows
    rows = available if asked is None else min(asked, available)
    if rows > card.rows_max:
        message = f"asks for {rows} rows and one run may have {card.rows_max}. Set max_rows to that or less."
        issues.append(Issue("job_specification.max_rows", "rows_max", message))
    return rows


def _choices(request: RunRequest, section: Section, expanded: bool) -> tuple[Choices, list[Issue]]:
    """Length, recipes, training type, grounding and safety, and the issues of what contradicts or has no price.

    They depend only on the few fields below, so a section caches them.
    """
    controls = request.brand_controls
    asked: tuple[Any, ...] = (None, None, None)
    if controls is not None:
        asked = (controls.length, controls.hallucination_mitigation, controls.safety_categories)
    specification = request.recipe_specification
    switches = None if specification is None else specification.recipes
    if switches is not None:
        asked += (
            switches.deduplication,
            switches.prompt_metadata_injection,
            switches.prompt_rephrase,
            switches.reasoning_traces,
            switches.preference_pairs,
        )
    key = (request.training_type, expanded, asked)
    known: tuple[Choices, list[Issue]] | None = section.choices.get(key)
    if known is None:
        known = _resolved(request, section, expanded)
        if len(section.choices) >= _CHOICES_MAX:
            section.choices.clear()
        section.choices[key] = known
    return known


def _resolved(request: RunRequest, section: Section, expanded: bool) -> tuple[Choices, list[Issue]]:
    controls = request.brand_controls or BrandControls()
    specification = request.recipe_specification or RecipeSpecification()
    switches = specification.recipes or Recipes()
    issues: list[Issue] = []
    training_type = request.training_type
    if switches.preference_pairs is not None:
        issues += training_issues(training_type, switches.preference_pairs)
        if training_type is None and switches.preference_pairs:
            training_type = "preference_pairs"
    choices: Choices = (
        controls.length or section.length_default,
        _switched_on(switches, section),
        training_type or "instruction_dataset",
        controls.hallucination_mitigation is True,
        bool(controls.safety_categories),
    )
    for dimension in section.missing(Configuration(*choices, expanded)):
        issues.append(_price_missing(_request_path(dimension, request), dimension))
    return choices, issues


def _switched_on(switches: Recipes, section: Section) -> tuple[str, ...]:
    """Recipes that the request turns on, or leaves to a card that turns them on."""
    asked = {name: getattr(switches, name) for name in RECIPES}
    return tuple(
        name for name, switch in asked.items() if switch or (switch is None and name in section.recipes_default)
    )


def _request_path(dimension: str, request: RunRequest) -> str:
    kind, _, name = dimension.partition(".")
    if kind == "recipes":
        return f"{_PATHS[kind]}.{name}"
    if kind == "training" and request.training_type is None:
        return "recipe_specification.recipes.preference_pairs"
    return _PATHS[kind]


def _price_missing(path: str, dimension: str) -> Issue:
    message = f"has no price on the rate card ({dimension}). Leave it out, or add its price to a new card."
    return Issue(path, "price_missing", message)


def _check_names(card: RateCard, discount: str | None, voucher: str | None, issues: list[Issue]) -> None:
    for path, name, known in (("discount", discount, card.discounts), ("voucher", voucher, card.vouchers)):
        if name is not None and name not in known:
            message = f"{name!r} is not on the rate card {card.name!r}. {nearest(name, known)}"
            issues.append(Issue(path, f"{path}_unknown", message))
