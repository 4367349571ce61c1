"""The README's code runs as it stands there, in order, and its rate card loads."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

import ledger
from estimator import RateCard

README = (Path(__file__).parent.parent / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The README's fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def test_the_first_shell_block_is_two_lines_that_each_stand_alone() -> None:
    lines = blocks("sh")[0].splitlines()
    assert len(lines) == 2
    assert all(line.startswith("python3 -m venv .venv && ") for line in lines)
    assert lines[0].endswith("credits tour")
    assert lines[1].endswith("pytest")


def test_every_python_block_runs_in_order_in_one_folder(tmp_path: Path) -> None:
    outputs = []
    for block in blocks("python"):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", block], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    service, mounted, verbs, analyst, what_if, finance = outputs
    assert mounted == ""
    assert verbs.split() == ["100", "5"]
    assert "start the pipeline for dataset-d1-" in service
    assert service.rstrip().endswith("2.35")
    assert "total" in analyst
    assert analyst.rstrip().splitlines()[-1].isdigit()
    assert what_if.splitlines()[-2] == "Base price 361.26"
    assert "<svg" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert [line.split()[2] for line in finance.splitlines()] == ["grant", "reserve", "capture"]


def waiting(engine: Engine) -> list[ledger.StartStanding]:
    """The starts that nobody has got yet."""
    with Session(engine) as session:
        return ledger.list_outbox(session)


def test_the_mounted_service_of_the_readme_serves_and_keeps_the_hosts_own_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (source,) = (block for block in blocks("python") if "create_router" in block)
    module: dict[str, Any] = {}
    exec(compile(source, "README.md", "exec", dont_inherit=True), module)
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


def test_the_rate_card_of_the_readme_loads() -> None:
    (card,) = blocks("toml")
    assert RateCard.from_toml(card).name == "house"
