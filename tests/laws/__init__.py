"""Laws: what holds for any input, looked for by Hypothesis."""

from __future__ import annotations

from hypothesis import settings

_BY_DEFAULT = 40
"""The examples of the profile `default`, of which `brief` has fewer and `long` has very many more."""


def examples(by_default: int) -> int:
    """How many examples a law takes in this run, where it takes so many by default: a costly one takes fewer."""
    return max(2, by_default * settings().max_examples // _BY_DEFAULT)
