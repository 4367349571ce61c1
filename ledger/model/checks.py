"""Checks of values that several commands have: texts, ids, amounts, durations, labels, metadata."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from estimator.credits import to_micro
from estimator.errors import AmountInvalid
from ledger.errors import CommandInvalid
from ledger.model.moments import to_moment

TEXT_MAX = 255
"""Characters in an account id, a dataset id or a key."""

ID_BYTES_MAX = 512
"""Bytes of UTF-8 in an account or dataset id. An index entry of both ids and a key then fits every database."""

PRIORITY_MAX = 32_767
"""The highest priority. The lowest is 0, which burns first."""

LABELS_MAX = 16
"""The most labels of one hold."""

PAGE_MAX = 10_000
"""The most rows that one page lists, where nothing else is said."""

METADATA_MAX = 4_000
"""The most characters of a grant's metadata."""

_MICROSECOND = timedelta(microseconds=1)
DURATION_MAX = timedelta(days=36_525) // _MICROSECOND
"""The longest duration, in microseconds: a century."""


def check_text(value: object, name: str) -> str:
    """A text of 1 to 255 characters that every database stores. Raises `CommandInvalid`."""
    if not isinstance(value, str):
        raise CommandInvalid(name, f"must be a text of 1 to {TEXT_MAX} characters, not {type(value).__name__}.")
    if not 1 <= len(value) <= TEXT_MAX:
        raise CommandInvalid(name, f"has {len(value)} characters; give 1 to {TEXT_MAX}.")
    if not is_storable(value):
        raise CommandInvalid(name, "holds a NUL character or half of a surrogate pair; send well-formed text.")
    return value


def check_id(value: object, name: str) -> str:
    """A text as `check_text` takes it, of at most 512 bytes in UTF-8. Raises `CommandInvalid`."""
    text = check_text(value, name)
    if len(text) > ID_BYTES_MAX // 4 and len(text.encode()) > ID_BYTES_MAX:
        raise CommandInvalid(name, f"has {len(text.encode())} bytes of UTF-8; give at most {ID_BYTES_MAX}.")
    return text


def is_storable(value: str) -> bool:
    """True for a text that every database stores unchanged: without NUL, without half a surrogate pair."""
    if value.isascii():
        return "\x00" not in value
    return not any(character == "\x00" or "\ud800" <= character <= "\udfff" for character in value)


def check_amount(value: object, *, least: int, name: str = "amount") -> int:
    """Micro-credits of an amount of at least `least` of them. Raises `CommandInvalid`."""
    try:
        micro = to_micro(value)  # type: ignore[arg-type]  # it refuses what is not an amount
    except AmountInvalid as error:
        raise CommandInvalid(name, str(error)) from error
    if micro < least:
        raise CommandInvalid(name, f"is {value}; give {'more than 0' if least else '0 or more'} credits.")
    return micro


def check_duration(value: object, name: str, *, least: int = 1) -> int | None:
    """Whole microseconds of a duration of at most a century, or None for none. Raises `CommandInvalid`."""
    if value is None:
        return None
    if not isinstance(value, timedelta):
        raise CommandInvalid(name, f"must be a timedelta, not {type(value).__name__}.")
    micros = value // _MICROSECOND
    if not least <= micros <= DURATION_MAX:
        raise CommandInvalid(name, f"must be {'longer than 0' if least else '0 or longer'} and at most 36,525 days.")
    return micros


def check_limit(value: object, most: int = PAGE_MAX) -> int:
    """A number of rows from 1 to `most`. Raises `CommandInvalid`."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise CommandInvalid("limit", f"is {value!r}; give a whole number from 1 to {most:,}.")
    return value


def check_labels(labels: object, name: str = "labels") -> dict[str, str]:
    """At most 16 labels in the order of their names, all texts as `check_text` takes them. Raises `CommandInvalid`."""
    if labels is None:
        return {}
    if not isinstance(labels, dict):
        raise CommandInvalid(name, f"must be a dictionary of texts, not {type(labels).__name__}.")
    if len(labels) > LABELS_MAX:
        raise CommandInvalid(name, f"has {len(labels)} labels; give at most {LABELS_MAX}.")
    return {check_text(key, name): check_text(labels[key], f"{name}.{key}") for key in sorted(labels)}


def check_metadata(value: object) -> dict[str, Any]:
    """A caller's own JSON object, stored in the entry as it is. Raises `CommandInvalid`."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise CommandInvalid("metadata", f"must be a dictionary, not {type(value).__name__}.")
    _check_json(value, "metadata", 8)
    if len(repr(value)) > METADATA_MAX:
        raise CommandInvalid(
            "metadata", f"is longer than {METADATA_MAX:,} characters; keep it elsewhere, and a key here."
        )
    return value


def _check_json(value: object, name: str, depth: int) -> None:
    """Raise `CommandInvalid` for what JSON cannot say exactly: floats, and values that are not JSON."""
    if depth == 0:
        raise CommandInvalid(name, "is nested too deeply; give at most 7 levels.")
    if isinstance(value, dict):
        for key, item in value.items():
            check_text(key, name)
            _check_json(item, f"{name}.{key}", depth - 1)
    elif isinstance(value, list):
        for item in value:
            _check_json(item, name, depth - 1)
    elif isinstance(value, str):
        if not is_storable(value):
            raise CommandInvalid(name, "holds a NUL character or half of a surrogate pair; send well-formed text.")
    elif value is not None and not isinstance(value, bool | int):
        raise CommandInvalid(name, f"holds a {type(value).__name__}; give texts, whole numbers, true, false, null.")


def check_common(key: str | None, at: datetime | None) -> None:
    """Check the key and the moment of a command, where it has them. Raises `CommandInvalid`."""
    if key is not None:
        check_text(key, "key")
    if at is not None:
        to_moment(at)
