"""`credits outbox`: what waits to be handed over and what failed, and nothing of what an error said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

import ledger
from tests.command_line import Credits


def launch(book: Credits, dataset: Path, *ids: str) -> None:
    """Launch a run of each dataset."""
    for dataset_id in ids:
        arguments = ("acme", str(dataset), "--dataset-id", dataset_id, "--map", "prompt=question", "--card", "example")
        book("launch", *arguments)


def deliver(book: Credits, handler: Any) -> None:
    """Hand over what waits, as a service does."""
    engine = ledger.create_engine(str(book.database_url))
    with Session(engine) as session, session.begin():
        ledger.deliver_outbox(session, handler)
    engine.dispose()


def refuse(start: ledger.RunStart) -> None:
    """Fail to start the run of one dataset."""
    if start.dataset_id == "bad":
        raise ConnectionError("token s3cr3t was refused")


def test_what_waits_is_listed_with_what_failed_so_far(any_book: Credits, dataset: Path) -> None:
    assert any_book("outbox") == "No start waits to be handed over.\n"
    assert any_book.json("outbox") == []
    launch(any_book, dataset, "good", "bad")
    deliver(any_book, refuse)
    launch(any_book, dataset, "late")
    (late, bad) = any_book.json("outbox")
    assert (late["dataset_id"], late["attempts"], late["error"], late["ended_at"]) == ("late", 0, None, None)
    assert (bad["start_id"], bad["attempts"], bad["error"]) == ("acme/o3", 1, "ConnectionError")
    assert bad["next_attempt_at"] > late["next_attempt_at"]
    assert any_book.json("outbox", "--failed") == [bad]
    assert any_book.json("outbox", "--account", "acme") == [late, bad]
    printed = any_book("outbox")
    assert "s3cr3t" not in printed
    rows = {row.split()[0]: row.split() for row in printed.splitlines() if "/o" in row}
    assert rows["acme/o3"][-2:] == ["1", "ConnectionError"]
    assert rows["acme/o4"][-1] == "0"
    assert "Next attempt" in printed


def test_what_was_delivered_or_withdrawn_is_listed_when_asked_for(any_book: Credits, dataset: Path) -> None:
    launch(any_book, dataset, "good", "ended")
    any_book("release", "acme/r3")
    deliver(any_book, refuse)
    (delivered,) = any_book.json("outbox", "--state", "delivered")
    (withdrawn,) = any_book.json("outbox", "--state", "withdrawn")
    assert (delivered["start_id"], delivered["attempts"]) == ("acme/o2", 1)
    assert (withdrawn["start_id"], withdrawn["attempts"]) == ("acme/o3", 0)
    assert "Ended" in any_book("outbox", "--state", "withdrawn")
    assert any_book("outbox", "--state", "delivered", "--failed") == "No start that was delivered fits.\n"
    assert any_book.json("audit")["clean"]


def test_a_long_list_is_shown_a_page_at_a_time(book: Credits, dataset: Path) -> None:
    launch(book, dataset, "d1", "d2", "d3")
    page = book("outbox", "--limit", "2")
    assert page.endswith("There may be more. See them with --after acme/o3\n")
    assert [start["dataset_id"] for start in book.json("outbox", "--after", "acme/o3")] == ["d3"]


def test_what_cannot_be_listed_is_refused_in_a_sentence(book: Credits) -> None:
    assert "No account 'nobody'" in book("outbox", "--account", "nobody", status=3)
    assert "is no start's id" in book("outbox", "--after", "acme/r2", status=2)
    assert "'--state'" in book("outbox", "--state", "lost", status=2)
    assert "'--limit'" in book("outbox", "--limit", "0", status=2)
