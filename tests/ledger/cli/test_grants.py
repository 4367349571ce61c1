"""`credits grant`, `grants`, `revoke` and `adjust`."""

from __future__ import annotations

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


def test_a_grant_says_what_was_issued(book: Credits) -> None:
    options = ("--expires-at", "2030-01-01T00:00:00+01:00", "--priority", "7", "--key", "k")
    granted = book.json("grant", "acme", "0.000001", *options)
    assert granted["amount"] == "0.000001"
    assert (granted["priority"], granted["expires_at"]) == (7, "2029-12-31T23:00:00Z")
    assert book.json("grant", "acme", "0.000001", *options) == granted | {"replayed": True}
    assert "0.000001" in book("grant", "acme", "0.000001", *options)


def test_the_largest_amount_keeps_every_digit(book: Credits) -> None:
    book("account", "open", "rich")
    book("grant", "rich", "9223372036854.775807")
    assert book.json("balance", "rich")["available"] == "9223372036854.775807"
    assert "9,223,372,036,854.775807" in book("balance", "rich")
