"""Mappings: what ships, and a sentence for everything that can be wrong with one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ledger.finance import MappingInvalid, RecordMapping
from ledger.finance.reconciliation.files.mappings import SHIPPED
from tests.ledger.finance.reconciliation.conftest import MAPPING


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_is_usable_by_name(name: str) -> None:
    assert RecordMapping.named(name).columns.amount


def test_stripe_has_the_columns_of_its_export() -> None:
    stripe = RecordMapping.named("stripe")
    assert stripe.columns.named == {
        "reference": ("Source",),
        "amount": ("Amount",),
        "currency": ("Currency",),
        "at": ("Created (UTC)",),
        "type": ("Type",),
        "id": ("id",),
    }
    assert (stripe.side, stripe.amount.unit, stripe.time.zone) == ("grants", "money", "UTC")


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"sides": "runs"}, "Did you mean 'side'?"),
    ({"side": "run"}, "side: must be 'runs'"),
    (
        {"columns": MAPPING["columns"] | {"amuont": "x"}},
        "columns.amuont: is not a field that exists here. Did you mean",
    ),
    ({"columns": {"reference": "r"}}, "columns.amount: is required"),
    ({"columns": {"amount": "a"}}, "needs a reference, or a moment"),
    ({"time": {}}, "time.zone: is required with a column `at`"),
    ({"time": {"zone": "Mars/Here"}}, "no time zone that this machine knows"),
    ({"time": {"zone": "UTC", "formats": ["d.m.y"]}}, "Write iso, epoch, epoch_ms, or a format such as"),
    ({"file": {"encoding": "utf-9"}}, "is no encoding. Write one such as utf-8"),
    ({"file": {"delimiter": ";;"}}, "file.delimiter: has 2 characters; give at most 1"),
    ({"amount": {"decimal": ",", "thousands": ","}}, "is the decimal mark too"),
    ({"amount": {"unit": "rows"}}, "is rows, which only runs have"),
    ({"side": "grants", "amount": {"unit": "money"}}, "amount.currency: is required where the unit is money"),
    ({"amount": {"negative_types": ["refund"]}}, "columns.type: is required where types are named"),
    ({"side": "runs", "status": {"words": {"ok": "capturd"}}}, "no status of runs. Did you mean 'captured'?"),
    ({"side": "runs", "filter": {"here": ["succeeded"]}}, "has 'succeeded', which is no status of runs"),
    ({"tolerance": {"time": "2 weeks"}}, "no duration. Write a number and s, m, h or d"),
    ({"tolerance": {"time": "2d", "window": "1d"}}, "is shorter than tolerance.time"),
    ({"tolerance": {"amount": "-1"}}, "must be an amount of 0 or more"),
    ({"tolerance": {"amount": "0.0000001"}}, "has more than 6 decimals"),
]


@pytest.mark.parametrize(("change", "sentence"), WRONG, ids=[sentence for _, sentence in WRONG])
def test_what_is_wrong_is_said_in_a_sentence(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(MappingInvalid) as refused:
        RecordMapping.from_dict(MAPPING | change)
    assert sentence in refused.value.message
    assert refused.value.to_dict()["issues"]


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(MappingInvalid, match="has 2 problems") as refused:
        RecordMapping.from_dict(
            {"side": "captures", "columns": {"amount": "a", "at": "t"}, "time": {}, "x": 1} | {"file": 2}
        )
    assert len(refused.value.issues) == 2


def test_a_mapping_is_read_from_toml_with_exact_tolerances(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('side = "captures"\n[columns]\namount = "a"\nreference = ["x", "y"]\n[tolerance]\namount = 0.1\n')
    mapping = RecordMapping.named(path)
    assert (str(mapping.tolerance.amount), mapping.columns.references) == ("0.1", ("x", "y"))
    path.write_bytes(b'side = "\xff"')
    with pytest.raises(MappingInvalid, match="not UTF-8 at byte 8"):
        RecordMapping.named(path)
    path.write_text("side = runs")
    with pytest.raises(MappingInvalid, match="not valid TOML"):
        RecordMapping.named(path)
    with pytest.raises(MappingInvalid, match="Did you mean 'stripe'"):
        RecordMapping.named("strip")
