"""The commands that run a dataset through estimator and ledger: `launch` and `settle`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from estimator import RunOutcome
from estimator.cli import read_profile
from estimator.cli.options import (
    CardOption,
    DatasetArgument,
    DiscountOption,
    GroundingOption,
    JsonOption,
    LengthOption,
    MapOption,
    MaxRowsOption,
    NoRecipeOption,
    RecipeOption,
    RequestOption,
    RequestOptions,
    SafetyOption,
    VoucherOption,
    parse_moment,
    read_book,
)
from estimator.cli.terminal import EPILOG, CommandGroup
from ledger.cli.arguments import AccountArgument, AtOption, KeyOption
from ledger.cli.database import DatabaseOption
from ledger.cli.frame import answer
from ledger.cli.tables import launch_table, settlement_table
from ledger.runs import launch, settle_run

app = typer.Typer(cls=CommandGroup)


def dataset_id_of(path: Path) -> str:
    """A dataset's id where none was given: its file's name up to its first dot."""
    return path.name.split(".")[0] or path.name


@app.command("launch", epilog=EPILOG)
def launch_command(
    account: AccountArgument,
    dataset: DatasetArgument,
    card: CardOption,
    dataset_id: Annotated[
        str | None, typer.Option("--dataset-id", metavar="ID", help="The file's name up to its first dot if left out.")
    ] = None,
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
    key: KeyOption = None,
    at: AtOption = None,
    database_url: DatabaseOption = "",
    as_json: JsonOption = False,
) -> None:
    """Hold what a run over a dataset is estimated to cost, and answer as the augmentation API would.

    Options override the same parts of --request; --key is its idempotency key. A run needs a column mapping and a
    rate card: nothing is charged under prices that you did not choose. The start of the run waits in the outbox, for a
    service to hand it to the pipeline.
    """
    moment = parse_moment(at)
    options = RequestOptions(request, mapping, length, grounding, safety, max_rows, recipe, no_recipe, key)
    asked, cards = options.read(), read_book(card)
    profile = read_profile(dataset, quiet=as_json)
    answer(
        database_url,
        lambda session: launch(
            session,
            account_id=account,
            dataset_id=dataset_id_of(dataset) if dataset_id is None else dataset_id,
            profile=profile,
            request=asked,
            cards=cards,
            at=moment,
            discount=discount,
            voucher=voucher,
        ),
        as_json=as_json,
        table=launch_table,
    )


@app.command(epilog=EPILOG)
def settle(
    account: AccountArgument,
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID", help="As launching answered it.", show_default=False)],
    status: Annotated[
        Literal["succeeded", "failed", "cancelled"], typer.Option("--status", help="How it ended.", show_default=False)
    ],
    rows_processed: Annotated[
        int, typer.Option("--rows-processed", metavar="ROWS", help="Input rows processed.", show_default=False)
    ],
    rows_delivered: Annotated[
        int | None, typer.Option("--rows-delivered", metavar="ROWS", help="Output rows delivered, where counted.")
    ] = None,
    at: AtOption = None,
    database_url: DatabaseOption = "",
    as_json: JsonOption = False,
) -> None:
    """Charge a finished run for what it did, by its rate card's settlement policy, and free the rest of its hold."""
    moment = parse_moment(at)
    outcome = RunOutcome(status, rows_processed, rows_delivered)
    answer(
        database_url,
        lambda session: settle_run(session, account_id=account, run_id=run_id, outcome=outcome, at=moment),
        as_json=as_json,
        table=settlement_table,
    )
