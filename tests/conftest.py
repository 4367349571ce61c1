"""Databases for the tests: each test gets a new SQLite file or a new PostgreSQL database, already migrated.

One PostgreSQL server serves a whole run: the process that starts the run owns it, its workers are told where it is.
Where `LEDGER_TEST_DATABASE_URL` names a database of a coordinator, the tables are distributed in it (`tests/reuse.py`).
"""

from __future__ import annotations

import faulthandler
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import Engine, make_url
from sqlalchemy.orm import Session

import ledger
from tests.drivers import create_engine
from tests.postgres import Databases, PostgresServer, PostgresUnavailable
from tests.reuse import DistributedDatabase, ReusedDatabase, is_coordinator

pytest_plugins = ("tests.driver_option",)

_SERVER = pytest.StashKey[ExitStack]()
_ADDRESS = pytest.StashKey[str]()
_LEFT_OUT = pytest.StashKey[int]()
_DISTRIBUTED = pytest.StashKey[bool]()
_OTHERS = pytest.StashKey[int]()
TEMPLATE = "ledger_template"
"""The PostgreSQL database that those of the tests are copies of."""

settings.register_profile(
    "default",
    derandomize=True,
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.register_profile("calm", parent=settings.get_profile("default"), max_examples=15)
settings.register_profile("brief", parent=settings.get_profile("default"), max_examples=5)
settings.register_profile("long", parent=settings.get_profile("default"), derandomize=False, max_examples=2000)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the laws on many more, and on random, examples")
    parser.addoption("--calm", action="store_true", help="leave out what looks at races, crashes and load")
    parser.addoption("--brief", action="store_true", help="as --calm, and two cases of each kind instead of all")


def pytest_configure(config: pytest.Config) -> None:
    chosen = next((name for name in ("long", "brief", "calm") if config.getoption(f"--{name}")), "default")
    settings.load_profile(chosen)
    if not config.option.markexpr:
        config.option.markexpr = "not external"
    worker: dict[str, Any] | None = getattr(config, "workerinput", None)
    if worker is not None:
        config.stash[_ADDRESS] = worker["postgres"]
        config.stash[_DISTRIBUTED] = worker["distributed"]
        return
    _keep_temporary_files_in_memory()
    # A run is some hundred processes: with the wish to keep no bytecode each would compile the packages anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    config.stash[_SERVER] = ExitStack()
    given = os.environ.get("LEDGER_TEST_DATABASE_URL")
    config.stash[_DISTRIBUTED] = given is not None and is_coordinator(given)
    if config.stash[_DISTRIBUTED] and (getattr(config.option, "numprocesses", None) or 0) > 1:
        raise pytest.UsageError("The tests of distributed tables share one database. Run them with -n 0 or -n 1.")
    if getattr(config.option, "numprocesses", None) and not config.option.collectonly:
        # For the workers. Without any, the first test that asks for a database starts the server.
        config.stash[_ADDRESS] = _find_server(config.stash[_SERVER])


_IN_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 4 * 1024**3


def _keep_temporary_files_in_memory() -> None:
    """Put the databases of the run, SQLite's and PostgreSQL's, where making and truncating files is cheap.

    A file in memory outlives the processes that tests kill, and no test cuts the power.
    """
    if "TMPDIR" in os.environ or not _IN_MEMORY.is_dir() or not os.access(_IN_MEMORY, os.W_OK):
        return
    if shutil.disk_usage(_IN_MEMORY).free >= _ROOM_BYTES:
        os.environ["TMPDIR"] = str(_IN_MEMORY)
        tempfile.tempdir = None


def _find_server(stack: ExitStack) -> str:
    """The URL of a server to make databases in, or a sentence that says why there is none."""
    given = os.environ.get("LEDGER_TEST_DATABASE_URL")
    try:
        databases = Databases(make_url(given)) if given else stack.enter_context(PostgresServer.start()).databases
    except PostgresUnavailable as error:
        return str(error)
    databases.drop(databases.url(TEMPLATE))
    engine = ledger.create_engine(databases.create(TEMPLATE))
    ledger.upgrade(engine)
    engine.dispose()
    return databases.url(databases.admin.database or "postgres")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["postgres"] = node.config.stash[_ADDRESS]
    node.workerinput["distributed"] = node.config.stash[_DISTRIBUTED]


def pytest_unconfigure(config: pytest.Config) -> None:
    stack = config.stash.get(_SERVER, None)
    if stack is not None:
        stack.close()


_NOT_CALM = {
    *("tests/processes", "tests/simulation", "tests/finance_year", "tests/cases", "tests/benchmarks"),
    *("tests/ledger/cli/test_process.py", "tests/ledger/cli/test_serve.py"),
}
"""Tests that say little of the versions they run on, and take long."""
_NOT_BRIEF = _NOT_CALM | {
    # What boots servers, interpreters or a pool of processes.
    *("tests/test_postgres.py", "tests/test_readme.py", "tests/test_imports.py", "tests/test_driver_option.py"),
    *("tests/ledger/auditing/test_workers.py", "tests/ledger/auditing/test_every_value.py"),
}
"""Tests that say little of a change that is being made, and take long."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    place = collection_path.relative_to(Path(__file__).parents[1]).as_posix()
    left_out = _NOT_BRIEF if config.getoption("--brief") else _NOT_CALM if config.getoption("--calm") else set()
    return True if place in left_out else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--brief"):
        kept = set(_two_of_each_kind(items))
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = [item for item in items if item in kept]
    others = ("triggers", "row_security", "one_server") if config.stash[_DISTRIBUTED] else ("distributed",)
    left_out = {item for item in items if any(map(item.get_closest_marker, others)) and "sqlite" not in item.name}
    config.stash[_OTHERS] = len(left_out)
    config.hook.pytest_deselected(items=[item for item in items if item in left_out])
    items[:] = [item for item in items if item not in left_out]


def _two_of_each_kind(items: list[pytest.Item]) -> Iterator[pytest.Item]:
    """The first and the last case of each test function, on each database that it looks at."""
    cases: dict[tuple[str, ...], list[pytest.Item]] = {}
    for item in items:
        function, _, case = item.nodeid.partition("[")
        databases = [name for name in ("sqlite", "postgresql") if name in case]
        cases.setdefault((function, *databases), []).append(item)
    for found in cases.values():
        yield from {found[0], found[-1]}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.config.getoption("--long"):
        # What is to take long does not hang.
        faulthandler.cancel_dump_traceback_later()


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("external") is not None:
            item.config.stash[_LEFT_OUT] = item.config.stash.get(_LEFT_OUT, 0) + 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["left_out"] = session.config.stash.get(_LEFT_OUT, 0)
        output["others"] = session.config.stash.get(_OTHERS, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    # Every worker collects, and leaves out, the same tests; one that crashed says nothing.
    output = getattr(node, "workeroutput", {})
    for key, name in ((_LEFT_OUT, "left_out"), (_OTHERS, "others")):
        node.config.stash[key] = max(output.get(name, 0), node.config.stash.get(key, 0))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if config.option.markexpr == "not external":
        left_out = config.stash.get(_LEFT_OUT, 0)
        terminalreporter.write_line(f"{left_out} external tests left out; run them with: pytest -m external")
    others = config.stash.get(_OTHERS, 0)
    if config.stash[_DISTRIBUTED]:
        what = "triggers, row-level security and plans of one server"
        terminalreporter.write_line(f"{others} tests of {what} left out: the tables are distributed")
    elif others:
        terminalreporter.write_line(f"{others} tests of distributed tables left out: they need a coordinator")


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config) -> Databases:
    """The databases of the run's PostgreSQL server. Fails, never skips, where there is none."""
    if _ADDRESS not in pytestconfig.stash:
        pytestconfig.stash[_ADDRESS] = _find_server(pytestconfig.stash[_SERVER])
    address = pytestconfig.stash[_ADDRESS]
    if "://" not in address:
        pytest.fail(address)
    return Databases(make_url(address))


@pytest.fixture(scope="session")
def reused_database(postgres: Databases, pytestconfig: pytest.Config) -> Iterator[ReusedDatabase | DistributedDatabase]:
    """The database that the tests of one worker get one after another."""
    database: ReusedDatabase | DistributedDatabase = ReusedDatabase(postgres, TEMPLATE)
    if pytestconfig.stash[_DISTRIBUTED]:
        database = DistributedDatabase(postgres.url(str(postgres.admin.database)))
    yield database
    database.drop()


@pytest.fixture
def postgresql_url(reused_database: ReusedDatabase | DistributedDatabase) -> Iterator[str]:
    """A PostgreSQL database with the ledger's tables, as good as new."""
    yield reused_database.lend()
    reused_database.take_back()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the ledger's tables, to be copied."""
    path = tmp_path_factory.mktemp("template") / "ledger.sqlite"
    engine = ledger.create_engine(f"sqlite:///{path}")
    ledger.upgrade(engine)
    engine.dispose()
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A new SQLite file with the ledger's tables."""
    path = tmp_path / "ledger.sqlite"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A new database with the ledger's tables, on each engine in turn."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on a new database."""
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """A session on a new database, rolled back at the end unless the test commits."""
    with Session(engine) as session:
        yield session
