"""Record batches of runs, read into rows to process and codes of configurations."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from estimator import FrameInvalid
from estimator.columns.price_tables import digit
from estimator.frames.reader import Reader, checked_columns


def read(**columns: Any) -> Any:
    return Reader(pa.record_batch(columns)).runs()


@pytest.mark.parametrize(
    ("rows", "limits", "processed"),
    [
        ([5, 7], pa.array([9, 3]), [5, 3]),
        ([5, 7], pa.array([None, 3], pa.int64()), [5, 3]),
        ([5, 7], pa.array([None, None], pa.int8()), [5, 7]),
        ([5, 7], pa.nulls(2), [5, 7]),
        ([5, 2**63 - 1], pa.array([None, 2**62]), [5, 2**62]),
    ],
    ids=["limits", "some limits", "no limit", "column of nulls", "64 bits"],
)
def test_the_rows_to_process_are_the_fewer_of_rows_and_max_rows(rows: Any, limits: Any, processed: list[int]) -> None:
    assert read(rows=rows, max_rows=limits).rows.tolist() == processed


def test_words_and_switches_become_the_digits_of_a_code() -> None:
    runs = read(
        rows=[1, 1],
        length=["extensive", "minimal"],
        safety=[True, False],
        reasoning_traces=[False, True],
        targets=[3, 0],
        sample_ppm=[10, 0],
    )
    digits = {name: [digit(code, name) for code in runs.codes.tolist()] for name in ("length", "safety", "targets")}
    assert digits == {"length": [3, 0], "safety": [1, 0], "targets": [1, 0]}
    assert [digit(code, "reasoning_traces") for code in runs.codes.tolist()] == [0, 1]


def test_names_keep_their_nulls() -> None:
    names = read(rows=[1, 1, 1], voucher=["a", None, "a"]).vouchers
    assert [names.names[place] for place in names.places] == ["a", None, "a"]


def test_a_slice_of_a_batch_reads_its_own_bits() -> None:
    batch = pa.record_batch({"rows": range(1, 31), "safety": [n % 3 == 0 for n in range(30)]}).slice(11, 13)
    runs = Reader(batch).runs()
    assert runs.rows.tolist() == list(range(12, 25))
    assert [digit(code, "safety") for code in runs.codes.tolist()] == [int(n % 3 == 0) for n in range(11, 24)]


@pytest.mark.parametrize(
    "columns",
    [{"rows": [1, None]}, {"rows": [1, 0]}, {"rows": [1], "length": ["huge"]}, {"rows": [1], "safety": [None]}],
    ids=str,
)
def test_a_batch_with_a_row_that_cannot_be_read_is_refused(columns: dict[str, Any]) -> None:
    types = {"rows": pa.int64(), "length": pa.string(), "safety": pa.bool_()}
    batch = pa.record_batch({name: pa.array(values, types[name]) for name, values in columns.items()})
    with pytest.raises(ValueError, match="Call estimator"):
        Reader(batch).runs()


def test_columns_of_the_wrong_type_are_refused_together() -> None:
    schema = pa.schema({"rows": pa.float64(), "length": pa.int64(), "safety": pa.string(), "voucher": pa.null()})
    with pytest.raises(FrameInvalid) as caught:
        checked_columns(schema)
    assert [issue.path for issue in caught.value.issues] == ["rows", "length", "safety"]
