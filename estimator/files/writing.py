"""Files that are written whole or not at all: beside their place, then moved into it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def beside(path: Path | str) -> Iterator[Path]:
    """A temporary path for a file or a new folder: moved to `path` when the block succeeds, removed when it fails.

    A device or a pipe, such as `/dev/stdout`, is written directly and never replaced. Where the path is a link, the
    file that it leads to is replaced.
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
    """A text file in UTF-8, written by way of `beside`: after a failure the file is as it was."""
    with beside(path) as made, made.open("w", encoding="utf-8", newline=newline) as file:
        yield file
