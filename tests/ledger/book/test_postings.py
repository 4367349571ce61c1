"""An entry in memory: its JSON, its row, and the hash that chains it to the entry before."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ledger.book.postings import Posting, chain_hash, encode_details, entry_row, entry_text, genesis, quote
from ledger.rules import decide
from tests.ledger.rules.test_decide import COMMANDS
from tests.ledger.shorthand import NOW, account


def test_each_entry_is_hashed_over_the_one_before_and_all_its_own_fields() -> None:
    state = account()
    decide({"acme": state}, COMMANDS, NOW)
    previous = genesis("acme", NOW)
    for posting in state.postings:
        assert posting.hash == chain_hash(previous, posting)
        previous = posting.hash
    assert previous == state.head
    fields = ("sequence", "at", "recorded_at", "scope", "key", "kind", "reservation", "details", "transfers", "buckets")
    for name in fields:
        (posting,) = state.postings[:1]
        kept = getattr(posting, name)
        others = {"transfers": [(1, 0, 1, 7)], "buckets": (*posting.buckets[:-1], 7), "reservation": 7, "key": None}
        setattr(posting, name, others.get(name, "altered" if isinstance(kept, str) else 7))
        assert chain_hash(genesis("acme", NOW), posting) != posting.hash, name
        setattr(posting, name, kept)


@pytest.mark.parametrize(
    "details",
    [
        {},
        {"amount": 2**63 - 1, "expires_at": None},
        {"a": -1, "b": True},
        {"a": 0, "b": 'é"\\'},
        {'é"': 1},
        {"a": {"b": [1, None]}},
        [1, None],
        "text",
    ],
)
def test_details_are_written_as_json_without_spaces_in_ascii(details: Any) -> None:
    assert encode_details(details) == json.dumps(details, ensure_ascii=True, separators=(",", ":"))


def test_an_account_begins_with_a_hash_of_its_id_and_its_moment() -> None:
    """Pinned: stored books build on it."""
    assert genesis("acme", 5).hex() == "c17b445085da17d427e472c76d7d80b24385527a37a730f8603051c3f5177889"
    assert len({genesis("acme", 5), genesis("acme", 6), genesis("acmé", 5)}) == 3


def posting(**changes: Any) -> Posting:
    """An entry with a value of its own in every field."""
    given: dict[str, Any] = {
        "account_id": 'é"', "sequence": 1, "kind": "grant", "at": 2, "recorded_at": 3, "scope": "s", "key": "k",
        "digest": b"\1", "reservation": 4, "details": '{"x":1}', "transfers": [(5, 0, 1, 6)],
        "buckets": (7, 8, 9, 10, 11, 12, 0, 0), "hash": b"\2",
    }  # fmt: skip
    return Posting(**given | changes)


def text_of(entry: Posting) -> str:
    """What of an entry is hashed."""
    return entry_text(quote(entry.account_id), entry_row(entry), entry.transfers)


def test_what_is_hashed_of_an_entry_is_the_json_list_of_its_fields() -> None:
    expected = ['é"', 1, "grant", 2, 3, "s", "k", "01", 4, '{"x":1}', [[5, 0, 1, 6]], [7, 8, 9, 10, 11, 12]]
    assert text_of(posting()) == json.dumps(expected, separators=(",", ":"))
    expected[6] = expected[7] = expected[8] = None
    unkeyed = posting(key=None, digest=None, reservation=None)
    assert text_of(unkeyed) == json.dumps(expected, separators=(",", ":"))


def test_what_is_scheduled_or_owed_is_hashed_where_there_is_any() -> None:
    """Entries from before either existed keep their hashes."""
    for scheduled, owed in ((1, 0), (0, 1)):
        buckets = (7, 8, 9, 10, 11, 12, scheduled, owed)
        assert text_of(posting(buckets=buckets)).endswith(f",[7,8,9,10,11,12,{scheduled},{owed}]]")


def test_details_are_parsed_once() -> None:
    entry = posting()
    assert entry.parsed_details() == {"x": 1}
    assert entry.parsed_details() is entry.parsed_details()
