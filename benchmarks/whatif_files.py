"""Times past runs in Parquet to sums by account, under one card and eight, beside DuckDB reading the same columns.

Run `python -m benchmarks.whatif_files` (extra `dev`). The sums are checked before anything is timed: a sample of runs
one by one against the scalar estimate, and every account under every card against the sum of its runs' prices.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from benchmarks.timing import Candidate, compare, report
from estimator import RateCard, RunPlan, from_micro, price_micro, shipped_card
from estimator.frames.kernel import Kernel
from estimator.rates.sections import LENGTHS, RECIPES
from estimator.scenarios import compare as compare_cards
from estimator.scenarios.counting.groups import grouped
from estimator.scenarios.counting.tally import Question, tally
from estimator.scenarios.fields import with_field
from estimator.scenarios.reading.sources import open_runs

ACCOUNTS = 2_000
ROWS_MAX = 1_000_000
PART = 500_000
SAMPLE = 20_000
SHARES = {
    "grounding": 0.3,
    "safety": 0.1,
    "deduplication": 0.9,
    "prompt_metadata_injection": 0.2,
    "prompt_rephrase": 0.3,
    "reasoning_traces": 0.25,
}
ROUNDS = 7


def write_runs(path: Path, runs: int) -> None:
    """Runs of 1 to a million rows (as many of each magnitude), by accounts of very different size, over a year."""
    random_numbers = np.random.default_rng(1)
    names = pa.array([f"account-{number:04d}" for number in range(ACCOUNTS)])
    writer = None
    for first in range(0, runs, PART):
        part = _part(random_numbers, min(PART, runs - first), names, first / runs)
        writer = writer or parquet.ParquetWriter(path, part.schema)
        writer.write_table(part, row_group_size=122_880)
    assert writer is not None
    writer.close()


def _part(numbers: np.random.Generator, runs: int, names: Any, moment: float) -> pa.Table:
    seconds = int(moment * 365 * 86_400) + np.sort(numbers.integers(0, 86_400, runs))
    start = np.datetime64("2025-01-01T00:00:00", "us")
    codes = {"account": (numbers.zipf(1.2, runs) % ACCOUNTS, names), "length": (numbers.integers(0, 4, runs), LENGTHS)}
    columns: dict[str, Any] = {
        name: pa.DictionaryArray.from_arrays(code.astype(np.int32), pa.array(words)).cast(pa.string())
        for name, (code, words) in codes.items()
    }
    columns["at"] = pa.array(start + seconds.astype("timedelta64[s]"), pa.timestamp("us", "UTC"))
    columns["rows"] = pa.array(np.exp(numbers.uniform(0, np.log(ROWS_MAX), runs)).astype(np.int64))
    columns["max_rows"] = pa.array(numbers.integers(1, ROWS_MAX, runs), mask=numbers.random(runs) < 0.7)
    columns |= {name: pa.array(numbers.random(runs) < share) for name, share in SHARES.items()}
    return pa.table(columns)


def eight(card: RateCard, field: str, step: Decimal) -> list[RateCard]:
    """A card and seven that are dearer by a step each."""
    base = Decimal(str(getattr(card.text, field)))
    dearer = [with_field(card, f"text.{field}", base + number * step) for number in range(1, 8)]
    return [card, *dearer]


def sums(path: Path, cards: Sequence[RateCard]) -> dict[str, tuple[int, ...]]:
    """Micro-credits of each account under every card: what is timed."""
    found = tally(open_runs(path), Question(cards, ("account",)))
    return {group.key: group.micro for group in grouped("account", found)}


def wrong_accounts(path: Path, cards: Sequence[RateCard]) -> tuple[int, int]:
    """How many sums are wrong, of how many: against prices run by run, added up by Polars."""
    import polars

    found, wrong = sums(path, cards), 0
    table = parquet.read_table(path)
    accounts = polars.Series(table.column("account").to_pylist())
    priced = table.drop_columns(["account", "at"])
    for number, card in enumerate(cards):
        kernel = Kernel(card)
        prices = np.concatenate([kernel.price(batch) for batch in priced.to_batches()])
        expected = polars.DataFrame({"account": accounts, "micro": prices}).group_by("account").sum()
        wrong += sum(found[account][number] != micro for account, micro in expected.iter_rows())
    return wrong, len(found) * len(cards)


def wrong_runs(path: Path, card: RateCard) -> int:
    """How many of a sample of runs the kernel prices otherwise than the scalar estimate does."""
    table = parquet.read_table(path)
    places = random.Random(1).sample(range(table.num_rows), min(SAMPLE, table.num_rows))
    rows = table.take(places).combine_chunks()
    prices = Kernel(card).price(rows.drop_columns(["account", "at"]).to_batches()[0])
    return sum(price_micro(_plan(run), card) != price for run, price in zip(rows.to_pylist(), prices, strict=True))


def _plan(run: dict[str, Any]) -> RunPlan:
    rows = run["rows"] if run["max_rows"] is None else min(run["rows"], run["max_rows"])
    recipes = tuple(name for name in RECIPES if run[name])
    choices = (run["length"], recipes, "instruction_dataset", run["grounding"], run["safety"])
    return RunPlan("text", rows, 0, 0, *choices)


def bare_scan(path: Path) -> Candidate:
    """DuckDB reads the same columns and does as little as it can with them."""
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET threads = 2")
    counted = ", ".join(f"count_if({name})" for name in SHARES)
    columns = f"max(account), max(length), sum(rows), sum(max_rows), {counted}"
    query = f"SELECT {columns} FROM read_parquet('{path}')"
    return Candidate("DuckDB, bare scan", lambda: connection.execute(query).fetchall(), lambda rows: None)


def timed(path: Path, label: str, cards: Sequence[RateCard]) -> list[Candidate]:
    """Sums by account under the first card, and under all of them."""

    def check(found: dict[str, tuple[int, ...]]) -> None:
        assert len(found) <= ACCOUNTS

    one, many = cards[:1], cards
    return [
        Candidate(f"{label}, 1 card", lambda: sums(path, one), check),
        Candidate(f"{label}, {len(cards)} cards", lambda: sums(path, many), check),
    ]


def extra_memory(path: Path, cards: Sequence[RateCard]) -> int:
    """MiB that the process grows by at its largest, over what it holds with everything imported."""
    before = _largest_kib()
    sums(path, cards)
    compare_cards(path, cards[0], cards[1:2])
    return (_largest_kib() - before) // 1024


def _largest_kib() -> int:
    """The largest this process has been; `getrusage` would count the process that started it too."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def main() -> None:
    """Write the runs, count what is wrong, time, and measure memory in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000_000)
    parser.add_argument("--memory", type=Path, help="only print the extra memory of pricing this file")
    arguments = parser.parse_args()
    if arguments.memory is not None:
        print(extra_memory(arguments.memory, tiered_cards()))
        return
    measure(arguments.runs)


def tiered_cards() -> list[RateCard]:
    """Eight cards of three tiers."""
    return eight(shipped_card("example"), "row", Decimal("0.001"))


def measure(runs: int) -> None:
    """Write so many runs, count what is wrong, time, and measure memory."""
    tiered, flat = tiered_cards(), eight(shipped_card("observed"), "block", Decimal("0.1"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.parquet"
        write_runs(path, runs)
        print(f"{runs:,} runs of {ACCOUNTS:,} accounts, {path.stat().st_size / 2**20:.0f} MiB of Parquet")
        for label, cards in (("example", tiered), ("observed", flat)):
            wrong, of = wrong_accounts(path, cards)
            alone = wrong_runs(path, cards[0])
            total = from_micro(sum(micro[0] for micro in sums(path, cards[:1]).values()))
            print(f"card {label}: {wrong} of {of:,} sums and {alone} of {SAMPLE:,} runs wrong; total {total:,} credits")
        candidates = [bare_scan(path), *timed(path, "example", tiered), *timed(path, "observed", flat)]
        print(report(compare(candidates, rounds=ROUNDS)))
        command = [sys.executable, "-m", "benchmarks.whatif_files", "--memory", str(path)]
        print(
            "extra memory:", subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip(), "MiB"
        )


if __name__ == "__main__":
    main()
