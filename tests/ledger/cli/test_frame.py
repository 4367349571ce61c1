"""What commands do around their work: lists that say how they go on, and a bar where a person waits."""

from __future__ import annotations

import io
import time
from typing import Any

import pytest
from rich.progress import BarColumn, TextColumn
from rich.text import Text

from ledger.cli import frame
from ledger.cli.frame import emit_list, progress_bar
from ledger.model.values import Bucket, Transfer

COLUMNS = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed} of {task.total}"))


class Terminal(io.StringIO):
    """A standard error that a person watches, or not."""

    def __init__(self, *, is_watched: bool) -> None:
        super().__init__()
        self._is_watched = is_watched

    def isatty(self) -> bool:
        return self._is_watched


def shown(monkeypatch: pytest.MonkeyPatch, *, is_watched: bool, quiet: bool, seconds: float) -> str:
    """What a bar has printed to standard error when its work has taken some seconds."""
    terminal = Terminal(is_watched=is_watched)
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(frame, "PROGRESS_AFTER_SECONDS", 0.05)
    monkeypatch.setenv("TERM", "xterm")
    with progress_bar(*COLUMNS, total=7, quiet=quiet) as update:
        update(description="Reading", advance=3)
        time.sleep(seconds)
    return terminal.getvalue()


def test_a_bar_is_shown_where_a_person_has_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = shown(monkeypatch, is_watched=True, quiet=False, seconds=0.4)
    assert "Reading" in printed
    assert "3 of 7" in printed


@pytest.mark.parametrize(
    ("is_watched", "quiet", "seconds"), [(True, False, 0.0), (True, True, 0.15), (False, False, 0.15)]
)
def test_no_bar_is_shown_for_quick_work_for_json_or_where_nobody_watches(
    monkeypatch: pytest.MonkeyPatch, is_watched: bool, quiet: bool, seconds: float
) -> None:
    assert shown(monkeypatch, is_watched=is_watched, quiet=quiet, seconds=seconds) == ""


def transfers(count: int) -> list[Any]:
    return [Transfer(f"acme/g{number}", Bucket.ISSUED, Bucket.AVAILABLE, number) for number in range(count)]


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, "None.\n"), (1, "1 found\n"), (2, "2 found\nThere may be more. See them with --after acme/g1\n")],
)
def test_a_list_says_where_it_is_empty_and_how_it_goes_on(
    capsys: pytest.CaptureFixture[str], count: int, expected: str
) -> None:
    found = transfers(count)
    emit_list(found, lambda found: Text(f"{len(found)} found"), "None.", as_json=False, limit=2, id_name="grant_id")
    assert capsys.readouterr().out == expected
