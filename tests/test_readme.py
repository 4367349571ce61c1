"""What the README promises of itself: two lines that each stand alone, and three short examples that run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks, run_commands, run_python_blocks

README = ROOT / "README.md"


def test_the_first_shell_block_is_two_lines_that_each_stand_alone() -> None:
    lines = blocks(README, "sh")[0].splitlines()
    assert len(lines) == 2
    assert all(line.startswith("python3 -m venv .venv && ") for line in lines)
    assert lines[0].endswith("credits tour")
    assert lines[1].endswith("pytest")


def test_the_readme_is_short_enough_to_be_read() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 200


def test_one_example_for_each_user_and_the_commands_run_in_order_in_one_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    service, analyst, finance = run_python_blocks(README, tmp_path)
    assert service.startswith("launched dataset-d1-")
    assert service.rstrip().endswith("2.35")
    assert "total" in analyst
    assert analyst.splitlines()[-1] == "Base price 257.4"
    assert [line.split()[2] for line in finance.splitlines()] == ["grant", "reserve", "capture"]
    run_commands(README)
