"""Writes the page of the command line from the commands' own help: `python docs/command_line.py`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_type_hints

import typer.main

from ledger.cli import app

_OPTION = re.compile(r"(?<![\w`-])--[a-z][a-z-]*")

PAGE = Path(__file__).parent / "command-line.md"
HEAD = """# The command line

<!-- Written by docs/command_line.py. Change the help of the command, then run that script again. -->

The command `credits` comes with the package. Every command takes `--help`, and `--json` for one JSON document instead
of a table. The database is named by `--database-url`, or by the environment variable `CREDITS_DATABASE_URL`.

| exit status | meaning |
| --- | --- |
| 0 | done |
| 1 | something wrong was found: by the audit, a reconciliation, a repricing |
| 2 | the input is wrong: an option, a request, a dataset, a rate card, an amount or a moment |
| 3 | the ledger refused: not enough credits, nothing of that id, the wrong state, a key used for another request |
| 4 | the database cannot be used, or its tables are not up to date |

A command that fails prints one sentence on its standard error; with `--json`, one JSON document. The environment
variable `CREDITS_TRACEBACK=1` shows the traceback of a defect of the program.
"""


def page() -> str:
    """The whole page."""
    commands = list(_walk(typer.main.get_command(app), "credits"))
    names = "\n".join(f"- [`{name}`](#{name.replace(' ', '-')}): {_first_line(command)}" for name, command in commands)
    return "\n".join([HEAD, names, "", *(_section(name, command) for name, command in commands)]).rstrip() + "\n"


def _walk(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    commands = getattr(command, "commands", None)
    if not commands:
        yield name, command
        return
    for part, inner in commands.items():
        yield from _walk(inner, f"{name} {part}")


def _help(command: Any) -> str:
    return _OPTION.sub(r"`\g<0>`", inspect.cleandoc(command.help or ""))


def _first_line(command: Any) -> str:
    return " ".join(_help(command).split("\n\n")[0].split())


def _section(name: str, command: Any) -> str:
    kinds = get_type_hints(inspect.unwrap(command.callback))
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and not one.hidden]
    usage = " ".join([name, *(_argument(one) for one in arguments), "[OPTIONS]"])
    lines = [f"## {name}", "", _help(command), "", "```text", usage, "```", ""]
    lines += [f"- `{_argument(one)}`: {_about(one)}" for one in arguments]
    lines += [f"- `{_option(one, kinds[one.name])}`: {_about(one)}" for one in options]
    return "\n".join([*lines, ""])


def _argument(argument: Any) -> str:
    name = (argument.metavar or argument.name.upper()).strip("[]")
    return name if argument.required else f"[{name}]"


def _option(option: Any, kind: Any) -> str:
    names = " / ".join([*option.opts, *option.secondary_opts])
    return names if option.is_flag else f"{names} {option.metavar or _value_of(kind)}"


def _value_of(kind: Any) -> str:
    """What an option of a type takes: one of some words, or a number, or a text."""
    kinds = [one for one in get_args(kind) if one is not type(None)] or [kind]
    if isinstance(kinds[0], type) and issubclass(kinds[0], Enum):
        return "|".join(str(member.value) for member in kinds[0])
    return "N" if kinds[0] is int else "TEXT"


def _about(parameter: Any) -> str:
    text = _OPTION.sub(r"`\g<0>`", " ".join((parameter.help or "").split()))
    if parameter.required and parameter.param_type_name == "option":
        text += " Required."
    default = parameter.default
    if parameter.param_type_name == "option" and default not in (None, "", False, True) and not callable(default):
        text += f" Default: `{default.value if isinstance(default, Enum) else default}`."
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
