"""The README and the pages, taken apart: their blocks of code, headings, links and the names that they mention."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.command_line import Credits

ROOT = Path(__file__).parent.parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))

OTHER_PROGRAMS = {"pip", "python", "export", "bean-check", "hledger", "psql", "pg_dump", "sqlite3"}
"""What a console line begins with that is not run here: other programs, and what installs or serves."""

_FENCE = re.compile(r"^(`{3,})([^\n`]*)\n(.*?)^\1$", flags=re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_HEADING = re.compile(r"^#{1,6} (.+)$", flags=re.MULTILINE)


def name_of(page: Path) -> str:
    """The page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language, in order."""
    return [text for _, kind, text in _FENCE.findall(page.read_text(encoding="utf-8")) if kind == language]


def languages(page: Path) -> set[str]:
    """What the fenced blocks of a page are written in."""
    return {kind for _, kind, _ in _FENCE.findall(page.read_text(encoding="utf-8"))}


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> list[str]:
    """Where the page's links lead, as they are written."""
    return _LINK.findall(prose(page))


def codes(page: Path) -> list[str]:
    """What stands between single backticks."""
    return _CODE.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """The anchors of the page's headings, as repository browsers and the site make them."""
    texts = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(prose(page)))
    return {text.strip().replace(" ", "-") for text in texts}


_RUNNER = """
import contextlib, io, json, sys
outputs = []
for number, block in enumerate(json.load(sys.stdin), 1):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            exec(compile(block, f"block {number}", "exec", dont_inherit=True), {"__name__": "__main__"})
        except SystemExit as ended:
            if ended.code:
                raise
    outputs.append(out.getvalue())
json.dump(outputs, sys.stdout)
"""


def run_python_blocks(page: Path, folder: Path) -> list[str]:
    """Run the Python blocks of a page in order, with warnings as errors; what each printed.

    They share one process, in which to import is half of the work, and nothing else: no block sees a name of another.
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _RUNNER],
        cwd=folder,
        input=json.dumps(blocks(page, "python")),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{name_of(page)}\n{done.stderr}"
    outputs: list[str] = json.loads(done.stdout)
    return outputs


def run_commands(page: Path) -> None:
    """Run the page's console blocks in this folder, on the SQLite file that they name.

    A command ends with status 0, or with the one that a comment behind it says. A server is not started.
    """
    command = Credits("sqlite:///credits.sqlite")
    for line in _console_lines(page):
        program = line.split()[0]
        if program == "credits":
            _run_credits(command, line)
        elif program not in OTHER_PROGRAMS:
            subprocess.run(["bash", "-c", line], check=True)


def _console_lines(page: Path) -> Iterator[str]:
    for block in blocks(page, "console"):
        for line in block.splitlines():
            if line.startswith("$ "):
                yield from (part.strip() for part in line[2:].split(" && "))


def _run_credits(command: Credits, line: str) -> None:
    status = int(line.rpartition("# status ")[2]) if "# status " in line else 0
    arguments = shlex.split(line, comments=True)[1:]
    out = None
    if ">" in arguments:
        arguments, (_, out) = arguments[:-2], arguments[-2:]
    if arguments[0] == "serve":
        described = command("serve", "--help")
        assert [one for one in arguments if one.startswith("--") and one not in described] == []
        return
    printed = command(*arguments, status=status)
    if out is not None:
        Path(out).write_text(printed, encoding="utf-8")
