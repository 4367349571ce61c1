"""Reconciliation beside DuckDB's bare full outer join of the same files: `python -m benchmarks.reconcile`.

Both files have the same runs in two orders, with 500 discrepancies of five kinds seeded into one; every one must be
found, with its kind, before anything is timed. The bare join reads the same files with DuckDB's own settings and joins
them by run id: `compare` counts the rows that differ and keeps none, `join` keeps every joined row as a table, which is
what a full outer join answers. Rounds take turns; seconds are the middle one's, and CPU seconds stand beside them for
machines that do other things too; `--records N` for other sizes. Memory is what a process of its own grows by.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.finance import _largest_kib
from ledger.finance import RecordMapping, ResultKind, reconcile

ROUNDS = 3
SEEDED = 100
_START = datetime(2025, 1, 1, tzinfo=UTC)
_HEADER = ("run_id", "account", "credits", "finished_at", "status")
_KINDS = ("amount_differs", "timing", "status_differs", "missing_here", "missing_there")
MAPPING = RecordMapping.from_dict(
    {
        "side": "runs",
        "columns": {
            "reference": "run_id",
            "account": "account",
            "amount": "credits",
            "at": "finished_at",
            "status": "status",
        },
        "time": {"zone": "UTC"},
        "tolerance": {"time": "1h", "window": "1h"},
    }
)


def make_files(folder: Path, count: int) -> tuple[Path, Path]:
    """Two files of runs, the second in another order and with what is to be found."""
    ours = [_run(number) for number in range(count)]
    theirs = list(ours)
    chance = random.Random(1)
    for number, place in enumerate(chance.sample(range(count), len(_KINDS) * SEEDED)):
        run_id, account, credits_, finished, status = ours[place]
        kind = _KINDS[number % len(_KINDS)]
        if kind == "amount_differs":
            theirs[place] = (run_id, account, credits_ + "1", finished, status)
        elif kind == "timing":
            theirs[place] = (run_id, account, credits_, finished.replace("2025", "2026"), status)
        elif kind == "status_differs":
            theirs[place] = (run_id, account, credits_, finished, "expired")
        elif kind == "missing_there":
            theirs[place] = ()  # type: ignore[assignment]
        else:
            theirs.append((f"unknown-{number:06d}-of-theirs", account, credits_, finished, status))
    theirs = [line for line in theirs if line]
    chance.shuffle(theirs)
    paths = folder / "ours.csv", folder / "theirs.csv"
    for path, lines in zip(paths, (ours, theirs), strict=True):
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([_HEADER, *lines])
    return paths


def _run(number: int) -> tuple[str, str, str, str, str]:
    finished = _START + timedelta(seconds=number * 30)
    run_id = f"dataset-d{number % 5_000}-{int(finished.timestamp() * 1000)}"
    amount = f"{number * 37 % 5_000 // 100}.{number * 37 % 100:02d}"
    return run_id, f"account-{number % 2_000:06d}", amount, finished.isoformat(), "captured"


def ours_of(paths: tuple[Path, Path]) -> dict[str, int]:
    """What reconciliation finds: every finding read."""
    with reconcile(*paths, MAPPING) as found:
        counts = dict.fromkeys(_KINDS, 0)
        for result in found:
            counts[result.kind.value] += 1
        return counts | {"matched": found.summary.counts[ResultKind.MATCHED]}


_JOINED = "read_csv('{}') h FULL OUTER JOIN read_csv('{}') t ON h.run_id = t.run_id"
_DIFFER = " OR ".join(f"h.{name} IS DISTINCT FROM t.{name}" for name in _HEADER)


def compare_bare(paths: tuple[Path, Path]) -> int:
    """How many joined rows differ, with DuckDB alone."""
    with duckdb.connect(config={"enable_progress_bar": False}) as connection:
        query = f"SELECT count(*) FROM {_JOINED.format(*paths)} WHERE {_DIFFER}"
        return int(connection.execute(query).fetchall()[0][0])


def join_bare(paths: tuple[Path, Path]) -> int:
    """How many rows the join has, kept as a table."""
    with duckdb.connect(config={"enable_progress_bar": False}) as connection:
        connection.execute(f"CREATE TABLE joined AS SELECT h.*, t.* FROM {_JOINED.format(*paths)}").fetchall()
        return int(connection.execute("SELECT count(*) FROM joined").fetchall()[0][0])


def _timed(work: Callable[[tuple[Path, Path]], Any], paths: tuple[Path, Path]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work(paths)
    return time.perf_counter() - wall, time.process_time() - cpu


def _grow(paths: tuple[Path, Path], pipe: Any) -> None:
    before = _largest_kib()
    ours_of(paths)
    pipe.send((_largest_kib() - before) // 1024)


def grown(paths: tuple[Path, Path]) -> int:
    """MiB that a process of its own grows by while it reconciles."""
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe()
    process = context.Process(target=_grow, args=(paths, theirs))
    process.start()
    answer: int = ours.recv()
    process.join()
    return answer


def main() -> None:
    """Print seconds, CPU seconds and ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reconcile")
    parser.add_argument("--records", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = make_files(Path(folder), options.records)
        expected = dict.fromkeys(_KINDS, SEEDED) | {"matched": options.records - 4 * SEEDED}
        if (found := ours_of(paths)) != expected:
            raise SystemExit(f"wrong result: {found} instead of {expected}")
        joined = options.records + SEEDED
        if (compare_bare(paths), join_bare(paths)) != (len(_KINDS) * SEEDED, joined):
            raise SystemExit("wrong result: the bare join differs")
        works = {"reconcile": ours_of, "bare compare": compare_bare, "bare join": join_bare}
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
        for _ in range(options.rounds):
            for name, work in works.items():
                taken[name].append(_timed(work, paths))
        print(
            f"{options.records:,} records against {options.records:,}, {len(_KINDS) * SEEDED} discrepancies, all found"
        )
        ours = tuple(statistics.median(figures) for figures in zip(*taken["reconcile"], strict=True))
        for name, figures in taken.items():
            wall, cpu = (statistics.median(values) for values in zip(*figures, strict=True))
            ratios = f"{ours[0] / wall:>6.2f}x {ours[1] / cpu:>6.2f}x"
            print(f"  {name:<14}{wall:>8.2f} s{cpu:>8.2f} CPU s   reconcile / this: {ratios}")
        print(f"  memory        {grown(paths):>6,} MiB")


if __name__ == "__main__":
    main()
