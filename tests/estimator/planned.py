"""Requests planned for a small dataset, or refused."""

from __future__ import annotations

from typing import Any

import pytest

from estimator import (
    DatasetProfile,
    LanguageExpansion,
    RateCard,
    RequestRejected,
    RunPlan,
    RunRequest,
    plan_run,
    shipped_card,
)

EXAMPLE = shipped_card("example")


PROFILE = DatasetProfile(row_count=1_000, columns=("prompt", "answer", "notes", "picture"))


BARE = RateCard.from_dict(
    {"name": "bare", "effective_from": "2026-01-01T00:00:00Z", "rows_max": 10_000, "text": {"row": "1"}}
)


SAVED = LanguageExpansion.model_validate({"type": "translate", "languages": ["es", "fr"], "sample_rate": 0.25})


def plan(body: dict[str, Any], profile: DatasetProfile = PROFILE, card: RateCard = EXAMPLE, **names: str) -> RunPlan:
    """The plan of a body that is an estimate unless it maps columns."""
    return plan_run(RunRequest.from_wire({"estimate": "column_mapping" not in body} | body), profile, card, **names)


def issues(body: dict[str, Any], *args: Any, **names: str) -> list[tuple[str, str]]:
    """Path and code of every issue of a body that cannot be planned."""
    with pytest.raises(RequestRejected) as caught:
        plan(body, *args, **names)
    assert all(issue.message.endswith((".", "?")) for issue in caught.value.issues)
    return [(issue.path, issue.code) for issue in caught.value.issues]
