"""Request bodies: read whole, within a limit, before anything else is done; then decoded exactly."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from anyio import to_thread
from fastapi import Request

from estimator import Issue, RequestRejected, RunRequest
from ledger.fastapi.refusals import BodyTooLarge

_AT_ONCE_BYTES = 16 * 1024


async def read_body(request: Request, bytes_max: int) -> bytes:
    """All bytes of a body. However slowly they come, nothing but memory of at most the limit is held meanwhile.

    Raises `BodyTooLarge`, as soon as that is certain.
    """
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > bytes_max:
        raise BodyTooLarge(bytes_max)
    pieces: list[bytes] = []
    left = bytes_max
    async for piece in request.stream():
        left -= len(piece)
        if left < 0:
            raise BodyTooLarge(bytes_max)
        pieces.append(piece)
    return b"".join(pieces)


async def parse_body(body: bytes) -> RunRequest:
    """As `parse_request`, where a large body keeps nobody else waiting."""
    if len(body) > _AT_ONCE_BYTES:
        return await to_thread.run_sync(parse_request, body)
    return parse_request(body)


def parse_request(body: bytes) -> RunRequest:
    """The run request that a body holds; an empty body asks for everything's default.

    Raises `RequestRejected`, for whatever bytes.
    """
    return RunRequest.from_wire(_decode(body) if body.strip() else {})


def _decode(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8"), parse_float=_exact, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 at byte {error.start}. Send JSON in UTF-8."
    except json.JSONDecodeError as error:
        problem = f"is not JSON at character {error.pos} ({error.msg}). Correct that place."
    except RecursionError:
        problem = "is nested too deeply. Send fewer levels."
    except (ValueError, ArithmeticError):
        problem = "holds a number that is no JSON number, or has too many digits. Correct it."
    raise RequestRejected([Issue("body", "body_unreadable", problem)])


def _exact(text: str) -> Decimal:
    return Decimal(text)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")


__all__ = ["parse_body", "parse_request", "read_body"]
