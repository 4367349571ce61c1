"""An entry in memory: its JSON, its row, and the hash that chains it to the entry before."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ledger.book.postings import chain_hash, encode_details, genesis
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
