"""Contradictions within a request, and between its column mapping and the dataset."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from estimator.errors import Issue
from estimator.sentences import SUGGESTIONS_MAX, nearest, shown
from estimator.wire.requests import ColumnMapping, LanguageExpansion

_FEW = 16
"""Up to this many names are looked up one by one, which is faster than making a set."""

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z]{4})?(?:-(?:[A-Za-z]{2}|[0-9]{3}))?")
_COUNTRY = re.compile(r"[A-Za-z]{2}")


def mapping_issues(mapping: ColumnMapping, columns: Collection[str]) -> list[Issue]:
    """Modes that exclude each other, parts that a mode lacks, and columns that the dataset lacks."""
    issues: list[Issue] = []
    if mapping.prompt is None or mapping.chat is not None or mapping.universal_prompt is not None:
        issues += _mode_issues(mapping)
    mapped = _mapped_columns(mapping)
    known = columns if len(mapped) <= _FEW else frozenset(columns)
    for path, name in mapped:
        if name not in known:
            advice = nearest(name, columns) if len(issues) < SUGGESTIONS_MAX else "Remove it, or correct its name."
            message = f"{shown(name)} is not a column of the dataset. {advice}"
            issues.append(Issue(f"column_mapping.{path}", "unknown_column", message))
    return issues


def is_empty(mapping: ColumnMapping) -> bool:
    """True when no column is mapped."""
    framed = mapping.prompt is not None or mapping.chat is not None or mapping.universal_prompt is not None
    return not (framed or mapping.completion is not None or mapping.context or mapping.image is not None)


def _mapped_columns(mapping: ColumnMapping) -> list[tuple[str, str]]:
    columns = [
        ("prompt", mapping.prompt),
        ("chat", mapping.chat),
        ("completion", mapping.completion),
        ("image", mapping.image),
    ]
    mapped = [(path, name) for path, name in columns if name is not None]
    if mapping.context:
        mapped += [(f"context.{number}", name) for number, name in enumerate(mapping.context)]
    return mapped


def _mode_issues(mapping: ColumnMapping) -> Iterator[Issue]:
    """Conflicts of a mapping that is more than a prompt with parts that always fit it."""
    if mapping.chat is not None:
        yield from _chat_issues(mapping)
    elif mapping.universal_prompt is not None:
        if mapping.prompt is not None:
            yield _conflict("universal_prompt", "cannot stand beside prompt. Keep one of the two.")
        if not mapping.context and mapping.image is None:
            yield _conflict(
                "universal_prompt",
                "would make every row the same. Map at least one context column or an image beside it.",
            )
    else:
        present = [name for name in ("completion", "context", "image") if getattr(mapping, name)]
        if present:
            listed = " and ".join(present)
            yield _conflict(
                present[-1], f"has no text framing ({listed} alone). Map prompt, chat or universal_prompt beside it."
            )


def _chat_issues(mapping: ColumnMapping) -> Iterator[Issue]:
    for name in ("prompt", "universal_prompt", "completion", "context"):
        if getattr(mapping, name):
            yield _conflict(name, "cannot stand beside chat, which holds whole conversations. Keep one of the two.")


def _conflict(name: str, message: str) -> Issue:
    return Issue(f"column_mapping.{name}", "mapping_conflict", message)


def training_issues(training_type: str | None, preference_pairs: bool) -> list[Issue]:
    """The older switch and `training_type` must not contradict each other."""
    if training_type is None or preference_pairs == (training_type == "preference_pairs"):
        return []
    switch = str(preference_pairs).lower()
    message = f"is {switch} and training_type is {training_type!r}. Leave the switch out and keep training_type."
    return [Issue("recipe_specification.recipes.preference_pairs", "training_conflict", message)]


def expansion_issues(expansion: LanguageExpansion, targets_max: int) -> tuple[int, list[Issue]]:
    """The number of distinct targets, and what is wrong with them. Case and repeats make no difference."""
    if expansion.type == "translate":
        wanted, unwanted = "languages", "pairs"
        targets, issues = _languages(expansion)
    else:
        wanted, unwanted = "pairs", "languages"
        targets, issues = _pairs(expansion)
    if getattr(expansion, unwanted):
        message = f"goes with the other type than {expansion.type!r}. Remove {unwanted} or change the type."
        issues.append(Issue(f"language_expansion.{unwanted}", "expansion_conflict", message))
    if not targets and not issues:
        message = f"is needed for {expansion.type!r}. Name at least one entry."
        issues.append(Issue(f"language_expansion.{wanted}", "missing", message))
    if targets > targets_max:
        message = f"name {targets} targets and one run may have {targets_max}. Split the run or name fewer."
        issues.append(Issue(f"language_expansion.{wanted}", "targets_max", message))
    return targets, issues


def _languages(expansion: LanguageExpansion) -> tuple[int, list[Issue]]:
    targets, issues = set(), []
    for number, code in enumerate(expansion.languages or ()):
        targets.add(_canonical_language(code))
        issues += _language_issues(f"language_expansion.languages.{number}", code)
    return len(targets), issues


def _pairs(expansion: LanguageExpansion) -> tuple[int, list[Issue]]:
    targets, issues = set(), []
    for number, pair in enumerate(expansion.pairs or ()):
        path = f"language_expansion.pairs.{number}"
        targets.add((pair.country.upper(), _canonical_language(pair.language)))
        issues += _language_issues(f"{path}.language", pair.language)
        if not _COUNTRY.fullmatch(pair.country):
            message = f"{shown(pair.country)} is no country code. Give two letters, such as TW."
            issues.append(Issue(f"{path}.country", "country_invalid", message))
    return len(targets), issues


def _language_issues(path: str, code: str) -> list[Issue]:
    if _LANGUAGE.fullmatch(code):
        return []
    message = f"{shown(code)} is no language code. Give one such as es, yue or zh-Hant."
    return [Issue(path, "language_invalid", message)]


def _canonical_language(code: str) -> str:
    lowered = code.lower()
    return "zh-hans" if lowered == "zh" else lowered
