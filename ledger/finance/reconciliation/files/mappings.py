"""Mappings: what the columns of a file mean, in TOML, and with which records of the ledger they are compared."""

from __future__ import annotations

import codecs
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from estimator.errors import Issue
from estimator.sentences import nearest, shown
from estimator.wire.validation import issues_of, problems_error
from ledger.errors import CommandInvalid
from ledger.finance.reconciliation.files.errors import MappingInvalid
from ledger.model.moments import parse_duration
from ledger.runs import RunState

SHIPPED = ("journal", "stripe", "usage")
"""The mappings that ship with the package, usable by name."""

SCALES = {"credits": 6, "rows": 0, "money": 18, "minor": 18}
"""Decimals with which an amount of each unit is kept as a whole number."""

Side = Literal["runs", "captures", "grants", "entries"]
AmountUnit = Literal["credits", "rows", "money", "minor"]
STATUSES: dict[str, tuple[str, ...]] = {
    "runs": ("held", "captured", "released", "expired"),
    "captures": ("capture",),
    "grants": ("paid", "promotional"),
    "entries": (),
}
"""The statuses of the records of each side; an entry's is its kind."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _exact(value: object) -> object:
    """A tolerance as exact text or a whole number; TOML's own floats are read as decimals."""
    if isinstance(value, str):
        try:
            value = Decimal(value)
        except InvalidOperation:
            raise PydanticCustomError("amount", f"is {shown(value)}, no amount. Write one such as '0.01'.") from None
    elif isinstance(value, int) and not isinstance(value, bool):
        value = Decimal(value)
    if not isinstance(value, Decimal) or not value.is_finite() or value < 0:
        raise PydanticCustomError("amount", "must be an amount of 0 or more, such as '0.01'.")
    return value


def _duration(value: object) -> object:
    if isinstance(value, timedelta):
        return value
    try:
        return parse_duration(value if isinstance(value, str) else repr(value), "duration")
    except CommandInvalid:
        message = f"is {shown(value)}, no duration. Write a number and s, m, h or d, such as '15m' or '2d'."
        raise PydanticCustomError("duration", message) from None


Exact = Annotated[Decimal, BeforeValidator(_exact)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
Names = Annotated[tuple[str, ...], BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)]
OneCharacter = Annotated[str, Field(min_length=1, max_length=1)]


class FileFormat(_Section):
    """How the file is written. Parquet files need none of it."""

    encoding: str = "utf-8"
    delimiter: OneCharacter = ","
    quote: OneCharacter = '"'
    skip_lines: Annotated[int, Field(ge=0, le=1_000)] = 0

    @field_validator("encoding")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            return codecs.lookup(value).name
        except LookupError:
            message = f"is {shown(value)}, which is no encoding. Write one such as utf-8, cp1252 or utf-16."
            raise PydanticCustomError("encoding", message) from None


class Columns(_Section):
    """The column of the file for each field; only the amount's is required."""

    amount: str
    reference: str | tuple[str, ...] | None = None
    account: str | None = None
    currency: str | None = None
    at: str | None = None
    status: str | None = None
    type: str | None = None
    id: str | None = None

    @field_validator("reference", mode="before")
    @classmethod
    def _several(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @property
    def references(self) -> tuple[str, ...]:
        """The columns that make the reference."""
        if self.reference is None:
            return ()
        return (self.reference,) if isinstance(self.reference, str) else self.reference

    @property
    def named(self) -> dict[str, tuple[str, ...]]:
        """The named columns by their field."""
        single = {name: getattr(self, name) for name in ("account", "amount", "currency", "at", "status", "type", "id")}
        found = {"reference": self.references} if self.references else {}
        return found | {name: (column,) for name, column in single.items() if column is not None}


class ReferenceRule(_Section):
    """How a reference is made: several columns joined by `separator`; of that, the first group of `pattern`."""

    separator: str = "/"
    pattern: str | None = None
    ignore_case: bool = False


class AmountRule(_Section):
    """What the amounts are, and how they are written. `negative_types` count below zero.

    A run's amount is what was captured, less refunds only with `net_of_refunds`.
    """

    unit: AmountUnit = "credits"
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] | None = None
    decimal: OneCharacter = "."
    thousands: Annotated[str, Field(max_length=1)] = ""
    sign: Literal["as_is", "inverted", "absolute"] = "as_is"
    negative_types: Names = ()
    empty_is_zero: bool = False
    net_of_refunds: bool = False


class TimeRule(_Section):
    """How moments are written. `zone` is the time zone of those that name none."""

    zone: str | None = None
    formats: Names = ("iso",)

    @field_validator("zone")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        try:
            if value is not None:
                ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            message = f"is {shown(value)}, no time zone that this machine knows. Write one such as Europe/Berlin."
            raise PydanticCustomError("zone", message) from None
        return value

    @field_validator("formats")
    @classmethod
    def _usable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            if one not in ("iso", "epoch", "epoch_ms") and "%" not in one:
                message = f"has {shown(one)}. Write iso, epoch, epoch_ms, or a format such as '%d.%m.%Y %H:%M'."
                raise PydanticCustomError("format", message)
        if not value:
            raise PydanticCustomError("format", "is empty. Leave it out to read ISO 8601.")
        return value


class StatusRule(_Section):
    """The file's words for statuses: theirs -> the ledger's.

    The status of a run is that of its hold, or its outcome (`of`).
    """

    of: Literal["hold", "outcome"] = "hold"
    words: dict[str, str] = {}


class Filter(_Section):
    """What is compared: only some types of the file, only some statuses of the ledger; all where none is named."""

    types: Names = ()
    here: Names = ()


class Tolerance(_Section):
    """Differences that are no finding, in `amount` and `time`; `window` is the time within which amounts may match."""

    amount: Exact = Decimal(0)
    time: Duration = timedelta(days=1)
    window: Duration = timedelta(days=3)


class RecordMapping(_Section):
    """What the records of a file mean, and which side of the ledger (`side`) they are compared with."""

    side: Side
    columns: Columns
    file: FileFormat = FileFormat()
    reference: ReferenceRule = ReferenceRule()
    amount: AmountRule = AmountRule()
    time: TimeRule = TimeRule()
    status: StatusRule = StatusRule()
    filter: Filter = Filter()
    tolerance: Tolerance = Tolerance()

    @model_validator(mode="after")
    def _fits_together(self) -> RecordMapping:
        problems = list(_contradictions(self))
        if problems:
            raise problems_error(problems)
        return self

    @property
    def scale(self) -> int:
        """Decimals with which its amounts are kept."""
        return SCALES[self.amount.unit]

    @property
    def statuses(self) -> tuple[str, ...]:
        """The statuses that records of its side may have; empty: any."""
        is_of_outcomes = self.side == "runs" and self.status.of == "outcome"
        return tuple(RunState) if is_of_outcomes else STATUSES[self.side]

    @property
    def is_money(self) -> bool:
        """True where amounts are money."""
        return self.amount.unit in ("money", "minor")

    @classmethod
    def from_dict(cls, content: object) -> RecordMapping:
        """The mapping of decoded content. Raises `MappingInvalid` with every problem found."""
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise MappingInvalid(issues_of(error, cls)) from None

    @classmethod
    def from_toml(cls, text: str) -> RecordMapping:
        """Read a mapping from TOML text. Raises `MappingInvalid` with every problem found."""
        try:
            content = tomllib.loads(text, parse_float=Decimal)
        except (ValueError, RecursionError) as error:
            raise MappingInvalid([Issue("", "toml", f"is not valid TOML: {error}. Correct that place.")]) from None
        return cls.from_dict(content)

    @classmethod
    def named(cls, name: str | Path) -> RecordMapping:
        """The mapping that ships under a name, or that a TOML file holds. Raises `MappingInvalid`."""
        if name in SHIPPED:
            return cls.from_toml(
                files("ledger.finance.reconciliation").joinpath("shipped", f"{name}.toml").read_text(encoding="utf-8")
            )
        path = Path(name)
        if path.suffix.lower() != ".toml" and not path.exists():
            message = f"{str(name)!r} does not ship with the package and is no file. {nearest(str(name), SHIPPED)}"
            raise MappingInvalid([Issue("", "not_found", message)])
        try:
            return cls.from_toml(path.read_text(encoding="utf-8"))
        except UnicodeDecodeError as error:
            message = f"{str(name)!r} is not UTF-8 at byte {error.start}. Save it as UTF-8."
            raise MappingInvalid([Issue("", "encoding", message)]) from None


def _contradictions(mapping: RecordMapping) -> Iterator[Issue]:
    """Contradictions between parts of a mapping that are valid by themselves."""
    yield from _missing(mapping)
    amount, tolerance = mapping.amount, mapping.tolerance
    if amount.thousands == amount.decimal:
        yield Issue("amount.thousands", "contradiction", "is the decimal mark too. Write them apart.")
    sides = {"rows": "runs", "money": "grants", "minor": "grants"}
    if amount.unit in sides and mapping.side != sides[amount.unit]:
        side = sides[amount.unit]
        message = f"is {amount.unit}, which only {side} have. Set side = {side!r}, or the unit to credits."
        yield Issue("amount.unit", "contradiction", message)
    known = mapping.statuses
    for place, words in (("status.words", mapping.status.words.values()), ("filter.here", mapping.filter.here)):
        for word in words:
            if known and word not in known:
                message = f"has {word!r}, which is no status of {mapping.side}. {nearest(word, known)}"
                yield Issue(place, "unknown_value", message)
    if tolerance.time > tolerance.window:
        message = "is shorter than tolerance.time. Give a window of at least that."
        yield Issue("tolerance.window", "contradiction", message)
    if tolerance.amount.as_tuple().exponent < -mapping.scale:  # type: ignore[operator]
        message = f"has more than {mapping.scale} decimals, which no amount in {amount.unit} has. Round it."
        yield Issue("tolerance.amount", "contradiction", message)


def _missing(mapping: RecordMapping) -> Iterator[Issue]:
    """Parts that another part of the mapping requires."""
    amount, columns = mapping.amount, mapping.columns
    if columns.at is not None and mapping.time.zone is None:
        yield Issue("time.zone", "missing", "is required with a column `at`. Write one such as 'UTC'.")
    if not columns.references and columns.at is None:
        message = "needs a reference, or a moment (`at`) to match amounts by. Name one of both columns."
        yield Issue("columns", "missing", message)
    if mapping.is_money and columns.currency is None and amount.currency is None:
        message = f"is required where the unit is {amount.unit}: here, or as a column in columns.currency."
        yield Issue("amount.currency", "missing", message)
    if columns.type is None and (mapping.filter.types or amount.negative_types):
        yield Issue("columns.type", "missing", "is required where types are named. Name its column.")
