"""Bodies that a client may send, right and wrong: from the JSON schema of a request, and with bytes changed."""

from __future__ import annotations

import json
import operator
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


_MAPPINGS = [
    {"prompt": "question"},
    {"prompt": "question", "completion": "answer", "context": ["topic"]},
    {"prompt": "question", "image": "picture"},
    {"chat": "topic"},
    {"universal_prompt": "Translate it.", "context": ["question"]},
]
"""What a run needs, of columns that the tests' datasets have."""


def from_schema(schema: dict[str, Any], *, careful: bool = False) -> st.SearchStrategy[Any]:
    """Values of which about every tenth part is not what the schema asks for; a careful client's all are."""
    valid = _valid(schema, careful)
    return valid if careful else st.integers(0, 9).flatmap(lambda draw: ANYTHING if draw == 9 else valid)


def _valid(schema: dict[str, Any], careful: bool) -> st.SearchStrategy[Any]:
    if "anyOf" in schema:
        return st.one_of(*(from_schema(option, careful=careful) for option in schema["anyOf"]))
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    kinds: dict[str, Any] = {
        "object": lambda: _objects(schema, careful),
        "array": lambda: st.lists(from_schema(schema.get("items", {}), careful=careful), max_size=3),
        "string": lambda: _TEXTS.filter(lambda text: text and "\x00" not in text) if careful else _TEXTS,
        "number": lambda: st.integers(1, 5000) if careful else _NUMBERS,
        "integer": lambda: st.integers(1, 5000) if careful else _WHOLE,
        "boolean": st.booleans,
        "null": st.none,
    }
    make = kinds.get(schema.get("type", ""))
    return ANYTHING if make is None else make()


def _objects(schema: dict[str, Any], careful: bool) -> st.SearchStrategy[dict[str, Any]]:
    parts = {name: from_schema(part, careful=careful) for name, part in schema["properties"].items()}
    named = st.fixed_dictionaries({}, optional=parts)
    if careful:
        return named
    unknown = st.integers(0, 19).flatmap(
        lambda draw: st.dictionaries(_TEXTS, ANYTHING, max_size=2) if draw == 19 else st.just({})
    )
    return st.builds(lambda fields, others: fields | others, named, unknown)


def bodies(schema: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """Bodies as bytes; of some, a few bytes are changed, lost, doubled or put in.

    Half of them are a careful client's, most of which are no mistake but for those bytes: what is wrong already where
    it is read never gets to the book.
    """
    mapped = st.sampled_from(_MAPPINGS).map(lambda mapping: {"column_mapping": mapping})
    careful = st.builds(operator.or_, from_schema(schema, careful=True), mapped)
    return _written(st.one_of(from_schema(schema), careful))


@st.composite
def _written(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> bytes:
    text = json.dumps(draw(values), ensure_ascii=draw(st.booleans()))
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
