"""Repricing: every charge computed again, years later, from the plan and the card that the ledger keeps with it.

Launches are estimated again and settlements settled again by the estimator's pure functions, under the cards that the
ledger keeps. A difference is a finding, and so is a card whose content has another id.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from itertools import groupby
from operator import attrgetter
from typing import Any

from sqlalchemy.orm import Session

from estimator import RateCard, RunOutcome, RunPlan, estimate, settle
from estimator.credits import to_micro
from estimator.errors import EstimatorError
from ledger.documents import credits_text
from ledger.errors import Finding
from ledger.finance.stream import BookEntry, moved_into, stream_book
from ledger.storage.sessions import connection_of
from ledger.storage.stores import fetch

_CARDS = "SELECT card_id, content FROM ledger_card WHERE account_id = $1"
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, EstimatorError)


def reprice(session: Session, *, account_id: str | None = None) -> Iterator[Finding]:
    """Yield a finding for every launch and settlement that has another price when it is priced again.

    Reads only. In memory are the active runs and the cards of one account. Raises `AccountNotFound`.
    """
    book = stream_book(session, account_id=account_id, details=True)
    for name, entries in groupby(book, attrgetter("account_id")):
        yield from _AccountPrices(session, name).findings(entries)


@dataclass
class _AccountPrices:
    """One account's cards, and its launches that are not settled yet."""

    session: Session
    account_id: str
    cards: dict[str, RateCard] = field(default_factory=dict)
    launched: dict[int, tuple[RunPlan, str]] = field(default_factory=dict)

    def findings(self, entries: Iterable[BookEntry]) -> Iterator[Finding]:
        """The differences, in the order of the entries."""
        for entry in entries:
            if entry.kind not in ("reserve", "capture", "release"):
                continue
            try:
                found = self._look(entry, json.loads(entry.details or "{}"))
            except _UNREADABLE as error:
                found = ("reprice_unreadable", f"it cannot be priced again ({type(error).__name__}: {error})")
            if found is not None:
                yield Finding(self.account_id, entry.sequence, *found)

    def _look(self, entry: BookEntry, details: dict[str, Any]) -> tuple[str, str] | None:
        if "plan" in details and "card_id" in details:
            return self._launch(entry, details)
        if "outcome" in details and entry.reservation in self.launched:
            return self._settlement(entry, details)
        return None

    def _launch(self, entry: BookEntry, details: dict[str, Any]) -> tuple[str, str] | None:
        plan, card_id = RunPlan.from_dict(details["plan"]), details["card_id"]
        self.launched[entry.sequence] = plan, card_id
        again = to_micro(estimate(plan, self._card(card_id)).credits)
        held = moved_into(entry, "held")
        if again == held:
            return None
        return (
            "estimate_differs",
            f"its plan costs {credits_text(again)} under its card, and {credits_text(held)} were held",
        )

    def _settlement(self, entry: BookEntry, details: dict[str, Any]) -> tuple[str, str] | None:
        plan, card_id = self.launched.pop(entry.reservation or 0)
        outcome = RunOutcome(**details["outcome"])
        again = to_micro(settle(plan, self._card(card_id), outcome).credits)
        itemised = to_micro(sum((Decimal(item["credits"]) for item in details["line_items"]), Decimal(0)))
        charged = moved_into(entry, "consumed")
        if again == itemised == charged:
            return None
        return "charge_differs", (
            f"its outcome costs {credits_text(again)} under its card; {credits_text(charged)} were charged"
            f" and its line items sum to {credits_text(itemised)}"
        )

    @cached_property
    def _contents(self) -> dict[str, str]:
        return dict(fetch(connection_of(self.session), _CARDS, self.account_id))

    def _card(self, card_id: str) -> RateCard:
        card = self.cards.get(card_id)
        if card is None:
            card = RateCard.from_dict(json.loads(self._contents[card_id], parse_float=Decimal))
            if card.id != card_id:
                raise ValueError(f"the content of card {card_id} is that of {card.id}")
            self.cards[card_id] = card
        return card
