"""`python -m tests.finance_year --accounts A --entries N --seed S`; ends with 1 when a sum or a finding is wrong."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.finance_year.run import run_year
from tests.finance_year.writing import Settings


def main(arguments: list[str] | None = None) -> int:
    """Make a year in a database that has no ledger yet, and look at it."""
    parser = argparse.ArgumentParser(prog="python -m tests.finance_year", description="A generated year of finance.")
    parser.add_argument("--accounts", type=int, default=2_000, metavar="A")
    parser.add_argument("--entries", type=int, default=1_000_000, metavar="N", help="at least")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    parser.add_argument("--discrepancies", type=int, default=500, metavar="N", help="a tenth of each kind")
    parser.add_argument(
        "--database-url", default=None, metavar="URL", help="an empty one; a new SQLite file if left out"
    )
    parser.add_argument("--keep", type=Path, default=None, metavar="FOLDER", help="a new folder for the files made")
    options = parser.parse_args(arguments)
    settings = Settings(options.seed, options.accounts, options.entries, options.discrepancies)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        url = options.database_url or f"sqlite:///{folder / 'year.sqlite'}"
        report = run_year(url, settings, folder, lambda line: print(line, flush=True))
    print(report, flush=True)
    return 0 if report.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
