"""An entry in memory: its JSON, its row, and the hash that chains it to the entry before."""

from __future__ import annotations

import json.encoder
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

PostedTransfer = tuple[int, int, int, int]
"""A transfer: grant number, source bucket, target bucket, micro-credits."""


Binding = tuple[str, str, bytes] | None
"""The key that a command binds: its name space, the key, and the digest of the request."""


_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


quote = json.encoder.encode_basestring_ascii
"""A text as JSON, in ASCII."""


_decode = json.JSONDecoder().raw_decode


_PLAIN = frozenset({int, type(None)})


def encode_details(details: Any) -> str:
    """The canonical JSON text of an entry's details: keys in the order given, no spaces, ASCII."""
    if details.__class__ is dict and _PLAIN.issuperset(map(type, details.values())):
        # The details of most holds. Setting the encoder up would take longer than writing them.
        parts = [f"{quote(key)}:{'null' if value is None else value}" for key, value in details.items()]
        return f"{{{','.join(parts)}}}"
    return _encode(details)


@dataclass(slots=True, eq=False)
class Posting:
    """One entry as the journal writes and reads it."""

    account_id: str
    sequence: int
    kind: str
    at: int
    recorded_at: int
    scope: str
    key: str | None
    digest: bytes | None
    reservation: int | None
    details: str
    transfers: list[PostedTransfer]
    buckets: tuple[int, ...]
    hash: bytes
    _parsed: dict[str, Any] | None = None

    def parsed_details(self) -> dict[str, Any]:
        """The details as a dictionary, which must not be changed."""
        if self._parsed is None:
            self._parsed = _decode(self.details)[0]
        return self._parsed


def genesis(account_id: str, opened_at: int) -> bytes:
    """The hash before an account's first entry: the beginning of its chain."""
    return sha256(_encode(["account", account_id, opened_at]).encode()).digest()


def chain_hash(previous: bytes, posting: Posting) -> bytes:
    """SHA-256 over the previous entry's hash and every field of this one, its transfers included."""
    text = entry_text(quote(posting.account_id), entry_row(posting), posting.transfers)
    return sha256(previous + text.encode()).digest()


def entry_row(posting: Posting) -> tuple[Any, ...]:
    """The row of an entry, in the order of its table's columns."""
    *buckets, scheduled, owed = posting.buckets
    return (
        posting.account_id,
        posting.sequence,
        posting.kind,
        posting.at,
        posting.recorded_at,
        posting.scope,
        posting.key,
        posting.digest,
        posting.reservation,
        posting.details,
        *buckets,
        posting.hash,
        scheduled,
        owed,
    )


def entry_text(account: str, row: tuple[Any, ...], transfers: Sequence[PostedTransfer]) -> str:
    """The text that is hashed of an entry: a JSON list of its fields, transfers and balances, in ASCII without spaces.

    `row` has the columns of the entry's table, `account` is the account's id as JSON. The list is written by hand for
    speed, because every entry that is posted or audited passes through here.
    """
    (
        _, sequence, kind, at, recorded_at, scope, key, digest, reservation, details,
        issued, available, held, consumed, expired, revoked, _, scheduled, owed,
    ) = row  # fmt: skip
    bound = "null" if digest is None else f'"{digest.hex()}"'
    figures = f"{issued},{available},{held},{consumed},{expired},{revoked}"
    if scheduled or owed:  # left out where 0: entries older than these figures keep their hash
        figures = f"{figures},{scheduled},{owed}"
    parts = ",".join([f"[{grant},{source},{target},{amount}]" for grant, source, target, amount in transfers])
    return (
        f"[{account},{sequence},{quote(kind)},{at},{recorded_at},{quote(scope)},"
        f"{'null' if key is None else quote(key)},{bound},"
        f"{'null' if reservation is None else reservation},{quote(details)},[{parts}],[{figures}]]"
    )
