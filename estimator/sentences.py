"""Parts of the sentences that people read: values, suggestions and texts that are safe to print."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

SUGGESTIONS_MAX = 10
"""How many problems of one answer get a suggestion: the search for the nearest name takes longer than the check."""

_CHOICES_MAX = 500


def shown(value: object) -> str:
    """A value as JSON would show it, short enough for a sentence."""
    if isinstance(value, int) and value.bit_length() > 200:
        return "a number of dozens of digits"  # str() refuses integers of thousands of digits
    text = str(value).lower() if isinstance(value, bool) else repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def nearest(name: str, known: Iterable[str]) -> str:
    """A closing sentence: the known name that was probably meant, or all the names there are."""
    choices = list(known)
    close = difflib.get_close_matches(name, choices, n=1) if len(choices) <= _CHOICES_MAX else []
    if close:
        return f"Did you mean {close[0]!r}?"
    listed = ", ".join(choices[:20]) + (", ..." if len(choices) > 20 else "")
    return f"Use one of: {listed}." if choices else "There is none to choose from."


def printable(text: object) -> str:
    """The text with control characters as escapes, so that no value can move the cursor or hide."""
    return "".join(character if character.isprintable() else _escaped(character) for character in str(text))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def aligned_text(lines: Sequence[Sequence[str]], *, left: int) -> str:
    """Lines of cells as plain text in columns, the first `left` of them flush left and the others flush right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            text.ljust(width) if place < left else text.rjust(width)
            for place, (text, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in lines
    )
