"""The README's code runs as it stands there, in order, and its rate card loads."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

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
    service, verbs, analyst, what_if, finance = outputs
    assert verbs.split() == ["100", "5"]
    assert "start the pipeline for dataset-d1-" in service
    assert service.rstrip().endswith("2.35")
    assert "total" in analyst
    assert analyst.rstrip().splitlines()[-1].isdigit()
    assert what_if.splitlines()[-2] == "Base price 361.26"
    assert "<svg" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert [line.split()[2] for line in finance.splitlines()] == ["grant", "reserve", "capture"]


def test_the_rate_card_of_the_readme_loads() -> None:
    (card,) = blocks("toml")
    assert RateCard.from_toml(card).name == "house"
