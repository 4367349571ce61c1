"""The roles of a database, and the members that log in as them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine, make_url, text
from sqlalchemy.orm import Session

import ledger
from ledger.schema.tables import metadata
from tests.drivers import create_engine
from tests.ledger.verbs import Filled
from tests.postgres import connect

TABLES = sorted(metadata.tables)
REFUSED = r"permission denied|must be owner"


@dataclass
class Roles:
    """A database, the roles that the script makes in it, and a plain role that may log in as a member of each."""

    url: str
    owner: Engine
    application: str
    readonly: str
    worker: str
    accounts: dict[str, Filled] = field(default_factory=dict)
    logins: dict[str, str] = field(default_factory=dict)

    def script(self, *, row_level_security: bool = False) -> str:
        """The script for this test's roles."""
        return ledger.role_script(
            application=self.application,
            readonly=self.readonly,
            worker=self.worker,
            row_level_security=row_level_security,
        )

    def apply(self, *, row_level_security: bool = False) -> None:
        """Run the script as the owner, and give each role a member."""
        self.run(self.script(row_level_security=row_level_security))
        for name in (self.application, self.readonly, self.worker):
            if name not in self.logins:
                self.logins[name] = f"login_{uuid4().hex}"
                self.run(
                    f"CREATE ROLE {self.logins[name]} LOGIN PASSWORD 'p'; GRANT {quoted(name)} TO {self.logins[name]}"
                )

    def run(self, script: str) -> None:
        """Run SQL as the owner, as it is."""
        with connect(self.url) as connection:
            connection.execute(script.encode())

    @contextmanager
    def engine(self, name: str) -> Iterator[Engine]:
        """An engine that logs in as the member of a role."""
        url = make_url(self.url).set(username=self.logins[name], password="p")
        engine = create_engine(url.render_as_string(hide_password=False))
        try:
            yield engine
        finally:
            engine.dispose()

    @contextmanager
    def session(self, name: str) -> Iterator[Session]:
        """A session that is logged in as the member of a role; rolled back at the end."""
        with self.engine(name) as engine, Session(engine) as session:
            yield session

    def rows(self, account_id: str) -> dict[str, list[Any]]:
        """Every row of an account and of the plain one beside it, as the owner sees them."""
        query = "SELECT * FROM {} WHERE account_id LIKE :like ORDER BY 1, 2, 3"
        with self.owner.connect() as connection:
            return {
                table: [tuple(row) for row in connection.execute(text(query.format(table)), {"like": f"{account_id}%"})]
                for table in TABLES
            }

    def drop(self) -> None:
        """Drop the roles: they are the cluster's, and outlive a database."""
        logins = ", ".join(self.logins.values())
        made = [name for name in (self.application, self.readonly, self.worker) if self.exists(name)]
        self.run(f"DROP ROLE IF EXISTS {logins};" if logins else "")
        self.run("".join(f"DROP OWNED BY {quoted(name)}; DROP ROLE {quoted(name)};" for name in made))

    def exists(self, name: str) -> bool:
        """True when the cluster has a role."""
        with self.owner.connect() as connection:
            return bool(
                connection.execute(text("SELECT count(*) FROM pg_roles WHERE rolname = :name"), {"name": name}).scalar()
            )


def quoted(name: str) -> str:
    """A role's name as SQL writes it."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
