"""The digest of a request, which its key binds: of canonical JSON, so that it is the same on every Python."""

from __future__ import annotations

import json.encoder
from hashlib import sha256
from typing import Any

VERSION = 2
"""Of the hashed text. Version 1 was the `repr` of the parts, which depends on the interpreter's Unicode tables."""

_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), sort_keys=True).encode
_quote = json.encoder.encode_basestring_ascii


def _json(part: Any) -> str:
    """A part as canonical JSON: a command has few and plain ones, and setting an encoder up takes longer than these."""
    kind = part.__class__
    if kind is str:
        return _quote(part)
    if kind is int:
        return str(part)
    if kind is tuple:
        return f"[{','.join(map(_json, part))}]"
    return "null" if part is None else _encode(part)


class Digest:
    """What a key binds: texts, whole numbers, truth values and lists of them, which name the verb and its arguments."""

    __slots__ = ("_parts", "value")

    def __init__(self, *parts: object) -> None:
        self._parts = parts
        self.value: bytes = sha256(_json((VERSION, *parts)).encode()).digest()

    @classmethod
    def made(cls, value: bytes) -> Digest:
        """A digest that was made elsewhere: a run's, which the request of the wire makes."""
        digest = cls.__new__(cls)
        digest._parts, digest.value = (), value
        return digest

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Digest) and self.value == other.value

    def __hash__(self) -> int:
        return hash(self.value)

    @property
    def earlier(self) -> bytes:
        """The digest that version 1 made of the same request."""
        return sha256(repr(self._parts).encode()).digest() if self._parts else self.value

    def is_of(self, bound: bytes | None) -> bool:
        """True when a key was bound by this request, also by a version of the library that hashed another text."""
        return bound == self.value or bound == self.earlier
