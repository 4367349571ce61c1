"""The time that an import takes, beside the libraries it stands on: `python -m benchmarks.imports`.

Each import runs in a fresh interpreter, all of them in turns, so that a busy minute slows every one alike; an
interpreter that imports nothing runs among them, and its time is what each ratio leaves out. Before anything is timed,
each package is held to the modules that it must not load; that first run also leaves the bytecode of everything behind.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from time import perf_counter_ns

from benchmarks.timing import Timing, timing_of

_TERMINAL = ("rich", "typer")
FORBIDDEN: dict[str, tuple[str, ...]] = {
    "sqlmodel": (),
    "fastapi": (),
    "estimator": (*_TERMINAL, "sqlalchemy", "sqlmodel", "alembic", "numpy", "pyarrow"),
    "ledger": (*_TERMINAL, "alembic", "mako", "fastapi", "numpy", "pyarrow", "duckdb", "jinja2"),
    "ledger.fastapi": (*_TERMINAL, "alembic", "mako", "numpy", "pyarrow", "duckdb", "jinja2"),
    "ledger.cli": ("fastapi", "numpy", "pyarrow", "duckdb", "scipy"),
}
"""What is imported, and the modules that must not come with it."""
_NOTHING = "nothing"


def loaded_by(module: str) -> set[str]:
    """The top-level names of the modules that importing one in a fresh interpreter loads."""
    code = f"import sys, {module}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(_run(code).split())


def forbidden_of(module: str) -> set[str]:
    """What an import loads although it must not; empty when all is well."""
    return loaded_by(module) & set(FORBIDDEN[module])


def measure(rounds: int) -> dict[str, Timing]:
    """Milliseconds of a whole interpreter that imports one module, by module; `nothing` imports none."""
    names = [_NOTHING, *FORBIDDEN]
    samples: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            began = perf_counter_ns()
            _run("" if name == _NOTHING else f"import {name}")
            samples[name].append((perf_counter_ns() - began) / 1e6)
    return {name: timing_of(name, taken) for name, taken in samples.items()}


def table(timings: dict[str, Timing]) -> str:
    """Milliseconds beyond those of an empty interpreter, and as ratios to the two libraries."""
    empty = timings[_NOTHING].median
    beyond = {name: timing.median - empty for name, timing in timings.items()}
    lines = [f"{'ms of an import':<16}  {'min':>8}  {'median':>8}  {'max':>8}  {'/ sqlmodel':>10}  {'/ fastapi':>9}"]
    for name, timing in timings.items():
        if name != _NOTHING:
            spread = "  ".join(f"{value - empty:>8.0f}" for value in (timing.least, timing.median, timing.greatest))
            ratios = [beyond[name] / beyond[library] for library in ("sqlmodel", "fastapi")]
            lines.append(f"{name:<16}  {spread}  {ratios[0]:>10.2f}  {ratios[1]:>9.2f}")
    lines.append(f"An interpreter that imports nothing: {empty:.0f} ms, left out above.")
    return "\n".join(lines)


def main() -> None:
    """Check what each import loads, then time all of them and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=11, help="how often each import is timed")
    rounds = parser.parse_args().rounds
    for module in FORBIDDEN:
        found = forbidden_of(module)
        if found:
            raise SystemExit(f"import {module} loads {', '.join(sorted(found))}")
    print(table(measure(rounds)))


def _run(code: str) -> str:
    # With bytecode, as an installed package has it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    return done.stdout


if __name__ == "__main__":
    main()
