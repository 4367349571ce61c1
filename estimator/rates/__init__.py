"""Rate cards: what a unit of work costs, dated, versioned and named by the hash of their content.

A card is authored in TOML or JSON and read once; whatever cannot be right is refused then, all problems in
one error. Amounts are written as text or as decimal literals and never pass through a float. The base price
buys a plain run: answers of `length_default`, `instruction_dataset`, no recipe, no grounding, no safety
analysis, no expansion. Everything else needs a price of its own, or `included = true`; what has neither
cannot be bought.
"""

from __future__ import annotations

import bisect
import hashlib
import json
import tomllib
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from estimator.credits import format_credits, to_micro
from estimator.errors import Issue, RateCardInvalid, RateCardNotFound
from estimator.programs.program import Program, compile_card
from estimator.rates.sections import (
    COUNT_MAX,
    Count,
    Credits,
    Multiplier,
    Name,
    Part,
    Section,
    minutes_bound_names,
    minutes_factor_names,
)
from estimator.wire.validation import issues_of, problems_error


def _read_moment(value: object) -> object:
    """Only a date with a time: pydantic would take a bare number for seconds since 1970."""
    if isinstance(value, datetime | str):
        return value
    raise PydanticCustomError(
        "moment_invalid", "must be a date and time with a zone. Write it as 2026-01-01T00:00:00Z."
    )


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise PydanticCustomError("moment_invalid", "has no time zone. Write it as 2026-01-01T00:00:00Z.")
    return moment.astimezone(UTC)


def _hundredths(percent: Decimal) -> Decimal:
    if percent > 100 or to_micro(percent) % _MICRO_PER_BASIS_POINT:
        raise PydanticCustomError("percent_invalid", "must be from 0 to 100 with at most two decimals.")
    return percent


_MICRO_PER_BASIS_POINT = 10_000
Moment = Annotated[datetime, BeforeValidator(_read_moment), AfterValidator(_in_utc)]
Percent = Annotated[Credits, AfterValidator(_hundredths)]


class Discount(Part):
    """A part of the charge that a customer's plan takes off."""

    percent: Percent

    @property
    def basis_points(self) -> int:
        """Hundredths of a percent: 10,000 is everything."""
        return to_micro(self.percent) // _MICRO_PER_BASIS_POINT


class Voucher(Part):
    """Takes off a percentage or an amount of credits, last of all and never below zero."""

    percent: Percent | None = None
    credits: Credits | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Voucher:
        if (self.percent is None) == (self.credits is None):
            raise PydanticCustomError("voucher_invalid", "must have either percent or credits. Give exactly one.")
        return self

    @property
    def basis_points(self) -> int:
        """Hundredths of a percent; 0 for a voucher of credits."""
        return 0 if self.percent is None else to_micro(self.percent) // _MICRO_PER_BASIS_POINT


class MinutesModel(Part):
    """How long a run takes: `start + output rows x row x factors / parallel`. Advice, never billed.

    Most runs take no longer than `p95_factor` times that, or, where `p95_factors` names a run's length (`concise`, or
    `concise.grounding` for grounded runs), that many times it.
    """

    start: Multiplier = Decimal(0)
    row: Multiplier = Decimal(0)
    parallel: Count = 1
    p95_factor: Annotated[Multiplier, Field(ge=1)] = Decimal(1)
    factors: dict[str, Multiplier] = Field(default_factory=dict)
    p95_factors: dict[str, Annotated[Multiplier, Field(ge=1)]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known_factors(self) -> MinutesModel:
        problems = [
            Issue(f"{table}.{name}", "unknown_field", f"is nothing that {verb}. Use one of: {', '.join(known)}.")
            for table, verb, known in (
                ("factors", "slows a run down", minutes_factor_names()),
                ("p95_factors", "has a bound of its own", minutes_bound_names()),
            )
            for name in getattr(self, table)
            if name not in known
        ]
        if problems:
            raise problems_error(problems)
        return self


class RateCard(Part):
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

    name: Name
    description: str = ""
    effective_from: Moment
    rows_max: Count
    targets_max: Annotated[int, Field(ge=0, le=COUNT_MAX, strict=True)] = 100
    quantum: Annotated[Credits, Field(gt=0)] = Decimal("0.01")
    unit_decimals: Annotated[int, Field(ge=6, le=12, strict=True)] = 9
    settlement: Literal["requested", "delivered"] = "requested"
    fee: Credits = Decimal(0)
    minimum: Credits = Decimal(0)
    cap: Credits | None = None
    discounts: dict[Name, Discount] = Field(default_factory=dict)
    vouchers: dict[Name, Voucher] = Field(default_factory=dict)
    text: Section
    image: Section | None = None
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
            yield Issue(
                "cap",
                "out_of_range",
                f"is below the minimum of {self.minimum}. Raise the cap to at least that.",
            )
        for modality, section in self.sections.items():
            units_max = section.units_max(self.rows_max, self.targets_max)
            for problem in section.tier_problems(units_max):
                yield problem._replace(path=f"{modality}.{problem.path}")

    @cached_property
    def id(self) -> str:
        """SHA-256 (hex) of the canonical content: equal content, however written, has one id."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @cached_property
    def sections(self) -> dict[str, Section]:
        """The priced modalities, by name."""
        return {"text": self.text} if self.image is None else {"text": self.text, "image": self.image}

    @cached_property
    def programs(self) -> dict[str, Program]:
        """The compiled program of each priced modality."""
        return compile_card(self)

    def __eq__(self, other: object) -> bool:
        """Cards of the same content are one card, however each was written."""
        return self.id == other.id if isinstance(other, RateCard) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def to_json(self) -> str:
        """The canonical content: defaults spelled out, keys sorted, amounts as text. `from_json` reads it."""
        content = self.model_dump(exclude_none=True)
        for modality, section in self.sections.items():
            content[modality]["order"] = section.dimensions
        if not self.minutes.p95_factors:
            # Cards from before there was such a table keep their ids.
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
                moment.isoformat(),
                f"The moment {moment.isoformat()} has no time zone. Give an aware datetime.",
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
                card_id,
                f"No rate card has the id {card_id!r}. Add that card to the book; cards are never withdrawn.",
            )
        return self._by_id[card_id]


__all__ = ["Discount", "MinutesModel", "RateCard", "RateCardBook", "Voucher"]
