"""Times past runs priced in memory, beside copying their bytes, and then in files: `python -m benchmarks.whatif`.

Ten million text runs under the card `example` (three tiers). What each engine answers is compared, before anything is
timed, with the scalar program's price of every single run; that takes a few minutes. The engines: the kernel on record
batches, tables of PyArrow, Polars and pandas, and the card's SQL in DuckDB and (on fewer runs) PostgreSQL. Beside them
what is commonly written instead, in the floats of DuckDB, Polars and Ibis, with how many runs that prices wrong. Then
`benchmarks.whatif_files`.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from benchmarks import whatif_files, whatif_peers
from estimator import RunPlan, estimate_frame, price_micro, shipped_card, sql
from estimator.frames.kernel import Kernel
from estimator.rates.sections import RECIPES
from tests.postgres import PostgresServer, connect

ROUNDS = 5
POSTGRESQL_RUNS = 1_000_000
THREADS = 2
_PART = 50_000
_COLUMNS = ("rows", "max_rows", "length", *whatif_files.SHARES)
_CARD = shipped_card("example")

Engine = Callable[[], Any]
"""Prices every run; its answer is an array of micro-credits, in the runs' order."""


def read_runs(runs: int) -> pa.Table:
    """The runs, as one batch of the columns that prices depend on."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.parquet"
        whatif_files.write_runs(path, runs)
        table = parquet.read_table(path, columns=list(_COLUMNS), memory_map=False)
    return table.combine_chunks()


def scalar_prices(table: pa.Table) -> Any:
    """The price of every run by the program, one by one, in processes."""
    parts = [table.slice(first, _PART) for first in range(0, table.num_rows, _PART)]
    with multiprocessing.get_context("forkserver").Pool(THREADS) as pool:
        return np.concatenate(list(pool.imap(_scalar_part, parts)))


def _scalar_part(part: pa.Table) -> Any:
    prices = np.empty(part.num_rows, np.int64)
    columns = [part.column(name).to_pylist() for name in _COLUMNS]
    for place, (rows, max_rows, length, *switches) in enumerate(zip(*columns, strict=True)):
        chosen = dict(zip(whatif_files.SHARES, switches, strict=True))
        recipes = tuple(name for name in RECIPES if chosen[name])
        billed = rows if max_rows is None else min(rows, max_rows)
        grounding, safety = chosen["grounding"], chosen["safety"]
        plan = RunPlan("text", billed, 0, 0, length, recipes, "instruction_dataset", grounding, safety)
        prices[place] = price_micro(plan, _CARD)
    return prices


def engines(table: pa.Table) -> dict[str, Engine]:
    """What the library offers for tables in memory, by name."""
    import pandas
    import polars

    kernel, batch = Kernel(_CARD), table.to_batches()[0]
    of_polars = polars.from_arrow(table)
    of_pandas = table.to_pandas(types_mapper=pandas.ArrowDtype)
    database = stored(table)
    statement = sql(_CARD, "duckdb", _COLUMNS, table="stored", keep=("place",))
    return {
        "kernel": lambda: kernel.price(batch, threads=THREADS),
        "PyArrow table": lambda: estimate_frame(table, _CARD).column("credits_micro").to_numpy(),
        "Polars": lambda: estimate_frame(of_polars, _CARD)["credits_micro"].to_numpy(),
        "pandas": lambda: estimate_frame(of_pandas, _CARD)["credits_micro"].to_numpy(),
        "DuckDB, sql(card)": lambda: in_order(database.execute(statement).fetchnumpy()),
    }


def stored(table: pa.Table) -> Any:
    """A DuckDB in memory that has the runs, and the place of each, in a table of its own."""
    import duckdb

    database = duckdb.connect()
    database.execute(f"SET threads = {THREADS}")
    database.register("runs", table.append_column("place", pa.array(np.arange(table.num_rows))))
    database.execute("CREATE TABLE stored AS SELECT * FROM runs")
    return database


def in_order(found: dict[str, Any]) -> Any:
    """Prices by the place of their run: a join keeps no order."""
    prices = np.empty(len(found["place"]), np.int64)
    prices[found["place"]] = found["credits_micro"]
    return prices


def peers(table: pa.Table) -> dict[str, Engine]:
    """What is commonly written instead."""
    import ibis
    import polars

    database = stored(table)
    of_polars, expression = polars.from_arrow(table), whatif_peers.polars_expression()
    statement = whatif_peers.duckdb_sql("stored")
    own = ibis.duckdb.from_connection(database)
    asked = whatif_peers.ibis_table(own.table("stored"))
    return {
        "DuckDB, floats": lambda: database.execute(statement).fetchnumpy()["micro"],
        "Polars, floats": lambda: of_polars.select(expression)["micro"].to_numpy(),
        "Ibis, floats": lambda: asked.to_pyarrow().column("micro").to_numpy(),
    }


def copies(table: pa.Table) -> Engine:
    """The runs' bytes and the prices' copied in as many threads: the least that anything could take."""
    source = np.ones(table.nbytes + 8 * table.num_rows, np.uint8)
    target = np.zeros_like(source)
    parts = list(zip(np.array_split(source, THREADS), np.array_split(target, THREADS), strict=True))
    pool = ThreadPoolExecutor(THREADS)
    return lambda: list(pool.map(lambda pair: np.copyto(pair[1], pair[0]), parts))


def wrong_count(found: Any, expected: Any) -> int:
    """How many prices are not what they should be; one that is missing is none."""
    return int(np.count_nonzero(np.asarray(found) != expected))


def measure(candidates: dict[str, Engine]) -> dict[str, list[float]]:
    """Seconds of each candidate, a figure a round."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(ROUNDS):
        for name, run in candidates.items():
            gc.collect()
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def on_postgresql(table: pa.Table, expected: Any) -> str:
    """Milliseconds and wrong runs of the card's SQL in a private PostgreSQL, on as many runs as it gets."""
    statement = sql(_CARD, "postgresql", _COLUMNS, keep=("place",))
    kinds = ["rows bigint", "max_rows bigint", "length text", *(f"{name} boolean" for name in whatif_files.SHARES)]
    with PostgresServer.start() as server, connect(server.databases.create()) as connection:
        connection.execute(f"CREATE TABLE runs (place bigint, {', '.join(kinds)})".encode())
        with connection.cursor().copy("COPY runs FROM STDIN") as copy:
            for place, row in enumerate(zip(*(column.to_pylist() for column in table.columns), strict=True)):
                copy.write_row((place, *row))
        connection.execute("VACUUM ANALYZE runs")
        query = f"SELECT credits_micro FROM ({statement}) AS priced ORDER BY place".encode()
        began = time.perf_counter()
        found = np.array([row[0] for row in connection.execute(query)], np.int64)
        took = time.perf_counter() - began
    return f"PostgreSQL, sql(card): {table.num_rows:,} runs in {took:.1f} s, {wrong_count(found, expected)} wrong"


def main() -> None:
    """Count what is wrong, then time; then the same for files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000_000)
    parser.add_argument("--no-files", action="store_true", help="leave out what benchmarks.whatif_files measures")
    arguments = parser.parse_args()
    table = read_runs(arguments.runs)
    expected = scalar_prices(table)
    print(f"{table.num_rows:,} runs, {table.nbytes / 2**20:.0f} MiB, priced one by one by the scalar program")
    ours, others = engines(table), peers(table)
    wrong = {name: wrong_count(run(), expected) for name, run in (ours | others).items()}
    for name in ours:
        if wrong[name]:
            raise SystemExit(f"wrong result: {name} prices {wrong[name]:,} runs otherwise than the scalar program")
    seconds = measure({"memcpy": copies(table)} | ours | others)
    print(report(seconds, wrong))
    few = table.slice(0, POSTGRESQL_RUNS)
    print(on_postgresql(few, expected[: few.num_rows]))
    if not arguments.no_files:
        del ours, others, table
        gc.collect()
        whatif_files.measure(arguments.runs)


def report(seconds: dict[str, list[float]], wrong: dict[str, int]) -> str:
    """An aligned table; `ratio` is the median over the rounds of a time over the copy's in the same round."""
    lines = [f"{'milliseconds':<20}  {'min':>8}  {'median':>8}  {'max':>8}  {'ratio':>7}  {'wrong runs':>11}"]
    base = seconds["memcpy"]
    for name, found in seconds.items():
        ratio = statistics.median(second / least for second, least in zip(found, base, strict=True))
        figures = "  ".join(f"{second * 1000:>8,.0f}" for second in (min(found), statistics.median(found), max(found)))
        lines.append(f"{name:<20}  {figures}  {ratio:>7.1f}  {wrong.get(name, 0):>11,}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
