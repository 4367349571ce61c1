"""A batcher in a process that ends without closing it, and in one that forks."""

from __future__ import annotations

import subprocess
import sys

from sqlalchemy import Engine

from tests.ledger.batching.gates import PATIENCE_SECONDS, book


def run_script(script: str, url: str) -> str:
    """What a Python process of its own prints. Fails when it fails or does not end."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script, url],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


_EXIT = """
import sys, threading
from sqlalchemy import event
import ledger

engine = ledger.create_engine(sys.argv[1])
batcher = ledger.Batcher(engine)
reached, opened = threading.Event(), threading.Event()
event.listen(engine, "commit", lambda connection: (reached.set(), opened.wait(20)))
for number in range(5):
    command = ledger.Reserve("acme", 1, f"k{number}")
    threading.Thread(target=batcher.execute, args=(command,), daemon=True).start()
    assert reached.wait(20)
while batcher.waiting < 4:
    pass
opened.set()
"""


def test_a_process_that_ends_without_closing_finishes_what_is_queued_and_does_not_hang(
    funded: Engine, database_url: str
) -> None:
    run_script(_EXIT, database_url)
    assert book(funded) == {f"k{number}": 1 for number in range(5)}


_FORK = """
import asyncio, os, sys
import ledger

engine = ledger.create_engine(sys.argv[1])
batcher = ledger.Batcher(engine)
batcher.execute(ledger.Reserve("acme", 1, "parent"))
# As if another thread held it at that moment.
batcher._changed.acquire()
child = os.fork()
if child == 0:
    for call in (batcher.execute, lambda command: asyncio.run(batcher.execute_async(command))):
        try:
            call(ledger.Reserve("acme", 1, "child"))
        except ledger.BatcherClosed as refusal:
            print(refusal)
    batcher.close()
    sys.exit(0)
batcher._changed.release()
assert os.waitpid(child, 0)[1] == 0
batcher.execute(ledger.Reserve("acme", 1, "parent again"))
"""


def test_a_forked_child_is_refused_clearly_and_does_not_hang(funded: Engine, database_url: str) -> None:
    printed = run_script(_FORK, database_url)
    assert printed.count("before this process was forked") == 2
    assert "Make a new Batcher" in printed
    assert book(funded) == {"parent": 1, "parent again": 1}
