"""The peers of `benchmarks.peers`, each used as its own documentation has it."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

ACCOUNTS = [f"account-{number:03d}" for number in range(100)]
AMOUNT = Decimal("1.5")
GRANTED = Decimal(100_000_000)
CALLERS = 32
CROWD = 20 * CALLERS

Call = tuple[str, str]
"""An account and a key."""


class Peer(ABC):
    """A ledger that is given the same calls as the others."""

    name: str

    def __init__(self) -> None:
        self.calls = 0

    def next_call(self) -> Call:
        """The account of the next movement, in turns, and a key that was not used before."""
        self.calls += 1
        return ACCOUNTS[self.calls % len(ACCOUNTS)], f"key-{self.calls:09d}"

    @abstractmethod
    def move(self) -> None:
        """Make one movement."""

    @abstractmethod
    def run(self) -> None:
        """Hold credits, then consume them."""

    @abstractmethod
    def batch(self) -> None:
        """Make a batch of movements."""

    @abstractmethod
    def crowd(self) -> None:
        """Make the movements of many callers, all at once, each waiting for its answer before its next."""

    @abstractmethod
    def check(self) -> None:
        """Leave with a message unless every movement is there."""

    @abstractmethod
    def close(self) -> None:
        """Let the connections go."""


def at_once(calls: Sequence[Call], move: Callable[[Call], object]) -> None:
    """Share calls among as many threads as there are callers."""
    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(lambda first: [move(call) for call in calls[first::CALLERS]], range(CALLERS)))


def expect(name: str, found: Any, expected: Any) -> None:
    """Leave with a message unless a peer did what it was asked to."""
    if found != expected:
        raise SystemExit(f"wrong result: {name} has {found}, and {expected} was asked of it")


def _plain(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


class Nostro(Peer):
    """`hf-nostro`: a debit is one call of a stored function, with a key; its account is read beforehand."""

    name = "hf-nostro"

    def __init__(self, url: str, batch: int) -> None:
        super().__init__()
        import psycopg_pool
        from nostro import Ledger
        from nostro.migrate import migrate

        self.size = batch
        migrate(dsn=_plain(url), scale=6)
        self.pool: Any = psycopg_pool.ConnectionPool(_plain(url), open=True, max_size=CALLERS)
        self.ledger: Any = Ledger(pool=self.pool, scale=6)
        self.amount = self.ledger.amount(AMOUNT)
        self.accounts = {name: self.ledger.accounts.get_or_create("tenant", name) for name in ACCOUNTS}
        for name, account in self.accounts.items():
            self.ledger.credit(account, self.ledger.amount(GRANTED), category="grant", idempotency_key=f"grant-{name}")

    def _debit(self, call: Call, **cursor: Any) -> None:
        account, key = call
        self.ledger.debit(self.accounts[account], self.amount, category="run", idempotency_key=key, **cursor)

    def move(self) -> None:
        """One debit in a transaction of its own."""
        self._debit(self.next_call())

    def run(self) -> None:
        """One debit: it has no holds, and consumes at once."""
        self._debit(self.next_call())

    def batch(self) -> None:
        """All debits through one cursor, in one transaction."""
        with self.pool.connection() as connection, connection.cursor() as cursor:
            for _ in range(self.size):
                self._debit(self.next_call(), cur=cursor)

    def crowd(self) -> None:
        """A thread for each caller, over a pool with a connection for each."""
        at_once([self.next_call() for _ in range(CROWD)], self._debit)

    def check(self) -> None:
        """What is left is what was granted less what was debited."""
        left = sum(self.ledger.balance(account).balance.to_decimal() for account in self.accounts.values())
        expect(self.name, left, GRANTED * len(ACCOUNTS) - AMOUNT * self.calls)

    def close(self) -> None:
        """Close the pool."""
        self.pool.close()


class Snipz(Peer):
    """`snipz`: its asyncio engine, a scope an account, capped at what the others were granted."""

    name = "snipz"

    def __init__(self, backend: Any, batch: int, *, at_once: bool) -> None:
        super().__init__()
        from snipz import Budget, Scope

        self.loop = asyncio.new_event_loop()
        self.size, self.at_once = batch, at_once
        self.scopes = {name: Scope("account", name) for name in ACCOUNTS}
        self.budget: Any = Budget(backend)
        self.backend = backend
        self.loop.run_until_complete(self._fill())

    @classmethod
    def on_sqlite(cls, path: Path, batch: int) -> Snipz:
        """On a file, syncing every commit, as the others do, where by itself it would sync at checkpoints only."""
        from snipz.storage import sqlite

        vars(sqlite)["_PRAGMAS"] = tuple(pragma.replace("NORMAL", "FULL") for pragma in sqlite._PRAGMAS)
        return cls(sqlite.SqliteBackend(path), batch, at_once=False)

    @classmethod
    def on_postgresql(cls, url: str, batch: int) -> Snipz:
        """On a server, through a pool of its own, of the size that it comes with."""
        from snipz.storage.postgres import PostgresBackend

        return cls(PostgresBackend(_plain(url)), batch, at_once=True)

    async def _fill(self) -> None:
        await self.budget.migrate()
        for scope in self.scopes.values():
            await self.budget.set_limit(scope, GRANTED)

    async def _reserve(self) -> Any:
        account, key = self.next_call()
        return await self.budget.reserve(self.scopes[account], AMOUNT, request_id=key)

    async def _run(self) -> None:
        reservation = await self._reserve()
        await reservation.commit(AMOUNT)

    async def _batch(self) -> None:
        if self.at_once:
            await asyncio.gather(*(self._reserve() for _ in range(self.size)))
        else:
            for _ in range(self.size):
                await self._reserve()

    def move(self) -> None:
        """One reservation."""
        self.loop.run_until_complete(self._reserve())

    def run(self) -> None:
        """A reservation and its commit."""
        self.loop.run_until_complete(self._run())

    def batch(self) -> None:
        """Many reservations."""
        self.loop.run_until_complete(self._batch())

    async def _caller(self) -> None:
        for _ in range(CROWD // CALLERS):
            await self._reserve()

    async def _crowd(self) -> None:
        await asyncio.gather(*(self._caller() for _ in range(CALLERS)))

    def crowd(self) -> None:
        """A task for each caller."""
        self.loop.run_until_complete(self._crowd())

    async def _spent(self) -> Decimal:
        from datetime import UTC, datetime

        spent = Decimal(0)
        async with self.backend.connect() as connection:
            for scope in self.scopes.values():
                start = datetime(2000, 1, 1, tzinfo=UTC)
                spent += await connection.current_spend(scope_type=scope.type, scope_id=scope.id, window_start_at=start)
        return spent

    def check(self) -> None:
        """What its caps count is what was reserved."""
        expect(self.name, self.loop.run_until_complete(self._spent()), AMOUNT * self.calls)

    def close(self) -> None:
        """Close the pool and the loop."""
        self.loop.run_until_complete(self.budget.close())
        self.loop.close()
