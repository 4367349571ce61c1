"""Files that are written whole or not at all: beside their place, then moved into it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def beside(path: Path | str) -> Iterator[Path]:
    """Where to make a file, or a folder that is new; it takes its place when the block ends well, and else is gone."""
    path = Path(path)
    # In a folder of its own, so that the file itself is made with the permissions that any new file gets.
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        made = Path(folder) / path.name
        yield made
        made.replace(path)


@contextmanager
def written_whole(path: Path | str, *, newline: str | None = None) -> Iterator[TextIO]:
    """A text file in UTF-8 that takes its place when the block ends well; otherwise what was there stays there."""
    with beside(path) as made, made.open("w", encoding="utf-8", newline=newline) as file:
        yield file


__all__ = ["beside", "written_whole"]
