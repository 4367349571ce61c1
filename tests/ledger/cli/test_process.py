"""The installed command as a process of its own: pipes, signals, help, and what it loads."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from ledger.cli import app
from tests.command_line import Credits

COMMAND = shutil.which("credits", path=str(Path(sys.executable).parent)) or "credits is not installed"


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    environment = os.environ | {"COLUMNS": "80"} | options.pop("env", {})
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen([COMMAND, *arguments], env=environment, text=True, **streams)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    stdout, stderr = process.communicate(timeout=60)
    return process.returncode, stdout, stderr


def test_the_tour_is_one_command_that_needs_nothing() -> None:
    status, stdout, stderr = finish(start("tour"))
    assert (status, stderr) == (0, "")
    assert "Every step held." in stdout
    assert max(map(len, stdout.splitlines())) <= 80
    assert "\x1b" not in stdout


def test_the_tour_in_json_is_one_document() -> None:
    status, stdout, stderr = finish(start("tour", "--json"))
    assert (status, stderr) == (0, "")
    assert len(json.loads(stdout)["steps"]) == 9


def test_a_reader_that_leaves_ends_the_command_quietly(dataset: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    process = start("profile", str(dataset), stdout=write_end)
    os.close(write_end)
    status, _, stderr = finish(process)
    assert (status, stderr) == (141, "")


def test_an_interrupted_command_says_so_and_nothing_else(dataset: Path, tmp_path: Path) -> None:
    request = tmp_path / "request.json"
    os.mkfifo(request)
    # A shell that starts the tests in the background has them ignore interrupts, and the command would inherit that.
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = start("estimate", str(dataset), "--request", str(request))
    finally:
        signal.signal(signal.SIGINT, inherited)
    # Opening blocks until the command has opened the other end, so it is waiting for its request now.
    with request.open("w"):
        process.send_signal(signal.SIGINT)
        status, stdout, stderr = finish(process)
    assert (status, stdout) == (130, "")
    assert stderr.strip().startswith("Interrupted.")
    assert "Traceback" not in stderr


def test_failures_have_their_status_and_leave_stdout_empty(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'b.sqlite'}"
    assert finish(start("profile", "nowhere.jsonl"))[:2] == (2, "")
    assert finish(start("balance", "acme", "--database-url", url))[:2] == (4, "")
    assert finish(start("db", "upgrade", "--database-url", url))[0] == 0
    status, stdout, stderr = finish(start("balance", "acme", "--json", "--database-url", url))
    assert (status, stdout, json.loads(stderr)["code"]) == (3, "", "account_not_found")


def test_output_stays_readable_where_the_terminal_knows_ascii_only(tmp_path: Path) -> None:
    path = tmp_path / "names.csv"
    path.write_text("naïve\n1\n", encoding="utf-8")
    status, stdout, _ = finish(start("profile", str(path), env={"PYTHONIOENCODING": "ascii"}))
    assert status == 0
    assert "na\\xefve" in stdout


def test_the_version_is_the_distribution_s() -> None:
    from importlib.metadata import version

    assert finish(start("--version")) == (0, version("run-credits") + "\n", "")


def test_help_loads_no_reader_of_parquet_and_no_driver() -> None:
    code = (
        "import sys; sys.argv = ['credits', '--help']\n"
        "from ledger.cli import main\n"
        "try: main()\n"
        "except SystemExit: print([m for m in ('pyarrow', 'psycopg', 'numpy') if m in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.endswith("[]\n")


def command_paths(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, inner in getattr(group, "commands", {}).items():
        yield from command_paths(inner, (*path, name))


PATHS = list(command_paths(get_command(app)))


def test_every_command_of_the_contract_exists() -> None:
    names = {" ".join(path) for path in PATHS}
    assert names >= {"tour", "profile", "estimate", "card show", "card check", "card schema", "db upgrade"}
    assert names >= {"account open", "account list", "account show", "grant", "balance", "launch", "settle"}
    assert names >= {"capture", "release", "reservations", "statement", "audit", "expire"}


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_every_command_explains_itself_and_its_exit_statuses(command: Credits, path: tuple[str, ...]) -> None:
    short, long = command(*path, "-h"), command(*path, "--help")
    assert short == long
    assert f"Usage: {' '.join(('credits', *path))}" in short
    assert "Exit status: 0 done; 1" in " ".join(short.split())


@pytest.mark.parametrize("path", [("credits",), ("credits", "card"), ("credits", "db"), ("credits", "account")])
def test_a_group_without_a_command_shows_what_there_is(command: Credits, path: tuple[str, ...]) -> None:
    result = command.runner.invoke(app, list(path[1:]), prog_name="credits")
    assert result.exit_code == 2
    assert "Commands" in result.stdout
    assert f"See `{' '.join(path)} --help`." in result.stderr


def test_every_command_but_the_groups_speaks_json() -> None:
    groups = {(), ("card",), ("db",), ("account",)}
    root = get_command(app)
    for path in PATHS:
        found: Any = root
        for name in path:
            found = found.commands[name]
        options = {option for parameter in found.params for option in parameter.opts}
        assert ("--json" in options) == (path not in groups), path
