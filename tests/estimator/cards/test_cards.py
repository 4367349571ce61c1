"""The cards that ship."""

from __future__ import annotations

import pytest

from estimator import (
    RateCardNotFound,
    shipped,
    shipped_card,
)


def test_shipped_cards_say_what_they_are() -> None:
    assert set(shipped()) == {"observed", "example"}
    assert "not an official" in shipped_card("observed").description
    assert "Fictional" in shipped_card("example").description
    with pytest.raises(RateCardNotFound, match="Did you mean 'observed'"):
        shipped_card("observd")
