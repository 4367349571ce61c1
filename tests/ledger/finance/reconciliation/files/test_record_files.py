"""Outside files: read right where the mapping says how, or refused with the line and the column."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ledger.finance import Record, RecordMapping, RecordsUnreadable, ResultKind, reconcile

COLUMNS = {"reference": "run", "amount": "credits", "at": "when"}
MOMENT = "2026-03-01T12:00:00Z"
GOOD = f"run,credits,when\nr1,1.5,{MOMENT}\nr2,-2,\n"

Read = Callable[..., list[Record]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """The records of a file's text or bytes, by reference."""

    def run(content: str | bytes, name: str = "records.csv", **sections: Any) -> list[Record]:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_path(path, **sections)

    return run


def read_path(path: Path, **sections: Any) -> list[Record]:
    """The records of a file, found by comparing it with one that has none."""
    content = {"side": "captures", "columns": COLUMNS, "time": {"zone": "UTC"}} | sections
    mapping = RecordMapping.from_dict(content)
    empty = path.parent / "nothing.csv"
    header = ",".join({column: "" for columns in mapping.columns.named.values() for column in columns})
    empty.write_text(f"{header}\n")
    plain = RecordMapping.from_dict(content | {"file": {}})
    with reconcile(empty, path, mapping, here_mapping=plain) as found:
        results = list(found)
    assert {result.kind for result in results} <= {ResultKind.MISSING_HERE, ResultKind.DUPLICATE_THERE}
    return sorted((record for result in results for record in result.there), key=lambda record: record.reference or "")


def amounts(records: list[Record]) -> list[str]:
    return [str(record.amount) for record in records]


def test_a_plain_file_is_read(read: Read) -> None:
    first, second = read(GOOD)
    assert first == Record("r1", None, Decimal("1.5"), None, datetime(2026, 3, 1, 12, tzinfo=UTC), None, None)
    assert (second.amount, second.at) == (-2, None)


@pytest.mark.parametrize(
    ("content", "sections"),
    [
        (b"\xef\xbb\xbf" + GOOD.encode(), {}),
        (GOOD.encode("utf-16"), {"file": {"encoding": "utf-16"}}),
        (GOOD.replace(",", ";").encode("cp1252"), {"file": {"encoding": "cp1252", "delimiter": ";"}}),
        (GOOD.replace("\n", "\r\n").encode(), {}),
        (GOOD.replace("r1", '"r1"').replace("run,", '"run",').encode(), {}),
        (GOOD.replace("r1", " r1 ").replace("run,", " run ,").encode(), {}),
        (b"\xef\xbb\xbfExport of March\n\n" + GOOD.encode(), {"file": {"skip_lines": 2}}),
    ],
    ids=["BOM", "UTF-16", "semicolons", "CRLF", "quotes", "spaces", "lines before the header"],
)
def test_however_it_is_written_it_says_the_same(read: Read, content: bytes, sections: dict[str, Any]) -> None:
    assert [(r.reference, str(r.amount)) for r in read(content, **sections)] == [("r1", "1.5"), ("r2", "-2")]


@pytest.mark.parametrize("name", ["r", "é", "~r~", "r é", "\tr", "r\u200b"])
@pytest.mark.parametrize("before", ["", " ", "\u00a0", "\u3000 "])
@pytest.mark.parametrize("after", ["", " ", "\u2007", " \u202f "])
def test_spaces_of_any_kind_around_a_text_are_no_part_of_it(read: Read, name: str, before: str, after: str) -> None:
    (record,) = read(f'run,credits,when\n"{before}{name}{after}",1,\n')
    assert record.reference == name


def test_a_gzipped_file_is_read(read: Read) -> None:
    assert amounts(read(gzip.compress(GOOD.encode()), "records.csv.gz")) == ["1.5", "-2"]


def test_quoted_fields_may_have_delimiters_quotes_and_line_breaks(read: Read) -> None:
    text = f'note,run,credits,when\n"a, b\nc ""d""",r1,1,{MOMENT}\n"x\r\ny",r2,2,{MOMENT}\n'
    assert amounts(read(text)) == ["1", "2"]


@pytest.mark.parametrize(
    ("text", "rule", "expected"),
    [
        ("1,234,567.89", {"thousands": ","}, "1234567.89"),
        ("1.234.567,89", {"thousands": ".", "decimal": ","}, "1234567.89"),
        ("1\u00a0234,5", {"thousands": " ", "decimal": ","}, "1234.5"),
        ("1'234.5", {"thousands": "'"}, "1234.5"),
        ("1234,5", {"decimal": ","}, "1234.5"),
        ("+0.000001", {}, "0.000001"),
        ("1.50000000", {}, "1.5"),
        ("-.5", {}, None),
        ("999999999999.999999", {}, "999999999999.999999"),
        ("-999999999999.9999990", {}, "-999999999999.999999"),
        ("999999.999999", {}, "999999.999999"),
        ("1000000.000001", {}, "1000000.000001"),
        ("-1000000", {}, "-1000000"),
        ("\u00a01.5\u3000", {}, "1.5"),
        ("7", {"sign": "inverted"}, "-7"),
        ("-7", {"sign": "absolute"}, "7"),
    ],
)
def test_amounts_are_read_exactly_as_the_mapping_says(
    read: Read, text: str, rule: dict[str, str], expected: str | None
) -> None:
    content = f'run,credits,when\nr1,"{text}",\n'
    if expected is None:
        with pytest.raises(RecordsUnreadable, match="no amount"):
            read(content, amount=rule)
        return
    assert amounts(read(content, amount=rule)) == [expected]


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


MONEY: dict[str, Any] = {"side": "grants", "columns": {"reference": "run", "amount": "credits", "currency": "currency"}}


def test_minor_units_have_the_decimals_of_their_currency(read: Read) -> None:
    content = "run,credits,currency\na,1234,usd\nb,1234,JPY\nc,1234,kwd\nd,12.5,EUR\n"
    found = read(content, amount={"unit": "minor"}, **MONEY)
    assert [f"{r.amount} {r.currency}" for r in found] == ["12.34 USD", "1234 JPY", "1.234 KWD", "0.125 EUR"]


def test_a_currency_must_have_three_letters(read: Read) -> None:
    with pytest.raises(RecordsUnreadable, match="line 3, column 'currency': is 'euro', no currency"):
        read("run,credits,currency\na,1,usd\nb,1,euro\n", amount={"unit": "money"}, **MONEY)
    assert amounts(read("run,credits,currency\nb,0.1,\n", amount={"unit": "money", "currency": "EUR"}, **MONEY)) == [
        "0.1"
    ]


TYPED: dict[str, Any] = {"columns": COLUMNS | {"type": "type"}}


def test_only_the_types_that_are_named_are_read_and_some_count_below_zero(read: Read) -> None:
    content = "run,credits,when,type\na,5,,Charge\nb,5,,refund\nc,nothing,,payout\n"
    rules = {"filter": {"types": ["charge", "refund"]}, "amount": {"negative_types": ["refund"]}}
    assert amounts(read(content, **TYPED, **rules)) == ["5", "-5"]


@pytest.mark.parametrize(
    ("texts", "time", "hour"),
    [
        (["2026-07-01T10:00:00+02:00", "2026-07-01 08:00:00Z", "2026-07-01 08:00"], {"zone": "UTC"}, 8),
        (["2026-07-01 10:00", "2026-07-01T10:00:00.000"], {"zone": "Europe/Berlin"}, 8),
        (
            ["01.07.2026 10:00", "07/01/2026 10:00 AM", "2026-07-01 10:00:00"],
            {"zone": "Europe/Berlin", "formats": ["%d.%m.%Y %H:%M", "%m/%d/%Y %I:%M %p", "iso"]},
            8,
        ),
        (["1782892800"], {"zone": "UTC", "formats": ["epoch"]}, 8),
        (["1782892800000"], {"zone": "UTC", "formats": ["epoch_ms"]}, 8),
    ],
)
def test_dates_in_several_formats_are_read_in_the_zone_that_is_named(
    read: Read, texts: list[str], time: dict[str, Any], hour: int
) -> None:
    lines = "".join(f"r{number},1,{text}\n" for number, text in enumerate(texts))
    assert {r.at for r in read(f"run,credits,when\n{lines}", time=time)} == {datetime(2026, 7, 1, hour, tzinfo=UTC)}


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


def test_a_duplicate_header_that_nobody_asks_for_does_no_harm(read: Read) -> None:
    assert amounts(read("run,credits,when,note,note\nr1,1,,a,b\n")) == ["1"]


def test_references_are_joined_and_taken_out_of_text(read: Read) -> None:
    columns = {"reference": ["account", "note"], "amount": "credits"}
    content = "account,note,credits\nacme,INV-7 for May,1\n"
    assert read(content, columns=columns)[0].reference == "acme/INV-7 for May"
    rule = {"pattern": "(INV-[0-9]+)", "ignore_case": True}
    assert read(content, columns=columns, reference=rule)[0].reference == "inv-7"


def test_parquet_is_read_with_its_own_types(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.table(
        {
            "run": ["a", "b"],
            "credits": pa.array([Decimal("1.25"), Decimal("-3.000001")], pa.decimal128(20, 6)),
            "when": pa.array([datetime(2026, 7, 1, 8, tzinfo=UTC)] * 2, pa.timestamp("us", "Europe/Berlin")),
            "day": [date(2026, 7, 1)] * 2,
            "local": [datetime(2026, 7, 1, 10)] * 2,  # noqa: DTZ001  # a file's column without a zone
            "float": [0.1, 2.5],
        }
    )
    path = tmp_path / "records.parquet"
    parquet.write_table(table, path)
    found = read_path(path)
    assert [(str(r.amount), r.at) for r in found] == [
        ("1.25", datetime(2026, 7, 1, 8, tzinfo=UTC)),
        ("-3.000001", datetime(2026, 7, 1, 8, tzinfo=UTC)),
    ]
    local = read_path(path, columns=COLUMNS | {"at": "local", "amount": "float"}, time={"zone": "Europe/Berlin"})
    assert [(str(r.amount), r.at) for r in local] == [
        ("0.1", datetime(2026, 7, 1, 8, tzinfo=UTC)),
        ("2.5", datetime(2026, 7, 1, 8, tzinfo=UTC)),
    ]
    (first, _) = read_path(path, columns=COLUMNS | {"at": "day"}, time={"zone": "Europe/Berlin"})
    assert first.at == datetime(2026, 6, 30, 22, tzinfo=UTC)
    with pytest.raises(RecordsUnreadable, match="is not in the header"):
        read_path(path, columns=COLUMNS | {"amount": "credit"})
    with pytest.raises(RecordsUnreadable, match="column 'run': is 'a', no amount"):
        read_path(path, columns=COLUMNS | {"amount": "run"})
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(RecordsUnreadable, match="no Parquet file"):
        read_path(path)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecordsUnreadable, match="does not exist"):
        read_path(tmp_path / "none.csv")
    with pytest.raises(RecordsUnreadable, match="is a folder"):
        read_path(tmp_path)
