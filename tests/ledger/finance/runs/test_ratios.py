"""Ratios of amounts, ranked exactly."""

from __future__ import annotations

from contextlib import closing
from fractions import Fraction

import pytest

from ledger.finance.runs import ratios
from ledger.finance.runs.ratios import RatioCounts

BIG = 2**63 - 1
PAIRS = [(1, 3), (2, 6), (1, 2), (0, 5), (0, 0), (BIG - 1, BIG), (BIG - 2, BIG - 1), (BIG, 1), (7, 0)]


@pytest.mark.parametrize("in_memory", [1, 2, 1_000])
def test_ratios_are_ranked_exactly_however_near_they_are(monkeypatch: pytest.MonkeyPatch, in_memory: int) -> None:
    monkeypatch.setattr(ratios, "_IN_MEMORY", in_memory)
    with closing(RatioCounts()) as counts:
        for part, whole in PAIRS * 2:
            counts.add(1, part, whole)
            counts.add(2, whole, part)
        finite = sorted(Fraction(part, whole) if whole else Fraction(0) for part, whole in PAIRS[:-1])
        expected = [ratio for ratio in finite for _ in range(2)] + [None] * 2
        assert [counts.smallest(1, rank) for rank in range(1, len(expected) + 1)] == expected
        assert counts.smallest(2, 3) == Fraction(0)
        with pytest.raises(ValueError, match="group 1"):
            counts.smallest(1, len(expected) + 1)
