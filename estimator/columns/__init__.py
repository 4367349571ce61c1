"""Which columns a table of past runs has, what each means, and what is wrong with their names.

One row is one run. Only `rows` has to be there; a column that is absent means what leaving the field out of a
request means:

    rows           whole number   rows of the dataset, from 1
    max_rows       whole number   process at most this many; null, or absent: every row
    length         text           absent: the card's `length_default`
    <recipe>       true/false     one column for each of `RECIPES`; absent: the card's default for that recipe
    training_type  text           absent: instruction_dataset
    grounding      true/false     absent: false
    safety         true/false     absent: false
    modality       text           text or image; absent: text
    sample_ppm     whole number   share of the rows that each target gets, in parts per million; absent: 0
    targets        whole number   languages or pairs that rows are added for, 0 for none; absent: 0
    discount       text           name on the card; null, or absent: none
    voucher        text           name on the card; null, or absent: none

`rows` are what the dataset has and may exceed the card's `rows_max` where `max_rows` brings them below it, as in
a request. Anywhere but in `max_rows`, `discount` and `voucher` a null is an error: no price is
guessed. Other columns are carried along unread, unless their name is a misspelling of a missing column.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from estimator.errors import FrameInvalid, Issue
from estimator.rates.sections import LENGTHS, RECIPES, TRAINING_TYPES

ColumnKind = Literal["integer", "text", "boolean"]

COLUMNS: Mapping[str, ColumnKind] = {
    "rows": "integer",
    "max_rows": "integer",
    "length": "text",
    **dict.fromkeys(RECIPES, "boolean"),
    "training_type": "text",
    "grounding": "boolean",
    "safety": "boolean",
    "modality": "text",
    "sample_ppm": "integer",
    "targets": "integer",
    "discount": "text",
    "voucher": "text",
}
"""Every column that has a meaning, in order, and what its values are."""

NULLABLE = ("max_rows", "discount", "voucher")
"""Columns in which a null says something: no limit, no discount, no voucher."""

MODALITIES = ("text", "image")
WORDS: Mapping[str, Sequence[str]] = {"length": LENGTHS, "training_type": TRAINING_TYPES, "modality": MODALITIES}
"""The columns of words, and the words each may hold."""

RESULT = "credits_micro"
"""The column that pricing adds: micro-credits, a whole number of 64 bits."""

_OTHER_NAMES = {
    "row_count": "rows",
    "preference_pairs": "training_type",
    "hallucination_mitigation": "grounding",
    "safety_categories": "safety",
    "sample_rate": "sample_ppm",
}


def present_columns(names: Iterable[str]) -> tuple[str, ...]:
    """The columns among `names` that have a meaning, in the order of `COLUMNS`. Raises `FrameInvalid`."""
    listed = list(names)
    issues = list(name_issues(listed))
    if issues:
        raise FrameInvalid(issues)
    return tuple(name for name in COLUMNS if name in listed)


def name_issues(names: Sequence[str]) -> Iterator[Issue]:
    """Columns that are missing or repeated, and names that are probably misspelt."""
    absent = [name for name in COLUMNS if name not in names]
    for name in COLUMNS:
        if names.count(name) > 1:
            yield Issue(name, "duplicate_column", "is the name of more than one column. Keep one of them.")
    meant = {name: wanted for name in names if (wanted := _meant(name, absent)) is not None}
    for name, wanted in meant.items():
        yield Issue(name, "unknown_column", f"is no column that is priced. {_advice(name, wanted)}")
    if "rows" in absent and "rows" not in meant.values():
        yield Issue("rows", "missing", "is required. Add the number of rows of each run's dataset.")
    for present, partner in (("targets", "sample_ppm"), ("sample_ppm", "targets")):
        if present in names and partner in absent and partner not in meant.values():
            yield Issue(partner, "missing", f"is required beside {present}. Add it, or leave both out.")
    if RESULT in names:
        yield Issue(RESULT, "duplicate_column", "is there already, and pricing adds it. Rename or drop that column.")


def _meant(name: str, absent: Sequence[str]) -> str | None:
    """The absent column that a name probably stands for: a misspelling, or another word."""
    if name in COLUMNS or name == RESULT:
        return None
    plain = name.strip().lower().replace(" ", "_").replace("-", "_")
    known = _OTHER_NAMES.get(plain)
    if known is not None:
        return known if known in absent else None
    close = difflib.get_close_matches(plain, absent, n=1)
    return close[0] if close and _is_similar(plain, close[0]) else None


def _is_similar(name: str, wanted: str) -> bool:
    """At least four fifths alike: a lower bar would take the caller's own columns for misspelt ones."""
    return difflib.SequenceMatcher(None, wanted, name).ratio() * 5 >= 4


def _advice(name: str, wanted: str) -> str:
    if name == "preference_pairs":
        return "Give training_type, with 'preference_pairs' where this is true."
    return f"Did you mean {wanted!r}? Rename it to that, or to something less similar."


__all__ = ["COLUMNS", "MODALITIES", "NULLABLE", "RESULT", "WORDS", "ColumnKind", "name_issues", "present_columns"]
