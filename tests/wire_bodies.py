"""Bodies that a client may send, right and wrong: from the JSON schema of a request, and with bytes changed."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

_TEXTS = st.text(max_size=12) | st.sampled_from(
    ["question", "answer", "topic", "picture", "fr", "TW", "zh-Hant", "\x00"]
)
_WHOLE = st.integers(-3, 2000) | st.sampled_from([2**31, 2**53 + 1, 2**63 - 1, 2**63, 10**30, -1])
_NUMBERS = _WHOLE | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.01, 0.5, 1.0, 500.0, 1e300])
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=6,
)
"""Any JSON value, mostly a small one."""


def from_schema(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values of which about every tenth part is not what the schema asks for."""
    return st.integers(0, 9).flatmap(lambda draw: ANYTHING if draw == 9 else _valid(schema))


def _valid(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "anyOf" in schema:
        return st.one_of(*(from_schema(option) for option in schema["anyOf"]))
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    kinds: dict[str, Any] = {
        "object": lambda: _objects(schema),
        "array": lambda: st.lists(from_schema(schema.get("items", {})), max_size=3),
        "string": lambda: _TEXTS,
        "number": lambda: _NUMBERS,
        "integer": lambda: _WHOLE,
        "boolean": st.booleans,
        "null": st.none,
    }
    make = kinds.get(schema.get("type", ""))
    return ANYTHING if make is None else make()


def _objects(schema: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    named = st.fixed_dictionaries({}, optional={name: from_schema(part) for name, part in schema["properties"].items()})
    unknown = st.integers(0, 19).flatmap(
        lambda draw: st.dictionaries(_TEXTS, ANYTHING, max_size=2) if draw == 19 else st.just({})
    )
    return st.builds(lambda fields, others: fields | others, named, unknown)


@st.composite
def bodies(draw: st.DrawFn, schema: dict[str, Any]) -> bytes:
    """A body as bytes; of some, a few bytes are changed, lost, doubled or put in."""
    text = json.dumps(draw(from_schema(schema)), ensure_ascii=draw(st.booleans()))
    body = bytearray(text.encode("utf-8", "surrogatepass"))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2, 5]))):
        if not body:
            break
        place = draw(st.integers(0, len(body) - 1))
        change = draw(st.sampled_from(["change", "lose", "double", "cut", "insert"]))
        if change == "change":
            body[place] = draw(st.integers(0, 255))
        elif change == "lose":
            del body[place]
        elif change == "double":
            body[place:place] = body[place : place + 20]
        elif change == "cut":
            del body[place:]
        else:
            body[place:place] = draw(st.sampled_from([b"{", b"[", b'"', b"\\u", b"1e9", b"null", b"\xff", b"\x00"]))
    return bytes(body)
