"""What each revision locks and reads whole is measured, and is what its file and the page on upgrading say."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

import ledger
from ledger.schema.migrations import revisions_after
from ledger.schema.tables import metadata
from ledger.schema.triggers import install_triggers, remove_triggers
from tests.ledger.schema.earlier import run_revisions

PAGE = Path(__file__).parents[3] / "docs" / "upgrading.md"
REVISIONS = [revision.revision for revision in revisions_after(None)]
ON_POSTGRESQL = pytest.mark.parametrize("empty", ["postgresql"], indirect=True)

WEAKEST_FIRST = (
    "ACCESS SHARE",
    "ROW SHARE",
    "ROW EXCLUSIVE",
    "SHARE UPDATE EXCLUSIVE",
    "SHARE",
    "SHARE ROW EXCLUSIVE",
    "EXCLUSIVE",
    "ACCESS EXCLUSIVE",
)
STOPS_NOBODY = WEAKEST_FIRST[:3]
"""Modes that the ledger's own operations take."""

_HELD = text(
    "SELECT c.relname, l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
    " WHERE l.pid = pg_backend_pid() AND c.relkind = 'r'"
)
_WORK = text(
    "SELECT relname, pg_stat_get_xact_tuples_returned(oid), pg_stat_get_xact_tuples_updated(oid) FROM pg_class"
    " WHERE relkind = 'r' AND relname LIKE 'ledger%' AND relname NOT LIKE '%version'"
)


def held(connection: Connection) -> dict[str, set[str]]:
    """The tables by the strongest mode in which this transaction holds each."""
    modes: defaultdict[str, list[str]] = defaultdict(list)
    for table, mode in connection.execute(_HELD):
        if table in metadata.tables:
            modes[table].append(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", mode.removesuffix("Lock")).upper())
    found: defaultdict[str, set[str]] = defaultdict(set)
    for table, names in modes.items():
        strongest = max(names, key=WEAKEST_FIRST.index)
        if strongest not in STOPS_NOBODY:
            found[strongest].add(table)
    return dict(found)


def work(connection: Connection) -> dict[str, tuple[int, int]]:
    """The rows that were read in turn, and those that were updated, by table."""
    return {table: (read, written) for table, read, written in connection.execute(_WORK)}


def parsed(locks: str) -> dict[str, set[str]]:
    """Tables by mode, as a text names them: `MODE on table, table; MODE on table`."""
    named = re.findall(r"([A-Z][A-Z ]+) on ((?:ledger_\w+(?:, )?)+)", locks.replace("`", ""))
    return {mode: set(tables.split(", ")) for mode, tables in named}


def tables_in(said: str) -> set[str]:
    """The tables that a text names."""
    return set(re.findall(r"ledger_\w+", said))


def said_by_file(revision: str) -> tuple[dict[str, set[str]], set[str], set[str]]:
    """What the docstring of a revision says: locks, tables read whole, tables written whole."""
    (found,) = [one for one in revisions_after(None) if one.revision == revision]
    doc = str(found.module.__doc__)
    lines = dict(re.findall(r"^(Locks|Reads whole|Writes whole): (.*)\.$", doc, flags=re.MULTILINE))
    return parsed(lines["Locks"]), tables_in(lines["Reads whole"]), tables_in(lines.get("Writes whole", ""))


def said_by_page(revision: str) -> tuple[dict[str, set[str]], set[str], set[str]]:
    """What the page's table says of a revision."""
    rows = re.findall(rf"^\| {revision} \| (.+) \| (.+) \| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    ((locks, reads, writes),) = rows
    return parsed(locks), tables_in(reads), tables_in(writes)


def measured(connection: Connection, revision: str) -> tuple[dict[str, set[str]], set[str], set[str]]:
    """What a revision does to the tables that were there before it."""
    before = work(connection)
    run_revisions(connection, revision)
    after = work(connection)
    locks = {mode: tables & set(before) for mode, tables in held(connection).items()}
    reads = {table for table, (read, _) in before.items() if after[table][0] > read}
    writes = {table for table, (_, written) in before.items() if after[table][1] > written}
    return {mode: tables for mode, tables in locks.items() if tables}, reads, writes


@ON_POSTGRESQL
@pytest.mark.parametrize("revision", REVISIONS)
def test_a_revision_locks_reads_and_writes_what_its_file_and_the_page_say(
    empty: Engine, revision: str, request: pytest.FixtureRequest
) -> None:
    earlier = REVISIONS[: REVISIONS.index(revision)]
    if earlier:
        request.getfixturevalue("old")
        with empty.begin() as connection:
            run_revisions(connection, earlier[-1])
    with empty.begin() as connection:
        found = measured(connection, revision)
    assert said_by_file(revision) == found
    assert said_by_page(revision) == found


@ON_POSTGRESQL
def test_triggers_lock_what_the_page_says(old: Engine) -> None:
    with old.begin() as connection:
        run_revisions(connection, REVISIONS[-1])
    with old.begin() as connection:
        install_triggers(connection)
        made = held(connection)
    with old.begin() as connection:
        install_triggers(connection)
        made_again = held(connection)
    with old.begin() as connection:
        remove_triggers(connection)
        dropped = held(connection)
    with old.begin() as connection:
        remove_triggers(connection)
        dropped_again = held(connection)
    assert made == {"SHARE ROW EXCLUSIVE": {"ledger_account", "ledger_closing", "ledger_reservation"}}
    assert dropped == {
        "ACCESS EXCLUSIVE": {f"ledger_{name}" for name in ("account", "closing", "reservation", "entry", "transfer")}
    }
    assert (made_again, dropped_again) == ({}, {})


@ON_POSTGRESQL
def test_an_upgrade_with_nothing_to_do_locks_no_table(empty: Engine) -> None:
    ledger.upgrade(empty)
    with empty.begin() as connection:
        ledger.upgrade(connection)
        assert held(connection) == {}


def test_every_revision_is_on_the_page_and_says_what_it_locks() -> None:
    rows: Any = re.findall(r"^\| (\d{4}) \|.*\|.*\|.*\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == REVISIONS
    for revision in REVISIONS:
        assert said_by_file(revision) == said_by_page(revision)
