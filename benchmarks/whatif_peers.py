"""How the card `example` is written by hand for text runs, in the floats that the engines offer: what peers do.

Each expression is the same arithmetic in the same order: units by length and recipe, three graduated tiers, a fee, the
total rounded up to the cent, a minimum and a cap.
"""

from __future__ import annotations

from typing import Any

_LENGTHS = {"minimal": 0.6, "concise": 1.0, "detailed": 1.8, "extensive": 3.0}
_TIERS = ((0, 100_000, 1.0), (100_000, 1_000_000, 0.9), (1_000_000, 50_000_000, 0.8))
_FEE, _MINIMUM, _CAP = 0.25, 1.0, 250_000.0
_TO_MICRO = 1_000_000


def duckdb_sql(table: str) -> str:
    """One SELECT over doubles; micro-credits at the end, for comparison."""
    factor = " ".join(f"WHEN '{name}' THEN {value}e0" for name, value in _LENGTHS.items())
    unit = f"(0.010e0 * CASE length {factor} END"
    unit += " + CASE WHEN prompt_metadata_injection THEN 0.0005e0 ELSE 0 END"
    unit += " + CASE WHEN prompt_rephrase THEN 0.001e0 ELSE 0 END)"
    unit += " * CASE WHEN reasoning_traces THEN 1.4e0 ELSE 1 END"
    unit = f"({unit} + CASE WHEN grounding THEN 0.012e0 ELSE 0 END + CASE WHEN safety THEN 0.0015e0 ELSE 0 END)"
    tiers = " + ".join(
        f"greatest(least(billed, {end}) - {start}, 0) * {part}e0 * {unit}" for start, end, part in _TIERS
    )
    total = f"least(greatest(ceil(({tiers} + {_FEE}e0) * 100e0) / 100e0, {_MINIMUM}e0), {_CAP}e0)"
    billed = f"SELECT *, least(rows, coalesce(max_rows, rows)) AS billed FROM {table}"
    return f"SELECT CAST(round({total} * {_TO_MICRO}) AS BIGINT) AS micro FROM ({billed})"


def polars_expression() -> Any:
    """The same as an expression of Polars."""
    import polars as pl

    def added(name: str, amount: float) -> pl.Expr:
        return pl.when(pl.col(name)).then(amount).otherwise(0.0)

    unit = 0.010 * pl.col("length").replace_strict(_LENGTHS, return_dtype=pl.Float64)
    unit = unit + added("prompt_metadata_injection", 0.0005) + added("prompt_rephrase", 0.001)
    unit = unit * pl.when(pl.col("reasoning_traces")).then(1.4).otherwise(1.0)
    unit = unit + added("grounding", 0.012) + added("safety", 0.0015)
    billed = pl.min_horizontal("rows", pl.col("max_rows").fill_null(pl.col("rows")))
    parts = [pl.max_horizontal(pl.min_horizontal(billed, end) - start, 0) * part * unit for start, end, part in _TIERS]
    total = (((parts[0] + parts[1] + parts[2] + _FEE) * 100.0).ceil() / 100.0).clip(_MINIMUM, _CAP)
    return (total * _TO_MICRO).round().cast(pl.Int64).alias("micro")


def ibis_table(table: Any) -> Any:
    """The same as an expression of Ibis, on a table of its DuckDB."""
    import ibis

    def added(name: str, amount: float) -> Any:
        return ibis.ifelse(table[name], amount, 0.0)

    unit = 0.010 * table.length.cases(*_LENGTHS.items(), else_=None)
    unit = unit + added("prompt_metadata_injection", 0.0005) + added("prompt_rephrase", 0.001)
    unit = unit * ibis.ifelse(table.reasoning_traces, 1.4, 1.0)
    unit = unit + added("grounding", 0.012) + added("safety", 0.0015)
    billed = ibis.least(table.rows, table.max_rows.fill_null(table.rows))
    parts = [ibis.greatest(ibis.least(billed, end) - start, 0) * part * unit for start, end, part in _TIERS]
    total = ((parts[0] + parts[1] + parts[2] + _FEE) * 100.0).ceil() / 100.0
    total = ibis.least(ibis.greatest(total, _MINIMUM), _CAP)
    return table.select(micro=(total * _TO_MICRO).round().cast("int64"))
