"""Tables: which columns they have, and that no digit of them is cut."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from ledger.cli.tables import in_line
from tests.command_line import Credits


def test_no_digit_is_cut_on_a_narrow_terminal(book: Credits, run: dict[str, Any]) -> None:
    book("grant", "acme", "9223372035000.123456")
    for arguments in (
        ["statement", "acme"],
        ["reservations", "acme"],
        ["balance", "acme"],
        ["account", "show", "acme"],
    ):
        printed = book(*arguments, columns=30)
        assert "…" not in printed
        assert "1.45" in printed
    assert "9,223,372,035,098.673456" in book("statement", "acme", columns=30)


def test_amounts_of_a_column_have_their_decimal_points_below_one_another() -> None:
    assert in_line([[Decimal("1000.5"), Decimal(1)], [Decimal("0.25"), None]]) == [("1,000.5 ", "1"), ("0.25", "")]
    assert in_line([]) == []


def test_buckets_that_stay_empty_have_no_column(book: Credits) -> None:
    headings = book("grants", "acme").splitlines()[0].split()
    assert headings == ["Grant", "Kind", "Priority", "Expires", "(UTC)", "Available"]
    book("reserve", "acme", "5")
    assert book("grants", "acme").splitlines()[0].split()[-2:] == ["Available", "Held"]
