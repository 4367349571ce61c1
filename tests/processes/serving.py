"""The served reference as a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

COMMAND = shutil.which("credits", path=str(Path(sys.executable).parent)) or "credits is not installed"
_PATIENCE_SECONDS = 60


@dataclass(slots=True)
class Served:
    """A server that answers at `url`. Its log goes to a file: a pipe that nobody reads would hold it up when full."""

    process: subprocess.Popen[str]
    url: str
    log: IO[str]

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal; answers the exit code and what was logged."""
        self.process.send_signal(number)
        status = self.process.wait(_PATIENCE_SECONDS)
        self.log.seek(0)
        return status, self.log.read()


@contextmanager
def served(database_url: str, datasets: Path, *options: str) -> Iterator[Served]:
    """A server on any free port, with tokens `secret` of account `acme` and `other` of `beta`; killed at the end."""
    arguments = ["serve", "--datasets", str(datasets), "--port", "0", "--database-url", database_url, "--json"]
    environment = os.environ | {"CREDITS_TOKENS": "secret=acme other=beta"}
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [COMMAND, *arguments, *options], env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        )
        try:
            yield Served(process, _address(process, log), log)
        finally:
            process.kill()
            process.communicate()


def _address(process: subprocess.Popen[str], log: IO[str]) -> str:
    assert process.stdout is not None
    said = ""
    while not said.endswith("}\n"):
        line = process.stdout.readline()
        if not line:
            log.seek(0)
            raise AssertionError(log.read())
        said += line
    url: str = json.loads(said)["url"]
    return url


def write_datasets(folder: Path) -> Path:
    """Datasets of two kinds of files: `d1` of 300 rows, `dear` of 60,000, `hundred`, `small` of two."""
    folder.mkdir()
    row = json.dumps({"question": "q", "answer": "a", "topic": "t"}) + "\n"
    (folder / "d1.jsonl").write_text(row * 300)
    (folder / "dear.csv").write_text("question,answer\n" + "q,a\n" * 60_000)
    (folder / "hundred.csv").write_text("question,answer\n" + "q,a\n" * 100)
    (folder / "small.csv").write_text("question,answer\nq,a\nq,a\n")
    return folder
