"""The commands of grants, holds, credit lines and limits, and what they refuse."""

from __future__ import annotations

import pytest

from tests.command_line import Credits


def test_a_grant_says_what_it_is_and_is_listed(book: Credits) -> None:
    granted = book.json(
        "grant", "acme", "30", "--every", "month", "--rollover-max", "20", "--cost", "0.0120 EUR", "--ref", "in_1",
        "--promotional", "--scope", "project=p1", "--scope", "project=p2", "--at", "2026-02-01T00:00:00Z",
    )  # fmt: skip
    assert granted["kind"] == "promotional"
    assert granted["cost_basis"] == {"per_credit": "0.012", "currency": "EUR"}
    assert granted["scope"] == {"project": ["p1", "p2"]}
    assert granted["recurrence"]["rollover_max"] == "20"
    assert "every: month" in book("grant", "acme", "5", "--every", "month")
    listed = book.json("grants", "acme")
    assert granted["grant_id"] in {grant["recurring_id"] for grant in listed}
    assert "promotional" in book("grants", "acme")


def test_a_scheduled_grant_is_shown_apart(book: Credits) -> None:
    book("grant", "acme", "30", "--effective-at", "2999-01-01T00:00:00Z")
    assert "Scheduled" in book("balance", "acme")
    assert book.json("balance", "acme")["scheduled"] == "30"


def test_revoking_and_adjusting_correct_what_was_granted(book: Credits) -> None:
    assert book.json("adjust", "acme", "-3.5", "--reason", "missed usage")["slices"] == [
        {"grant_id": "acme/g1", "amount": "3.5"}
    ]
    assert book.json("adjust", "acme", "2", "--reason", "goodwill", "--key", "k")["grant_id"] == "acme/g3"
    revoked = book.json("revoke", "acme/g1", "--reason", "charged back")
    assert (revoked["amount"], revoked["grants"]) == ("96.5", ["acme/g1"])
    assert book.json("revoke", "acme/g1", status=3)["code"] == "grant_ended"
    assert book.json("grants", "acme", "--ended")[0]["revoked"] == "96.5"
    assert book.json("audit")["clean"] is True


def test_a_hold_is_made_captured_in_parts_extended_and_refunded(book: Credits) -> None:
    held = book.json("reserve", "acme", "10", "--expires-in", "15m", "--grace", "30s", "--label", "project=p1")
    name = held["reservation_id"]
    assert held["grace"] == "PT30S"
    assert "30 seconds" in book("reserve", "acme", "1", "--expires-in", "15m", "--grace", "30s")
    assert book.json("capture", name, "4", "--keep")["state"] == "held"
    assert book.json("extend", name, "1.5h")["state"] == "held"
    assert book.json("capture", name, "7", "--over", "if_available")["captured"] == "11"
    assert book.json("refund", name, "5", "--reason", "empty rows")["refunded"] == "5"
    assert book.json("refund", name, "7", status=3)["code"] == "refund_exceeds_capture"
    assert book.json("reserve", "acme", "5000", "--at-most")["amount"] == "93"
    assert book.json("audit")["clean"] is True
    details = {entry["kind"]: entry["details"] for entry in book.json("statement", "acme")["entries"]}
    assert details["refund"]["captured"] == "11"
    assert details["refund"]["grace"] == "PT30S"


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


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("grant", "acme", "5", "--cost", "5"), "cost_invalid"),
        (("grant", "acme", "5", "--cost", "x EUR"), "cost_invalid"),
        (("grant", "acme", "5", "--cost", "0.1 eur"), "command_invalid"),
        (("grant", "acme", "5", "--every", "fortnight"), "command_invalid"),
        (("grant", "acme", "5", "--rollover-max", "3"), "option_missing"),
        (("grant", "acme", "5", "--scope", "project"), "pair_invalid"),
        (("reserve", "acme", "5", "--label", "a=1", "--label", "a=2"), "pair_invalid"),
        (("reserve", "acme", "5", "--label", "a"), "pair_invalid"),
        (("reserve", "acme", "5", "--expires-in", "soon"), "duration_invalid"),
        (("reserve", "acme", "5", "--expires-in", "99999999999999d"), "duration_invalid"),
        (("reserve", "acme", "5", "--expires-in", "40000d"), "command_invalid"),
        (("reserve", "acme", "5", "--grace", "5s"), "command_invalid"),
        (("extend", "acme/r9", "1y"), "duration_invalid"),
        (("limit", "acme", "concurrent", "0.5"), "maximum_invalid"),
        (("limit", "acme", "day", "1", "--value", "p1"), "command_invalid"),
        (("adjust", "acme", "0", "--reason", "x"), "command_invalid"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(book: Credits, arguments: tuple[str, ...], code: str) -> None:
    assert book.json(*arguments, status=2)["code"] == code
