"""The code of every page runs as it stands there: Python, the terminal, and what is written in TOML."""

from __future__ import annotations

import asyncio
import tomllib
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, make_url, text
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

import ledger
from estimator import RateCard
from ledger.finance.reconciliation import RecordMapping
from tests.docs.pages import PAGES, ROOT, blocks, languages, name_of, run_commands, run_python_blocks

LANGUAGES = {
    "python",
    "console",
    "toml",
    "sh",
    "text",
    "sql",
    "{toctree}",
    "{eval-rst}",
    "{include} ../benchmarks/README.md",
}
with_code = pytest.mark.parametrize(
    "page", [page for page in PAGES[1:] if languages(page) & {"python", "console"}], ids=name_of
)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_of_code_says_its_language(page: Path) -> None:
    assert languages(page) <= LANGUAGES


@with_code
def test_the_python_and_the_commands_of_a_page_run_in_order_in_one_folder(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outputs = run_python_blocks(page, tmp_path)
    assert len(outputs) == len(blocks(page, "python"))
    if name_of(page) in OUTPUTS:
        OUTPUTS[name_of(page)](outputs)
    run_commands(page)


def check_engineer(outputs: list[str]) -> None:
    """What the blocks of the engineer's page print."""
    service, transactions, mounted, verbs = outputs
    assert "start the pipeline for dataset-d1-" in service
    assert service.rstrip().endswith("2.35")
    assert transactions.splitlines() == ["5 insufficient_credits", "2", "95.65"]
    assert mounted == ""
    assert verbs.split()[:2] == ["100", "5"]


def check_analyst(outputs: list[str]) -> None:
    """What the blocks of the analyst's page print."""
    one_run, what_if, *_ = outputs
    assert "total" in one_run
    assert one_run.rstrip().splitlines()[-1].isdigit()
    assert what_if.splitlines()[-2] == "Base price 361.26"
    assert "<svg" in Path("report.html").read_text(encoding="utf-8")


OUTPUTS: dict[str, Any] = {
    "docs/getting-started/engineer.md": check_engineer,
    "docs/getting-started/analyst.md": check_analyst,
}


def waiting(engine: Engine) -> list[ledger.StartStanding]:
    """The starts that nobody has got yet."""
    with Session(engine) as session:
        return ledger.list_outbox(session)


def test_the_mounted_service_of_the_engineers_page_serves_and_keeps_the_hosts_own_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "getting-started" / "engineer.md"
    (source,) = (block for block in blocks(page, "python") if "create_router" in block)
    module: dict[str, Any] = {}
    exec(compile(source, name_of(page), "exec", dont_inherit=True), module)
    engine = module["engine"]
    with Session(engine) as session, session.begin():
        ledger.open_account(session, "acme")
        ledger.grant_credits(session, "acme", 10)
    body = {"column_mapping": {"prompt": "prompt"}, "job_specification": {"idempotency_key": "k"}}
    bearer = {"Authorization": "Bearer secret"}
    with TestClient(module["app"]) as client:
        first = client.post("/orders/d2", json=body)
        assert first.json()["estimatedCreditsConsumed"] == 2
        assert client.post("/orders/d2", json=body).json() == first.json()
        routed = client.post("/api/v1/datasets/d2/run", json=body, headers=bearer)
        assert routed.json() == first.json()
        module["DATASETS"]["acme", "d3"] = module["DATASETS"]["acme", "d2"]
        client.post("/api/v1/datasets/d3/run", json={"column_mapping": {"prompt": "prompt"}}, headers=bearer)
        assert client.post("/orders/d2", json={"job_specification": {"max_rows": 0}}).status_code == 400
        while waiting(engine):
            pass
    with Session(engine) as session:
        assert session.execute(text("SELECT run_id, credits FROM host_order")).all() == [(first.json()["run_id"], "2")]
    engine.dispose()
    assert f"start the pipeline for {first.json()['run_id']}" in capsys.readouterr().out


@pytest.mark.parametrize("driver", ["postgresql+asyncpg", "postgresql+psycopg", "sqlite+aiosqlite"])
def test_the_async_engine_of_the_operators_page_holds_credits_over_each_driver(
    request: pytest.FixtureRequest, driver: str
) -> None:
    url = make_url(request.getfixturevalue(f"{driver.partition('+')[0]}_url"))
    page = ROOT / "docs" / "operating.md"
    (source,) = (block for block in blocks(page, "python") if "async def hold" in block)
    module: dict[str, Any] = {}
    exec(compile(source, name_of(page), "exec", dont_inherit=True), module)

    async def scenario() -> ledger.Reservation:
        engine = await module["opened"](url.set(drivername=driver))
        await ledger.run_transaction_async(engine, lambda session: ledger.open_account(session, "acme"))
        await ledger.run_transaction_async(engine, lambda session: ledger.grant_credits(session, "acme", 10))
        await module["hold"](engine)
        again = await module["hold"](engine)
        await engine.dispose()
        return again

    hold = asyncio.run(scenario())
    assert (hold.amount, hold.replayed) == (5, True)


TOML = [(page, block) for page in PAGES for block in blocks(page, "toml")]
CARD_HEAD = 'name = "part"\neffective_from = 2026-01-01T00:00:00Z\nrows_max = 1_000_000\n'
SECTION = '[text]\nrow = "0.010"\n'


@pytest.mark.parametrize(("page", "block"), TOML, ids=[f"{name_of(page)}-{i}" for i, (page, _) in enumerate(TOML)])
def test_what_is_written_in_toml_loads(page: Path, block: str) -> None:
    """A mapping as a mapping; a card as a card; a part of a card with the least that a card needs beside it."""
    content = tomllib.loads(block)
    if "side" in content:
        assert RecordMapping.from_toml(block).side == content["side"]
        return
    head = "" if "name" in content else CARD_HEAD
    section = "" if "text" in content else SECTION
    assert RateCard.from_toml(head + block + section).name == content.get("name", "part")
