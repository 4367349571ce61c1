"""The checks of an account beside its replay: each finds what its docstring says, and they are made in one order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.orm import Session

import ledger
from ledger.auditing import checks
from ledger.auditing.account import AccountAudit
from ledger.auditing.checks import CHECKS, Replayed
from ledger.auditing.rows import PageRows, read_page
from ledger.storage import snapshots
from tests.ledger.conftest import START, later


@pytest.fixture
def account(session: Session) -> Replayed:
    """A sound account beside its replay: a grant, a limit and an open hold that counts against it."""
    ledger.open_account(session, "acme", at=START)
    ledger.grant_credits(session, "acme", 50, at=START)
    ledger.set_limit(session, "acme", "day", 40, at=START)
    ledger.reserve(session, "acme", 4, at=later(1))
    connection = session.connection()
    state = snapshots.read_accounts(connection, ["acme"])["acme"]
    rows = read_page(connection, {"acme": state.sequence})[0]["acme"]
    audit = AccountAudit(state, rows)
    assert audit.findings(lambda _: None) == []
    return audit.account


def codes(account: Replayed) -> list[str]:
    """The codes of all checks' findings, in their order."""
    return [finding.code for check in CHECKS for finding in check(account)]


def put(table: str, column: int, value: Any) -> Callable[[PageRows], None]:
    """A change of one value in the only row of a table."""

    def change(rows: PageRows) -> None:
        (row,) = rows.rows[table]
        rows.rows[table] = [(*row[:column], value, *row[column + 1 :])]

    return change


def leave_out(table: str) -> Callable[[PageRows], None]:
    """A table without its rows."""
    return lambda rows: rows.rows.pop(table, None) and None


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (put("ledger_grant", 2, 7), ["grant_wrong"]),
        (leave_out("ledger_grant"), ["grant_wrong"]),
        (put("ledger_reservation", 3, 7), ["reservation_wrong"]),
        (leave_out("ledger_reservation"), ["reservation_missing"]),
        (put("ledger_limit", 5, 7), ["limit_wrong"]),
        (put("ledger_usage", 5, 7), ["usage_wrong"]),
        (lambda rows: rows.rows.update(ledger_card=[("acme", "x", "{}")]), ["card_altered"]),
        (lambda rows: rows.rows.update(ledger_outbox=[("acme", 9)]), ["start_unknown"]),
    ],
)
def test_a_row_that_entries_do_not_say_has_the_code_of_its_table(
    account: Replayed, change: Callable[[PageRows], None], expected: list[str]
) -> None:
    assert isinstance(account.rows, PageRows)
    change(account.rows)
    assert codes(account) == expected


def test_a_row_of_the_account_that_entries_do_not_say_has_a_code_for_each_value(account: Replayed) -> None:
    account.state.head, account.state.sequence, account.state.due_at = b"", 9, 5
    account.state.credit_limit, account.state.at = 5, 5
    assert codes(account) == ["entries_missing", "head_wrong", "account_wrong", "account_wrong", "due_wrong"]


def test_findings_come_account_first_then_strays_then_the_tables_and_the_ends_last(account: Replayed) -> None:
    assert isinstance(account.rows, PageRows)
    account.state.head = b""
    account.state.due_at = 5
    account.state.closings_count = 1
    account.strays.append(account.finding(2, "transfer_unknown", "a transfer belongs to no entry"))
    put("ledger_grant", 2, 7)(account.rows)
    put("ledger_limit", 5, 7)(account.rows)
    account.rows.rows["ledger_outbox"] = [("acme", 9)]
    assert codes(account) == [
        "head_wrong",
        "transfer_unknown",
        "grant_wrong",
        "due_wrong",
        "limit_wrong",
        "closings_missing",
        "start_unknown",
    ]


def test_every_check_of_the_module_is_in_the_list() -> None:
    assert {check.__name__ for check in CHECKS} == {name for name in vars(checks) if name.startswith("check_")}
