"""`credits forecast`: a plan from a file, told in a table or as JSON; a bad line is named."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.command_line import Credits

TODAY = datetime.now(UTC)


def day(number: int) -> str:
    return (TODAY + timedelta(days=number)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.csv"
    path.write_text(f"at,credits,project\n{day(2)},30,p1\n{day(1)},25.5,\n{day(3)},50,p1\n")
    return path


def test_a_plan_is_told_run_by_run(book: Credits, plan: Path) -> None:
    told = book.json("forecast", "acme", str(plan))
    assert [step["accepted"] for step in told["steps"]] == [True, True, False]
    assert [step["available"] for step in told["steps"]] == ["74.5", "44.5", "44.5"]
    assert told["steps"][1]["labels"] == {"project": "p1"}
    assert told["shortfall"] == "5.5"
    shown = book("forecast", "acme", str(plan))
    assert f"Runs dry at {day(3)}: 5.5 credits short. 1 of 3 runs would be refused." in shown
    assert "refused: insufficient credits" in shown
    assert told["dry_at"] == told["steps"][2]["at"] == day(3)
    assert book.json("balance", "acme")["available"] == "100"


def test_what_expires_and_when_is_told(book: Credits, plan: Path) -> None:
    book("grant", "acme", "70", "--expires-at", day(4), "--priority", "1")
    told = book.json("forecast", "acme", str(plan), "--until", day(5))
    assert told["expired"] == []
    plan.write_text(f"at,credits\n{day(1)},25.5\n")
    told = book.json("forecast", "acme", str(plan), "--until", day(5))
    assert told["expired"] == [{"at": day(4), "grant_id": "acme/g2", "credits": "44.5"}]
    assert told["consumed"] == {"acme/g2": "25.5"}
    shown = book("forecast", "acme", str(plan), "--until", day(5))
    assert [day(4), "44.5", "acme/g2"] in [row.split() for row in shown.splitlines()]
    assert "The credits pay for every run." in shown


def test_what_a_renewal_lets_expire_is_told_and_what_it_grants_is_not(book: Credits, plan: Path) -> None:
    plan.write_text("at,credits\n")
    book("grant", "acme", "3", "--every", "month")
    told = book.json("forecast", "acme", str(plan), "--until", day(40))
    assert [(lapse["grant_id"], lapse["credits"]) for lapse in told["expired"]] == [("acme/g2", "3")]


def test_runs_that_only_a_limit_refuses_do_not_make_it_dry(book: Credits, plan: Path) -> None:
    book("limit", "acme", "day", "26", "--label", "project")
    shown = book("forecast", "acme", str(plan))
    assert "The credits would do, but 2 of 3 runs would be refused." in shown
    assert "refused: limit exceeded" in shown
    plan.write_text("at,credits\n")
    assert "No run is planned." in book("forecast", "acme", str(plan))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("when,credits\n2030-01-01T00:00:00Z,1\n", "has no column 'at'"),
        ("at,credits\n2030-01-01T00:00:00Z,one\n", "line 2: 'one' is not an amount"),
        ("at,credits\n2030-01-01T00:00:00Z,1\n2030-01-01T00:00:00,1\n", "line 3"),
        ("at,credits\n2030-01-01T00:00:00Z,1\n2030-01-01T00:00:00Z,-1\n", "line 3: amount: is -1; give more than 0"),
        ("at,credits\nsoon,1\n", "line 2: at: 'soon' is no ISO 8601"),
        ("at,credits\n,1\n", "line 2: at: '' is no ISO 8601"),
        ("at,credits,\n2030-01-01T00:00:00Z,1,x\n", "line 2: labels: has 0 characters"),
        ("at,credits\n2030-01-01T00:00:00Z\n", "line 2: has not as many values"),
        ("at,credits\n2030-01-01T00:00:00Z,1,2\n", "line 2: has not as many values"),
        ("at,credits,at\n", "names a column twice"),
        ("", "has no column 'at'"),
    ],
)
def test_a_bad_file_ends_with_2_and_names_the_line(book: Credits, tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(content)
    assert says in book("forecast", "acme", str(path), status=2)


def test_a_file_that_is_not_there_or_no_text_ends_with_2(book: Credits, tmp_path: Path) -> None:
    assert "cannot be read" in book("forecast", "acme", str(tmp_path / "none.csv"), status=2)
    (tmp_path / "latin.csv").write_bytes(b"at,credits,caf\xe9\n")
    assert "no CSV in UTF-8" in book("forecast", "acme", str(tmp_path / "latin.csv"), status=2)
