"""What every command shares: one document or table on stdout, one sentence on stderr, an exit status to script with.

0    done
1    done, and it found something wrong (`audit`), or a claim of the tour did not hold
2    bad input: options, a request, a dataset, a rate card, an amount or a moment
3    refused by the ledger: not enough credits, nothing of that id, wrong state, key used otherwise
4    the database cannot be used, or its tables are not up to date
70   a defect of this program
130  interrupted
141  whoever read the output stopped reading
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Any, NoReturn, TextIO

import typer
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from estimator.errors import EstimatorError
from estimator.sentences import printable

EPILOG = (
    "Exit status: 0 done; 1 something wrong was found; 2 bad input; 3 refused by the ledger; "
    "4 database unavailable or not upgraded."
)

FOLDED_WIDTH = 12
"""Characters a line that a name keeps where it is folded to make room."""

COLUMN_GAP = 3
_PIECE = 1 << 20

# typer exports only a subclass; the base class is in different packages in its releases.
_ClickError: type[Any] = typer.BadParameter.__mro__[2]


class ExitStatus(IntEnum):
    """What the process answers to its caller; see the head of this module."""

    DONE = 0
    FOUND = 1
    BAD_INPUT = 2
    REFUSED = 3
    UNAVAILABLE = 4
    DEFECT = 70
    OUTPUT_LOST = 74
    INTERRUPTED = 130
    PIPE_CLOSED = 141


class CommandFailed(Exception):
    """A command cannot go on: a stable `code`, a sentence to act on, and the exit status to end with."""

    def __init__(
        self, code: str, message: str, status: ExitStatus = ExitStatus.BAD_INPUT, fields: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self._fields = fields

    def to_dict(self) -> dict[str, Any]:
        """Code, message and, where another error is behind this one, its typed fields."""
        return self._fields or {"code": self.code, "message": self.message}


class CommandGroup(TyperGroup):
    """A group of commands that ends every failure with one sentence and a documented status, without a traceback."""

    def explain(self, error: Exception) -> CommandFailed | None:
        """The failure that an exception stands for; None for an unexpected one."""
        if isinstance(error, CommandFailed):
            return error
        if isinstance(error, EstimatorError):
            return CommandFailed(error.code, error.message, ExitStatus.BAD_INPUT, error.to_dict())
        if isinstance(error, _ClickError):
            return CommandFailed("usage", _usage_sentence(error))
        if isinstance(error, OSError):
            reason = error.strerror or type(error).__name__
            what = f" {error.filename!r}" if error.filename else ""
            return CommandFailed("unreadable", f"Cannot use{what}: {reason}. Check the path and your rights to it.")
        return None

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Run the command line and exit."""
        given = extra.get("args", args[0] if args else None)
        arguments = list(sys.argv[1:] if given is None else given)
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")  # a name may have characters that this terminal lacks
        try:
            status = super().main(*args, **(extra | {"standalone_mode": False}))
        except (typer.Abort, KeyboardInterrupt):
            status = ExitStatus.INTERRUPTED  # as newer releases of typer answer by themselves
        except Exception as error:  # noqa: BLE001  # the last place to turn it into a sentence
            _fail(self.explain(error) or _defect(error), arguments)
        if status == ExitStatus.INTERRUPTED:
            message = "Interrupted. Run the command again, with the same key if it had one, to be sure of its result."
            _fail(CommandFailed("interrupted", message, ExitStatus.INTERRUPTED), arguments)
        sys.exit(status if isinstance(status, int) else ExitStatus.DONE)


def _usage_sentence(error: Any) -> str:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "credits"
    problem = " ".join(error.format_message().split()).rstrip(".")
    if type(error).__name__ == "NoArgsIsHelpError" or not problem:
        problem = "A command is missing"
    return f"{problem}. See `{path} --help`."


def _defect(error: Exception) -> CommandFailed:
    if os.environ.get("CREDITS_TRACEBACK"):
        raise error
    message = (
        f"This is a defect of the program ({type(error).__name__}: {error}). "
        "Run it again with CREDITS_TRACEBACK=1 and report what it prints."
    )
    return CommandFailed("defect", message, ExitStatus.DEFECT)


def _fail(failure: CommandFailed, arguments: Sequence[str]) -> NoReturn:
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if sys.stderr is None:
        sys.exit(failure.status)
    try:
        if "--json" in options:
            sys.stderr.write(json.dumps(failure.to_dict()) + "\n")
        else:
            sentence = Text(printable(" ".join(failure.message.split())), style="red")
            Console(stderr=True, highlight=False).print(sentence, soft_wrap=True)
        sys.stderr.flush()
    except BrokenPipeError:
        _stop_writing(sys.stderr)
    sys.exit(failure.status)


def least_width(renderable: RenderableType) -> int:
    """The width that a renderable needs, however narrow the terminal: that of a table's digits or of a line of code."""
    if isinstance(renderable, Text) and renderable.no_wrap:
        return cell_len(renderable.plain)
    if not isinstance(renderable, Table):
        return 0
    widths = []
    for column in renderable.columns:
        texts = [column.header, *column.cells, column.footer]
        longest = max(cell_len(text.plain if isinstance(text, Text) else str(text)) for text in texts)
        widths.append(longest if column.no_wrap else min(longest, FOLDED_WIDTH))
    return sum(widths) + COLUMN_GAP * (len(widths) - 1)


def emit(document: Any, *renderables: RenderableType, as_json: bool) -> None:
    """Print the document as JSON, or else what a person reads; all of it in one write."""
    if as_json:
        output = json.dumps(document, indent=2) + "\n"
    else:
        console = Console(highlight=False)
        width = console.width
        with console.capture() as capture:
            for renderable in renderables:
                console.width = max(width, least_width(renderable))
                console.print(renderable)
        output = capture.get()
    _write([output])


def emit_file(file: TextIO) -> None:
    """Print the rest of a file, a piece at a time."""
    _write(iter(lambda: file.read(_PIECE), ""))


def _write(pieces: Iterable[str]) -> None:
    if sys.stdout is None:  # the caller closed it
        return
    try:
        for piece in pieces:
            sys.stdout.write(piece)
        sys.stdout.flush()
    except BrokenPipeError:
        _stop_writing(sys.stdout)
        raise typer.Exit(ExitStatus.PIPE_CLOSED) from None
    except OSError as error:
        _stop_writing(sys.stdout)
        message = f"The command is done, but its answer cannot be written ({error.strerror}). Look its result up."
        raise CommandFailed("output_lost", message, ExitStatus.OUTPUT_LOST) from None


def _stop_writing(stream: Any) -> None:
    """Discard what is still buffered, so that the interpreter reports no error when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
