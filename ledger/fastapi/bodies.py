"""Request bodies: read whole and within limits before a transaction begins, then decoded exactly."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from typing import Any

from anyio import fail_after, to_thread
from fastapi import Request

from estimator import Issue, RequestRejected, RunRequest
from estimator.sentences import shown
from ledger.fastapi.refusals import BodyTooLarge, BodyTooSlow

VALUES_MAX = 4096
"""The most values that a body may hold: many more than a request needs, few enough to report a problem with each."""

_AT_ONCE_BYTES = 16 * 1024


async def read_body(request: Request, bytes_max: int, seconds: float) -> bytes:
    """All bytes of a body, at most `bytes_max` of them, within `seconds`. No connection or lock is held meanwhile.

    Raises `BodyTooLarge` as soon as the limit is certainly exceeded, `BodyTooSlow`, and `RequestRejected` for a
    compressed body.
    """
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > bytes_max:
        raise BodyTooLarge(bytes_max)
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.strip().lower() not in ("", "identity"):
        raise RequestRejected([Issue("body", "body_unreadable", "is compressed. Send it without Content-Encoding.")])
    try:
        with fail_after(seconds):
            return await _read(request, bytes_max)
    except TimeoutError:
        raise BodyTooSlow(seconds) from None


async def _read(request: Request, bytes_max: int) -> bytes:
    pieces: list[bytes] = []
    left = bytes_max
    async for piece in request.stream():
        left -= len(piece)
        if left < 0:
            raise BodyTooLarge(bytes_max)
        pieces.append(piece)
    return b"".join(pieces)


async def parse_body(body: bytes) -> RunRequest:
    """`parse_request`, in a thread for a large body, so that the event loop goes on."""
    if len(body) > _AT_ONCE_BYTES:
        return await to_thread.run_sync(parse_request, body)
    return parse_request(body)


def parse_request(body: bytes) -> RunRequest:
    """The run request of a body; an empty body is a request of defaults.

    Raises `RequestRejected` for any bytes that are no request, and nothing else.
    """
    return RunRequest.from_wire(_decode(body) if body.strip() else {})


def _decode(body: bytes) -> Any:
    # An upper bound without decoding: each value follows a comma, or opens a list or an object.
    if body.count(b",") + body.count(b"[") + body.count(b"{") >= VALUES_MAX:
        decoded = _decode_text(body)
        if not _has_at_most(decoded, VALUES_MAX):
            raise _unreadable(f"holds more than {VALUES_MAX} values. Send fewer.")
        return decoded
    return _decode_text(body)


def _decode_text(body: bytes) -> Any:
    try:
        return json.loads(
            body.decode("utf-8"), parse_float=_exact, parse_constant=_refuse_constant, object_pairs_hook=_named_once
        )
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 at byte {error.start}. Send JSON in UTF-8."
    except json.JSONDecodeError as error:
        problem = f"is not JSON at character {error.pos} ({error.msg}). Correct that place."
    except RecursionError:
        problem = "is nested too deeply. Send fewer levels."
    except (ValueError, ArithmeticError):
        problem = "holds a number that is no JSON number, or has too many digits. Correct it."
    raise _unreadable(problem)


def _unreadable(problem: str) -> RequestRejected:
    return RequestRejected([Issue("body", "body_unreadable", problem)])


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object with distinct names. A name twice is refused: parsers differ in which of the two values they take."""
    named = dict(pairs)
    if len(named) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise _unreadable(f"names {shown(twice)} twice in one object. Send it once.")
    return named


def _has_at_most(decoded: Any, most: int) -> bool:
    """Whether there are at most `most` values, lists and objects counted as values too."""
    waiting, count = [decoded], 0
    while waiting and count <= most:
        value = waiting.pop()
        count += 1
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return count <= most


def _exact(text: str) -> Decimal:
    return Decimal(text)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")
