"""Files that are written whole or not at all: beside their place, then moved into it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def beside(path: Path | str) -> Iterator[Path]:
    """Where to make a file, or a folder that is new; it takes its place when the block ends well, and else is gone.

    A device or a pipe, such as `/dev/stdout`, is its own place, and never replaced by a file. Where the path is a
    link, the file that it leads to is written.
    """
    path = Path(path)
    if path.parent == Path("/dev") or (path.exists() and not (path.is_file() or path.is_dir())):
        yield path
        return
    path = path.resolve()
    # In a folder of its own, so that the file itself is made with the permissions that any new file gets.
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        made = Path(folder) / path.name
        yield made
        made.replace(path)


@contextmanager
def written_whole(path: Path | str, *, newline: str | None = None) -> Iterator[TextIO]:
    """A text file in UTF-8 that takes its place as `beside` has it; what was there stays there where that fails."""
    with beside(path) as made, made.open("w", encoding="utf-8", newline=newline) as file:
        yield file
