"""Two versions beside each other: a process that is at work goes on after an additive upgrade, a new one is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import ledger
from ledger.finance import close_period, stream_book
from ledger.schema.revisions import HEAD, VERSION_TABLE
from ledger.schema.tables import metadata
from tests.ledger.conftest import later
from tests.ledger.verbs import ON_ONE_ACCOUNT, OVER_ACCOUNTS, Filled, fill

LATER = "9999"
PREPARED_AFTER = 6
"""How often psycopg is given a statement until the server has it prepared, for the types that it answered then."""


@pytest.fixture
def at_work(database_url: str) -> Iterator[Engine]:
    """An engine with one connection."""
    engine = ledger.create_engine(database_url, pool_size=1, max_overflow=0)
    yield engine
    engine.dispose()


def add_what_a_revision_may_add(engine: Engine) -> None:
    """By another process: new columns in every table, nullable or with a default, an index, a table that refers."""
    newer = ledger.create_engine(engine.url)
    with newer.begin() as connection:
        for table in metadata.tables:
            connection.execute(text(f"ALTER TABLE {table} ADD COLUMN later_text text"))
            connection.execute(text(f"ALTER TABLE {table} ADD COLUMN later_count bigint NOT NULL DEFAULT 7"))
            connection.execute(text(f"CREATE INDEX ix_{table}_later ON {table} (account_id, later_count)"))
        connection.execute(
            text(
                "CREATE TABLE ledger_later (account_id text PRIMARY KEY"
                " REFERENCES ledger_account (account_id), number bigint)"
            )
        )
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '{LATER}'"))
    newer.dispose()


def outcomes(engine: Engine, account: Filled) -> dict[str, str]:
    """What every verb answers, each in a transaction of its own that is rolled back."""
    found: dict[str, str] = {}
    for name, verb in ON_ONE_ACCOUNT.items():
        with Session(engine) as session:
            found[name] = repr(verb(session, account))
    for name, reading in OVER_ACCOUNTS.items():
        with Session(engine) as session:
            found[f"over all: {name}"] = repr(reading(session))
    return found


def test_a_process_at_work_goes_on_after_an_additive_upgrade(at_work: Engine) -> None:
    """Every verb answers as before, in transactions that are kept too, and the audit finds nothing."""
    with Session(at_work) as session, session.begin():
        account = fill(session, "acme")
    times = [outcomes(at_work, account) for _ in range(PREPARED_AFTER)]
    add_what_a_revision_may_add(at_work)
    after = outcomes(at_work, account)
    # What has the moment of the call in its answer is another each time.
    lasting = {name: answer for name, answer in times[0].items() if answer == times[1][name]}
    assert len(lasting) >= len(after) - 5
    assert {name: after[name] for name in lasting} == lasting
    for verb in ("launch", "settle_run", "reserve", "capture", "release", "grant_credits", "set_limit", "expire_due"):
        with Session(at_work) as session, session.begin():
            if verb != "release":
                ON_ONE_ACCOUNT[verb](session, account)
            else:
                held = ledger.reserve(session, account.account_id, 1, at=later(10))
                assert ledger.release(session, held.reservation_id, at=later(10)).freed == 1
    with Session(at_work) as session, session.begin():
        ledger.deliver_outbox(session, lambda start: None, at=later(60))
        ledger.expire_due(session, at=later(days=60))
        close_period(session, "2026-03", by="a test")
        assert len(list(stream_book(session))) > 20
        assert list(ledger.audit(session)) == []
        added = session.execute(text("SELECT DISTINCT later_text, later_count FROM ledger_entry")).all()
    assert [tuple(row) for row in added] == [(None, 7)]


def list_accounts(engine: Engine) -> list[str]:
    """The accounts, by the first verb of a new process."""
    with Session(engine) as session:
        return ledger.list_accounts(session)


def test_a_process_that_starts_anew_after_a_later_upgrade_is_refused(at_work: Engine, database_url: str) -> None:
    assert list_accounts(at_work) == []
    add_what_a_revision_may_add(at_work)
    anew = ledger.create_engine(database_url)
    for use in (ledger.check_schema, ledger.upgrade, list_accounts):
        with pytest.raises(ledger.SchemaMismatch) as refused:
            use(anew)
        assert (refused.value.found, refused.value.expected) == (LATER, HEAD)
        assert f"at revision {LATER} and this version needs {HEAD}. Install the version that made it" in str(
            refused.value
        )
    assert list_accounts(at_work) == []
    anew.dispose()
