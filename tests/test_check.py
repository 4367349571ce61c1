"""The quick check runs every step, and its last lines say what failed."""

from __future__ import annotations

import pytest

from tests import check
from tests.check import Outcome, Step, main, report, run_lanes


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps of which the second fails."""
    two = (Step("first", "python", ("-c", "print('fine')")), Step("second", "python", ("-c", "exit('no such name')")))
    monkeypatch.setattr(check, "WITHOUT_SUITE", two)


@pytest.mark.usefixtures("steps")
def test_a_failed_step_is_named_in_the_last_line_and_its_output_comes_before_the_summary(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--no-suite"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("FAILED: second in ")
    assert [line.split()[-1] for line in lines[-3:-1]] == ["passed", "FAILED"]
    assert lines.index("no such name") < len(lines) - 3
    assert "fine" not in lines


def test_what_passes_is_one_line_a_step() -> None:
    outcomes = [Outcome("lint", 0.2, "All checks passed!", True), Outcome("types", 12.0, "Success", True)]
    assert report(outcomes).splitlines() == [
        "lint            0.2 s  passed",
        "types          12.0 s  passed",
        "everything passed",
    ]


def test_only_the_end_of_a_long_output_is_shown() -> None:
    output = "\n".join(f"line {number}" for number in range(1000))
    shown = report([Outcome("suite", 60.0, output, False)])
    assert "line 999" in shown
    assert "line 900" not in shown


def test_a_failure_stops_no_other_step() -> None:
    failing, passing = Step("one", "python", ("-c", "exit(1)")), Step("two", "python", ("-c", ""))
    assert [outcome.passed for outcome in run_lanes([(failing, passing), (passing,)])] == [False, True, True]
