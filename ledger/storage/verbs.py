"""What every verb shares: one command, its result, or its refusal raised."""

from __future__ import annotations

from typing import TypeVar

from sqlalchemy.orm import Session

from ledger.commands import Command
from ledger.model.values import Result
from ledger.storage import journal

Answer = TypeVar("Answer", bound=Result)


def carry_out(session: Session, command: Command, kind: type[Answer]) -> Answer:
    """Execute one command and answer its result, which is of the given kind. Raises its refusal."""
    (result,) = journal.execute(session, [command])
    if isinstance(result, Exception):
        raise result
    if not isinstance(result, kind):  # pragma: no cover - a key's digest names its verb, so kinds cannot differ
        raise TypeError(f"{type(command).__name__} answered {type(result).__name__}")
    return result
