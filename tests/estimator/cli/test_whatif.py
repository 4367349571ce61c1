"""`whatif`: what it prints and writes, and what it refuses without leaving half a file behind."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

import estimator.cli.whatif
from estimator import RateCard, shipped_card
from tests.command_line import Credits
from tests.estimator.scenarios.past import MANY, changed, table, total

CARD = shipped_card("example")
CHEAPER = changed(CARD, name="cheaper", text__row=Decimal("0.009"), fee=Decimal("0.5"))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    path = tmp_path / "runs.parquet"
    parquet.write_table(MANY, path)
    return path


@pytest.fixture
def cheaper(tmp_path: Path) -> str:
    return written(CHEAPER, tmp_path / "cheaper.json")


def written(card: RateCard, path: Path) -> str:
    path.write_text(card.to_json(), encoding="utf-8")
    return str(path)


def test_whatif_prints_totals_causes_and_who_pays_more(command: Credits, runs: Path, cheaper: str) -> None:
    printed = command("whatif", str(runs), "--baseline", "example", "--candidate", cheaper, "--by", "account,month")
    rows = {cells[0]: cells[1:] for line in printed.splitlines() if (cells := line.split())}
    assert rows["6"][0] == "runs,"
    before, after = total(MANY, CARD), total(MANY, CHEAPER)
    assert rows["example"] == [f"{before:,.2f}"]
    assert rows["cheaper"][:2] == [f"{after:,.2f}", f"{after - before:+,.2f}"]
    assert rows["Base"][0] == "price"
    assert rows["Fee"][:2] == ["per", "run"]
    assert rows["gamma"][-1] == "+0.25"
    assert rows["2025-12"][0] == "1"


def test_whatif_as_json_has_every_figure_as_text(command: Credits, runs: Path, cheaper: str) -> None:
    found = command.json("whatif", str(runs), "--baseline", "example", "--candidate", cheaper, "--by", "account")
    change = found["candidates"][0]
    assert Decimal(found["baseline"]["total"]) == total(MANY, CARD)
    assert Decimal(change["total"]) == total(MANY, CHEAPER)
    assert sum(Decimal(step["delta"]) for step in change["steps"]) == Decimal(change["delta"])
    assert set(found["by"]) == {"account"}
    assert change["runs"] == {"dearer": 1, "cheaper": 4, "same": 1, "share_dearer": "16.67"}
    assert change["dearer_runs"][0]["path"] == str(runs)


def test_whatif_without_a_candidate_prices_the_runs(command: Credits, runs: Path) -> None:
    assert f"{total(MANY, CARD):,.2f}" in command("whatif", str(runs), "--baseline", "example")


def test_whatif_reads_folders_and_patterns(command: Credits, runs: Path, tmp_path: Path) -> None:
    parquet.write_table(MANY, tmp_path / "more.parquet")
    for given in (str(tmp_path), str(tmp_path / "*.parquet")):
        assert command.json("whatif", given, "--baseline", "example")["runs"] == 12


def test_whatif_says_when_a_candidate_changes_nothing(command: Credits, runs: Path, tmp_path: Path) -> None:
    alike = written(changed(CARD, name="alike"), tmp_path / "alike.json")
    printed = command("whatif", str(runs), "--baseline", "example", "--candidate", alike)
    assert "alike prices these runs as example does." in printed


def test_whatif_writes_every_group_to_csv(command: Credits, runs: Path, cheaper: str, tmp_path: Path) -> None:
    path = tmp_path / "groups.csv"
    command("whatif", str(runs), "--baseline", "example", "--candidate", cheaper, "--by", "account", "--csv", str(path))
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["key"] for row in rows[:2]] == ["total", "total"]
    assert {row["key"] for row in rows[2:]} == {"acme", "beta", "gamma"}
    for card, expected in (("example", total(MANY, CARD)), ("cheaper", total(MANY, CHEAPER))):
        of_accounts = [Decimal(row["credits"]) for row in rows[2:] if row["card"] == card]
        assert sum(of_accounts) == expected
    assert {row["card_id"] for row in rows} == {CARD.id, CHEAPER.id}


def test_whatif_writes_a_report_of_everything_there_is(
    command: Credits, runs: Path, cheaper: str, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    command("whatif", str(runs), "--baseline", "example", "--candidate", cheaper, "--html", str(path))
    page = path.read_text(encoding="utf-8")
    assert "cheaper" in page
    assert "2025-12" in page


def test_whatif_shows_the_first_groups_and_counts_the_rest(command: Credits, tmp_path: Path) -> None:
    path = tmp_path / "runs.parquet"
    parquet.write_table(table(*({"account": f"a{number:02}"} for number in range(30))), path)
    printed = command("whatif", str(path), "--baseline", "example", "--by", "account")
    assert "a24" in printed
    assert "a25" not in printed
    assert "... and 5 more; --csv FILE writes all of them." in printed


def test_amounts_line_up_at_their_decimal_point(command: Credits, runs: Path, cheaper: str) -> None:
    """What gamma pays is 20.5, and what the others pay has two decimals."""
    printed = command("whatif", str(runs), "--baseline", "example", "--candidate", cheaper, "--by", "account")
    table = printed[printed.index("By account") :]
    places = {tuple(at for at, character in enumerate(row) if character == ".") for row in table.splitlines()[2:]}
    assert len(places) == 1
    assert "20.50" in table


def test_accounts_are_printed_as_they_are(command: Credits, tmp_path: Path) -> None:
    path = tmp_path / "runs.parquet"
    parquet.write_table(table({"account": "[red]x\x1b[31m"}), path)
    assert "[red]x\\x1b[31m" in command("whatif", str(path), "--baseline", "example", "--by", "account")


def test_whatif_writes_no_two_things_to_one_file(command: Credits, runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = ("--csv", str(out), "--html", str(tmp_path / "." / "out"))
    assert "Give each a file of its own" in command("whatif", str(runs), "--baseline", "example", *given, status=2)
    assert not out.exists()


BAD: dict[str, tuple[pyarrow.Table, str]] = {
    "a misspelt column": (MANY.rename_columns({"length": "lenght"}), "Did you mean 'length'"),
    "a missing column": (MANY.drop_columns("rows"), "rows: is required"),
    "float rows": (MANY.set_column(0, "rows", pyarrow.array([1.0] * 6)), "must be whole numbers"),
    "text rows": (MANY.set_column(0, "rows", pyarrow.array(["1"] * 6)), "must be whole numbers"),
    "negative rows": (table({"rows": -1}), "row 0: -1"),
    "too many rows": (table({"rows": 60_000_000}), "allows 50,000,000 rows"),
    "an empty table": (MANY.slice(0, 0), "has no runs"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_runs_end_with_status_2_and_leave_no_file(
    command: Credits, tmp_path: Path, case: str, cheaper: str
) -> None:
    runs, message = BAD[case]
    parquet.write_table(runs, tmp_path / "runs.parquet")
    before = set(tmp_path.iterdir())
    wanted = ["--csv", str(tmp_path / "out.csv"), "--html", str(tmp_path / "out.html")]
    printed = command(
        "whatif", str(tmp_path / "runs.parquet"), "--baseline", "example", "--candidate", cheaper, *wanted, status=2
    )
    assert message in printed
    assert set(tmp_path.iterdir()) == before


def test_bad_input_keeps_the_file_of_the_last_time(command: Credits, tmp_path: Path, runs: Path) -> None:
    kept = tmp_path / "out.csv"
    kept.write_text("the last one", encoding="utf-8")
    runs.write_bytes(runs.read_bytes()[:200])
    message = command("whatif", str(runs), "--baseline", "example", "--csv", str(kept), status=2)
    assert "is not sound Parquet" in message
    assert kept.read_text(encoding="utf-8") == "the last one"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--candidate", "example"], "one content, and so one id"),
        (["--by", "acount"], "Did you mean 'account'"),
        (["--candidate", "nowhere.toml"], "nowhere.toml"),
        (["--csv", "no/such/folder/out.csv"], "The folder 'no/such/folder' does not exist"),
        (["--html", "."], "'.' is a folder. Name a file to write."),
        (["--movers", "-1"], "--movers"),
    ],
)
def test_what_cannot_be_asked_ends_with_status_2(
    command: Credits, runs: Path, options: list[str], message: str
) -> None:
    assert message in command("whatif", str(runs), "--baseline", "example", *options, status=2)


def test_an_error_as_json_carries_its_code(command: Credits, tmp_path: Path) -> None:
    error = json.loads(command("whatif", str(tmp_path), "--baseline", "example", "--json", status=2))
    assert error["code"] == "runs_unreadable"
    assert error["path"] == str(tmp_path)


class Terminal:
    """Stands in for standard error where a person sits before it."""

    def __init__(self) -> None:
        self.written = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.written += text
        return len(text)

    def flush(self) -> None:
        pass


@pytest.mark.parametrize(("seconds", "appears"), [(0, False), (2, True)])
def test_a_progress_bar_appears_when_a_person_has_waited(
    monkeypatch: pytest.MonkeyPatch, runs: Path, seconds: int, appears: bool
) -> None:
    moments = iter([0, *[seconds] * 100])
    terminal: Any = Terminal()
    monkeypatch.setattr(estimator.cli.whatif, "monotonic", lambda: next(moments))
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    estimator.cli.whatif.whatif([str(runs)], "example")
    assert ("Pricing" in terminal.written) is appears
