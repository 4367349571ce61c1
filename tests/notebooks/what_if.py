"""What would other prices have cost? A notebook: `marimo edit tests/notebooks/what_if.py -- --runs runs.parquet`."""

import marimo

app = marimo.App()


@app.cell
def _():
    from decimal import Decimal

    import marimo as mo
    import polars as pl

    from estimator import shipped_card
    from estimator.scenarios import compare, solve, sweep
    from estimator.scenarios.fields import with_field

    return Decimal, compare, mo, pl, shipped_card, solve, sweep, with_field


@app.cell
def _(mo, pl):
    path = mo.cli_args().get("runs")
    if path is None:
        runs = pl.DataFrame(
            {
                "account": ["acme", "acme", "zeta", "zeta", "initech"],
                "rows": [120_000, 900, 45_000, 2_300_000, 18],
                "length": ["detailed", "concise", "concise", "extensive", "minimal"],
                "grounding": [True, False, False, True, False],
                "reasoning_traces": [True, False, True, True, False],
            }
        )
    else:
        runs = path  # read piece by piece: the file may be larger than memory
    return (runs,)


@app.cell
def _(Decimal, shipped_card, with_field):
    card = shipped_card("example")
    candidate = with_field(card, "text.recipes.reasoning_traces.multiply", Decimal("1.25"))
    return candidate, card


@app.cell
def _(candidate, card, compare, runs):
    # 1. What it would have cost, who pays less, and which part of the card does it.
    comparison = compare(runs, baseline=card, candidates=[candidate])
    comparison.by("account").head()
    return (comparison,)


@app.cell
def _(Decimal, card, runs, sweep):
    # 2. The same for many values at once.
    prices = sweep(runs, card, {"text.row": [Decimal("0.009"), Decimal("0.010"), Decimal("0.011")]})
    prices
    return (prices,)


@app.cell
def _(Decimal, candidate, comparison, runs, solve):
    # 3. The price of a row that brings in what was brought in before, to the micro-credit.
    target = comparison.baseline.credits
    solution = solve(runs, candidate, "text.row", target, bounds=(Decimal("0.008"), Decimal("0.02")))
    solution
    return solution, target


if __name__ == "__main__":
    app.run()
