"""Refusals, output that cannot be written, and defects: one sentence and a status, each."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any, NoReturn

import pytest

import ledger.cli
import ledger.cli.accounts
import ledger.cli.database
from estimator.cli.terminal import CommandFailed, ExitStatus, emit
from estimator.sentences import printable
from tests.command_line import Credits


def test_a_defect_is_a_sentence_that_says_how_to_report_it(book: Credits, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> NoReturn:
        raise RuntimeError("the sky fell")

    monkeypatch.setattr(ledger.cli.accounts, "get_balance", broken)
    assert "RuntimeError: the sky fell" in book("balance", "acme", status=70)
    monkeypatch.setenv("CREDITS_TRACEBACK", "1")
    result = book.runner.invoke(ledger.cli.app, ["balance", "acme"], env={"CREDITS_DATABASE_URL": book.database_url})
    assert isinstance(result.exception, RuntimeError)


class FullDisk:
    """A standard output that takes nothing."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, text: str) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    def fileno(self) -> int:
        return self._descriptor


def test_an_answer_that_cannot_be_written_is_told_apart_from_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "out").open("w") as file:
        monkeypatch.setattr("sys.stdout", FullDisk(file.fileno()))
        with pytest.raises(CommandFailed, match="The command is done") as caught:
            emit({}, as_json=True)
    assert caught.value.status == ExitStatus.OUTPUT_LOST


def test_a_closed_output_is_no_failure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdout", None)
    emit({"answer": 1}, as_json=True)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [("plain  text", "plain  text"), ("é中", "é中"), ("a\nb", "a\\nb"), ("\x1b[2J", "\\x1b[2J"), ("\u202e", "\\u202e")],
)
def test_no_value_can_move_the_cursor_or_hide(text: str, shown: str) -> None:
    assert printable(text) == shown


REFUSED = [
    (["balance", "nobody"], 3, "account_not_found", "No account 'nobody' exists"),
    (["account", "show", "nobody"], 3, "account_not_found", "No account 'nobody' exists"),
    (["account", "open", ""], 2, "command_invalid", "account_id: has 0 characters"),
    (["account", "open", "x" * 256], 2, "command_invalid", "account_id: has 256 characters"),
    (["account", "open", "x", "--at", "2026-01-01T00:00"], 2, "moment_invalid", "has no time zone"),
    (["grant", "nobody", "5"], 3, "account_not_found", "open it first"),
    (["grant", "acme", "five"], 2, "amount_invalid", "is not an amount of credits"),
    (["grant", "acme", "1e3"], 2, "amount_invalid", "is not an amount of credits"),
    (["grant", "acme", "NaN"], 2, "amount_invalid", "is not an amount of credits"),
    (["grant", "acme", "0.0000001"], 2, "amount_invalid", "more than six decimals"),
    (["grant", "acme", "9" * 30], 2, "amount_invalid", "too many digits"),
    (["grant", "acme", "0"], 2, "command_invalid", "amount: is 0"),
    (["grant", "acme", "5", "--key", ""], 2, "command_invalid", "key: has 0 characters"),
    (["grant", "acme", "5", "--key", "k" * 256], 2, "command_invalid", "key: has 256 characters"),
    (["grant", "acme", "5", "--priority", "-1"], 2, "command_invalid", "priority: must be"),
    (["grant", "acme", "5", "--expires-at", "2030-01-01T00:00"], 2, "moment_invalid", "--expires-at"),
    (["balance", "acme", "--at", "noon"], 2, "moment_invalid", "is no ISO 8601"),
    (["settle", "acme", "dataset-d-1", "--status", "failed", "--rows-processed", "0"], 3, "run_not_found", "No run"),
    (["settle", "acme", "d", "--status", "failed", "--rows-processed", "-1"], 2, "outcome_rejected", "rows_processed"),
    (["settle", "acme", "d", "--status", "done", "--rows-processed", "1"], 2, "usage", "'--status'"),
    (["capture", "acme/r9"], 3, "reservation_not_found", "No reservation 'acme/r9'"),
    (["capture", "acme"], 3, "reservation_not_found", "No reservation 'acme'"),
    (["capture", "acme/r2", "2.5.1"], 2, "amount_invalid", "is not an amount"),
    (["capture", "acme/r2", "100"], 3, "capture_exceeds_reservation", "holds 1.45 credits"),
    (["release", "acme/r9"], 3, "reservation_not_found", "No reservation 'acme/r9'"),
    (["reservations", "nobody"], 3, "account_not_found", "No account 'nobody'"),
    (["reservations", "acme", "--state", "lost"], 2, "usage", "'--state'"),
    (["reservations", "acme", "--limit", "0"], 2, "usage", "'--limit'"),
    (["statement", "nobody"], 3, "account_not_found", "No account 'nobody'"),
    (["statement", "acme", "--since", "2030-01-01T00:00:00Z"], 2, "command_invalid", "since: is after until"),
    (["audit", "--account", "nobody"], 3, "account_not_found", "No account 'nobody'"),
    (["expire", "--account", "nobody"], 3, "account_not_found", "No account 'nobody'"),
    (["grant"], 2, "usage", "Missing argument"),
    (["nonsense"], 2, "usage", "No such command"),
]


@pytest.mark.parametrize(("arguments", "status", "code", "sentence"), REFUSED)
def test_a_refused_command_says_why_and_moves_nothing(
    book: Credits, run: dict[str, Any], arguments: list[str], status: int, code: str, sentence: str
) -> None:
    before = book.json("statement", "acme")["entries"]
    assert sentence in book(*arguments, status=status)
    error = json.loads(book(*arguments, "--json", status=status))
    assert error["code"] == code
    assert sentence in error["message"]
    assert book.json("statement", "acme")["entries"] == before
