"""What commands do around their work: print its answer or its list, and show how far it has come."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from rich.console import Console, RenderableType
from rich.progress import Progress, ProgressColumn
from sqlalchemy.orm import Session

from estimator.cli.tables import line
from estimator.cli.terminal import emit
from ledger.cli.database import in_database
from ledger.cli.tables import value_table
from ledger.documents import plain

PROGRESS_AFTER_SECONDS = 1.0

Value = TypeVar("Value")


def answer(
    database_url: str,
    work: Callable[[Session], Value],
    *,
    as_json: bool,
    table: Callable[[Value], RenderableType] = value_table,
) -> None:
    """Do `work` in a transaction on the database of a URL, and print what it answers as JSON or as a table."""
    found = in_database(database_url, work)
    emit(plain(found), table(found), as_json=as_json)


def emit_list(
    found: Sequence[Value],
    table: Callable[[Sequence[Value]], RenderableType],
    none: str,
    *,
    as_json: bool,
    limit: int | None = None,
    id_name: str = "",
) -> None:
    """Print a list as JSON or as a table, or the sentence `none` where it is empty.

    A list that is as long as its limit is followed by how to see the rest: after the id of its last value.
    """
    parts: list[RenderableType] = [table(found) if found else line(none)]
    if len(found) == limit:
        parts.append(line(f"There may be more. See them with --after {getattr(found[-1], id_name)}"))
    emit(plain(found), *parts, as_json=as_json)


@contextmanager
def progress_bar(*columns: ProgressColumn, total: int, quiet: bool, **fields: Any) -> Iterator[Callable[..., None]]:
    """A bar on stderr after a second, where a person watches; what it yields takes what `Progress.update` takes."""
    if quiet or not sys.stderr.isatty():
        yield lambda **_: None
        return
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("", total=total, **fields)
    # Most of the time may be spent in one long call, so a clock of its own starts the bar.
    timer = threading.Timer(PROGRESS_AFTER_SECONDS, bar.start)
    timer.daemon = True
    timer.start()
    try:
        yield partial(bar.update, task)
    finally:
        timer.cancel()
        timer.join()
        bar.stop()
