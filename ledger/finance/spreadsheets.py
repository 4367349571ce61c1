"""Cells of CSV files that people open in spreadsheets.

Spreadsheets run a cell that begins with = + - or @ as a formula, and account ids and keys are chosen by users. So a
cell of text that begins with one of these characters (ASCII or full width), with a tab, a line end or an apostrophe
gets an apostrophe before it. To read the exact text back, remove one leading apostrophe. Amounts are written as they
are. Files for programs (`credits export`, Parquet, JSON) have every text as it is.
"""

from __future__ import annotations

_RUN = frozenset("=+-@\t\r\n'＝＋－＠")  # noqa: RUF001  # full-width forms, which some spreadsheets run too


def text_cell(value: str | None) -> str:
    """A text that no spreadsheet runs as a formula; empty for none.

    >>> text_cell("=1+1")
    "'=1+1"
    """
    if value is None:
        return ""
    return f"'{value}" if value[:1] in _RUN else value
