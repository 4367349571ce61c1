"""Every statement that a verb sends to PostgreSQL, as a proxy or a distributed server reads it.

Such a server sends a statement to the shard of its account, which it must find in it: as a plain parameter, or among
those of an array. What it refuses is in none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlglot
from sqlalchemy.orm import Session
from sqlglot import exp

import ledger
from ledger import finance
from tests.ledger.conftest import later
from tests.ledger.verbs import NOW, ON_ONE_ACCOUNT, OVER_ACCOUNTS, Filled, close_february, fill

_OF_TRANSACTIONS = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "SELECT set_config", "SELECT pg_advisory")
_OF_THE_SCHEMA = ("pg_catalog", "ledger_alembic_version", "pg_backend_pid", "row_security_active")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts of the statements that the driver is given from now on."""
    statements: list[str] = []
    for kind, name in ((psycopg.Cursor, "execute"), (psycopg.Cursor, "executemany"), (psycopg.ServerCursor, "execute")):
        given = getattr(kind, name)

        def note(cursor: Any, query: Any, *rest: Any, _given: Any = given, **options: Any) -> Any:
            statements.append(str(query))
            return _given(cursor, query, *rest, **options)

        monkeypatch.setattr(kind, name, note)
    return statements


@pytest.fixture
def book(postgresql_url: str) -> Iterator[tuple[Session, Filled]]:
    """Two accounts with rows in every table."""
    engine = ledger.create_engine(postgresql_url)
    with Session(engine) as session:
        close_february(session)
        filled = [fill(session, name) for name in ("acme", "other")]
        yield session, filled[0]
    engine.dispose()


def parsed(sent: list[str]) -> list[exp.Expression]:
    """The statements about the ledger's rows, as trees."""
    texts = dict.fromkeys(
        each for each in sent if not each.startswith(_OF_TRANSACTIONS) and not any(w in each for w in _OF_THE_SCHEMA)
    )
    return [sqlglot.parse_one(each, dialect="postgres") for each in texts]


def tables(tree: exp.Expression) -> list[str]:
    """The ledger's tables that a statement names, as often as it does."""
    return [table.name for table in tree.find_all(exp.Table) if table.name.startswith("ledger_")]


def is_of_given_accounts(tree: exp.Expression) -> bool:
    """Whether a statement says its account as a parameter, or as one of an array of them."""
    if isinstance(tree, exp.Insert):
        columns = tree.this.expressions
        return bool(columns) and columns[0].name == "account_id"
    return any(_names_account(each) for each in tree.find_all(exp.EQ))


def _names_account(equal: exp.EQ) -> bool:
    left, right = equal.this, equal.expression
    is_account = isinstance(left, exp.Column) and left.name == "account_id"
    is_given = isinstance(right, exp.Parameter) or (isinstance(right, exp.Any) and bool(right.find(exp.Parameter)))
    of_array = isinstance(right, exp.Column) and right.name == "account_id" and right.table in ("k", "v")
    return is_account and (is_given or of_array)


def refused(tree: exp.Expression) -> list[str]:
    """What a distributed PostgreSQL does not carry out."""
    found = [kind.__name__ for kind in (exp.Lateral, exp.Bracket) if tree.find(kind)]
    if any(isinstance(each.this, exp.Insert | exp.Update) for each in tree.find_all(exp.CTE)):
        found.append("a CTE that writes")
    if tree.find(exp.Lock) and not _is_of_one_account(tree):
        found.append("a lock of several accounts' rows")
    if any(not select.expressions for select in tree.find_all(exp.Select)):
        found.append("an empty list of columns")
    return found


def _is_of_one_account(tree: exp.Expression) -> bool:
    where = tree.args.get("where")
    equals = where.find_all(exp.EQ) if where else ()
    return any(each.this.name == "account_id" and isinstance(each.expression, exp.Parameter) for each in equals)


def test_a_verb_on_an_account_sends_statements_of_one_table_and_given_accounts(
    book: tuple[Session, Filled], sent: list[str]
) -> None:
    """Each verb on the same book, and undone."""
    session, account = book
    for name, work in ON_ONE_ACCOUNT.items():
        sent.clear()
        with session.begin_nested() as undone:
            work(session, account)
            undone.rollback()
        trees = parsed(sent)
        assert trees, name
        assert [(name, tree.sql()) for tree in trees if len(tables(tree)) != 1] == []
        assert [(name, tree.sql()) for tree in trees if not is_of_given_accounts(tree)] == []
        assert [(name, tree.sql(), found) for tree in trees if (found := refused(tree))] == []


def test_a_batch_over_many_accounts_does_so_too(book: tuple[Session, Filled], sent: list[str]) -> None:
    session, _ = book
    names = [f"many-{number}" for number in range(40)]
    ledger.execute(session, [ledger.OpenAccount(name) for name in names])
    ledger.execute(session, [ledger.GrantCredits(name, 100, f"k{name}") for name in names])
    holds = ledger.execute(session, [ledger.Reserve(name, 1, f"h{name}") for name in names])
    ledger.execute(session, [ledger.Capture(f"{name}/r2", key=f"c{name}") for name in names])
    trees = parsed(sent)
    assert all(isinstance(hold, ledger.Reservation) for hold in holds)
    assert {each for tree in trees for each in tables(tree)} >= {"ledger_account", "ledger_grant", "ledger_entry"}
    assert [tree.sql() for tree in trees if len(tables(tree)) != 1 or not is_of_given_accounts(tree)] == []
    assert [(tree.sql(), found) for tree in trees if (found := refused(tree))] == []


FEBRUARY = finance.AccountingPeriod.parse("2026-02")
MARCH = finance.AccountingPeriod.parse("2026-03")

READINGS: dict[str, Callable[[Session, Path], Any]] = {
    **{name: lambda session, _path, read=read: read(session) for name, read in OVER_ACCOUNTS.items()},
    "checkpoint_closing": lambda session, _: finance.checkpoint_closing(session, FEBRUARY),
    "close_period": lambda session, _: finance.close_period(session, "2026-03", by="a test", at=later(days=60)),
    "deliver_outbox": lambda session, _: ledger.deliver_outbox(session, lambda start: None, at=NOW),
    "entries_since": lambda session, _: finance.entries_since(session),
    "expire_due": lambda session, _: ledger.expire_due(session, at=later(days=60)),
    "export_book": lambda session, path: finance.export_book(session, "csv", path / "book"),
    "list_closings": lambda session, _: finance.list_closings(session),
    "measure_accuracy": lambda session, _: finance.measure_accuracy(session),
    "read_statement": lambda session, _: finance.read_statement(session, "acme", until=NOW),
    "reprice": lambda session, _: list(finance.reprice(session)),
    "stream_book": lambda session, _: list(finance.stream_book(session)),
    "stream_figures": lambda session, _: list(finance.stream_figures(session, FEBRUARY)),
    "stream_revenue": lambda session, _: list(finance.stream_revenue(session, MARCH)),
}


def test_what_works_on_the_whole_book_joins_tables_by_the_account_only(
    book: tuple[Session, Filled], sent: list[str], tmp_path: Path
) -> None:
    """So that each shard can do its part. Each reading of the same book, and undone where it writes."""
    session, _ = book
    for name, work in READINGS.items():
        with session.begin_nested() as undone:
            if name == "close_period":
                ledger.expire_due(session, at=later(days=60))
            sent.clear()
            work(session, tmp_path)
            undone.rollback()
        trees = parsed(sent)
        assert trees, name
        assert [(name, tree.sql(), found) for tree in trees if (found := refused(tree))] == []
        joins = [join for tree in trees for join in tree.find_all(exp.Join) if tables(join)]
        assert [(name, join.sql()) for join in joins if not any(map(_joins_accounts, join.find_all(exp.EQ)))] == []


def _joins_accounts(equal: exp.EQ) -> bool:
    sides = equal.this, equal.expression
    return [side.name for side in sides] == ["account_id"] * 2 or _names_account(equal)


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("SELECT a FROM ledger_account WHERE account_id = ANY($1) FOR NO KEY UPDATE", "a lock of several"),
        ("SELECT a FROM ledger_account WHERE due_at < $1 FOR UPDATE SKIP LOCKED", "a lock of several"),
        ("SELECT t.a FROM unnest($1::text[]) AS k(a) CROSS JOIN LATERAL (SELECT 1 FROM ledger_entry) t", "Lateral"),
        ("WITH w AS (UPDATE ledger_grant SET held = 1 RETURNING 1) SELECT 1", "a CTE that writes"),
        ("UPDATE ledger_account SET at = CAST((CAST($1 AS text[]))[3] AS bigint)", "Bracket"),
    ],
)
def test_what_a_distributed_server_refuses_is_recognised(statement: str, found: str) -> None:
    assert any(each.startswith(found) for each in refused(sqlglot.parse_one(statement, dialect="postgres")))


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT a FROM ledger_grant WHERE number = $1",
        "UPDATE ledger_grant SET held = $1 WHERE number = $2",
        "SELECT a FROM ledger_usage WHERE account_id > $1",
        "INSERT INTO ledger_card (card_id, account_id) VALUES ($1, $2)",
    ],
)
def test_a_statement_without_its_account_is_recognised(statement: str) -> None:
    assert not is_of_given_accounts(sqlglot.parse_one(statement, dialect="postgres"))
