"""Transactions of commands alone: no session of an ORM, BEGIN with what is read, and COMMIT with what is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from ledger.commands import Command, is_repeatable
from ledger.model.values import Result
from ledger.rules import Rejection
from ledger.schema.databases import check_blocking, check_engine
from ledger.storage.driver import tell_connect_failures
from ledger.storage.journal import execute_alone
from ledger.storage.own_sessions import Ending, begin_own, ready_to_commit
from ledger.storage.sessions import check_connection, check_writable
from ledger.storage.stores.opening import Opening
from ledger.storage.transactions import let_go_of_standby, opening_of, repeated, repeated_async, sync_engine_of

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

Answers = list[Result | Rejection]


def run_commands(
    engine: Engine, commands: Sequence[Command], *, attempts: int = 5, account_id: str | None = None
) -> list[Result | Rejection]:
    """Carry out commands in a transaction of their own, and commit it; answers what `execute` does.

    On PostgreSQL by psycopg this waits twice, for what is read and for what is written: BEGIN goes with the first and
    COMMIT with the second. It is tried again as `run_transaction` does, also after a lost commit where each command has
    a key or has no second effect. Raises what `run_transaction` raises, and no refusal: that is a command's result.
    """
    opening = opening_of(engine, account_id)
    tell_connect_failures(check_blocking(engine))

    def attempt(ending: Ending) -> Answers:
        with engine.connect() as connection, connection.begin():
            return _carry_out(connection, commands, opening, ending)

    return repeated(attempt, attempts, keyed=all(map(is_repeatable, commands)))


async def run_commands_async(
    engine: AsyncEngine, commands: Sequence[Command], *, attempts: int = 5, account_id: str | None = None
) -> list[Result | Rejection]:
    """`run_commands` on an async engine."""
    opening = opening_of(engine, account_id)
    tell_connect_failures(check_engine(sync_engine_of(engine)))

    async def attempt(ending: Ending) -> Answers:
        async with engine.connect() as connection, connection.begin():
            return await connection.run_sync(_carry_out, commands, opening, ending)

    return await repeated_async(attempt, attempts, keyed=all(map(is_repeatable, commands)))


def _carry_out(connection: Connection, commands: Sequence[Command], opening: Opening, ending: Ending) -> Answers:
    try:
        begin_own(connection, opening, is_for_verb=True)
        check_connection(connection)
        check_writable(connection)
        results = execute_alone(connection, commands, ending)
    except DBAPIError as error:
        let_go_of_standby(connection, error)
        raise
    ready_to_commit(connection, ending)
    ending.is_committing = True
    return results
