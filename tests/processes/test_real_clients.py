"""The public client, unchanged, against the served reference: newest here, the oldest where it can be installed."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import venv
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import uvicorn
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import ledger
from ledger.fastapi.transactions import EngineTransactions
from tests.ledger.fastapi.conftest import TOKENS, fill, host
from tests.processes.serving import served, write_datasets

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from adaption import Adaption, ConflictError

pytestmark = [pytest.mark.external, pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")]

CALLS = Path(__file__).with_name("client_calls.py")
_PATIENCE_SECONDS = 120
_INSTALL_SECONDS = 280


def call(python: str, url: str) -> dict[str, Any]:
    """What the client of an environment was answered."""
    command = [python, str(CALLS), url, "secret", "d1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def check(told: dict[str, Any], database_url: str) -> None:
    """What every version of the client must have been answered, and that it left one hold."""
    assert told["plain estimate"] == {"run_id": None, "estimate": True, "credits": 3, "minutes": 0}
    run_id = told["every argument"]["run_id"]
    assert told["every argument"]["credits"] == 3
    assert run_id.startswith("dataset-d1-")
    assert told["sync run ids"] == told["async run ids"] == [run_id]
    assert told["status"] == "running"
    refusals = {
        name: (told[name]["class"], told[name]["body"]["code"], told[name]["x-should-retry"]) for name in REFUSED
    }
    assert refusals == REFUSED
    assert told["too dear"]["body"]["affordable_rows"] == 700
    assert told["wrong rows"]["body"]["issues"][0]["path"] == "job_specification.max_rows"
    assert told["active run"]["body"]["run_id"] == run_id
    engine = ledger.create_engine(database_url)
    with Session(engine) as session:
        holds = ledger.list_reservations(session, "acme")
        assert [hold.run_id for hold in holds if hold.dataset_id == "d1"] == [run_id]
        ledger.require_clean(session)
    engine.dispose()


REFUSED = {
    "key conflict": ("UnprocessableEntityError", "idempotency_conflict", None),
    "active run": ("ConflictError", "run_already_active", "false"),
    "wrong rows": ("BadRequestError", "request_rejected", None),
    "unknown dataset": ("NotFoundError", "dataset_not_found", None),
    "wrong token": ("AuthenticationError", "not_authenticated", None),
    "too dear": ("APIStatusError", "insufficient_credits", None),
}


def test_the_newest_client_works_unchanged_on_both_databases(database_url: str, tmp_path: Path) -> None:
    with served(database_url, write_datasets(tmp_path / "datasets"), "--grant", "acme=10") as server:
        told = call(sys.executable, server.url)
        check(told, database_url)
        assert told["replay by adapt"] == told["every argument"]
        assert told["later arguments"]["credits"] == 5  # 250 rows and a half of them in each of two languages
        assert told["async later arguments"] == told["later arguments"]
        assert told["async status"] == "running"
        assert told["contradiction"]["body"]["code"] == "request_rejected"
        assert (told["image"]["multimodalPricingApplied"], told["image"]["creditMultiplier"]) == (True, 10)
        assert told["image"]["estimatedCreditsConsumed"] == 30
        assert (told["raw"]["multimodalPricingApplied"], "creditMultiplier" in told["raw"]) == (False, False)
        assert told["chat"]["credits"] == told["universal prompt"]["credits"] == 3
        # 100 rows: and a half of them in each of two languages, which is kept; alone; and all of them in three.
        expansions = ("expanding", "expansion kept", "expansion null", "expansion other")
        assert [told[name]["credits"] for name in expansions] == [2, 2, 1, 4]


def install(folder: Path, requirement: str) -> Path:
    """An environment with one package and what it needs; answers the folder of its programs."""
    venv.create(folder, with_pip=True)
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, requirement], check=True, timeout=_INSTALL_SECONDS)
    return folder / "bin"


@pytest.mark.external
def test_the_oldest_client_works_unchanged(sqlite_url: str, tmp_path: Path) -> None:
    programs = install(tmp_path / "old", "adaption==0.1.0")
    with served(sqlite_url, write_datasets(tmp_path / "datasets"), "--grant", "acme=10") as server:
        told = call(str(programs / "python"), server.url)
        assert told["version"] == "0.1.0"
        check(told, sqlite_url)
        assert told["older recipes"]["credits"] == 3


@pytest.mark.external
def test_the_service_keeps_to_its_openapi_document(sqlite_url: str, tmp_path: Path) -> None:
    """By a tool that knows only the document. What fields may not say together, no schema tells: that is left out."""
    programs = install(tmp_path / "conformance", "schemathesis>=4.32")
    options = ["--max-examples", "100", "--seed", "1", "--no-color", "--suppress-health-check", "all"]
    options += ["--header", "Authorization: Bearer secret", "--exclude-checks", "positive_data_acceptance"]
    granted = ("--grant", "acme=1000", "--run-seconds", "0")
    with served(sqlite_url, write_datasets(tmp_path / "datasets"), *granted) as server:
        command = [str(programs / "schemathesis"), "run", f"{server.url}/openapi.json", *options]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False)
        assert done.returncode == 0, done.stdout
    engine = ledger.create_engine(sqlite_url)
    with Session(engine) as session:
        ledger.require_clean(session)
    engine.dispose()


@pytest.fixture
def listening(postgresql_url: str) -> Iterator[tuple[Engine, str]]:
    """A service on PostgreSQL whose statements may take a second, in threads of this process, and its address."""
    engine = ledger.create_engine(postgresql_url)
    fill(engine)
    server = uvicorn.Server(uvicorn.Config(host(engine, statement_seconds=1), log_config=None, port=0, ws="none"))
    listener = server.config.bind_socket()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield engine, f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(_PATIENCE_SECONDS)
    listener.close()
    engine.dispose()


def hold_up(engine: Engine, seconds: float) -> threading.Thread:
    """Hold the account's lock for so long; it is held when this answers."""
    is_held = threading.Event()

    def hold() -> None:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1 FROM ledger_account WHERE account_id = 'acme' FOR UPDATE"))
            is_held.set()
            connection.execute(sa.select(sa.func.pg_sleep(seconds)))
            connection.rollback()

    thread = threading.Thread(target=hold)
    thread.start()
    assert is_held.wait(_PATIENCE_SECONDS)
    return thread


def held(engine: Engine) -> int:
    with Session(engine) as session:
        return len(ledger.list_reservations(session, "acme"))


TOKEN = next(iter(TOKENS))


@pytest.mark.parametrize("key", ["k", None])
def test_the_client_sends_again_what_the_database_held_up_and_gets_its_run(
    listening: tuple[Engine, str], key: str | None
) -> None:
    """With a key the first answer is 409, without one 503: the client understands both."""
    engine, url = listening
    with Adaption(api_key=TOKEN, base_url=url) as client:
        holder = hold_up(engine, 1.5)
        job: Any = {"max_rows": 100} if key is None else {"max_rows": 100, "idempotency_key": key}
        answer = client.datasets.run("d1", column_mapping={"prompt": "question"}, job_specification=job)
        assert answer.run_id is not None
    holder.join()
    assert held(engine) == 1


def test_a_client_that_gave_up_waiting_and_sends_again_has_one_hold(
    listening: tuple[Engine, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first answers are late: by then each call has come three times."""
    engine, url = listening
    run = EngineTransactions.run
    late = iter([True, True])

    async def run_late(self: EngineTransactions, work: Any, account_id: str, **options: Any) -> Any:
        answer = await run(self, work, account_id, **options)
        if next(late, False):
            await asyncio.sleep(2)
        return answer

    monkeypatch.setattr(EngineTransactions, "run", run_late)
    with Adaption(api_key=TOKEN, base_url=url, timeout=0.7) as client:
        job: Any = {"max_rows": 100, "idempotency_key": "k"}
        answer = client.datasets.run("d1", column_mapping={"prompt": "question"}, job_specification=job)
        assert answer.run_id is not None
        assert held(engine) == 1
        late = iter([True])
        # Without a key the second attempt finds the first one's run, which holds once.
        with Session(engine) as session, session.begin():
            ledger.release(session, ledger.list_reservations(session, "acme")[0].reservation_id)
        with pytest.raises(ConflictError):
            client.datasets.run("d1", column_mapping={"prompt": "question"}, job_specification={"max_rows": 100})
    with Session(engine) as session:
        assert [hold.state.value for hold in ledger.list_reservations(session, "acme")] == ["released", "held"]
