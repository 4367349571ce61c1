"""One quick check before a commit: `python -m tests.check`. Its last lines say what failed.

Lint, format, types, import contracts and the examples of docstrings run beside the brief suite, which has two cases of
each kind of test, on both databases, and no races. `.ci/run` is the gate: it takes the same steps from here with
`--no-suite`, and runs the whole suite.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

_ROOT = Path(__file__).parents[1]
_PROGRAMS = Path(sys.executable).parent
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""Without the wish to keep no bytecode: the steps are many processes, and each would compile the packages anew."""
_TAIL_LINES = 30
"""How many lines of a failed step's output are shown."""


@dataclass(frozen=True)
class Step:
    """One command, run at the top of the checkout."""

    name: str
    program: str
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What became of a step."""

    name: str
    seconds: float
    output: str
    passed: bool

    def line(self) -> str:
        """The step in one line."""
        return f"{self.name:<12} {self.seconds:>6.1f} s  {'passed' if self.passed else 'FAILED'}"


WITHOUT_SUITE = (
    Step("lint", "ruff", ("check", ".")),
    Step("format", "ruff", ("format", "--check", ".")),
    Step("imports", "lint-imports", ("--no-logo",)),
    Step("types", "mypy"),
    Step("typing tests", "mypy", ("tests/typing/api.py",)),
    Step("doctests", "pytest", ("-q", "-n", "0", "tests/test_docstrings.py")),
)
SUITE = Step("brief suite", "pytest", ("-q", "--brief"))


def run_step(step: Step) -> Outcome:
    """Run a step and print its line as soon as it has ended."""
    began = perf_counter()
    done = subprocess.run(
        [str(_PROGRAMS / step.program), *step.arguments],
        cwd=_ROOT,
        env=_ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    outcome = Outcome(step.name, perf_counter() - began, done.stdout, done.returncode == 0)
    print(outcome.line(), flush=True)
    return outcome


def run_lanes(lanes: Iterable[Sequence[Step]]) -> list[Outcome]:
    """Run the steps of each lane one after another, and the lanes beside one another."""
    with ThreadPoolExecutor() as threads:
        ended = threads.map(lambda lane: [run_step(step) for step in lane], lanes)
        return [outcome for lane in ended for outcome in lane]


def report(outcomes: Sequence[Outcome]) -> str:
    """The ends of what failed steps said, then a line for each step and, last, what failed."""
    failed = [outcome for outcome in outcomes if not outcome.passed]
    parts = [
        "\n".join([f"--- {outcome.name}", *outcome.output.rstrip().splitlines()[-_TAIL_LINES:], ""])
        for outcome in failed
    ]
    parts += [outcome.line() for outcome in outcomes]
    parts.append(f"FAILED: {', '.join(outcome.name for outcome in failed)}" if failed else "everything passed")
    return "\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the check; returns the exit status, 1 where a step failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.check", description="One quick check before a commit.")
    parser.add_argument("--no-suite", action="store_true", help="leave the brief suite out")
    lanes = [WITHOUT_SUITE] if parser.parse_args(arguments).no_suite else [WITHOUT_SUITE, (SUITE,)]
    began = perf_counter()
    outcomes = run_lanes(lanes)
    print(f"\n{report(outcomes)} in {perf_counter() - began:.0f} s")
    return 0 if all(outcome.passed for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
