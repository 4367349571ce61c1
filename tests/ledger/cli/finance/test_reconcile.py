"""`credits reconcile`: what it prints, writes and ends with."""

from __future__ import annotations

import csv
import json
import shlex
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.command_line import Credits

STRIPE = (
    "id,Type,Source,Amount,Fee,Destination Platform Fee,Net,Currency,Created (UTC),Available On (UTC),Description\n"
    'txn_1,charge,ch_1,"5.00",0.30,,4.70,eur,2026-03-01 00:00,2026-03-05 00:00,"credits, 10"\n'
    "txn_2,charge,ch_2,9.00,0.30,,8.70,eur,2026-03-01 00:01,2026-03-05 00:00,credits\n"
    "txn_3,payout,po_1,-14.00,0.00,,-14.00,eur,2026-03-06 00:00,2026-03-06 00:00,STRIPE PAYOUT\n"
)
CAPTURES = """
side = "captures"
[columns]
reference = "hold"
account = "who"
amount = "credits"
"""


@pytest.fixture
def sold(any_book: Credits) -> Credits:
    """Two grants that were sold: one as Stripe has it, one for more."""
    any_book("account", "open", "beta", "--at", "2026-03-01T00:00:00Z")
    for reference, amount in (("ch_1", "10"), ("ch_2", "20")):
        moment = ("--at", "2026-03-01T00:00:30Z")
        any_book("grant", "beta", amount, "--cost", "0.5 EUR", "--ref", reference, *moment)
    return any_book


@pytest.fixture
def charges(tmp_path: Path) -> str:
    """Stripe's export."""
    path = tmp_path / "balance.csv"
    path.write_text(STRIPE, encoding="utf-8")
    return str(path)


def test_grants_are_compared_with_charges_of_stripe(sold: Credits, charges: str) -> None:
    found = sold.json("reconcile", "ledger", charges, "--mapping", "stripe", status=1)
    assert (found["clean"], found["findings"], found["left_out"]) == (False, 1, 1)
    assert (found["amounts_here"], found["amounts_there"]) == ({"EUR": "15"}, {"EUR": "14"})
    (result,) = found["results"]
    assert (result["kind"], result["reference"], result["difference"]) == ("amount_differs", "ch_2", "-1")
    assert [side[0]["record_id"] for side in (result["here"], result["there"])] == ["beta/g2", "txn_2"]
    shown = sold("reconcile", "ledger", charges, "--mapping", "stripe", status=1)
    assert "Here it is 10 EUR, there 9 EUR: 1 EUR less there." in " ".join(shown.split())
    assert result["correction"] in shown


def test_a_suggested_correction_corrects_once_however_often_it_is_run(sold: Credits, charges: str) -> None:
    (result,) = sold.json("reconcile", "ledger", charges, "--mapping", "stripe", status=1)["results"]
    words = shlex.split(result["correction"])
    assert words[:4] == ["credits", "adjust", "beta", "-2"]
    assert sold.json("balance", "beta")["available"] == "30"
    assert [sold.json(*words[1:])["replayed"] for _ in range(2)] == [False, True]
    assert sold.json("balance", "beta")["available"] == "28"


@pytest.mark.parametrize("account", ["it's; rm -rf $HOME", "-acme"])
def test_a_command_is_safe_to_paste_whatever_an_account_is_called(
    any_book: Credits, tmp_path: Path, account: str
) -> None:
    any_book("account", "open", "--", account)
    any_book("grant", "--", account, "9")
    mapping, records = tmp_path / "m.toml", tmp_path / "r.csv"
    mapping.write_text(CAPTURES)
    records.write_text(f'hold,who,credits\nx,"{account}",2\n')
    (found,) = any_book.json("reconcile", "ledger", str(records), "--mapping", str(mapping), status=1)["results"]
    any_book(*shlex.split(found["correction"])[1:])
    assert json.loads(any_book("balance", "--json", "--", account))["available"] == "7"


class _Text(HTMLParser):
    """The texts of a page, and what it would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.fetched: list[str] = []

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [str(value) for name, value in attrs if name in ("src", "href") and value != "data:,"]


def test_all_of_it_is_written_as_one_page_and_as_csv(sold: Credits, charges: str, tmp_path: Path) -> None:
    page, lines = tmp_path / "page.html", tmp_path / "lines.csv"
    page.write_text("what was there")
    files = ("--html", str(page), "--csv", str(lines), "--matched")
    found = sold.json("reconcile", "ledger", charges, "--mapping", "stripe", *files, status=1)
    parser = _Text()
    parser.feed(page.read_text(encoding="utf-8"))
    said = " ".join(" ".join(parser.texts).split())
    assert parser.fetched == []
    assert found["results"][0]["cause"] in said
    assert found["results"][0]["correction"] in said
    assert "10 EUR, 2026-03-01T00:00:30Z, paid, beta/g2" in said
    with lines.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["kind"], row["amount_here"], row["amount_there"]) for row in rows] == [
        ("amount_differs", "10", "9"),
        ("matched", "5", "5"),
    ]
    assert rows[0]["correction"] == found["results"][0]["correction"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_is_clean_ends_with_zero(sold: Credits, charges: str, tmp_path: Path) -> None:
    Path(charges).write_text(STRIPE.replace("9.00", "10.00"), encoding="utf-8")
    page = tmp_path / "page.html"
    said = sold("reconcile", "ledger", charges, "--mapping", "stripe", "--html", str(page))
    assert "Both sides agree." in said
    assert "Both sides agree." in page.read_text(encoding="utf-8")
    assert "0 records here" in sold("reconcile", "ledger", charges, "--mapping", "stripe", "--period", "2025")


def test_two_files_and_two_ledgers_are_compared(sold: Credits, charges: str, tmp_path: Path, sqlite_url: str) -> None:
    other = Credits(f"sqlite:///{tmp_path / 'other.sqlite'}")
    other("db", "upgrade")
    other("account", "open", "acme", "--at", "2026-03-01T00:00:00Z")
    found = sold.json("reconcile", "ledger", str(other.database_url), "--mapping", "journal", status=1)
    assert found["counts"]["missing_there"] == found["records_here"] == 3
    files = Credits()
    again = tmp_path / "again.csv"
    again.write_text(STRIPE.replace("9.00", "9.01"), encoding="utf-8")
    found = files.json("reconcile", charges, str(again), "--mapping", "stripe", status=1)
    assert [result["difference"] for result in found["results"]] == ["0.01"]
    assert "Both sides agree." in files("reconcile", charges, charges, "--mapping", "stripe")


def test_no_more_is_printed_than_was_asked_for_and_the_file_has_all(command: Credits, tmp_path: Path) -> None:
    mapping, empty, records = tmp_path / "m.toml", tmp_path / "e.csv", tmp_path / "r.csv"
    mapping.write_text(CAPTURES)
    empty.write_text("hold,who,credits\n")
    records.write_text("hold,who,credits\n" + "".join(f"h{number:02d},acme,1\n" for number in range(9)))
    files = (str(empty), str(records), "--mapping", str(mapping), "--limit", "2")
    said = command("reconcile", *files, "--csv", str(tmp_path / "all.csv"), status=1)
    assert "7 more findings are not shown" in said
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 10
    assert len(command.json("reconcile", *files, status=1)["results"]) == 2


def test_what_is_wrong_is_said_in_a_sentence(book: Credits, charges: str, tmp_path: Path) -> None:
    def refused(*arguments: str) -> str:
        return book("reconcile", "ledger", *arguments, status=2)

    assert "Did you mean 'stripe'?" in refused(charges, "--mapping", "strip")
    assert "line 1, column 'run_id': is not in the header" in refused(charges, "--mapping", "usage")
    assert "does not exist" in refused("none.csv", "--mapping", "stripe")
    assert "is a folder" in refused(charges, "--mapping", "stripe", "--html", str(tmp_path))
    assert "does not exist" in refused(charges, "--mapping", "stripe", "--csv", str(tmp_path / "x" / "y.csv"))
    assert "Name it with --csv" in refused(charges, "--mapping", "stripe", "--matched")
    assert "Give one such as 2026" in refused(charges, "--mapping", "stripe", "--period", "march")
    assert "no time zone" in refused(charges, "--mapping", "stripe", "--period", "2026", "--zone", "Mars/Here")
    Path(charges).write_text(STRIPE.replace("9.00", "9.00 EUR"), encoding="utf-8")
    page = tmp_path / "page.html"
    problem = json.loads(refused(charges, "--mapping", "stripe", "--html", str(page), "--json"))
    assert (problem["code"], problem["line"], problem["column"]) == ("records_unreadable", 3, "Amount")
    assert not page.exists()
