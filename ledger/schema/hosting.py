"""Beside a host's own Alembic: filters by which its autogenerate leaves the ledger's tables alone.

In the host's `env.py`: `context.configure(..., include_name=ledger.include_name)`. A host with a filter of its own
calls `include_name` or `include_object` in it.
"""

from __future__ import annotations

from typing import Any

from ledger.schema.revisions import VERSION_TABLE
from ledger.schema.tables import metadata

_OURS = frozenset({*metadata.tables, VERSION_TABLE})


def include_name(name: str | None, type_: str, parent_names: Any = None) -> bool:
    """False for a table of the ledger's, found in the database; for Alembic's `include_name`."""
    return not (type_ == "table" and name in _OURS)


def include_object(
    object: Any,  # noqa: A002  # Alembic's name for it
    name: str | None,
    type_: str,
    reflected: bool = False,
    compare_to: Any = None,
) -> bool:
    """False for a table of the ledger's; for Alembic's `include_object`."""
    return include_name(name, type_)
