"""The installed command, on databases and datasets of the tests."""

from __future__ import annotations

from tests.command_line import any_book, book, command, dataset, run

__all__ = ["any_book", "book", "command", "dataset", "run"]
