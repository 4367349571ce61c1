"""A small card, as it would be written, with changes."""

from __future__ import annotations

from typing import Any

import pytest

from estimator import (
    RateCard,
    RateCardInvalid,
)

BASE: dict[str, Any] = {
    "name": "base",
    "effective_from": "2026-01-01T00:00:00Z",
    "rows_max": 1_000,
    "text": {"row": "0.01"},
}


def card(**changes: Any) -> RateCard:
    """The base card with some fields changed; a change of None removes the field."""
    content = BASE | changes
    return RateCard.from_dict({name: value for name, value in content.items() if value is not None})


def text(**changes: Any) -> dict[str, Any]:
    """The base card's text section with some fields changed."""
    return {name: value for name, value in (BASE["text"] | changes).items() if value is not None}


def issues(**changes: Any) -> list[tuple[str, str]]:
    """Path and code of every issue of a card that is refused."""
    with pytest.raises(RateCardInvalid) as caught:
        card(**changes)
    assert all(issue.message.endswith((".", "?")) for issue in caught.value.issues), caught.value
    return [(issue.path, issue.code) for issue in caught.value.issues]
