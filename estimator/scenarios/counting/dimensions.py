"""The dimensions by which runs are grouped: account and month have columns, the rest are read from the code.

A run has one number in each dimension. A key gets its number when it is first read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

from estimator.columns import WORDS
from estimator.columns.price_tables import SWITCHES, digit
from estimator.errors import FrameInvalid, Issue
from estimator.frames.arrays import np, pa, pc
from estimator.rates.sections import RECIPES
from estimator.scenarios.errors import ScenarioInvalid
from estimator.scenarios.reading.sources import mixed_zones, zone_name
from estimator.sentences import nearest

if TYPE_CHECKING:
    from estimator.frames.arrays import Integers

KEYED = {"account": "account", "month": "at"}
"""The dimensions that have a column of their own, and which."""

CODED = {
    "recipe": RECIPES,
    "length": ("length",),
    "grounding": ("grounding",),
    "safety": ("safety",),
    "training_type": ("training_type",),
    "modality": ("modality",),
}
"""The dimensions that a configuration's code has, and the columns of which one has to be present."""

DIMENSIONS = (*KEYED, *CODED)
NONE = "none"
"""The key of runs that have no recipe."""

_ZONE = r":\d{2}[\d:.,]*\s*(?P<zone>[Zz]|[+-]\d{2}(?::?\d{2})?)$"


def available(names: Iterable[str]) -> tuple[str, ...]:
    """The dimensions that runs with these columns have."""
    present = set(names)
    coded = [dimension for dimension, columns in CODED.items() if present.intersection(columns)]
    return (*(dimension for dimension, column in KEYED.items() if column in present), *coded)


def chosen(by: Sequence[str] | None, names: Sequence[str]) -> tuple[str, ...]:
    """The dimensions asked for, or all available ones. Raises `ScenarioInvalid` for one that is not available."""
    there = available(names)
    if by is None:
        return there
    for dimension in by:
        if dimension not in DIMENSIONS:
            raise ScenarioInvalid(dimension, f"is no dimension of runs. {nearest(dimension, DIMENSIONS)}")
        if dimension not in there:
            columns = [KEYED[dimension]] if dimension in KEYED else CODED[dimension]
            message = f"needs a column {' or '.join(columns)}, which the runs lack."
            raise ScenarioInvalid(dimension, f"{message} {_meant(columns, names)}")
    return tuple(dict.fromkeys(by))


def _meant(wanted: Sequence[str], names: Sequence[str]) -> str:
    close = [name for column in wanted for name in get_close_matches(column, names, n=1)]
    return f"Did you mean {close[0]!r}? Rename it." if close else "Add it, or leave the dimension out."


def coded_keys(dimension: str, code: int) -> Iterator[str]:
    """The keys under which a configuration's runs count: one, or one for each of its recipes."""
    if dimension == "recipe":
        used = [name for name in RECIPES if digit(code, name)]
        yield from used or (NONE,)
    elif dimension in SWITCHES:
        yield "true" if digit(code, dimension) else "false"
    else:
        yield WORDS[dimension][digit(code, dimension)]


def key_order(dimension: str) -> Sequence[str]:
    """The keys of a coded dimension in their own order."""
    return {**WORDS, "recipe": (*RECIPES, NONE)}.get(dimension, ("true", "false"))


class Numbering(Protocol):
    """Numbers the keys of one dimension in the order they are read."""

    keys: list[str]

    def number(self, column: Any) -> Integers:
        """The number of each run's key in `keys`, in an array that the next call may use again."""

    def take_over(self, other: Any) -> Integers:
        """The number here of every key of another numbering of the dimension."""


class Accounts:
    """Numbers accounts in the order they are read."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self._numbers: dict[str, int] = {}
        self._known: Any = ()
        self._dictionary: Any = None
        self._translation: Any = None
        self._buffer: Integers = np.empty(0, np.int64)

    def number(self, column: Any) -> Integers:
        """The number of each run's account. Raises `FrameInvalid` for a run without one."""
        if column.null_count:
            raise _blank("account", column, "Give the account of each run, or leave the column out.")
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        if self._dictionary is None or not column.dictionary.equals(self._dictionary):
            self._dictionary = column.dictionary
            self._translation = self._translated(column.dictionary)
        if len(self._buffer) < len(column):
            self._buffer = np.empty(len(column), np.int64)
        into = self._buffer[: len(column)]
        return np.take(self._translation, column.indices.to_numpy(), out=into, mode="clip")

    def _translated(self, dictionary: Any) -> Integers:
        """The number of every account of a dictionary; most are known from earlier dictionaries."""
        if self.keys and dictionary.type == pa.string():
            if len(self._known) != len(self.keys):
                self._known = pa.array(self.keys, pa.string())
            found = pc.index_in(dictionary, value_set=self._known)
            if not found.null_count:
                known: Integers = found.to_numpy().astype(np.int64)
                return known
        return self._numbers_of(map(str, dictionary.to_pylist()))

    def take_over(self, other: Accounts) -> Integers:
        """The number here of every key of another numbering."""
        return self._numbers_of(other.keys)

    def _numbers_of(self, keys: Iterable[str]) -> Integers:
        wanted = list(keys)
        new = [key for key in wanted if key not in self._numbers]
        self._numbers |= zip(new, count(len(self.keys)), strict=False)
        self.keys += new
        return np.array([self._numbers[key] for key in wanted], np.int64)


class Months:
    """Numbers months of UTC in the order they are read."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self._numbers: dict[int, int] = {}
        self._zones: set[str] = set()

    def number(self, column: Any) -> Integers:
        """The number of each run's month.

        Raises `FrameInvalid` for a run without a date, and `RunsUnreadable` for dates in several zones.
        """
        if column.null_count:
            raise _blank("at", column, "Give the date of each run, or leave the column out.")
        months = self._moments(column).cast(pa.timestamp("us")).to_numpy(zero_copy_only=False)
        months = months.astype("datetime64[M]").astype(np.int64)
        least = int(months.min())
        met = np.flatnonzero(np.bincount(months - least))
        translation = np.zeros(int(months.max()) - least + 1, np.int64)
        translation[met] = [self._numbered(least + int(month)) for month in met]
        numbers: Integers = translation[months - least]
        return numbers

    def _moments(self, column: Any) -> Any:
        """The column as moments or dates."""
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        kind = column.type
        if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            self._one_zone({zone_name(getattr(kind, "tz", None))})
            return column
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            raise _invalid("wrong_type", f"is of type {kind}, not a date and time. Convert it to a timestamp of UTC.")
        zones = pc.unique(pc.struct_field(pc.extract_regex(column, _ZONE), "zone")).to_pylist()
        self._one_zone({zone_name(zone) for zone in zones})
        zoned = zones != [None]
        try:
            return column.cast(pa.timestamp("us", "UTC" if zoned else None))
        except pa.ArrowInvalid as error:
            detail = str(error).splitlines()[0].rstrip(".")
            message = f"holds text that is no date and time ({detail}). Write it as 2026-01-31T09:00:00Z."
            raise _invalid("wrong_type", message) from error

    def _one_zone(self, zones: set[str]) -> None:
        self._zones |= zones
        if len(self._zones) > 1:
            raise mixed_zones("at", self._zones)

    def take_over(self, other: Months) -> Integers:
        """The number here of every key of another numbering. Raises `RunsUnreadable` for dates in several zones."""
        self._one_zone(other._zones)
        return np.array([self._numbered(month) for month in other._numbers], np.int64)

    def _numbered(self, month: int) -> int:
        number = self._numbers.setdefault(month, len(self.keys))
        if number == len(self.keys):
            self.keys.append(str(np.datetime64(month, "M")))
        return number


def _invalid(code: str, message: str, column: str = "at") -> FrameInvalid:
    return FrameInvalid([Issue(column, code, message)])


def _blank(name: str, column: Any, remedy: str) -> FrameInvalid:
    return _invalid("null", f"is null in {column.null_count:,} runs of a batch. {remedy}", name)
