"""The option `--driver`: the tests of one database, synchronous as they are, over a driver for async engines.

The loop of tests runs in one greenlet of SQLAlchemy's, as the work of a host's `run_sync` does: so whatever a test
calls in its own thread may use an async engine. What cannot be tested so is left out, and counted by its reason.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.util import greenlet_spawn

from tests.drivers import ASYNC_DRIVERS, Driver, Run

_IS_INSIDE = pytest.StashKey[bool]()
_LEFT_OUT = pytest.StashKey[Counter[str]]()

_REASONS = {
    "tests/ledger/auditing/test_workers.py": "in processes of their own",
    "tests/ledger/batching": "in threads",
    "tests/ledger/cli": "of the terminal, which has synchronous engines",
    "tests/ledger/fastapi": "of services, which have an event loop of their own",
}
"""Files and folders of which no test can run over a driver for async engines."""

_REASONS_BY_TEXT = {
    "asyncio.run(": "on an event loop of their own",
    "threading.Thread(": "in threads",
    "ThreadPoolExecutor(": "in threads",
    "subprocess.run(": "in processes of their own",
}
"""Single tests of which that is true, by what their text has. Others, whose fixtures do so, are marked."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--driver", choices=ASYNC_DRIVERS, help="run the tests of its database over it, and no others")


def pytest_configure(config: pytest.Config) -> None:
    Run.driver = ASYNC_DRIVERS.get(config.getoption("--driver"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> object | None:
    config = session.config
    only_hands_out = getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput")
    if Run.driver is None or only_hands_out or config.stash.get(_IS_INSIDE, False):
        return None
    config.stash[_IS_INSIDE] = True
    return asyncio.run(greenlet_spawn(config.hook.pytest_runtestloop, session=session))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if Run.driver is None:
        return
    reasons = {item: _reason(item, Run.driver) for item in items}
    left_out = [item for item in items if reasons[item] is not None]
    config.stash[_LEFT_OUT] = Counter(reason for reason in reasons.values() if reason is not None)
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if reasons[item] is None]


def _reason(item: pytest.Item, driver: Driver) -> str | None:
    """Why a test is left out; None for one that is not."""
    if not _is_on(item, driver.database):
        return f"not on {driver.database}"
    place = item.path.relative_to(Path(__file__).parents[1])
    for path in (place, *place.parents):
        if path.as_posix() in _REASONS:
            return _REASONS[path.as_posix()]
    marker = item.get_closest_marker("default_driver")
    if marker is not None:
        return str(marker.args[0])
    text = inspect.getsource(getattr(item, "function", type(item)))
    return next((reason for words, reason in _REASONS_BY_TEXT.items() if words in text), None)


_DATABASES = ("sqlite", "postgresql")


def _is_on(item: pytest.Item, database: str) -> bool:
    """Whether a test runs on a database: by a parameter of it or its fixtures, else by the fixtures it asks for."""
    parameters = getattr(item, "callspec", None)
    named = [value for value in parameters.params.values() if value in _DATABASES] if parameters else []
    return database in (named or [name.removesuffix("_url") for name in getattr(item, "fixturenames", ())])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    Run.lent = 0
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    answer = yield
    if Run.driver is not None and not Run.lent:
        item.user_properties.append((_UNUSED, True))
    return answer


_UNUSED = "made no connection by the driver"


def pytest_sessionfinish(session: pytest.Session) -> None:
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["left_out_of_driver"] = dict(session.config.stash.get(_LEFT_OUT, Counter()))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    # Every worker collects, and leaves out, the same tests; one that crashed says nothing.
    found: Counter[str] = Counter(getattr(node, "workeroutput", {}).get("left_out_of_driver", {}))
    node.config.stash[_LEFT_OUT] = found or node.config.stash.get(_LEFT_OUT, Counter())


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if Run.driver is None:
        return
    unused = sum((_UNUSED, True) in report.user_properties for report in terminalreporter.stats.get("passed", ()))
    terminalreporter.write_line(f"over {Run.driver.name}; {unused} of the tests that passed {_UNUSED}")
    for reason, count in config.stash.get(_LEFT_OUT, Counter()).most_common():
        terminalreporter.write_line(f"{count} tests left out: {reason}")
