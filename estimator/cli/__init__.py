"""The command line: the commands that need no database, `profile`, `estimate`, `card` and `whatif`.

Imports everything; only the command line of the ledger imports it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress

from estimator.cards import shipped
from estimator.cli.calibrate import calibrate_command
from estimator.cli.options import (
    CARD_DEFAULT,
    CardOption,
    DatasetArgument,
    DiscountOption,
    GroundingOption,
    JsonOption,
    LengthOption,
    MapOption,
    MaxRowsOption,
    NoRecipeOption,
    PricedAtOption,
    RecipeOption,
    RequestOption,
    RequestOptions,
    SafetyOption,
    VoucherOption,
    card_in_force,
    parse_moment,
    read_book,
    read_card,
)
from estimator.cli.tables import code, estimate_summary, facts, items_table, line, profile_table
from estimator.cli.terminal import EPILOG, CommandGroup, emit
from estimator.cli.whatif import app as whatif_app
from estimator.columns import COLUMNS
from estimator.credits import format_credits
from estimator.estimates import estimate
from estimator.files.datasets import profile_dataset
from estimator.plans import DatasetProfile, plan_run
from estimator.rates import RateCard
from estimator.sql.select import diagnosis_sql, sql
from estimator.wire.responses import RunResponse

PROGRESS_FROM_BYTES = 64 * 2**20
"""Smaller files are read without a progress bar."""

app = typer.Typer(
    cls=CommandGroup,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
card_app = typer.Typer(cls=CommandGroup, no_args_is_help=True, help="Show and check rate cards.", epilog=EPILOG)
app.add_typer(card_app, name="card")
app.add_typer(whatif_app)


def read_profile(path: Path, *, quiet: bool) -> DatasetProfile:
    """The profile of a dataset file; a progress bar shows while a person waits for a large one."""
    if quiet or not sys.stderr.isatty() or not path.is_file() or path.stat().st_size < PROGRESS_FROM_BYTES:
        return profile_dataset(path)
    from rich.console import Console

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Reading", total=path.stat().st_size)
        return profile_dataset(path, progress=lambda position: bar.update(task, completed=position))


def profile_document(path: Path, profile: DatasetProfile) -> dict[str, Any]:
    """A profile as JSON-safe values."""
    return {"dataset": str(path), "row_count": profile.row_count, "columns": list(profile.columns)}


@app.command(epilog=EPILOG)
def profile(dataset: DatasetArgument, as_json: JsonOption = False) -> None:
    """Count the rows of a dataset and name its columns, without loading it."""
    found = read_profile(dataset, quiet=as_json)
    emit(profile_document(dataset, found), profile_table(str(dataset), found), as_json=as_json)


@app.command("estimate", epilog=EPILOG)
def estimate_command(
    dataset: DatasetArgument,
    request: RequestOption = None,
    mapping: MapOption = None,
    length: LengthOption = None,
    grounding: GroundingOption = None,
    safety: SafetyOption = None,
    max_rows: MaxRowsOption = None,
    recipe: RecipeOption = None,
    no_recipe: NoRecipeOption = None,
    discount: DiscountOption = None,
    voucher: VoucherOption = None,
    card: CardOption = CARD_DEFAULT,
    at: PricedAtOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a run over a dataset would cost and how long it would take, item by item.

    Options override the same parts of --request. Nothing is started, and no column needs to be mapped.
    """
    moment = parse_moment(at)
    options = RequestOptions(request, mapping, length, grounding, safety, max_rows, recipe, no_recipe)
    asked = options.read(estimate=True)
    chosen = card_in_force(read_book(card), moment)
    plan = plan_run(asked, read_profile(dataset, quiet=as_json), chosen, discount=discount, voucher=voucher)
    answer = estimate(plan, chosen)
    document = answer.to_dict() | {"response": RunResponse.of(answer).to_wire()}
    emit(document, estimate_summary(answer), items_table(answer.line_items, answer.credits), as_json=as_json)


_EXACT = "Exact everywhere: every amount stays below 2^53, so that an engine that computes in doubles is right, too."
_NOT_IN_DOUBLES = (
    "Exact in whole numbers of 64 bits only: some amounts pass 2^53. Price with `credits whatif` or `credits card sql`,"
    " not in a spreadsheet or in doubles."
)

CardArgument = Annotated[
    str, typer.Argument(metavar="CARD", help="A shipped card's name, or a .toml or .json file.", show_default=False)
]


@card_app.command(epilog=EPILOG)
def show(
    card: Annotated[
        str | None,
        typer.Argument(metavar="[CARD]", help="A shipped card's name or a file; every shipped card if left out."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print a rate card with every default spelled out, or list the cards that ship."""
    if card is None:
        cards = list(shipped().values())
        document: Any = [_identity(found) for found in cards]
        spaced = [part for found in cards for part in (_summary(found), "")]
        emit(document, *spaced, as_json=as_json)
        return
    found = read_card(card)
    content = json.loads(found.to_json())
    emit(_identity(found) | {"content": content}, _summary(found), "", _content(content), as_json=as_json)


@card_app.command(epilog=EPILOG)
def check(card: CardArgument, as_json: JsonOption = False) -> None:
    """Say whether a rate card can be used; if not, name everything that is wrong with it."""
    found = read_card(card)
    exact = all(program.exact_in_double for program in found.programs.values())
    emit(
        _identity(found) | {"valid": True, "exact_everywhere": exact},
        line(f"Rate card {found.name} is sound. Its id is {found.id}."),
        line(_EXACT if exact else _NOT_IN_DOUBLES),
        as_json=as_json,
    )


@card_app.command(epilog=EPILOG)
def schema(as_json: JsonOption = False) -> None:
    """Print the JSON Schema of a rate card, for editors; --json changes nothing."""
    emit(RateCard.model_json_schema(), as_json=True)


@card_app.command("sql", epilog=EPILOG)
def sql_command(
    card: CardArgument,
    dialect: Annotated[
        str, typer.Option("--dialect", metavar="ENGINE", help="duckdb, postgresql or spark; bigquery with --untested.")
    ],
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns", metavar="NAME,...", help="The columns that the table has; all there may be, if left out."
        ),
    ] = None,
    table: Annotated[str, typer.Option("--table", metavar="NAME", help="The table of past runs.")] = "runs",
    keep: Annotated[
        str | None, typer.Option("--keep", metavar="NAME,...", help="Other columns to carry along, such as an account.")
    ] = None,
    problems: Annotated[
        bool, typer.Option("--problems", help="List the runs that have no price instead, and why.")
    ] = False,
    untested: Annotated[
        bool, typer.Option("--untested", help="Write for an engine that never executed it, too.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Print one SELECT that prices a table of past runs under a rate card, to the last micro-credit."""
    names = COLUMNS if columns is None else _listed(columns)
    write = diagnosis_sql if problems else sql
    text = write(read_card(card), dialect, names, table=table, keep=_listed(keep or ""), untested=untested)
    emit({"sql": text}, *code(text), as_json=as_json)


def _listed(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


card_app.command("calibrate", epilog=EPILOG)(calibrate_command)


def _identity(card: RateCard) -> dict[str, Any]:
    return {
        "name": card.name,
        "id": card.id,
        "description": card.description,
        "effective_from": card.effective_from.isoformat().replace("+00:00", "Z"),
        "rows_max": card.rows_max,
        "quantum": format_credits(card.quantum),
        "settlement": card.settlement,
    }


def _summary(card: RateCard) -> Any:
    fields = _identity(card)
    return facts(
        [
            ("Rate card", fields["name"]),
            ("What it is", fields["description"] or None),
            ("In force from", fields["effective_from"]),
            ("Bills rows", fields["settlement"]),
            ("Rows a run", f"at most {card.rows_max:,}"),
            ("Rounded up to", f"{fields['quantum']} credits"),
            ("Id", fields["id"]),
        ]
    )


def _content(content: dict[str, Any]) -> Any:
    """Every price as a path and a value, as the card would be written."""
    skipped = {"name", "description", "effective_from", "rows_max", "quantum", "settlement"}
    return facts(_flat({name: value for name, value in content.items() if name not in skipped}))


def _flat(value: Any, path: str = "") -> list[tuple[str, object]]:
    if isinstance(value, dict):
        return [pair for name, item in value.items() for pair in _flat(item, f"{path}.{name}" if path else name)]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [pair for number, item in enumerate(value, 1) for pair in _flat(item, f"{path}[{number}]")]
    return [(path, ", ".join(map(str, value)) if isinstance(value, list) else value)]
