"""Any answer of the ledger as JSON-safe values: amounts as exact decimal text, moments as ISO 8601 in UTC."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

from estimator import RunResponse
from estimator.credits import format_credits, from_micro
from ledger.model.moments import from_optional
from ledger.model.values import Balance, Entry

_AMOUNTS = ("amount", "captured", "freed", "refunded", "requested", "limit", "maximum", "rollover_min", "rollover_max")
_MOMENTS = ("reserved_at", "expires_at", "effective_at", "anchor", "ends_at")


def plain(value: Any) -> Any:
    """JSON-safe values of an answer, a list of answers or a single field; a wire response is as the wire has it.

    >>> plain(Decimal("5.250"))
    '5.25'
    >>> plain(timedelta(seconds=90))
    'PT90S'
    """
    if isinstance(value, RunResponse):
        return value.to_wire()
    if isinstance(value, Entry):
        return _fields_of(value) | {"details": _details(value.details)}
    if isinstance(value, Balance):
        return _fields_of(value) | {"issued": format_credits(value.issued)}
    if is_dataclass(value):
        return _fields_of(value)
    if isinstance(value, Decimal):
        return format_credits(value)
    if isinstance(value, datetime):
        return moment_text(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, timedelta):
        return f"PT{seconds_text(value)}S"
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return {name: plain(item) for name, item in value.items()} if isinstance(value, dict) else value


def _fields_of(value: Any) -> dict[str, Any]:
    return {field.name: plain(getattr(value, field.name)) for field in fields(value) if field.name != "details"}


def _details(details: dict[str, Any]) -> dict[str, Any]:
    """An entry's details, with the journal's whole numbers (micro-credits, microseconds) as amounts and moments."""
    written = dict(details)
    for name in _AMOUNTS:
        if isinstance(written.get(name), int) and written.get("period") != "concurrent":
            written[name] = credits_text(written[name])
    for name in _MOMENTS:
        if isinstance(written.get(name), int):
            written[name] = plain(from_optional(written[name]))
    if isinstance(written.get("grace"), int):
        written["grace"] = plain(timedelta(microseconds=written["grace"]))
    if isinstance(written.get("recurrence"), dict):
        written["recurrence"] = _details(written["recurrence"])
    if "limit" in written and "period" in written:
        written["limit"] = details["limit"]  # the number of a limit, not an amount
    return written


def moment_text(moment: datetime) -> str:
    """A moment in ISO 8601 in UTC, to the microsecond.

    >>> moment_text(datetime(2026, 1, 31, 9, tzinfo=UTC))
    '2026-01-31T09:00:00Z'
    """
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def credits_text(micro: int) -> str:
    """Micro-credits as exact credits in plain notation.

    >>> credits_text(1_450_000)
    '1.45'
    """
    return format_credits(from_micro(micro))


def seconds_text(duration: timedelta) -> str:
    """A length of time in seconds, to the microsecond."""
    return format_credits(Decimal(duration // timedelta(microseconds=1)) / 10**6)


def exact_text(amount: Decimal, form: str = "f") -> str:
    """An amount of money with all of its digits, without trailing zeros; `,f` groups them by three.

    >>> exact_text(Decimal("0.012500"))
    '0.0125'
    """
    written = format(amount, form)
    return written.rstrip("0").rstrip(".") if "." in written else written
