"""Carries out a batch of calls until each is settled, whatever fails: the database or a command.

What can go wrong with a batch, and what becomes of its calls:

    the database is unreachable       nothing was committed: tried again, then `NotCarriedOut`
    the answer to COMMIT is lost      calls that may be repeated are; the others get `OutcomeUnknown`
    a command breaks the batch        nothing was committed: each half of the batch is carried out by itself,
                                      until the broken command is alone and its caller gets the error

A call that fails for good when it is repeated after a lost COMMIT gets `OutcomeUnknown`: its first attempt may have
been committed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine

from ledger.batching.calls import Call, wake
from ledger.errors import CommitUnknown
from ledger.storage.commands_alone import run_commands
from ledger.storage.failures import is_outage
from ledger.storage.transactions import pause_before

_PAUSE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a transaction failed; `is_unknown` when it may have been committed nevertheless."""

    error: BaseException
    is_unknown: bool

    @property
    def is_outage(self) -> bool:
        return self.is_unknown or is_outage(self.error)


def carry_out(engine: Engine, calls: Sequence[Call], attempts: int) -> None:
    """Settle every call and wake its caller; each call is part of at most `attempts` transactions that fail."""
    attempt = 1
    while (failure := _commit(engine, calls)) is not None:
        if not failure.is_outage:
            _isolate(engine, calls, attempts, failure.error)
            return
        calls = _still_open(calls, failure)
        if not calls:
            return
        if attempt >= attempts:
            _fail(calls, f"The database failed (attempts made: {attempt})", failure.error)
            return
        time.sleep(pause_before(attempt, _PAUSE_SECONDS))
        attempt += 1


def _commit(engine: Engine, calls: Sequence[Call]) -> _Failure | None:
    """One transaction with all the calls; settles them when it is committed."""
    commands = [call.command for call in calls]
    try:
        # One attempt: which calls may be repeated is decided here, not by the transaction.
        results = run_commands(engine, commands, attempts=1)
    except CommitUnknown as error:
        return _Failure(error.__cause__ or error, is_unknown=True)
    except BaseException as error:  # noqa: BLE001  # its callers wait for an answer
        return _Failure(error, is_unknown=False)
    for call, result in zip(calls, results, strict=True):
        call.answer(result)
    wake(calls)
    return None


def _isolate(engine: Engine, calls: Sequence[Call], attempts: int, error: BaseException) -> None:
    if len(calls) == 1:
        calls[0].blame(error)
        wake(calls)
        return
    middle = len(calls) // 2
    carry_out(engine, calls[:middle], attempts)
    carry_out(engine, calls[middle:], attempts)


def _still_open(calls: Sequence[Call], failure: _Failure) -> Sequence[Call]:
    """The calls that may be tried again; the others are settled."""
    if not failure.is_unknown:
        return calls
    for call in calls:
        call.is_doubtful = True
    lost = [call for call in calls if not call.is_repeatable]
    _fail(lost, "The database gave no answer to the commit", failure.error)
    return [call for call in calls if call.is_repeatable]


def _fail(calls: Sequence[Call], why: str, error: BaseException) -> None:
    for call in calls:
        call.fail(why, error)
    wake(calls)
