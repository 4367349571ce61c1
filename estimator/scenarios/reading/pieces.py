"""The pieces that past runs come in, and which of their columns scenarios read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from estimator.columns import RESULT
from estimator.rates.sections import RECIPES
from estimator.scenarios.errors import RunsUnreadable

if TYPE_CHECKING:
    import pyarrow

BATCH_ROWS = 131_072
"""Runs of a batch: enough for cheap reading, few enough for little memory in each thread."""

COUNT_COLUMNS = ("rows", "max_rows", "sample_ppm", "targets")
SWITCH_COLUMNS = ("grounding", "safety", *RECIPES)
TEXT_COLUMNS = ("length", "training_type", "modality", "discount", "voucher", "account")
READ_COLUMNS = (*COUNT_COLUMNS, *SWITCH_COLUMNS, *TEXT_COLUMNS, "at")
"""The columns that scenarios read; others are left unread."""

PIECE_ROWS = 524_288
"""Runs of a piece, about: the work that a thread takes at a time."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the runs: its file ("" for a frame), the row where it starts, and its reader.

    `rows` is None in a file whose rows are not counted. `size` measures progress: rows, or else bytes.
    """

    path: str
    start: int
    rows: int | None
    size: int
    read: Callable[[Sequence[str]], Iterator[pyarrow.RecordBatch]]


@dataclass(frozen=True, slots=True)
class Source:
    """Runs that can be read more than once: the columns they have, and the pieces they come in."""

    schema: pyarrow.Schema
    pieces: tuple[Piece, ...]

    @property
    def priced_columns(self) -> tuple[str, ...]:
        """The columns that have a meaning, in order. `credits_micro` may be there from an earlier pricing.

        Raises `FrameInvalid` for columns that are missing, misspelt or of the wrong type.
        """
        import pyarrow

        from estimator.frames.reader import checked_columns

        return checked_columns(pyarrow.schema([field for field in self.schema if field.name != RESULT]))

    @property
    def size(self) -> int:
        """The sum of the sizes of the pieces."""
        return sum(piece.size for piece in self.pieces)


@contextmanager
def readable(path: Path, kind: str) -> Iterator[None]:
    """Turn a read error inside the block into `RunsUnreadable`, which names the file."""
    import pyarrow

    try:
        yield
    except OSError as error:
        raise RunsUnreadable(path, f"cannot be read ({error.strerror or error}). Check the file.") from error
    except pyarrow.ArrowException as error:
        detail = " ".join(str(error).split()).rstrip(".")
        raise RunsUnreadable(path, f"is not sound {kind} ({detail}). Correct it, or write it again.") from error


def refuse_empty(path: Path) -> None:
    """Raises `RunsUnreadable` for a file of no bytes."""
    if not path.stat().st_size:
        raise RunsUnreadable(path, "is empty. Give a file with at least one run.")
