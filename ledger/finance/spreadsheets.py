"""Cells of CSV files that people open in spreadsheets.

Spreadsheets run a cell that begins with = + - or @ as a formula, whoever chose the account's id or the key in it. A
cell of text that begins with one of these, as ASCII or in full width, with a tab, a line's end or an apostrophe,
therefore gets an apostrophe before it. To read the exact text back, take one leading apostrophe away. Amounts are
written as they are. Files for programs (`credits export`, Parquet, JSON) have every text as it is.
"""

from __future__ import annotations

_RUN = frozenset("=+-@\t\r\n'＝＋－＠")  # noqa: RUF001  # what a spreadsheet in a full-width language takes for them


def text_cell(value: str | None) -> str:
    """A text that no spreadsheet takes for a formula; empty for none."""
    if value is None:
        return ""
    return f"'{value}" if value[:1] in _RUN else value
