"""The cases ported from other ledgers: each passes, or is answered by a policy of ours that is written down."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.cases.__main__ import main
from tests.cases.policies import POLICIES
from tests.cases.runner import load_cases, run_case

FILE = Path(__file__).parent / "ledger_cases.json"
CASES = load_cases(FILE)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_a_case_passes_or_falls_under_a_policy(engine: Engine, case: dict[str, Any]) -> None:
    verdict = run_case(engine, case)
    assert verdict.outcome in ("pass", "policy"), str(verdict)


def run(tmp_path: Path, steps: list[dict[str, Any]], policy: dict[str, Any] | None = None) -> int:
    """Exit code of the command for a file of one case."""
    path = tmp_path / "cases.json"
    path.write_text(json.dumps({"cases": [{"id": "x", "policy": policy or {}, "steps": steps}]}))
    return main([str(path)])


@pytest.mark.parametrize(
    "steps",
    [
        [{"op": "deposit", "amount": 5}, {"op": "balance", "expect": {"available": 6}}],
        [{"op": "deposit", "amount": 5}, {"op": "reserve", "id": "R", "amount": 6, "expect": "ok"}],
        [{"op": "deposit", "amount": 5}, {"op": "reserve", "id": "R", "amount": 5, "expect": "insufficient"}],
        [{"op": "unheard-of"}],
        [{"op": "grant", "id": "g", "amount": 5}, {"op": "evaluate", "at": 5, "expect": {"grants": {"g": 4}}}],
        [{"op": "sources", "balances": [1, 2]}, {"op": "take", "amount": 2, "expect": "ok", "taken": [0, 2]}],
        [{"op": "race", "balance": 2, "workers": 3, "each": 1, "ok": 3, "denied": 0, "spent": 3}],
    ],
)
def test_a_case_that_is_not_so_fails(tmp_path: Path, steps: list[dict[str, Any]], capsys: Any) -> None:
    assert run(tmp_path, steps) == 1
    assert "fail   x: step" in capsys.readouterr().out


def test_a_credit_line_and_a_limit_on_holds_are_cases_too(tmp_path: Path) -> None:
    steps = [
        {"op": "deposit", "amount": 10},
        {"op": "reserve", "id": "R", "amount": 10, "ttl": 5, "expect": "ok"},
        {"op": "capture", "id": "R", "amount": 14, "expect": "ok", "applied": 14},
        {"op": "balance", "expect": {"available": -4, "debt": 4, "spent": 14}},
        {"op": "reserve", "id": "S", "amount": 2, "expect": "insufficient"},
        {"op": "reserve", "id": "T", "amount": 1, "expect": "insufficient"},
    ]
    assert run(tmp_path, steps, {"over_capture": "overdraft", "credit_line": 5}) == 0
    beyond = [*steps[:2], {"op": "capture", "id": "R", "amount": 16, "expect": "overdraft_limit"}]
    assert run(tmp_path, beyond, {"over_capture": "overdraft", "credit_line": 5}) == 0
    race = {"op": "race", "balance": 100, "workers": 12, "each": 1, "max_concurrent": 2, "ok": 2, "denied": 10}
    assert run(tmp_path, [race]) == 0


@pytest.mark.parametrize("content", ["", "[1]", "{}", '{"cases": [{}]}'])
def test_a_file_of_no_cases_is_refused_in_a_sentence(tmp_path: Path, content: str, capsys: Any) -> None:
    path = tmp_path / "cases.json"
    path.write_text(content)
    assert main([str(path)]) == 2
    assert "Give a JSON file of cases." in capsys.readouterr().err


def test_the_command_runs_the_cases_that_are_named() -> None:
    command = [sys.executable, "-m", "tests.cases", str(FILE), "--case", "om-single", "--case", "kong-as-of"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        ["pass   om-single", "pass   kong-as-of", "2 pass, 0 policy, 0 fail"],
    )


def test_policies_are_about_features_never_about_a_case() -> None:
    names = {case["id"] for case in CASES}
    text = (Path(__file__).parent / "policies.py").read_text()
    assert not [name for name in names if name in text]
    assert len({policy.name for policy in POLICIES}) == len(POLICIES)
