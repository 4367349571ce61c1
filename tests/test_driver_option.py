"""A run over another driver: what runs uses it, and what does not run is counted."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.drivers import ASYNC_DRIVERS, over

pytestmark = pytest.mark.external
"""Takes long; run by .ci/run."""

ROOT = Path(__file__).parents[1]
FILES = ("tests/ledger/test_sweeping.py", "tests/ledger/test_outbox_locks.py")


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_run_over_a_driver_uses_it_and_counts_what_it_leaves_out(workers: str) -> None:
    """In this process and in another one: every connection is the driver's, and each reason has its number."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", workers, "--driver", "aiosqlite", *FILES]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "over aiosqlite; 5 of the tests that passed made no connection by the driver" in done.stdout
    assert "2 tests left out: in threads" in done.stdout
    assert re.search(r"\d+ tests left out: not on sqlite", done.stdout)


@pytest.mark.parametrize("name", ASYNC_DRIVERS)
def test_a_url_over_another_driver_is_of_the_same_database(name: str) -> None:
    """An address in the clear stays one, in the words of the driver."""
    driver = ASYNC_DRIVERS[name]
    given = over(f"{driver.database}://host/book?sslmode=disable&gssencmode=disable", driver.drivername)
    assert (given.get_backend_name(), given.database, given.drivername) == (driver.database, "book", driver.drivername)
    assert (given.query == {"ssl": "disable"}) == (name == "asyncpg")
