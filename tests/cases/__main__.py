"""`python -m tests.cases FILE...` runs cases, a line each; 1 if any neither passes nor falls under a policy."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import ledger
from tests.cases.runner import load_cases, run_case


def main(arguments: list[str] | None = None) -> int:
    """Run every case of every file on a database of its own, SQLite unless told otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tests.cases", description="Run ledger cases.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="JSON with a list `cases`")
    parser.add_argument("--database-url", help="a database to run in, with the ledger's tables; SQLite by default")
    parser.add_argument("--case", action="append", help="only the case of this id; may be given again")
    options = parser.parse_args(arguments)
    counts: Counter[str] = Counter()
    try:
        cases = [case for path in options.files for case in _read(path)]
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        engine = ledger.create_engine(options.database_url or f"sqlite:///{Path(folder) / 'cases.sqlite'}")
        stack.callback(engine.dispose)
        ledger.upgrade(engine)
        for case in cases:
            if options.case and case.get("id") not in options.case:
                continue
            verdict = run_case(engine, case)
            counts[verdict.outcome] += 1
            print(verdict, flush=True)
    print(", ".join(f"{counts[name]} {name}" for name in ("pass", "policy", "fail")))
    return 1 if counts["fail"] else 0


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        return load_cases(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {error}. Give a JSON file of cases.") from error


if __name__ == "__main__":
    sys.exit(main())
