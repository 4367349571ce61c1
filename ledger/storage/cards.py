"""Rate cards as the ledger stores them: one text for each card that priced a run of an account."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256

from estimator import RateCard
from ledger.errors import Finding


def card_missing(account_id: str, card_id: str) -> Finding:
    """The finding for a card that priced a run and is not stored."""
    return Finding(account_id, None, "card_missing", f"rate card {card_id} priced a run and is not kept")


def card_altered(account_id: str, card_id: str) -> Finding:
    """The finding for a card whose stored text was changed."""
    return Finding(account_id, None, "card_altered", f"the text of rate card {card_id} is not what was stored")


_EXPECTED_MAX = 4096
_expected: dict[str, str] = {}


def expected_card(account_id: str) -> str | None:
    """The id of the card that this process last saw in a run of an account: read along with a run, to save a trip."""
    return _expected.get(account_id)


def expect_card(account_id: str, card_id: str) -> None:
    """Note the card of a run of an account."""
    if len(_expected) >= _EXPECTED_MAX:
        _expected.clear()
    _expected[account_id] = card_id


@lru_cache(maxsize=64)
def is_card(card_id: str, content: str) -> bool:
    """True where the card's id is the hash of the text. This version may write the same card as another text."""
    return sha256(content.encode()).hexdigest() == card_id


@lru_cache(maxsize=64)
def card_of(content: str) -> RateCard:
    """The rate card of a stored text, parsed once for many runs."""
    return RateCard.from_json(content)
