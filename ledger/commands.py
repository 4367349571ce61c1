"""What a caller asks of the ledger: frozen commands that check their own values when they are made.

Ids: a grant is `<account>/g<number>`, a reservation `<account>/r<number>`, so an id alone says which account
(and shard) it belongs to. Amounts are `Decimal` or `int` credits with at most six decimals. `at` is when the
operation takes effect (the machine's clock when None); it is not part of what a key binds, nor is anything
that the ledger computes, so an honest retry is never a conflict.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from estimator.credits import to_micro
from estimator.errors import AmountInvalid
from ledger.errors import CommandInvalid, GrantNotFound, ReservationNotFound, RunNotFound
from ledger.instants import to_instant

if TYPE_CHECKING:
    from estimator import Estimate, RateCard, RunOutcome, RunPlan, RunRequest

TEXT_MAX = 255
"""Characters in an account id, a dataset id or a key."""

ID_BYTES_MAX = 512
"""Bytes of UTF-8 in an account or dataset id, so that an index entry of both and a key fits every database."""

PRIORITY_MAX = 32_767
"""Priorities run from 0, burnt first, to this."""


def check_text(value: object, name: str) -> str:
    """A text of 1 to 255 characters that every database stores. Raises `CommandInvalid`."""
    if not isinstance(value, str):
        raise CommandInvalid(name, f"must be a text of 1 to {TEXT_MAX} characters, not {type(value).__name__}.")
    if not 1 <= len(value) <= TEXT_MAX:
        raise CommandInvalid(name, f"has {len(value)} characters; give 1 to {TEXT_MAX}.")
    if not is_storable(value):
        raise CommandInvalid(name, "holds a NUL character or half of a surrogate pair; send well-formed text.")
    return value


def check_id(value: object, name: str) -> str:
    """A text as `check_text` has it, of at most 512 bytes. Raises `CommandInvalid`."""
    text = check_text(value, name)
    if len(text) > ID_BYTES_MAX // 4 and len(text.encode()) > ID_BYTES_MAX:
        raise CommandInvalid(name, f"has {len(text.encode())} bytes of UTF-8; give at most {ID_BYTES_MAX}.")
    return text


def is_storable(value: str) -> bool:
    """True for a text that every database stores as it is."""
    if value.isascii():
        return "\x00" not in value
    return not any(character == "\x00" or "\ud800" <= character <= "\udfff" for character in value)


def check_amount(value: object, *, least: int) -> int:
    """Micro-credits of an amount of at least `least` of them. Raises `CommandInvalid`."""
    try:
        micro = to_micro(value)  # type: ignore[arg-type]  # it refuses whatever is no amount
    except AmountInvalid as error:
        raise CommandInvalid("amount", str(error)) from error
    if micro < least:
        raise CommandInvalid("amount", f"is {value}; give {'more than 0' if least else '0 or more'} credits.")
    return micro


def format_grant_id(account_id: str, number: int) -> str:
    """The public id of an account's grant."""
    return f"{account_id}/g{number}"


def format_reservation_id(account_id: str, number: int) -> str:
    """The public id of an account's reservation."""
    return f"{account_id}/r{number}"


def format_run_id(dataset_id: str, started_ms: int) -> str:
    """The wire's run id: the dataset and the epoch milliseconds of the launch."""
    return f"dataset-{dataset_id}-{started_ms}"


def parse_reservation_id(reservation_id: str) -> tuple[str, int]:
    """Account id and number of a reservation id. Raises `ReservationNotFound` for anything else."""
    return _parse_id(reservation_id, "/r", ReservationNotFound)


def parse_grant_id(grant_id: str) -> tuple[str, int]:
    """Account id and number of a grant id. Raises `GrantNotFound` for anything else."""
    return _parse_id(grant_id, "/g", GrantNotFound)


def _parse_id(text: str, mark: str, missing: type[ReservationNotFound] | type[GrantNotFound]) -> tuple[str, int]:
    if not isinstance(text, str):
        raise missing(repr(text))
    account_id, found, number = text.rpartition(mark)
    if not (found and account_id and _is_number(number) and is_storable(text)):
        raise missing(text)
    return account_id, int(number)


def parse_run_id(run_id: str) -> tuple[str, int]:
    """Dataset id and epoch milliseconds of a run id. Raises `RunNotFound` for anything else."""
    if not isinstance(run_id, str):
        raise RunNotFound(repr(run_id))
    dataset_id, _, started = run_id.removeprefix("dataset-").rpartition("-")
    if not (run_id.startswith("dataset-") and dataset_id and _is_number(started) and is_storable(run_id)):
        raise RunNotFound(run_id)
    return dataset_id, int(started)


def _is_number(text: str) -> bool:
    """True for plain digits within int64, without a leading zero: one spelling an id."""
    return text.isascii() and text.isdigit() and len(text) <= 18 and (text[0] != "0" or text == "0")


def digest(*parts: object) -> bytes:
    """SHA-256 over the parts of a request that its key binds."""
    return hashlib.sha256(repr(parts).encode()).digest()


def _check_common(key: str | None, at: datetime | None) -> None:
    if key is not None:
        check_text(key, "key")
    if at is not None:
        to_instant(at)


@dataclass(frozen=True, slots=True)
class OpenAccount:
    """Open an account; one that is open already is answered as a replay."""

    account_id: str
    at: datetime | None = None

    def __post_init__(self) -> None:
        check_id(self.account_id, "account_id")
        _check_common(None, self.at)


@dataclass(frozen=True, slots=True)
class GrantCredits:
    """Issue credits to an account, with a priority (lower burns first) and an expiry (None: never)."""

    account_id: str
    amount: Decimal | int
    key: str | None = None
    priority: int = 100
    expires_at: datetime | None = None
    at: datetime | None = None
    amount_micro: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_id(self.account_id, "account_id")
        _check_common(self.key, self.at)
        object.__setattr__(self, "amount_micro", check_amount(self.amount, least=1))
        if type(self.priority) is not int or not 0 <= self.priority <= PRIORITY_MAX:
            raise CommandInvalid("priority", f"must be a whole number from 0 (burnt first) to {PRIORITY_MAX}.")
        if self.expires_at is not None:
            to_instant(self.expires_at, "expires_at")

    def digest(self) -> bytes:
        """What the key binds."""
        expires = None if self.expires_at is None else to_instant(self.expires_at)
        return digest("grant", self.amount_micro, self.priority, expires)


@dataclass(frozen=True, slots=True)
class Reserve:
    """Hold credits, for `expires_in` or until settled. `expires_in` counts from `at`, so that a retry is the same."""

    account_id: str
    amount: Decimal | int
    key: str | None = None
    expires_in: timedelta | None = None
    at: datetime | None = None
    amount_micro: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_id(self.account_id, "account_id")
        _check_common(self.key, self.at)
        object.__setattr__(self, "amount_micro", check_amount(self.amount, least=1))
        check_expires_in(self.expires_in)

    def digest(self) -> bytes:
        """What the key binds."""
        return digest("reserve", self.amount_micro, expires_in_micros(self.expires_in))


def check_expires_in(expires_in: timedelta | None) -> None:
    """A positive duration of at most a century. Raises `CommandInvalid`."""
    if expires_in is None:
        return
    if not isinstance(expires_in, timedelta):
        raise CommandInvalid("expires_in", f"must be a timedelta, not {type(expires_in).__name__}.")
    if not timedelta(0) < expires_in <= timedelta(days=36_525):
        raise CommandInvalid("expires_in", "must be longer than 0 and at most 36,525 days.")


def expires_in_micros(expires_in: timedelta | None) -> int | None:
    """Whole microseconds of a hold's duration."""
    return None if expires_in is None else expires_in // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Capture:
    """Consume part (or, with no amount, all) of a hold; what is left of it is freed. 0 consumes nothing."""

    reservation_id: str
    amount: Decimal | int | None = None
    key: str | None = None
    account_id: str = ""
    at: datetime | None = None
    amount_micro: int | None = field(init=False, repr=False, compare=False)
    number: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_common(self.key, self.at)
        micro = None if self.amount is None else check_amount(self.amount, least=0)
        object.__setattr__(self, "amount_micro", micro)
        _set_owner(self, self.reservation_id, self.account_id)

    def digest(self) -> bytes:
        """What the key binds."""
        return digest("capture", self.number, self.amount_micro)


@dataclass(frozen=True, slots=True)
class Release:
    """Free all of a hold."""

    reservation_id: str
    key: str | None = None
    account_id: str = ""
    at: datetime | None = None
    number: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_common(self.key, self.at)
        _set_owner(self, self.reservation_id, self.account_id)

    def digest(self) -> bytes:
        """What the key binds."""
        return digest("release", self.number)


def _set_owner(command: Capture | Release, reservation_id: str, account_id: str) -> None:
    """Take the account from the reservation's id; an account named beside it must be the same one."""
    owner, number = parse_reservation_id(reservation_id)
    if account_id not in ("", owner):
        raise ReservationNotFound(reservation_id)
    object.__setattr__(command, "account_id", owner)
    object.__setattr__(command, "number", number)


@dataclass(frozen=True, slots=True)
class ExpireDue:
    """Record what has lapsed in an account by `at`. Reads and writes see lapses without this having run."""

    account_id: str
    at: datetime | None = None

    def __post_init__(self) -> None:
        check_id(self.account_id, "account_id")
        _check_common(None, self.at)


@dataclass(frozen=True, slots=True)
class GetBalance:
    """The account's balance as the commands before it in the batch leave it, lapses by `at` included."""

    account_id: str
    at: datetime | None = None

    def __post_init__(self) -> None:
        check_id(self.account_id, "account_id")
        _check_common(None, self.at)


@dataclass(frozen=True, slots=True)
class LaunchRun:
    """Hold what a run is estimated to cost and bind its key, at most one active run a dataset."""

    account_id: str
    dataset_id: str
    request: RunRequest
    plan: RunPlan
    card: RateCard
    estimate: Estimate
    expires_in: timedelta | None = None
    at: datetime | None = None

    def __post_init__(self) -> None:
        check_id(self.account_id, "account_id")
        check_id(self.dataset_id, "dataset_id")
        _check_common(self.key, self.at)
        check_expires_in(self.expires_in)

    @property
    def key(self) -> str | None:
        """The request's own idempotency key."""
        return request_key(self.request)

    def digest(self) -> bytes:
        """What the key binds: the request, not its price."""
        return bytes.fromhex(self.request.digest())


def request_key(request: RunRequest) -> str | None:
    """The idempotency key that a request carries."""
    job = request.job_specification
    return None if job is None else job.idempotency_key


@dataclass(frozen=True, slots=True)
class SettleRun:
    """Charge a finished run for what it delivered and free the rest. The same outcome again is a replay."""

    account_id: str
    run_id: str
    outcome: RunOutcome
    at: datetime | None = None
    dataset_id: str = field(init=False, repr=False, compare=False)
    started_ms: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_id(self.account_id, "account_id")
        _check_common(None, self.at)
        dataset_id, started_ms = parse_run_id(self.run_id)
        object.__setattr__(self, "dataset_id", dataset_id)
        object.__setattr__(self, "started_ms", started_ms)

    @property
    def key(self) -> str:
        """A run ends once, so its id is the key."""
        return self.run_id

    def digest(self) -> bytes:
        """What the key binds."""
        outcome = self.outcome
        return digest("settle", str(outcome.status), outcome.rows_processed, outcome.rows_delivered)


Command = OpenAccount | GrantCredits | Reserve | Capture | Release | ExpireDue | GetBalance | LaunchRun | SettleRun


def key_scope(command: Command) -> str:
    """The name space of a command's key: a run's key is its dataset's own."""
    if isinstance(command, LaunchRun):
        return launch_scope(command.dataset_id)
    return "settle" if isinstance(command, SettleRun) else ""


def launch_scope(dataset_id: str) -> str:
    """The name space of the keys of a dataset's launches."""
    return f"launch:{dataset_id}"


__all__ = [
    "Capture",
    "Command",
    "ExpireDue",
    "GetBalance",
    "GrantCredits",
    "LaunchRun",
    "OpenAccount",
    "Release",
    "Reserve",
    "SettleRun",
]
