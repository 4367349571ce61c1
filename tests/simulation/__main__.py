"""`python -m tests.simulation --operations N --seed S`; ends with 1 when anything is lost, doubled or wrong."""

from __future__ import annotations

import argparse
import sys

from tests.simulation.plan import Settings
from tests.simulation.run import simulate
from tests.simulation.worlds import WORLDS


def main(arguments: list[str] | None = None) -> int:
    """Simulate on one database, or on both in turn."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Clients, faults and an auditor.")
    parser.add_argument("--operations", type=int, default=10_000, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    parser.add_argument("--database", choices=sorted(WORLDS), action="append", help="both if left out")
    parser.add_argument("--clients", type=int, default=3, metavar="C")
    parser.add_argument("--accounts", type=int, default=60, metavar="A")
    parser.add_argument("--faults-every", type=int, default=2_000, metavar="N", help="operations, about")
    options = parser.parse_args(arguments)
    settings = Settings(options.seed, options.clients, options.accounts, options.operations)
    has_problems = False
    for database in options.database or sorted(WORLDS):
        report = simulate(
            settings, database, faults_every=options.faults_every, say=lambda line: print(line, flush=True)
        )
        print(f"{database}, {report}", flush=True)
        has_problems = has_problems or bool(report.problems)
    return 1 if has_problems else 0


if __name__ == "__main__":
    sys.exit(main())
