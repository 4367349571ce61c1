"""Databases without tables, and one with roles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from tests.drivers import create_engine
from tests.ledger.schema.earlier import ACCOUNTS, insert, run_revisions
from tests.ledger.schema.roles import Roles
from tests.ledger.verbs import fill
from tests.postgres import Databases


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, postgres: Databases, tmp_path: Path) -> Iterator[Engine]:
    """An engine on a database without tables."""
    url = f"sqlite:///{tmp_path / 'old.sqlite'}" if request.param == "sqlite" else postgres.create()
    engine = create_engine(url)
    yield engine
    engine.dispose()
    if request.param == "postgresql":
        postgres.drop(url)


@pytest.fixture
def old(empty: Engine) -> Engine:
    """A database at revision 0001, with two accounts that the code of that revision wrote."""
    with empty.begin() as connection:
        run_revisions(connection, "0001")
        insert(connection, ACCOUNTS)
    return empty


@pytest.fixture
def roles(postgresql_url: str) -> Iterator[Roles]:
    """Two accounts with rows in every table, and two roles whose names are hard to quote."""
    owner = create_engine(postgresql_url)
    found = Roles(
        postgresql_url, owner, f'app "it\'s" %s\\ {uuid4().hex}', f"reader {uuid4().hex}", f"worker {uuid4().hex}"
    )
    with Session(owner) as session, session.begin():
        found.accounts = {name: fill(session, name) for name in ("acme", "beta")}
    yield found
    found.drop()
    owner.dispose()
