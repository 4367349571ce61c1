"""A file that cannot be read is refused with the line and the column."""

from __future__ import annotations

import pytest

from ledger.finance import RecordsUnreadable
from tests.ledger.finance.reconciliation.files.conftest import GOOD, MOMENT, Read


@pytest.mark.parametrize(
    ("text", "rule"),
    [("1,23", {"thousands": ","}), ("1,5", {}), ("1.0000001", {}), ("1e3", {}), ("NaN", {}), ("", {}), ("5 EUR", {})],
)
def test_what_is_no_such_amount_is_refused_with_its_line_and_column(
    read: Read, text: str, rule: dict[str, str]
) -> None:
    content = f'run,credits,when\n"r\n1",1,\nr2,2,\nr3,"{text}",\nr4,"{text}",\n'
    with pytest.raises(RecordsUnreadable) as refused:
        read(content, amount=rule)
    assert (refused.value.line, refused.value.column) == (5, "credits")
    assert "line 5, column 'credits': is " in refused.value.message


def test_a_date_of_no_named_format_is_refused_with_its_line_and_column(read: Read) -> None:
    with pytest.raises(RecordsUnreadable, match=r"line 3, column 'when': is '31/12/2026', no moment written as iso"):
        read(f"run,credits,when\nr1,1,{MOMENT}\nr2,1,31/12/2026\n")


BAD = {
    "a missing column": ("run,credit,when\nr1,1,\n", 1, "credits", "Did you mean 'credit'?"),
    "a duplicate header": ("run,credits,when,credits\nr1,1,,2\n", 1, "credits", "more than once, as columns 2 and 4"),
    "too few fields": (f"run,credits,when\nr1,1,{MOMENT}\nr2,1\n", 3, "when", "has 2 fields where the header has 3"),
    "too many fields": ('run,credits,when\n"r\n1",1,\nr2,1,5,6\n', 4, "when", "has 4 fields where the header has 3"),
    "Latin-1 as UTF-8": (b"run,credits,when\nr1,1,\nz\xfcrich,1,\n", 3, "run", "has bytes (fc) that are not utf-8"),
    "a quote that never ends": ('run,credits,when\nr1,1,\n"r2,1,\nr3,1,\n', 3, None, "quotes that do not match"),
    "a line too long": (f"run,credits,when\nr1,1,\n{'x' * 1_500_000},1,\n", 3, None, "is longer than 1,000,000 bytes"),
    "nothing": ("", 1, None, "is empty"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_file_is_refused_with_its_line_and_column(read: Read, what: str) -> None:
    content, line, column, sentence = BAD[what]
    with pytest.raises(RecordsUnreadable) as refused:
        read(content)
    assert (refused.value.line, refused.value.column) == (line, column), refused.value.message
    assert sentence in refused.value.message
    assert refused.value.to_dict()["path"].endswith("records.csv")


def test_bytes_of_another_encoding_are_refused_with_their_line(read: Read) -> None:
    content = GOOD.encode("utf-16") + b"\x00\xd8\x41\x00"
    with pytest.raises(RecordsUnreadable, match="that are not utf-16") as refused:
        read(content, file={"encoding": "utf-16"})
    assert refused.value.line == 4
