"""Files of records are read however they are written, as the mapping says."""

from __future__ import annotations

import gzip
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ledger.finance import Record, RecordsUnreadable
from tests.ledger.finance.reconciliation.files.conftest import COLUMNS, GOOD, MOMENT, Read, amounts, read_path


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


def test_a_gzipped_file_is_read(read: Read) -> None:
    assert amounts(read(gzip.compress(GOOD.encode()), "records.csv.gz")) == ["1.5", "-2"]


def test_quoted_fields_may_have_delimiters_quotes_and_line_breaks(read: Read) -> None:
    text = f'note,run,credits,when\n"a, b\nc ""d""",r1,1,{MOMENT}\n"x\r\ny",r2,2,{MOMENT}\n'
    assert amounts(read(text)) == ["1", "2"]


def test_a_duplicate_header_that_nobody_asks_for_does_no_harm(read: Read) -> None:
    assert amounts(read("run,credits,when,note,note\nr1,1,,a,b\n")) == ["1"]


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
