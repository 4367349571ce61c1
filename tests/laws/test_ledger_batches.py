"""A batch is its commands one by one, and SQLite is PostgreSQL: the same entries, to the last byte of their hashes."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlalchemy.orm import Session

import ledger
from ledger.model.moments import to_moment
from ledger.storage import journal
from tests.drivers import create_engine

START = datetime(2026, 6, 1, tzinfo=UTC)
_names: Iterator[int] = itertools.count()

AMOUNTS = st.decimals(min_value="0.000001", max_value=9, places=6)
KEYS = st.none() | st.sampled_from("abc")
LASTS = st.none() | st.timedeltas(min_value=timedelta(microseconds=1), max_value=timedelta(seconds=9))
MOMENTS = st.timedeltas(min_value=timedelta(0), max_value=timedelta(seconds=20)).map(lambda passed: START + passed)


def hold_id(name: str, number: int) -> str:
    """The id of what may be a reservation."""
    return f"{name}/r{number}"


@st.composite
def commands(draw: st.DrawFn) -> list[ledger.Command]:
    """Commands on two accounts, in any order of time."""
    number = next(_names)
    names = [f"batch-{number}-{part}" for part in "xy"]
    made: list[ledger.Command] = [ledger.OpenAccount(name, START) for name in names]
    made += [ledger.GrantCredits(name, 10, at=START) for name in names]
    for _ in range(draw(st.integers(1, 12))):
        name, key, at = draw(st.sampled_from(names)), draw(KEYS), draw(MOMENTS)
        kind = draw(st.sampled_from(["grant", "reserve", "reserve", "capture", "release", "expire"]))
        target = hold_id(name, draw(st.integers(2, 9)))
        if kind == "grant":
            lasts = draw(LASTS)
            made.append(ledger.GrantCredits(name, draw(AMOUNTS), key, expires_at=lasts and at + lasts, at=at))
        elif kind == "reserve":
            made.append(ledger.Reserve(name, draw(AMOUNTS), key, draw(LASTS), at))
        elif kind == "capture":
            made.append(ledger.Capture(target, draw(st.none() | AMOUNTS), key, at=at))
        elif kind == "release":
            made.append(ledger.Release(target, key, at=at))
        else:
            made.append(ledger.ExpireDue(name, at))
    return made


def carried_out(engine: Engine, batches: list[list[ledger.Command]]) -> tuple[list[Any], list[ledger.Entry]]:
    """The answers to the batches, refusals as text, and the entries that they left."""
    answers: list[Any] = []
    for batch in batches:
        with Session(engine) as session, session.begin():
            answers += ledger.execute(session, batch)
    names = sorted({command.account_id for batch in batches for command in batch})
    with Session(engine) as session:
        entries = [
            entry
            for name in names
            for entry in ledger.get_statement(session, name, until=START + timedelta(days=1)).entries
        ]
    return [repr(answer) for answer in answers], entries


@pytest.fixture
def engines(sqlite_template: Path, tmp_path: Path, postgresql_url: str) -> Iterator[list[Engine]]:
    """Two SQLite files and a PostgreSQL database."""
    urls = [postgresql_url]
    for name in ("one", "two"):
        shutil.copyfile(sqlite_template, tmp_path / f"{name}.sqlite")
        urls.append(f"sqlite:///{tmp_path / name}.sqlite")
    made = [create_engine(url) for url in urls]
    yield made
    for engine in made:
        engine.dispose()


@pytest.fixture(autouse=True)
def one_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries are recorded at one moment, whoever writes them."""
    monkeypatch.setattr(journal, "clock", lambda: to_moment(START))


@given(made=commands())
def test_a_batch_is_its_commands_one_by_one_on_either_database(
    engines: list[Engine], made: list[ledger.Command]
) -> None:
    postgresql, first, second = engines
    whole = carried_out(postgresql, [made])
    assert carried_out(first, [[command] for command in made]) == whole
    assert carried_out(second, [made[: len(made) // 2], made[len(made) // 2 :]]) == whole
