"""`credits reserve`, `capture`, `release`, `extend` and `refund`."""

from __future__ import annotations

from typing import Any

from tests.command_line import Credits


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


def test_a_capture_below_the_hold_frees_the_rest(book: Credits, run: dict[str, Any]) -> None:
    captured = book.json("capture", run["reservation_id"], "0.45", "--key", "k")
    assert (captured["state"], captured["captured"], captured["freed"]) == ("captured", "0.45", "1")
    assert book.json("capture", run["reservation_id"], "0.45", "--key", "k") == captured | {"replayed": True}


def test_a_capture_without_an_amount_takes_all_that_is_held(book: Credits, run: dict[str, Any]) -> None:
    assert book.json("capture", run["reservation_id"])["captured"] == "1.45"


def test_a_release_frees_all_and_happens_once(book: Credits, run: dict[str, Any]) -> None:
    released = book.json("release", run["reservation_id"], "--key", "k")
    assert (released["state"], released["freed"]) == ("released", "1.45")
    assert book.json("release", run["reservation_id"], "--key", "k") == released | {"replayed": True}
    assert "is released" in book("release", run["reservation_id"], "--key", "other", status=3)
