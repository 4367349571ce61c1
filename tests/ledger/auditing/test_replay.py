"""The replay of single entries: what is wrong with one is said, with the code and in the order of the checks."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.auditing.replay import Replay
from ledger.book.buckets import AVAILABLE, CONSUMED, HELD, ISSUED, OWED

GRANT = (1, "grant", 10, None, '{"amount":50,"priority":1,"expires_at":null}')
HOLD = (2, "reserve", 20, 2, '{"amount":5,"expires_at":null}')
CAPTURE = (3, "capture", 30, 2, '{"amount":5,"reserved_at":20,"expires_at":null}')


def row_of(entry: tuple[Any, ...], *buckets: int) -> tuple[Any, ...]:
    """An entry's row: issued, available, held and consumed are `buckets`."""
    sequence, kind, at, reservation, details = entry
    figures = (*buckets, *[0] * (6 - len(buckets)))
    return ("acme", sequence, kind, at, at, "", None, None, reservation, details, *figures, b"hash", 0, 0)


def follow(replay: Replay, row: tuple[Any, ...], *transfers: tuple[int, int, int, int]) -> list[str]:
    """The codes of what is wrong with an entry whose hash is right."""
    defects: list[tuple[str, str]] = []
    replay.follow(row, transfers, defects, is_chained=True)
    return [code for code, _ in defects]


@pytest.fixture
def replay() -> Replay:
    """An account that was granted 50 and holds 5."""
    replay = Replay("acme", 0, b"head")
    assert follow(replay, row_of(GRANT, 50, 50), (1, ISSUED, AVAILABLE, 50)) == []
    assert follow(replay, row_of(HOLD, 50, 45, 5), (1, AVAILABLE, HELD, 5)) == []
    return replay


def test_a_hold_that_is_captured_is_answered_as_the_one_that_ended(replay: Replay) -> None:
    hold = replay.follow(row_of(CAPTURE, 50, 45, 0, 5), [(1, HELD, CONSUMED, 5)], [], is_chained=True)
    assert hold is not None
    assert (hold.number, hold.state, hold.captured, hold.slices) == (2, "captured", 5, [[1, 0, 5]])
    assert (replay.open_holds, replay.closed_holds) == ({}, {2: hold})


@pytest.mark.parametrize(
    ("row", "transfer", "codes"),
    [
        (row_of((4, *CAPTURE[1:]), 50, 45, 0, 5), (1, HELD, CONSUMED, 5), ["entries_missing"]),
        (row_of((3, "capture", 5, *CAPTURE[3:]), 50, 45, 0, 5), (1, HELD, CONSUMED, 5), ["time_went_back"]),
        (row_of(CAPTURE, 50, 45, 5), (1, HELD, CONSUMED, 5), ["balance_wrong"]),
        (row_of((3, "capture", 30, 9, "{}"), 50, 45, 0, 5), (1, HELD, CONSUMED, 5), ["reservation_unknown"]),
        (row_of((3, "reserve", 30, 3, HOLD[4]), 50, 41, 9), (1, AVAILABLE, HELD, 4), ["hold_uncovered"]),
        (row_of((3, "adjust", 30, None, '{"amount":-1}'), 50, 45, 5), (8, ISSUED, HELD, 4), ["grant_unknown"]),
        (row_of((3, "adjust", 30, None, '{"amount":-1}'), 50, 45, 5), (1, AVAILABLE, CONSUMED, 0), ["amount_wrong"]),
        (
            row_of((3, "adjust", 30, None, '{"amount":-1}'), 50, -1, 5, 46),
            (1, AVAILABLE, CONSUMED, 46),
            ["overspent"],
        ),
    ],
)
def test_each_defect_of_an_entry_has_its_code(
    replay: Replay, row: tuple[Any, ...], transfer: tuple[int, int, int, int], codes: list[str]
) -> None:
    assert follow(replay, row, transfer) == codes


def test_a_hash_that_does_not_follow_is_a_defect(replay: Replay) -> None:
    defects: list[tuple[str, str]] = []
    replay.follow(row_of(CAPTURE, 50, 45, 0, 5), [(1, HELD, CONSUMED, 5)], defects)
    assert [code for code, _ in defects] == ["entry_altered"]


def test_what_is_lent_beyond_the_credit_line_is_a_defect() -> None:
    replay = Replay("acme", 0, b"head")
    line = row_of((1, "credit_line", 10, None, '{"limit":3}'))
    assert follow(replay, line) == []
    lent = list(row_of((2, "reserve", 20, 2, HOLD[4]), 5, 0, 5))
    lent[-1] = 5
    assert follow(replay, tuple(lent), (1, ISSUED, HELD, 5)) == ["overlent"]
    assert replay.buckets[OWED] == 5


def test_what_was_wrong_before_the_details_that_cannot_be_read_is_kept(replay: Replay) -> None:
    defects: list[tuple[str, str]] = []
    row = row_of((3, "capture", 5, 2, "x"), 50, 45, 0, 5)
    with pytest.raises(ValueError, match="Expecting value"):
        replay.follow(row, [(1, HELD, CONSUMED, 5)], defects, is_chained=True)
    assert [code for code, _ in defects] == ["time_went_back"]
