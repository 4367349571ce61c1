"""What the routes tell of each request: a span, metrics, and one structured log line. Never a secret, never a body.

Spans and metrics go to OpenTelemetry's API (extra `telemetry`); without it, or without an SDK behind it, they go
nowhere. The log line of the logger `ledger.fastapi` has its fields as attributes of the record:

    account_id, dataset_id, run_id, key, entry    what the request was about; `entry` is its place in the journal
    operation, status, code, replayed, seconds    what became of it; `code` is a refusal's, `cause` a database's

Accounts, datasets and runs are attributes of spans and of log lines, and not of metrics, which they would multiply.
"""

from __future__ import annotations

import json
import logging
import os
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import cache
from typing import Any

from ledger.fastapi.refusals import Refusal
from ledger.model.ids import parse_reservation_id
from ledger.model.values import Launch

try:
    from opentelemetry import metrics, trace
except ImportError:  # the extra `telemetry` is not installed
    metrics = trace = None  # type: ignore[assignment]

NAME = "ledger.fastapi"

_log = logging.getLogger(NAME)


@dataclass(slots=True)
class Facts:
    """What is known of a request so far. Only what may be logged."""

    operation: str
    account_id: str | None = None
    dataset_id: str | None = None
    run_id: str | None = None
    key: str | None = None
    entry: int | None = None
    replayed: bool | None = None
    status: int = 500
    code: str | None = None
    cause: str | None = None
    seconds: float = 0.0
    held_micro: int = 0

    def refused(self, refusal: Refusal) -> None:
        """Note a refusal: its code, and not its sentence, which may repeat the request."""
        self.status, self.code, self.cause = refusal.status, refusal.code, refusal.cause

    def launched(self, launch: Launch, held_micro: int) -> None:
        """Note what a launch answered."""
        self.run_id, self.replayed = launch.run_id, launch.replayed
        if launch.reservation_id is not None:
            self.entry = parse_reservation_id(launch.reservation_id)[1]
            self.held_micro = 0 if launch.replayed else held_micro

    def said(self) -> dict[str, Any]:
        """What there is to tell, by name."""
        told = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "held_micro"}
        return {name: value for name, value in told.items() if value is not None}


class _Instruments:
    """The tracer and the instruments; OpenTelemetry connects them to whatever provider is set, now or later."""

    def __init__(self) -> None:
        self.tracer = trace.get_tracer(NAME)
        meter = metrics.get_meter(NAME)
        self.requests = meter.create_counter("credits.requests", "{request}", "Requests by operation and outcome")
        self.seconds = meter.create_histogram("credits.request.duration", "s", "Time from a request to its answer")
        self.held = meter.create_counter("credits.held", "{microcredit}", "Micro-credits that launches have held")

    def is_traced(self) -> bool:
        """False while nobody has said where spans go: one that goes nowhere costs as much as a query."""
        is_proxy = isinstance(self.tracer, trace.ProxyTracer)
        return not (is_proxy and isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider))


@cache
def _instruments() -> _Instruments | None:
    return None if trace is None else _Instruments()


@contextmanager
def observed(facts: Facts) -> Iterator[None]:
    """Tell of a request once it is answered, or has failed."""
    began = time.perf_counter()
    instruments = _instruments()
    try:
        if instruments is None or not instruments.is_traced():
            yield
        else:
            with instruments.tracer.start_as_current_span(
                f"credits.{facts.operation}", record_exception=False, set_status_on_exception=False
            ) as span:
                try:
                    yield
                finally:
                    _describe(span, facts)
    finally:
        facts.seconds = time.perf_counter() - began
        if instruments is not None:
            _measure(instruments, facts)
        _write(facts)


def _describe(span: Any, facts: Facts) -> None:
    span.update_name(f"credits.{facts.operation}")
    for name, value in facts.said().items():
        if name not in ("operation", "seconds"):
            span.set_attribute(f"credits.{name}", value)
    if facts.status >= 500:
        span.set_status(trace.StatusCode.ERROR)


def _measure(instruments: _Instruments, facts: Facts) -> None:
    labels = {"credits.operation": facts.operation, "credits.outcome": _outcome(facts)}
    instruments.requests.add(1, labels)
    instruments.seconds.record(facts.seconds, labels)
    if facts.held_micro:
        instruments.held.add(facts.held_micro)


def _outcome(facts: Facts) -> str:
    if facts.code is not None:
        return facts.code
    if facts.status >= 500:
        return "defect"
    return "replayed" if facts.replayed else "done"


def _write(facts: Facts) -> None:
    level = logging.INFO if facts.status < 500 else logging.WARNING if facts.code else logging.ERROR
    if _log.isEnabledFor(level):
        _log.log(level, "%s: %s", facts.operation, _outcome(facts), extra={"credits": facts.said()} | facts.said())


def told(operation: str, **said: str) -> None:
    """One structured line on what was done beside the requests."""
    fields: dict[str, Any] = {"operation": operation} | said
    _log.info("%s", operation, extra={"credits": fields} | fields)


def warn(operation: str, code: str, **said: str) -> None:
    """One structured line on what went wrong beside the requests."""
    fields: dict[str, Any] = {"operation": operation, "code": code} | said
    _log.warning("%s: %s", operation, code, extra={"credits": fields} | fields)


def places_of(error: BaseException | None) -> str:
    """Where an exception and those behind it were raised, and their classes: not what they say, which repeats values.

    `CREDITS_TRACEBACK=1` lets a developer read that as well.
    """
    if error is None:
        return ""
    if os.environ.get("CREDITS_TRACEBACK"):
        return "".join(traceback.format_exception(error)).rstrip()
    lines: list[str] = []
    told: set[int] = set()
    while error is not None and id(error) not in told:
        told.add(id(error))
        places = "".join(traceback.format_tb(error.__traceback__)).rstrip()
        lines = [*([places] if places else []), f"{type(error).__module__}.{type(error).__qualname__}", *lines]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(lines)


class TextLines(logging.Formatter):
    """Log records as a person reads them, one a line: nothing that a request says can begin a line or hide."""

    def format(self, record: logging.LogRecord) -> str:
        """Moment, level, message, and the fields of this module's records."""
        moment = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%d %H:%M:%S")
        said = {name: value for name, value in getattr(record, "credits", {}).items() if name != "operation"}
        written = [moment, record.levelname, record.getMessage()]
        written += [f"{name}={_shown(value)}" for name, value in said.items()]
        line = " ".join(written)
        return f"{line}\n{places_of(record.exc_info[1])}" if record.exc_info else line


def _shown(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else json.dumps(value)


class JSONLines(logging.Formatter):
    """Log records as JSON, one a line: moment, level, logger, message, and the fields of this module's records."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        written = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            written["exception"] = places_of(record.exc_info[1])
        return json.dumps(written | getattr(record, "credits", {}))
