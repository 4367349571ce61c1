"""One account, one shard: keys begin with the account, and an operation touches the accounts that it is given only."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

import ledger
from ledger import commands
from ledger.tables import metadata
from tests.ledger.conftest import START, later
from tests.ledger.test_launches import PLAIN, PROFILE, launch

OTHER = "another-account"


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=str)
def test_every_key_begins_with_the_account_and_every_reference_stays_within_it(table: sa.Table) -> None:
    keys: list[Any] = [table.primary_key, *(index for index in table.indexes if index.unique)]
    keys += [found for found in table.constraints if isinstance(found, sa.UniqueConstraint)]
    assert [next(iter(key.columns)).name for key in keys] == ["account_id"] * len(keys)
    for reference in table.foreign_key_constraints:
        assert reference.column_keys[0] == "account_id"
        assert next(iter(reference.elements)).column.name == "account_id"


@pytest.fixture
def statements(postgresql_url: str) -> Iterator[tuple[Engine, list[tuple[str, Any]]]]:
    """An engine on a database of two accounts, and the statements that it is given."""
    engine = ledger.create_engine(postgresql_url)
    with Session(engine) as session, session.begin():
        for name in ("acme", OTHER):
            ledger.open_account(session, name, at=START)
            ledger.set_limit(session, name, "total", 5000, label="project", at=START)
            ledger.set_credit_line(session, name, 5, at=START)
            ledger.grant_credits(session, name, 100, at=START)
            ledger.grant_credits(session, name, 5, expires_at=later(2), at=START)
            ledger.capture(session, ledger.reserve(session, name, 3, at=START).reservation_id, 1, at=START)
            ledger.reserve(session, name, 3, labels={"project": "p"}, at=START)
    seen: list[tuple[str, Any]] = []
    event.listen(engine, "before_cursor_execute", lambda *given: seen.append((given[2], given[3])))
    yield engine, seen
    engine.dispose()


def run(session: Session) -> None:
    """Launch a run and settle it."""
    launched = launch(session, at=later(9))
    from estimator import RunOutcome

    outcome = RunOutcome("succeeded", rows_processed=50, rows_delivered=50)
    ledger.settle_run(session, account_id="acme", run_id=str(launched.run_id), outcome=outcome, at=later(10))


OPERATIONS: dict[type[Any], Callable[[Session], Any]] = {
    commands.OpenAccount: lambda session: ledger.open_account(session, "acme"),
    commands.GetBalance: lambda session: ledger.execute(session, [ledger.GetBalance("acme", later(9))]),
    commands.ExpireDue: lambda session: ledger.expire_due(session, account_id="acme", at=later(9)),
    commands.SetCreditLine: lambda session: ledger.set_credit_line(session, "acme", 5, at=later(9)),
    commands.SetLimit: lambda session: ledger.set_limit(session, "acme", "day", 5, at=later(9)),
    commands.Adjust: lambda session: ledger.adjust(session, "acme", -1, reason="x", at=later(9)),
    commands.GrantCredits: lambda session: ledger.grant_credits(session, "acme", 5, key="k", at=later(9)),
    commands.RevokeGrant: lambda session: ledger.revoke_grant(session, "acme/g4", at=START),
    commands.Reserve: lambda session: ledger.reserve(session, "acme", 5, labels={"project": "p"}, key="k", at=later(9)),
    commands.Capture: lambda session: ledger.capture(session, HOLDS["acme"], 1, key="k", at=later(1)),
    commands.Release: lambda session: ledger.release(session, HOLDS["acme"], at=later(9)),
    commands.Extend: lambda session: ledger.extend(
        session,
        ledger.reserve(session, "acme", 1, expires_in=timedelta(days=1), at=later(9)).reservation_id,
        timedelta(days=1),
        at=later(9),
    ),
    commands.Refund: lambda session: ledger.refund(session, "acme/r5", at=later(9)),
    commands.LaunchRun: run,
    commands.SettleRun: run,
}
HOLDS = {"acme": "acme/r7"}
READS: list[Callable[[Session], Any]] = [
    lambda session: ledger.get_balance(session, "acme"),
    lambda session: ledger.get_balance(session, "acme", at=START),
    lambda session: ledger.get_statement(session, "acme", since=START),
    lambda session: ledger.list_grants(session, "acme", ended=True),
    lambda session: ledger.list_reservations(session, "acme"),
    lambda session: ledger.get_reservation(session, HOLDS["acme"]),
    lambda session: ledger.list_limits(session, "acme"),
    lambda session: ledger.list_limit_usage(session, "acme"),
    lambda session: ledger.get_credit_line(session, "acme"),
    lambda session: list(ledger.audit(session, account_id="acme")),
]


def is_by_account(statement: str) -> bool:
    """True when every table that a statement reads or changes is tied to an account."""
    if not re.search(r"\bledger_", statement):
        return True
    if statement.startswith(("INSERT", "WITH w0 AS (INSERT", "WITH w0 AS (UPDATE", "UPDATE")):
        return all(
            "account_id" in part.partition("WHERE")[2] if part.lstrip().startswith("UPDATE") else "account_id" in part
            for part in re.split(r"w\d+ AS \(", statement)
            if "ledger_" in part
        )
    return "account_id" in statement


@pytest.mark.parametrize("kind", OPERATIONS, ids=lambda kind: kind.__name__)
def test_an_operation_touches_the_account_that_it_names_and_no_other(
    statements: tuple[Engine, list[tuple[str, Any]]], kind: type[Any]
) -> None:
    engine, seen = statements
    with Session(engine) as session, session.begin():
        OPERATIONS[kind](session)
    assert seen
    for statement, parameters in seen:
        assert OTHER not in f"{statement} {parameters}"
        assert is_by_account(statement), statement


@pytest.mark.parametrize("number", range(len(READS)))
def test_a_read_touches_the_account_that_it_names_and_no_other(
    statements: tuple[Engine, list[tuple[str, Any]]], number: int
) -> None:
    engine, seen = statements
    with Session(engine) as session:
        READS[number](session)
    assert seen
    for statement, parameters in seen:
        assert OTHER not in f"{statement} {parameters}"
        assert is_by_account(statement), statement


def test_every_command_is_among_the_operations_here() -> None:
    assert set(OPERATIONS) == set(commands.Command.__args__)  # type: ignore[attr-defined]


def test_opposite_batches_on_two_accounts_never_deadlock(statements: tuple[Engine, list[tuple[str, Any]]]) -> None:
    engine, _ = statements
    errors: list[BaseException] = []
    orders = [("acme", OTHER), (OTHER, "acme")]

    def work(order: tuple[str, str]) -> None:
        try:
            for _ in range(25):
                with Session(engine) as session, session.begin():
                    results = ledger.execute(session, [ledger.Reserve(name, 1, at=later(9)) for name in order])
                    assert len(results) == 2
        except BaseException as error:  # noqa: BLE001  # shown in the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(orders[number % 2],)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_launch_keeps_its_card_with_the_account(statements: tuple[Engine, list[tuple[str, Any]]]) -> None:
    engine, _ = statements
    with Session(engine) as session, session.begin():
        launch(session, at=later(9), profile=PROFILE)
        row = session.execute(sa.text("SELECT account_id, card_id FROM ledger_card")).one()
    assert tuple(row) == ("acme", PLAIN.id)
