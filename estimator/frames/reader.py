"""Record batches of runs, read into a few arrays of integers: rows processed, and a code for the configuration.

Values are read in Arrow's own buffers; what a block of runs needs is unpacked into arrays that the next block
reuses. Reading does not depend on a card, so many cards can price one reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from estimator.columns import COLUMNS, NULLABLE, WORDS, present_columns
from estimator.columns.price_tables import EXPANSION, STRIDES, SWITCHES
from estimator.errors import FrameInvalid, Issue
from estimator.frames.arrays import Indices, Integers, np, pa, pc
from estimator.programs.program import INT64_MAX
from estimator.rates.sections import PPM

BLOCK = 131_072
"""Runs that are priced at a time. An eighth of it would fit in a core's cache, but threads would then mostly wait for
one another: between two steps a thread holds the interpreter's lock."""

READ_BUFFERS = 3
_CAPS = np.array([INT64_MAX, 0])
_UNKNOWN = -1


class Names(NamedTuple):
    """A column of names: for each run the place of its name in `names`, where None stands for a null."""

    places: Indices
    names: tuple[str | None, ...]


class Runs(NamedTuple):
    """Runs as a card sees them, one element each: rows to process, configuration code, expansion, names.

    `present` are the columns they were read from. `sample_ppm` and `targets` are None where nothing is expanded,
    `discounts` and `vouchers` where none is given.
    """

    present: tuple[str, ...]
    rows: Integers
    codes: Integers
    sample_ppm: Integers | None = None
    targets: Integers | None = None
    discounts: Names | None = None
    vouchers: Names | None = None

    def take(self, places: Integers | slice) -> Runs:
        """The runs at some places; those of a slice share their memory with these."""
        return Runs(
            self.present,
            self.rows[places],
            self.codes[places],
            None if self.sample_ppm is None else self.sample_ppm[places],
            None if self.targets is None else self.targets[places],
            None if self.discounts is None else Names(self.discounts.places[places], self.discounts.names),
            None if self.vouchers is None else Names(self.vouchers.places[places], self.vouchers.names),
        )


class _Bits(NamedTuple):
    """Booleans, or the marks of what is not null, as Arrow packs them: eight to a byte, from bit `offset`."""

    packed: Any
    offset: int

    def unpacked(self, start: int, stop: int) -> Any:
        """Zeros and ones, a byte each."""
        first = self.offset + start
        whole = np.unpackbits(self.packed[first // 8 : (self.offset + stop + 7) // 8], bitorder="little")
        return whole[first % 8 : first % 8 + stop - start]


class Reader:
    """The columns of one record batch, checked for their types, for nulls and for unknown words.

    Raises `FrameInvalid` for columns that cannot be read as what they should be. `sound` is False where some row
    holds a null or an unknown word: such a batch cannot be read. `present` are its columns that have a meaning.
    """

    def __init__(self, batch: Any) -> None:
        # Without the metadata of pandas, which some versions of PyArrow cannot hash.
        self.present = _checked(batch.schema.remove_metadata())
        self.length: int = batch.num_rows
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        self.sound = all(columns[name].null_count == 0 for name in self.present if name not in NULLABLE)
        self._integers = {name: _values(columns[name]) for name in self.present if COLUMNS[name] == "integer"}
        self._switches = {place: _bits(columns[name], 1) for place, name in enumerate(SWITCHES) if name in self.present}
        self._words = [self._word_codes(name, columns[name]) for name in WORDS if name in self.present]
        self.names = [_names(columns[n]) if n in self.present else None for n in ("discount", "voucher")]
        uncapped = "max_rows" in self.present and columns["max_rows"].null_count > 0
        self._capped = _bits(columns["max_rows"], 0) if uncapped else None

    def _word_codes(self, name: str, column: Any) -> tuple[Indices, Integers]:
        """The place of each run's word in a dictionary, and what each word of the dictionary adds to the code."""
        places, words = _names(column)
        codes = [WORDS[name].index(word) * STRIDES[name] if word in WORDS[name] else _UNKNOWN for word in words]
        table = np.array(codes, dtype=np.int64)
        if _UNKNOWN in codes and bool((table[places] == _UNKNOWN).any()):
            self.sound = False
        return places, table

    def runs(self) -> Runs:
        """All runs of the batch. Raises ValueError where some row cannot be read: see `diagnose`."""
        buffers = [np.empty(self.length, np.int64) for _ in range(READ_BUFFERS)]
        runs = self.block(0, self.length, buffers) if self.sound and self.length else None
        if runs is None and self.length:
            raise ValueError(
                "The batch has rows that cannot be read. Call estimator.frames.diagnosis.diagnose for a list."
            )
        return Runs(self.present, buffers[0], buffers[1]) if runs is None else runs

    def block(self, start: int, stop: int, buffers: Sequence[Integers]) -> Runs | None:
        """The runs from `start` to `stop`, read into three arrays of at least that length, until those are used again.

        None where a number is out of its range.
        """
        rows, codes, extra = (buffer[: stop - start] for buffer in buffers)
        if not self._read_rows(start, stop, rows, extra):
            return None
        self._read_codes(start, stop, codes, extra)
        sample_ppm = targets = None
        if "targets" in self.present:
            sample_ppm = self._integers["sample_ppm"][start:stop]
            targets = self._integers["targets"][start:stop]
            if min(sample_ppm.min(), targets.min()) < 0 or sample_ppm.max() > PPM:
                return None
            np.greater(targets, 0, out=extra)
            np.multiply(extra, EXPANSION, out=extra)
            np.add(codes, extra, out=codes)
        discounts, vouchers = (
            None if given is None else Names(given.places[start:stop], given.names) for given in self.names
        )
        return Runs(self.present, rows, codes, sample_ppm, targets, discounts, vouchers)

    def _read_rows(self, start: int, stop: int, rows: Integers, extra: Integers) -> bool:
        """Rows to process: those there are, or those asked for if fewer."""
        there = self._integers["rows"][start:stop]
        asked = self._integers.get("max_rows")
        if asked is None:
            np.copyto(rows, there)
        elif self._capped is None:
            np.minimum(there, asked[start:stop], out=rows)
        else:
            # A null slot may hold any value: its maximum with INT64_MAX is no limit. A maximum with 0 keeps a limit.
            np.take(_CAPS, self._capped.unpacked(start, stop), out=extra, mode="clip")
            np.maximum(extra, asked[start:stop], out=extra)
            np.minimum(there, extra, out=rows)
        return bool(rows.min() >= 1)

    def _read_codes(self, start: int, stop: int, codes: Integers, extra: Integers) -> None:
        into = codes
        for places, table in self._words:
            np.take(table, places[start:stop], out=into, mode="clip")
            if into is extra:
                np.add(codes, extra, out=codes)
            into = extra
        if not self._words:
            codes[:] = 0
        if self._switches:
            bits = np.zeros(stop - start, np.uint8)
            for place in range(max(self._switches), -1, -1):  # from the highest: adding is quicker than shifting
                np.add(bits, bits, out=bits)
                if place in self._switches:
                    np.bitwise_or(bits, self._switches[place].unpacked(start, stop), out=bits)
            np.add(codes, bits, out=codes)


@lru_cache(maxsize=16)
def _checked(schema: Any) -> tuple[str, ...]:
    """Cached, because the batches of a table have one schema."""
    return checked_columns(schema)


def checked_columns(schema: Any) -> tuple[str, ...]:
    """The columns of an Arrow schema that have a meaning, in order. Raises `FrameInvalid` for names and types."""
    present = present_columns(schema.names)
    issues = [issue for name in present if (issue := _type_issue(name, schema.field(name).type)) is not None]
    if issues:
        raise FrameInvalid(issues)
    return present


def _type_issue(name: str, kind: Any) -> Issue | None:
    types = pa.types
    if types.is_null(kind) and name in NULLABLE:
        return None
    wanted = COLUMNS[name]
    if wanted == "integer":
        fits, advice = types.is_integer(kind), "Cast it to int64 after making sure that every value is whole"
        if name in NULLABLE:
            advice += "; missing values stay null (in pandas: astype('Int64'))"
    elif wanted == "boolean":
        fits, advice = types.is_boolean(kind), "Give true or false"
    else:
        value = kind.value_type if types.is_dictionary(kind) else kind
        fits = types.is_string(value) or types.is_large_string(value) or types.is_string_view(value)
        advice = "Give words as text"
    what = {"integer": "whole numbers", "boolean": "true/false values", "text": "text"}[wanted]
    return None if fits else Issue(name, "wrong_type", f"must be {what}, not of type {kind}. {advice}.")


def _values(column: Any) -> Any:
    """The integers of an Arrow array without a copy; the values at nulls are arbitrary."""
    if pa.types.is_null(column.type):
        return np.broadcast_to(np.int64(INT64_MAX), len(column))
    kind = np.dtype(str(column.type))  # both call them int8 to uint64; Arrow's own word may need pandas
    buffer = column.buffers()[1]
    if buffer is None:
        return np.empty(0, np.int64)
    values = np.frombuffer(buffer, kind, count=len(column), offset=column.offset * kind.itemsize)
    # NumPy would compute int64 with uint64 in floats. What is too large for int64 comes out negative: out of range.
    return values.view(np.int64) if kind == np.uint64 else values


def _bits(column: Any, place: int) -> _Bits:
    buffer = None if pa.types.is_null(column.type) else column.buffers()[place]
    if buffer is None:
        return _Bits(np.zeros((len(column) + 7) // 8, np.uint8), 0)
    return _Bits(np.frombuffer(buffer, np.uint8), column.offset)


def _names(column: Any) -> Names:
    """A column of text as places in a list of its distinct values."""
    if pa.types.is_null(column.type):
        return Names(np.zeros(len(column), np.int8), (None,))
    if not pa.types.is_dictionary(column.type):
        column = pc.dictionary_encode(column)
    names = column.dictionary.to_pylist()
    places = column.indices
    if places.null_count:
        names.append(None)
        places = places.cast(pa.int64()).fill_null(len(names) - 1)
    return Names(_values(places), tuple(names))
