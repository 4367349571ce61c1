"""`credits revenue`, `close` and `closings`."""

from __future__ import annotations

import json
from pathlib import Path

from tests.command_line import Credits


def test_revenue_is_told_by_kind_and_currency_exactly(any_book: Credits) -> None:
    any_book("grant", "acme", "3", "--cost", "0.003333 EUR", "--at", "2026-12-30T00:00:00Z", "--key", "k")
    document = any_book.json("revenue", "2026..2027", "--by-grant")
    assert [(total["kind"], total["currency"]) for total in document["totals"]] == [("paid", None), ("paid", "EUR")]
    euros = document["totals"][1]
    assert (euros["credits"]["sold"], euros["money"]["sold"], euros["money"]["closing"]) == (
        "3",
        "0.009999",
        "0.009999",
    )
    assert [grant["per_credit"] for grant in document["grants"]] == [None, "0.003333"]
    shown = any_book("revenue", "2026..2027", "--by-grant", "--zone", "Europe/Berlin")
    assert "0.009999" in shown
    assert "2026..2027 in Europe/Berlin" in shown
    assert "Nothing was deferred" in any_book("revenue", "2001")


def test_a_period_is_closed_shown_and_listed_and_answers_what_was_kept(any_book: Credits, tmp_path: Path) -> None:
    at = "2020-03-05T00:00:00Z"
    any_book("account", "open", "old", "--at", at)
    any_book("grant", "old", "10", "--cost", "0.5 EUR", "--at", at)
    assert "No period is closed" in any_book("closings")
    assert "would be closed so, of 1 accounts. Nothing was kept." in any_book("close", "2020-03", "--dry-run")
    heads = tmp_path / "heads.json"
    closed = any_book.json("close", "2020-03", "--zone", "Europe/Berlin", "--by", "anna", "--checkpoint", str(heads))
    assert (closed["stored"], closed["replayed"], closed["closing"]["closed_by"]) == (True, False, "anna")
    assert closed["totals"][0]["money"]["sold"] == "5"
    assert [each["account_id"] for each in json.loads(heads.read_text())["accounts"]] == ["old"]
    any_book("grant", "old", "1", "--cost", "0.5 EUR", "--at", "2020-03-06T00:00:00Z")
    any_book("credit-line", "old", "2", "--at", "2020-04-06T00:00:00Z")
    again = any_book("close", "2020-03", "--zone", "Europe/Berlin")
    assert "was closed at" in again
    assert "by anna; this is what was kept." in again
    shown = any_book("revenue", "2020-03", "--zone", "Europe/Berlin", "--by-account", "--by-grant", "--account", "old")
    assert "these are the figures that were kept then." in shown
    april = any_book.json("revenue", "2020-04", "--zone", "Europe/Berlin", "--by-account")
    paid = april["totals"][0]["credits"]
    assert [paid["opening"], paid["sold"], paid["adjustments"]["sold"], paid["closing"]] == ["10", "0", "1", "11"]
    assert [account["account_id"] for account in april["accounts"]] == ["old"]
    assert "adjustments" in any_book("revenue", "2020-04", "--zone", "Europe/Berlin")
    assert "overlaps what is closed" in any_book("close", "2020-03", status=3)
    assert "yet to come" in any_book("close", "2999", status=3)
    assert "no time zone" in any_book("close", "2020-04", "--zone", "Mars/Here", status=2)
    (listed,) = any_book.json("closings")["closings"]
    assert (listed["period"]["name"], listed["zone"], listed["accounts"]) == ("2020-03", "Europe/Berlin", 1)
    assert "Europe/Berlin" in any_book("closings")


def test_what_credit_lines_are_owed_is_told_by_account(any_book: Credits) -> None:
    any_book("credit-line", "acme", "50")
    hold = any_book.json("reserve", "acme", "120")["reservation_id"]
    any_book("capture", hold, "110")
    document = any_book.json("revenue", "2026..2027", "--by-account")
    owed = {name: document["receivable"][name] for name in ("lent", "freed", "drawn", "closing", "used_closing")}
    assert owed == {"lent": "20", "freed": "10", "drawn": "10", "closing": "10", "used_closing": "10"}
    assert document["accounts"][0]["receivable"] == document["receivable"]
    assert "owed by credit lines" in any_book("revenue", "2026..2027", "--by-account")
