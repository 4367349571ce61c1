"""Rate cards: what a unit of work costs, dated, versioned and named by the hash of their content.

A card is written in TOML or JSON and read once; reading refuses an invalid card with all problems in one error.
Amounts are written as text or as decimal literals and never pass through a float. The base price buys a plain run:
answers of `length_default`, `instruction_dataset`, no recipe, no grounding, no safety analysis, no expansion.
Everything else needs a price of its own, or `included = true`; without either it cannot be bought.

Imports the ground, wire and programs.
"""

from __future__ import annotations

import bisect
import hashlib
import json
import tomllib
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from pydantic import Field, ValidationError, model_validator

from estimator.credits import format_credits
from estimator.errors import Issue, RateCardInvalid, RateCardNotFound
from estimator.programs.program import Program
from estimator.rates.compiler import compile_card
from estimator.rates.minutes import MinutesModel
from estimator.rates.reductions import Discount, Voucher
from estimator.rates.terms import Terms
from estimator.wire.validation import issues_of, problems_error


class RateCard(Terms):
    """One price list, in force from `effective_from` until a later one is.

    Every amount is in credits. `rows_max` and `targets_max` bound what a run may ask for, and with the
    greatest prices of the card they prove that no step of the pricing can leave 64 bits. Unit prices are
    worked out exactly and rounded half-even, once, to `unit_decimals`; the total is rounded up, once, to
    `quantum`.

    >>> card = RateCard.from_toml('''
    ... name = "house"
    ... effective_from = 2026-01-01T00:00:00Z
    ... rows_max = 1_000_000
    ... text.row = 0.01
    ... ''')
    >>> card.text.row, card == RateCard.from_json(card.to_json())
    (Decimal('0.01'), True)
    """

    minutes: MinutesModel = Field(default_factory=MinutesModel)

    @model_validator(mode="after")
    def _holds_together(self) -> RateCard:
        problems = list(self._problems())
        if problems:
            raise problems_error(problems)
        _ = self.programs  # a card that could overflow is refused here, not at its first estimate
        return self

    def _problems(self) -> Iterable[Issue]:
        if self.cap is not None and self.cap < self.minimum:
            message = f"is below the minimum of {self.minimum}. Raise the cap to at least that."
            yield Issue("cap", "out_of_range", message)
        for modality, section in self.sections.items():
            units_max = section.units_max(self.rows_max, self.targets_max)
            for problem in section.tier_problems(units_max):
                yield problem._replace(path=f"{modality}.{problem.path}")

    @cached_property
    def id(self) -> str:
        """SHA-256 (hex) of the canonical content: equal content, however written, has one id."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @cached_property
    def programs(self) -> dict[str, Program]:
        """The compiled program of each priced modality."""
        return compile_card(self)

    def __eq__(self, other: object) -> bool:
        """Cards of the same content are equal, however each was written."""
        return self.id == other.id if isinstance(other, RateCard) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def to_json(self) -> str:
        """The canonical content: defaults spelled out, keys sorted, amounts as text. `from_json` reads it."""
        content = self.model_dump(exclude_none=True)
        for modality, section in self.sections.items():
            content[modality]["order"] = section.dimensions
        if not self.minutes.p95_factors:
            # Cards older than this table keep their ids.
            del content["minutes"]["p95_factors"]
        return json.dumps(_canonical(content), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_toml(cls, text: str) -> RateCard:
        """Read a card from TOML text. Raises `RateCardInvalid` with every problem found."""
        try:
            content = tomllib.loads(text, parse_float=Decimal)
        except (ValueError, RecursionError) as error:
            _refuse(f"is not valid TOML: {error}. Correct that place.")
        return cls.from_dict(content)

    @classmethod
    def from_json(cls, text: str) -> RateCard:
        """Read a card from JSON text. Raises `RateCardInvalid` with every problem found."""
        try:
            content = json.loads(text, parse_float=Decimal, parse_constant=Decimal, object_pairs_hook=_unrepeated)
        except (ValueError, RecursionError) as error:
            _refuse(f"is not valid JSON: {error}. Correct that place.")
        return cls.from_dict(content)

    @classmethod
    def from_dict(cls, content: object) -> RateCard:
        """Read a card from decoded content. Raises `RateCardInvalid` with every problem found."""
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise RateCardInvalid(issues_of(error, cls)) from None

    @classmethod
    def from_file(cls, path: str | Path) -> RateCard:
        """Read a `.toml` or `.json` file. Raises `RateCardNotFound` or `RateCardInvalid`."""
        path = Path(path)
        readers = {".toml": cls.from_toml, ".json": cls.from_json}
        reader = readers.get(path.suffix.lower())
        if reader is None:
            _refuse(f"is in a file named {path.name!r}. Give a file that ends in .toml or .json.")
        try:
            return reader(path.read_text(encoding="utf-8"))
        except UnicodeDecodeError as error:
            _refuse(f"file {path.name!r} is not UTF-8 at byte {error.start}. Save it as UTF-8.")
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise RateCardNotFound(
                str(path), f"The rate card file {str(path)!r} cannot be read: {reason}. Check its path."
            ) from None


def _refuse(message: str) -> NoReturn:
    raise RateCardInvalid((Issue("", "unreadable", f"The card {message}"),))


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} appears twice in one object")
    return content


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_canonical(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return format_credits(value) if isinstance(value, Decimal) else value


class RateCardBook:
    """The cards of a platform, each in force from its date until the next one's.

    Raises `RateCardInvalid` when two different cards start at the same moment.
    """

    __slots__ = ("_by_id", "_cards", "_starts")

    def __init__(self, cards: Iterable[RateCard]) -> None:
        self._by_id = {card.id: card for card in cards}
        self._cards = tuple(sorted(self._by_id.values(), key=lambda card: card.effective_from))
        self._starts = [card.effective_from for card in self._cards]
        for earlier, later in zip(self._cards, self._cards[1:], strict=False):
            if earlier.effective_from == later.effective_from:
                message = (
                    f"Rate cards {earlier.name!r} and {later.name!r} both start at "
                    f"{later.effective_from.isoformat()}. Give one of them another effective_from."
                )
                raise RateCardInvalid((Issue("effective_from", "duplicate", message),))

    @classmethod
    def from_folder(cls, path: str | Path) -> RateCardBook:
        """Read every `.toml` and `.json` file of a folder."""
        files = sorted(file for file in Path(path).glob("*") if file.suffix.lower() in {".toml", ".json"})
        if not files:
            raise RateCardNotFound(
                str(path), f"No rate card is in {str(path)!r}. Name a folder that holds .toml or .json cards."
            )
        return cls(RateCard.from_file(file) for file in files)

    @property
    def cards(self) -> tuple[RateCard, ...]:
        """All cards, earliest first."""
        return self._cards

    def at(self, moment: datetime) -> RateCard:
        """The card in force at a moment. Raises `RateCardNotFound` for a naive or too early one."""
        if moment.tzinfo is None:
            raise RateCardNotFound(
                moment.isoformat(), f"The moment {moment.isoformat()} has no time zone. Give an aware datetime."
            )
        position = bisect.bisect_right(self._starts, moment)
        if not position:
            raise RateCardNotFound(
                moment.isoformat(),
                f"No rate card is in force at {moment.isoformat()}. "
                "Add a card whose effective_from is no later than that.",
            )
        return self._cards[position - 1]

    def get(self, card_id: str) -> RateCard:
        """The card of an id. Raises `RateCardNotFound`."""
        if card_id not in self._by_id:
            raise RateCardNotFound(
                card_id, f"No rate card has the id {card_id!r}. Add that card to the book; cards are never withdrawn."
            )
        return self._by_id[card_id]


__all__ = ["Discount", "MinutesModel", "RateCard", "RateCardBook", "Voucher"]
