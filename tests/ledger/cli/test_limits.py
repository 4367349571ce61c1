"""`credits credit-line`, `limit` and `limits`."""

from __future__ import annotations

from tests.command_line import Credits


def test_an_account_may_owe_up_to_its_credit_line(book: Credits) -> None:
    assert book.json("credit-line", "acme", "5") == {
        "account_id": "acme",
        "limit": "5",
        "owed": "0",
        "left": "5",
        "replayed": False,
    }
    book("reserve", "acme", "103")
    assert book.json("credit-line", "acme")["owed"] == "3"
    assert "Owed" in book("balance", "acme")
    assert "credit line" in book("grants", "acme")
    assert book.json("reserve", "acme", "3", status=3)["available"] == "2"


def test_limits_are_set_listed_and_lifted(book: Credits) -> None:
    assert "No limit" in book("limits", "acme")
    book("limit", "acme", "day", "20", "--label", "project")
    book("limit", "acme", "concurrent", "2")
    book("reserve", "acme", "15", "--label", "project=p1")
    assert book.json("reserve", "acme", "6", "--label", "project=p1", status=3)["code"] == "limit_exceeded"
    found = book.json("limits", "acme")
    assert [limit["maximum"] for limit in found["limits"]] == ["20", "2"]
    assert [usage["used"] for usage in found["usage"]] == ["15", "1"]
    assert "p1" in book("limits", "acme")
    assert book.json("limit", "acme", "day", "none", "--label", "project")["maximum"] is None
    assert "lifted" in book("limits", "acme")
