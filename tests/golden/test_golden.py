"""The prices of the shipped cards, pinned: by card id, by table, and the table by digest."""

from __future__ import annotations

import difflib

import pytest

from estimator import shipped, shipped_card
from tests.golden.tables import FOLDER, digest, rendered

PINNED = {
    "example": (
        "6f3707eeed66b5a00e54fa5775d93276fbf8ad86f55af6020d3add5adc017792",
        "a517ef7a8d67f9aa9df85eb2fcbd41317acbb837a55f32a41410070987e2b849",
    ),
    "observed": (
        "e2110e9897e53320c1204bb1229e999ff077adb7bf234370af69d58e9b2fae73",
        "d4dd2529f56027618cb3b2c3e1b63af8ea505d3488e4578c6140fc8c1dcde3e3",
    ),
}


def test_every_shipped_card_is_pinned() -> None:
    assert set(shipped()) == set(PINNED)


@pytest.mark.parametrize("name", sorted(PINNED))
def test_the_content_of_a_shipped_card_does_not_change(name: str) -> None:
    assert shipped_card(name).id == PINNED[name][0]


@pytest.mark.parametrize("name", sorted(PINNED))
def test_no_price_of_a_shipped_card_changes(name: str) -> None:
    stored, made = (FOLDER / f"{name}.json").read_text(encoding="utf-8"), rendered(shipped_card(name))
    changes = difflib.unified_diff(stored.splitlines(), made.splitlines(), "pinned", "now", n=0, lineterm="")
    assert list(changes)[:12] == []


@pytest.mark.parametrize("name", sorted(PINNED))
def test_the_stored_table_is_the_one_that_was_pinned(name: str) -> None:
    assert digest((FOLDER / f"{name}.json").read_text(encoding="utf-8")) == PINNED[name][1]
