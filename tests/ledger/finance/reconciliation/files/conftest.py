"""Files of records, and what is read of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledger.finance import Record, RecordMapping, ResultKind, reconcile

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
