"""A book of revision 0001 as that revision's code wrote it, and what a database says of its schema."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Engine, text

from ledger.schema import migrations

BOOK: dict[str, Any] = json.loads((Path(__file__).parent / "book_0001.json").read_text())
ACCOUNTS = ("acme", "zürich")


def run_revisions(connection: sa.Connection, revision: str) -> None:
    """Bring the database to a revision, and do nothing else that `ledger.upgrade` does."""
    migrations.run_revisions(connection, revision)


def insert(connection: sa.Connection, accounts: Sequence[str]) -> None:
    """Write the rows of the file as they are; those of its first account for each further one."""
    for table, content in BOOK.items():
        names = content["columns"]
        statement = text(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(f':{n}' for n in names)})")
        rows = [
            [account, *map(stored, row[1:])]
            for account in accounts
            for row in content["rows"]
            if row[0] == (account if account in ACCOUNTS else ACCOUNTS[0])
        ]
        connection.execute(statement, [dict(zip(names, row, strict=True)) for row in rows])


def stored(value: Any) -> Any:
    """A value as it is stored; bytes are written as hex digits in the file."""
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value


def described(engine: Engine, *, with_versions: bool = False) -> dict[str, Any]:
    """Everything that the database says about the ledger's columns, constraints, indexes and triggers."""
    with engine.connect() as connection:
        return described_by(connection, with_versions=with_versions)


def described_by(connection: sa.Connection, *, with_versions: bool = False) -> dict[str, Any]:
    """As `described`, in a transaction that is under way."""
    if connection.dialect.name == "sqlite":
        query = "SELECT tbl_name, type, name, sql FROM sqlite_master WHERE tbl_name LIKE 'ledger%' AND sql IS NOT NULL"
        rows = connection.execute(text(query)).all()
        return {f"{row[1]} {row[0]} {row[2]}": parts(row[3]) for row in rows if "version" not in row[0]}
    queries = {
        "column": "SELECT table_name || ' ' || column_name, ordinal_position || ' ' || data_type || ' ' || is_nullable"
        " || ' ' || coalesce(column_default, '') FROM information_schema.columns WHERE table_name LIKE 'ledger%'",
        "constraint": "SELECT conrelid::regclass || ' ' || conname, pg_get_constraintdef(oid) || convalidated"
        " FROM pg_constraint WHERE conrelid::regclass::text LIKE 'ledger%'",
        "index": "SELECT indexname, indexdef FROM pg_indexes WHERE tablename LIKE 'ledger%'",
        "trigger": "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    }
    return {
        f"{what} {name}": definition
        for what, query in queries.items()
        for name, definition in connection.execute(text(query))
        if with_versions or "version" not in name
    }


def parts(statement: str) -> Any:
    """A CREATE statement in one line; of a table, its columns in their order, and its constraints in any."""
    flat = " ".join(re.sub(r"([(),])", r" \1 ", statement.replace('"', "")).split())
    if not flat.startswith("CREATE TABLE"):
        return flat
    head, body = flat.removesuffix(" )").split(" ( ", 1)
    found, depth = [""], 0
    for word in body.split():
        depth += {"(": 1, ")": -1}.get(word, 0)
        if word == "," and not depth:
            found.append("")
        else:
            found[-1] += f" {word}"
    constraints = {part for part in found if part.startswith(" CONSTRAINT")}
    return head, [part for part in found if part not in constraints], constraints
