"""Files that are written whole or not at all: beside their place, then moved into it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def written_whole(path: Path | str, *, newline: str | None = None) -> Iterator[TextIO]:
    """A text file in UTF-8 that takes its place when the block ends well; otherwise what was there stays there.

    A device or a pipe, such as `/dev/stdout`, is written to as it is, and never replaced by a file. Where the path is
    a link, the file that it leads to is written.
    """
    path = Path(path)
    if path.exists() and (not path.is_file() or path.parent == Path("/dev")):
        with path.open("w", encoding="utf-8", newline=newline) as file:
            yield file
        return
    path = path.resolve()
    # In a folder of its own, so that the file itself is made with the permissions that any new file gets.
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        beside = Path(folder) / path.name
        with beside.open("w", encoding="utf-8", newline=newline) as file:
            yield file
        beside.replace(path)


__all__ = ["written_whole"]
