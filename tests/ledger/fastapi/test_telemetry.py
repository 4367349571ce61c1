"""What is told of each request: a span, metrics and a log line, and never a secret or a body."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ledger.fastapi import JSONLines, telemetry
from ledger.fastapi.telemetry import TextLines
from tests.ledger.fastapi.conftest import BODY, Service, keyed

SECRET = "blueprint-that-nobody-may-log"


@dataclass
class Ears:
    """Everything that is told: spans, metrics, and log lines in both forms."""

    spans: InMemorySpanExporter
    metrics: InMemoryMetricReader
    log: pytest.LogCaptureFixture

    def counted(self) -> dict[str, dict[tuple[Any, ...], Any]]:
        """Each metric's points by their labels."""
        data = self.metrics.get_metrics_data()
        assert data is not None
        found = [metric for r in data.resource_metrics for scope in r.scope_metrics for metric in scope.metrics]
        return {
            metric.name: {
                tuple(sorted((point.attributes or {}).values())): getattr(point, "value", None) or point.count  # type: ignore[union-attr]
                for point in metric.data.data_points
            }
            for metric in found
        }

    def everything(self) -> str:
        """All that anybody could read."""
        records = self.log.records
        lines = [form.format(record) for form in (JSONLines(), TextLines()) for record in records]
        return "\n".join([*lines, *(span.to_json() for span in self.spans.get_finished_spans()), repr(self.counted())])


@pytest.fixture
def ears(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Ears]:
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracing, metering = TracerProvider(), MeterProvider([reader])
    tracing.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr(telemetry.trace, "get_tracer", tracing.get_tracer)
    monkeypatch.setattr(telemetry.metrics, "get_meter", metering.get_meter)
    telemetry._instruments.cache_clear()
    caplog.set_level(logging.INFO, logger=telemetry.NAME)
    yield Ears(spans, reader, caplog)
    telemetry._instruments.cache_clear()
    tracing.shutdown()
    metering.shutdown()


def test_a_run_is_told_with_its_account_run_key_and_entry(service: Service, ears: Ears) -> None:
    run_id = service.post(keyed("k")).json()["run_id"]
    service.post(keyed("k"))
    first, second = ears.spans.get_finished_spans()
    assert first.name == "credits.launch"
    assert first.attributes == {
        "credits.account_id": "acme",
        "credits.dataset_id": "d1",
        "credits.run_id": run_id,
        "credits.key": "k",
        "credits.entry": 2,
        "credits.replayed": False,
        "credits.status": 200,
    }
    assert second.attributes is not None
    assert second.attributes["credits.replayed"] is True
    written = [json.loads(JSONLines().format(record)) for record in ears.log.records if record.name == telemetry.NAME]
    assert {name: written[0][name] for name in ("operation", "run_id", "key", "entry", "level")} == {
        "operation": "launch",
        "run_id": run_id,
        "key": "k",
        "entry": 2,
        "level": "info",
    }
    counted = ears.counted()
    assert counted["credits.requests"] == {("done", "launch"): 1, ("launch", "replayed"): 1}
    assert counted["credits.held"] == {(): 17_000_000}
    assert sum(counted["credits.request.duration"].values()) == 2


def test_a_refusal_is_told_by_its_code(service: Service, ears: Ears) -> None:
    service.post(dataset="huge")
    (span,) = ears.spans.get_finished_spans()
    assert span.attributes is not None
    assert (span.attributes["credits.code"], span.attributes["credits.status"]) == ("insufficient_credits", 402)
    assert ears.counted()["credits.requests"] == {("insufficient_credits", "launch"): 1}


def test_no_token_and_no_part_of_a_body_is_told(service: Service, ears: Ears) -> None:
    bodies: list[Any] = [
        BODY | {"brand_controls": {"blueprint": SECRET}},
        BODY | {"brand_controls": {"blueprint": SECRET, "length": SECRET}},
        {"column_mapping": {"prompt": SECRET}},
        {SECRET: 1},
        f'{{"estimate": {SECRET}'.encode(),
    ]
    for body in bodies:
        service.post(body)
    service.post(headers={"Authorization": f"Bearer {SECRET}"})
    told = ears.everything()
    assert "acme" in told
    assert SECRET not in told
    assert "token-of-acme" not in told


def test_lines_for_people_have_one_line_a_record(ears: Ears) -> None:
    telemetry.told("start", run_id="a\nb")
    telemetry.warn("delivery", "start_failed", start_id="x")
    lines = [TextLines().format(record) for record in ears.log.records]
    assert ["\n" in line for line in lines] == [False, False]
    assert lines[0].endswith('INFO start run_id="a\\nb"')
    assert lines[1].endswith('WARNING delivery: start_failed code="start_failed" start_id="x"')


def test_a_defect_is_told_by_its_class_and_place_and_not_by_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing() -> None:
        try:
            raise KeyError(SECRET)
        except KeyError as error:
            raise ValueError(f"no {SECRET}") from error

    try:
        failing()
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, __file__, 1, "defect", None, sys.exc_info())
    for form in (JSONLines(), TextLines()):
        line = form.format(record)
        assert SECRET not in line
        assert "builtins.ValueError" in line
        assert "builtins.KeyError" in line
        assert "in failing" in line
        with monkeypatch.context() as patch:
            patch.setenv("CREDITS_TRACEBACK", "1")
            assert SECRET in form.format(record)


def test_without_telemetry_the_service_answers_the_same(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "trace", None)
    telemetry._instruments.cache_clear()
    assert service.post().status_code == 200
    telemetry._instruments.cache_clear()
