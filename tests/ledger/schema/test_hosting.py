"""Beside a host's Alembic: its autogenerate leaves the ledger's tables alone, and its revisions may upgrade them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine

import ledger
from ledger.schema.revisions import HEAD


def proposals(engine: Engine, **options: Any) -> set[tuple[str, str]]:
    """What autogenerate proposes to a host that has one table too many and one too few."""
    metadata = sa.MetaData()
    sa.Table("new_order", metadata, sa.Column("id", sa.Integer, primary_key=True))
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE IF NOT EXISTS old_order (id INTEGER PRIMARY KEY)"))
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    return {(change[0], change[1].name) for change in found if change[0] in ("add_table", "remove_table")}


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.parametrize("option", ["include_name", "include_object"])
def test_a_hosts_autogenerate_neither_drops_nor_makes_a_table_of_the_ledgers(engine: Engine, option: str) -> None:
    """With either filter, what the host itself has to change is still found; without one, all would be dropped."""
    wanted = {("add_table", "new_order"), ("remove_table", "old_order")}
    assert proposals(engine, **{option: getattr(ledger, option)}) == wanted
    assert proposals(engine) > wanted


ENVIRONMENT = """
import os
from alembic import context
from sqlalchemy import create_engine

with create_engine(os.environ["HOST_DATABASE"]).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
    assert not context.is_offline_mode()
"""
FIRST = """
import ledger
import sqlalchemy as sa
from alembic import op

revision, down_revision = "a", None


def upgrade():
    op.create_table("one", sa.Column("id", sa.Integer, primary_key=True))
    assert ledger.upgrade(op.get_bind()) == ledger.current_revision(op.get_bind())
    op.create_table("two", sa.Column("id", sa.Integer, primary_key=True))
"""
SECOND = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "b", "a"


def upgrade():
    op.create_table("three", sa.Column("id", sa.Integer, primary_key=True))
"""


def test_a_hosts_revision_upgrades_the_ledger_and_goes_on(empty: Engine, tmp_path: Path) -> None:
    """One `alembic upgrade head` makes both, in the host's transaction; the host's later revisions run as well."""
    versions = tmp_path / "host" / "versions"
    versions.mkdir(parents=True)
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/host\npath_separator = os\n")
    (tmp_path / "host" / "env.py").write_text(ENVIRONMENT)
    (versions / "a.py").write_text(FIRST)
    (versions / "b.py").write_text(SECOND)
    url = empty.url.render_as_string(hide_password=False)
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=tmp_path,
        env=os.environ | {"HOST_DATABASE": url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made = set(sa.inspect(empty).get_table_names())
    assert {"one", "two", "three", "alembic_version", "ledger_account"} <= made
    assert ledger.current_revision(empty) == HEAD


def test_a_database_of_a_newer_version_is_not_upgraded(engine: Engine) -> None:
    """Its revision is not known here; nothing is changed, and the refusal says what to install."""
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE ledger_alembic_version SET version_num = '9999'"))
    with pytest.raises(ledger.SchemaMismatch, match=r"9999.*Install the version"):
        ledger.upgrade(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE ledger_alembic_version SET version_num = :head"), {"head": HEAD})
