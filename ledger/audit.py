"""Audit: everything that the tables say, worked out again from the journal's own entries.

For each account, in order: entries are numbered without gaps and chained by hash; their transfers add up to the
running balances that they carry, never below zero; and grants, reservations and the account's own row say what
the entries add up to. Reads only, a window of entries at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from ledger import snapshots
from ledger.account_audit import AccountAudit
from ledger.errors import AuditFailed
from ledger.instants import to_instant
from ledger.values import Finding

_ATTEMPTS_MAX = 5


def audit(session: Session, *, account_id: str | None = None, at: datetime | None = None) -> Iterator[Finding]:
    """Yield what does not add up, account by account; nothing when the book proves itself.

    `at` leaves out entries that took effect after that moment, and with them the tables of accounts that have any.
    Safe beside writers: an account that is written to meanwhile is read again.
    """
    connection = session.connection()
    cutoff = None if at is None else to_instant(at)
    after: str | None = None
    while True:
        found = [account_id] if account_id is not None else _next_accounts(connection, after)
        for audited in found:
            yield from _audit_account(connection, audited, cutoff)
        if account_id is not None or not found:
            break
        after = found[-1]
    if account_id is None:
        yield from _audit_orphans(connection)


def require_clean(session: Session, *, account_id: str | None = None) -> None:
    """Raise `AuditFailed` with every finding unless the book proves itself."""
    findings = list(audit(session, account_id=account_id))
    if findings:
        raise AuditFailed(findings)


def _next_accounts(connection: Connection, after: str | None) -> list[str]:
    page = "" if after is None else "WHERE account_id > :after"
    statement = text(f"SELECT account_id FROM ledger_account {page} ORDER BY account_id LIMIT 1000")
    return list(connection.execute(statement, {} if after is None else {"after": after}).scalars())


# What reading a row of any shape can raise: a tampered row is a finding, never a failure of the audit.
_UNREADABLE = (LookupError, ValueError, TypeError, AttributeError, ArithmeticError)


def _audit_account(connection: Connection, account_id: str, cutoff: int | None) -> list[Finding]:
    """The findings of one account, read again for as long as writers overtake the reading."""
    findings: list[Finding] = []
    for attempt in range(_ATTEMPTS_MAX):
        is_last = attempt == _ATTEMPTS_MAX - 1
        read = snapshots.lock_accounts if is_last else snapshots.read_accounts
        try:
            accounts = read(connection, [account_id])
        except _UNREADABLE as error:
            return [Finding(account_id, None, "account_unreadable", f"its row cannot be read ({error})")]
        if account_id not in accounts:
            return [Finding(account_id, None, "account_missing", "the account has no row; restore it from a backup")]
        state = accounts[account_id]
        findings = _findings(AccountAudit(connection, state, cutoff))
        if not findings or is_last or snapshots.read_sequence(connection, account_id) == state.sequence:
            break
    return findings


def _findings(audited: AccountAudit) -> list[Finding]:
    findings: list[Finding] = []
    try:
        for finding in audited.run():
            findings.append(finding)  # noqa: PERF402  # what was found before a row that cannot be read is kept
    except _UNREADABLE as error:
        sequence = audited.replay.sequence
        message = f"what follows entry {sequence}, or is in it, cannot be read ({error!r})"
        findings.append(Finding(audited.state.account_id, sequence, "unreadable", message))
    return findings


def _audit_orphans(connection: Connection) -> Iterator[Finding]:
    """Rows of accounts that do not exist, which foreign keys should have refused."""
    for table in (
        "ledger_entry",
        "ledger_transfer",
        "ledger_grant",
        "ledger_reservation",
        "ledger_card",
        "ledger_limit",
        "ledger_usage",
    ):
        statement = text(
            f"SELECT DISTINCT account_id FROM {table} t WHERE NOT EXISTS"
            " (SELECT 1 FROM ledger_account a WHERE a.account_id = t.account_id) ORDER BY 1"
        )
        for account_id in connection.execute(statement).scalars():
            yield Finding(account_id, None, "account_missing", f"{table} has rows of it and it has no row")
