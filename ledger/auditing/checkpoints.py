"""Checkpoints: the state of every account's journal, to be signed and kept elsewhere; proof that a book extends it.

The audit proves that a book agrees with itself. A person with the right to rewrite a whole account could make another
book that agrees with itself too, but not with a checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from estimator.credits import format_credits, from_micro
from ledger.auditing.rows import list_columns
from ledger.book.buckets import BALANCES
from ledger.book.postings import genesis
from ledger.clock import clock
from ledger.errors import CheckpointInvalid, Finding
from ledger.model.moments import from_moment, to_moment
from ledger.storage.history import read_postings
from ledger.storage.sessions import connection_to_all
from ledger.storage.stores import fetch_one

VERSION = 1


@dataclass(frozen=True, slots=True)
class AccountMark:
    """The state of one account's journal: its count of entries, the hash of the last, and the account's figures."""

    account_id: str
    sequence: int
    head: str
    balances: tuple[Decimal, ...]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of every account when the checkpoint was taken, in the order of their ids."""

    taken_at: datetime
    accounts: tuple[AccountMark, ...]

    def totals(self) -> tuple[Decimal, ...]:
        """The sums of all accounts' figures, as `states.BALANCES` orders them."""
        columns = zip(*(mark.balances for mark in self.accounts), strict=True)
        return tuple(sum(column, Decimal(0)) for column in columns) or (Decimal(0),) * len(BALANCES)

    def to_json(self) -> str:
        """The canonical document: the same checkpoint gives the same bytes, so that it can be signed.

        Keys are sorted, amounts are text, there are no spaces; `digest` is the SHA-256 over the document without it.
        """
        content = self._content()
        return _encode(content | {"digest": sha256(_encode(content).encode()).hexdigest()}) + "\n"

    def _content(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "taken_at": self.taken_at.isoformat(),
            "totals": _named(self.totals()),
            "accounts": [
                {"account_id": m.account_id, "sequence": m.sequence, "head": m.head, "balances": _named(m.balances)}
                for m in self.accounts
            ],
        }

    @classmethod
    def from_json(cls, document: str) -> Checkpoint:
        """Read a document back. Raises `CheckpointInvalid` for anything that `to_json` did not write."""
        try:
            content = json.loads(document)
            marks = tuple(
                AccountMark(each["account_id"], each["sequence"], each["head"], _amounts(each["balances"]))
                for each in content["accounts"]
            )
            found = cls(datetime.fromisoformat(content["taken_at"]), marks)
            version = content["version"]
        except (ValueError, LookupError, TypeError, ArithmeticError, AttributeError):
            raise CheckpointInvalid("is no checkpoint of a ledger. Name the file that the audit wrote.") from None
        if version != VERSION:
            raise CheckpointInvalid(f"has version {version!r}, and this library reads {VERSION}. Use the other one.")
        if found.to_json().strip() != document.strip():
            raise CheckpointInvalid("is not what was written: its digest does not follow. Use an unchanged copy.")
        return found


def _encode(content: Any) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _named(amounts: tuple[Decimal, ...]) -> dict[str, str]:
    return {name: format_credits(amount) for name, amount in zip(BALANCES, amounts, strict=True)}


def _amounts(named: dict[str, str]) -> tuple[Decimal, ...]:
    return tuple(Decimal(named[name]) for name in BALANCES)


def take_checkpoint(session: Session, *, at: datetime | None = None) -> Checkpoint:
    """The state of every account now; `at` is the moment written in it. Take it of a book that the audit has proved."""
    connection = connection_to_all(session)
    moment = from_moment(clock() if at is None else to_moment(at))
    marks = [
        AccountMark(account_id, sequence, bytes(head).hex(), tuple(map(from_micro, figures)))
        for account_id, sequence, head, *figures in list_columns(
            connection, "account_id", "sequence", "head", *BALANCES
        )
    ]
    return Checkpoint(moment, tuple(sorted(marks, key=lambda mark: mark.account_id)))


_OPENED = "SELECT opened_at FROM ledger_account WHERE account_id = $1"


def verify_checkpoint(session: Session, checkpoint: Checkpoint) -> Iterator[Finding]:
    """Yield a finding for each account that does not extend the checkpoint: it, or its entry, is not as it was.

    The audit proves that each account's later entries follow from that entry. So no finding here, and none of an audit
    of the same book, mean that all that the checkpoint saw is there unchanged.
    """
    connection = connection_to_all(session)
    for mark in checkpoint.accounts:
        problem = _problem(connection, mark)
        if problem is not None:
            yield Finding(mark.account_id, mark.sequence or None, "checkpoint_broken", problem)


def _problem(connection: Connection, mark: AccountMark) -> str | None:
    account = fetch_one(connection, _OPENED, mark.account_id)
    if account is None:
        return "the account that the checkpoint saw is gone"
    (opened_at,) = account
    if mark.sequence == 0:
        is_same = genesis(mark.account_id, opened_at).hex() == mark.head
        return None if is_same else "the account was opened at another moment than the checkpoint saw"
    found = read_postings(connection, [(mark.account_id, mark.sequence)])
    if not found:
        return f"the checkpoint saw {mark.sequence} entries, and that one is gone"
    if found[0].hash.hex() != mark.head:
        return "the entry is not the one that the checkpoint saw: it, or one before it, was written anew"
    if tuple(map(from_micro, found[0].buckets)) != mark.balances:
        return "the balance after the entry is not the one that the checkpoint saw"
    return None
