"""Public ids: `<account>/g<number>` a grant, `<account>/r<number>` a reservation, `<account>/o<number>` the start of a
run in the outbox, `dataset-<dataset>-<ms>` a run.

The number is the sequence of the entry that made it. The account's id is part of each id but a run's, so the id alone
says which account, and which shard, it belongs to.

>>> parse_reservation_id(format_reservation_id("acme", 7))
('acme', 7)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ledger.errors import CommandInvalid, GrantNotFound, LedgerError, ReservationNotFound, RunNotFound
from ledger.model.checks import is_storable


def format_grant_id(account_id: str, number: int) -> str:
    """The public id of an account's grant."""
    return f"{account_id}/g{number}"


def format_reservation_id(account_id: str, number: int) -> str:
    """The public id of an account's reservation."""
    return f"{account_id}/r{number}"


def format_start_id(account_id: str, number: int) -> str:
    """The public id of a run's start. It is unique among all accounts; a run id is unique within its account."""
    return f"{account_id}/o{number}"


def format_run_id(dataset_id: str, started_ms: int) -> str:
    """The wire's run id: the dataset and the epoch milliseconds of the launch.

    >>> format_run_id("d1", 1712234567890)
    'dataset-d1-1712234567890'
    """
    return f"dataset-{dataset_id}-{started_ms}"


def parse_reservation_id(reservation_id: str) -> tuple[str, int]:
    """Account id and number of a reservation id. Raises `ReservationNotFound` for anything else.

    >>> parse_reservation_id("acme/r2")
    ('acme', 2)
    """
    return _parse_id(reservation_id, "/r", ReservationNotFound)


def parse_grant_id(grant_id: str) -> tuple[str, int]:
    """Account id and number of a grant id. Raises `GrantNotFound` for anything else."""
    return _parse_id(grant_id, "/g", GrantNotFound)


def parse_start_id(start_id: str, field: str) -> tuple[str, int]:
    """Account id and number of a start's id. Raises `CommandInvalid` for anything else."""
    return _parse_id(start_id, "/o", partial(_no_start, field))


def _no_start(field: str, text: str) -> CommandInvalid:
    return CommandInvalid(field, f"is {text!r}, which is no start's id. Give one that `list_outbox` answered.")


def _parse_id(text: str, mark: str, missing: Callable[[str], LedgerError]) -> tuple[str, int]:
    if not isinstance(text, str):
        raise missing(repr(text))
    account_id, found, number = text.rpartition(mark)
    if not (found and account_id and _is_number(number) and is_storable(text)):
        raise missing(text)
    return account_id, int(number)


def parse_run_id(run_id: str) -> tuple[str, int]:
    """Dataset id and epoch milliseconds of a run id. Raises `RunNotFound` for anything else.

    >>> parse_run_id("dataset-d1-1712234567890")
    ('d1', 1712234567890)
    """
    if not isinstance(run_id, str):
        raise RunNotFound(repr(run_id))
    dataset_id, _, started = run_id.removeprefix("dataset-").rpartition("-")
    if not (run_id.startswith("dataset-") and dataset_id and _is_number(started) and is_storable(run_id)):
        raise RunNotFound(run_id)
    return dataset_id, int(started)


def _is_number(text: str) -> bool:
    """True for ASCII digits within int64, without a leading zero, so that an id has one spelling."""
    return text.isascii() and text.isdigit() and len(text) <= 18 and (text[0] != "0" or text == "0")
