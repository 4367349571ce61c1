"""PgBouncer in front of a test's PostgreSQL: each transaction gets whichever server connection is free."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url

from tests.postgres import PostgresServer
from tests.standby import wait_until

_PORT = 6432
_STOP_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Pooler:
    """A running PgBouncer, on a Unix socket in a folder of its own."""

    folder: Path

    @classmethod
    @contextmanager
    def start(cls, server: PostgresServer, connections: int, **settings: str | int) -> Iterator[Pooler]:
        """PgBouncer with at most so many server connections, in transaction mode where `settings` say nothing else.

        It runs as the user that the server runs as, because it refuses to be root, and ends with this process.
        """
        program = shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin:/usr/local/bin:/usr/bin")
        assert program is not None, "Install Debian's package pgbouncer."
        # In the server's folder, which that user can read.
        folder = Path(tempfile.mkdtemp(prefix="pooler-", dir=server.folder))
        folder.chmod(0o777)
        given: dict[str, str | int] = {
            "unix_socket_dir": str(folder),
            "listen_addr": "",
            "listen_port": _PORT,
            "auth_type": "trust",
            "auth_file": str(folder / "users"),
            "pool_mode": "transaction",
            "default_pool_size": connections,
            "max_client_conn": 200,
        }
        lines = [f"{name} = {value}" for name, value in (given | settings).items()]
        (folder / "users").write_text('"postgres" ""\n')
        (folder / "settings").write_text(
            f"[databases]\n* = host={server.folder}\n[pgbouncer]\n" + "\n".join(lines) + "\n"
        )
        with open(folder / "log", "wb") as log:
            command = server.command(program, str(folder / "settings"))
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            listens = folder / f".s.PGSQL.{_PORT}"
            wait_until(lambda: listens.exists() or process.poll() is not None)
            assert process.poll() is None, (folder / "log").read_text()
            yield cls(folder)
        finally:
            process.terminate()
            process.wait(_STOP_SECONDS)

    def url(self, server_url: str) -> str:
        """The URL of a server's database by way of the pooler."""
        url = make_url(server_url).set(port=_PORT, query={"host": str(self.folder)})
        return url.render_as_string(hide_password=False)
