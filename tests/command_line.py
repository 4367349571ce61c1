"""The installed command, run in this process, and datasets for it to read."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.testing
from typer.testing import CliRunner

from ledger.cli import app

# What Typer makes of an app is the same each time, and making it takes most of an invocation.
typer.testing._get_command = cache(typer.testing._get_command)  # type: ignore[attr-defined]


@dataclass(slots=True)
class Credits:
    """Runs `credits ...` and checks what holds for every command: its status, and one sentence where it failed."""

    database_url: str | None = None
    runner: CliRunner = field(default_factory=CliRunner)

    def __call__(self, *arguments: str, status: int = 0, stdin: str | None = None, columns: int = 120) -> str:
        """What the command printed: its stdout, or its one sentence on stderr when it should fail."""
        environment = {"CREDITS_DATABASE_URL": self.database_url, "COLUMNS": str(columns)}
        result = self.runner.invoke(app, list(arguments), prog_name="credits", input=stdin, env=environment)
        assert result.exit_code == status, (arguments, result.exit_code, result.stdout, result.stderr)
        if status <= 1:
            assert result.stderr == ""
            return result.stdout
        assert result.stdout == ""
        assert result.stderr.count("\n") == 1
        assert result.stderr.endswith(("\n", ".\n", "?\n"))
        assert "Traceback" not in result.stderr
        return result.stderr.strip()

    def json(self, *arguments: str, status: int = 0, stdin: str | None = None) -> Any:
        """The one JSON document that the command printed with `--json`."""
        return json.loads(self(*arguments, "--json", status=status, stdin=stdin))


@pytest.fixture
def command() -> Credits:
    """The command without a database."""
    return Credits()


@pytest.fixture
def book(sqlite_url: str) -> Credits:
    """The command on a new SQLite file with tables, and account `acme` open in it with 100 credits."""
    return _opened(sqlite_url)


@pytest.fixture
def any_book(database_url: str) -> Credits:
    """The command on each kind of database, and account `acme` open in it with 100 credits."""
    return _opened(database_url)


def _opened(url: str) -> Credits:
    opened = Credits(url)
    opened("account", "open", "acme")
    opened("grant", "acme", "100")
    return opened


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """120 rows of questions and answers."""
    path = tmp_path / "questions.jsonl"
    path.write_text("".join(f'{{"question": "q{n}", "answer": "a{n}"}}\n' for n in range(120)), encoding="utf-8")
    return path


@pytest.fixture
def run(book: Credits, dataset: Path) -> dict[str, Any]:
    """A run of `acme` over the dataset, holding 1.45 credits under the card `example`."""
    launched: dict[str, Any] = book.json(
        "launch", "acme", str(dataset), "--map", "prompt=question", "--card", "example"
    )
    return launched
