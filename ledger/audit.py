"""Audit: everything that the tables say, worked out again from the journal's own entries.

For each account, in order: entries are numbered without gaps and chained by hash; their transfers add up to the
running balances that they carry, never below zero; and grants, reservations and the account's own row say what
the entries add up to. Reads only, a window of entries at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from ledger import snapshots
from ledger.commands import format_grant_id, format_reservation_id
from ledger.entries import read_windows
from ledger.errors import AuditFailed
from ledger.instants import to_instant
from ledger.states import AVAILABLE, BUCKETS, CONSUMED, HELD, ISSUED, AccountState, Posting, chain_hash, genesis
from ledger.values import EntryKind, Finding

_ATTEMPTS_MAX = 5
_STATE_BY_KIND = {EntryKind.CAPTURE: "captured", EntryKind.RELEASE: "released", EntryKind.EXPIRE: "expired"}


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
        findings = _findings(_Audit(connection, state, cutoff))
        if not findings or is_last or snapshots.read_sequence(connection, account_id) == state.sequence:
            break
    return findings


def _findings(audited: _Audit) -> list[Finding]:
    findings: list[Finding] = []
    try:
        for finding in audited.run():
            findings.append(finding)  # noqa: PERF402  # what was found before a row that cannot be read is kept
    except _UNREADABLE as error:
        message = f"what follows entry {audited.sequence}, or is in it, cannot be read ({error!r})"
        findings.append(Finding(audited.state.account_id, audited.sequence, "unreadable", message))
    return findings


@dataclass(slots=True)
class _Audit:
    """The account worked out again, entry by entry."""

    connection: Connection
    state: AccountState
    cutoff: int | None
    sequence: int = 0
    at: int = 0
    head: bytes = b""
    stored_head: bytes = b""
    buckets: list[int] = field(default_factory=lambda: [0] * len(BUCKETS))
    grants: dict[int, list[int]] = field(default_factory=dict)
    terms: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    open_holds: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    holds_count: int = 0
    cards: set[str] = field(default_factory=set)

    def run(self) -> Iterator[Finding]:
        """Every finding, in the order of the entries, then the tables'."""
        self.head = self.stored_head = genesis(self.state.account_id, self.state.opened_at)
        self.at = self.state.opened_at
        for window in read_windows(self.connection, self.state.account_id, last=self.state.sequence):
            closed: dict[int, tuple[Any, ...]] = {}
            for posting in window:
                if self.cutoff is not None and posting.at > self.cutoff:
                    return
                yield from self._check_entry(posting)
                self._follow_hold(posting, closed)
            yield from self._compare_holds(closed)
        yield from self._check_account()
        yield from self._check_grants()
        yield from self._compare_holds(self.open_holds)
        yield from self._check_cards()
        yield from self._check_counts()

    def _finding(self, sequence: int | None, code: str, message: str) -> Finding:
        return Finding(self.state.account_id, sequence, code, message)

    def _check_entry(self, posting: Posting) -> Iterator[Finding]:
        number = posting.sequence
        if number != self.sequence + 1:
            yield self._finding(number, "entries_missing", f"entries {self.sequence + 1} to {number - 1} are missing")
        self.sequence = number
        expected = chain_hash(self.stored_head, posting)
        if posting.hash != expected:
            yield self._finding(number, "entry_altered", "its hash does not follow from it and the entry before")
        self.stored_head = posting.hash
        if posting.at < self.at:
            yield self._finding(number, "time_went_back", "it takes effect before the entry before it")
        self.at = posting.at
        self._carry_out(posting)
        if tuple(self.buckets) != posting.buckets:
            yield self._finding(number, "balance_wrong", "its running balance is not what its transfers add up to")
        if min(self.buckets) < 0 or any(min(self.grants[grant]) < 0 for grant, *_ in posting.moves):
            yield self._finding(number, "overspent", "its transfers carry a bucket below zero")

    def _carry_out(self, posting: Posting) -> None:
        for number, source, target, amount in posting.moves:
            grant = self.grants.setdefault(number, [0] * len(BUCKETS))
            for buckets in (grant, self.buckets):
                buckets[source] += amount if source == ISSUED else -amount
                buckets[target] += amount
        if posting.kind == EntryKind.GRANT:
            details = posting.parsed_details()
            self.terms[posting.sequence] = (details["priority"], details["expires_at"])

    def _follow_hold(self, posting: Posting, closed: dict[int, tuple[Any, ...]]) -> None:
        """Work out what the reservation's row must say after an entry."""
        number = posting.reservation
        if number is None:
            return
        details = posting.parsed_details()
        run = (details.get("dataset_id"), details.get("started_ms"))
        amount, expires_at = details["amount"], details["expires_at"]
        if posting.kind == EntryKind.RESERVE:
            self.holds_count += 1
            self.cards |= {details["card_id"]} if "card_id" in details else set()
            self.open_holds[number] = ("held", amount, 0, 0, posting.at, expires_at, *run)
            return
        consumed = sum(part for _, _, target, part in posting.moves if target == CONSUMED)
        freed = sum(part for _, source, target, part in posting.moves if source == HELD and target != CONSUMED)
        state = _STATE_BY_KIND[EntryKind(posting.kind)]
        self.open_holds.pop(number, None)
        closed[number] = (state, amount, consumed, freed, details["reserved_at"], expires_at, *run)

    def _compare_holds(self, expected: dict[int, tuple[Any, ...]]) -> Iterator[Finding]:
        account_id = self.state.account_id
        rows = snapshots.read_reservations(self.connection, ((account_id, number) for number in sorted(expected)))
        found = {row[1]: tuple(row[2:]) for row in rows}
        for number, says in sorted(expected.items()):
            name = format_reservation_id(account_id, number)
            if number not in found:
                yield self._finding(number, "reservation_missing", f"{name} has no row")
            elif found[number] != says:
                yield self._finding(number, "reservation_wrong", f"{name} is {found[number]}, entries say {says}")

    def _check_account(self) -> Iterator[Finding]:
        state = self.state
        if self.sequence != state.sequence:
            message = f"the journal ends at entry {self.sequence}, the account at {state.sequence}"
            yield self._finding(self.sequence + 1, "entries_missing", message)
        if state.head != self.stored_head:
            yield self._finding(self.sequence, "head_wrong", "the account's head is not the hash of its last entry")
        if state.buckets != self.buckets:
            yield self._finding(None, "account_wrong", f"its row says {state.buckets}, its entries {self.buckets}")
        if state.at != self.at:
            yield self._finding(None, "account_wrong", "its row's latest moment is not that of its last entry")

    def _check_grants(self) -> Iterator[Finding]:
        account_id = self.state.account_id
        statement = text(
            f"SELECT number, priority, expires_at, amount, {', '.join(BUCKETS[1:])} FROM ledger_grant"
            " WHERE account_id = :account_id ORDER BY number"
        )
        found = {row[0]: tuple(row[1:]) for row in self.connection.execute(statement, {"account_id": account_id})}
        for number in sorted(found.keys() | self.grants.keys()):
            says = (*self.terms.get(number, ("?", "?")), *self.grants.get(number, ()))
            if found.get(number) != says:
                name = format_grant_id(account_id, number)
                yield self._finding(number, "grant_wrong", f"{name} is {found.get(number)}, entries say {says}")
            due = found.get(number, (None, None))[1]
            if due is not None and found[number][2 + AVAILABLE] and not self._is_due_by(due):
                yield self._finding(number, "due_late", f"{format_grant_id(account_id, number)} would lapse unnoticed")

    def _check_cards(self) -> Iterator[Finding]:
        """The cards that launches were priced under must be kept, and say what they said."""
        statement = text("SELECT card_id, content FROM ledger_card WHERE account_id = :account_id ORDER BY card_id")
        kept = dict(tuple(row) for row in self.connection.execute(statement, {"account_id": self.state.account_id}))
        for card_id in sorted(self.cards - kept.keys()):
            yield snapshots.card_missing(self.state.account_id, card_id)
        for card_id, content in kept.items():
            if not snapshots.is_card(card_id, content):
                yield snapshots.card_altered(self.state.account_id, card_id)

    def _is_due_by(self, moment: int) -> bool:
        return self.state.due_at is not None and self.state.due_at <= moment

    def _check_counts(self) -> Iterator[Finding]:
        """Rows that no entry made, and holds whose expiry the account would miss."""
        values = {"account_id": self.state.account_id}
        count, transfers, entries = self.connection.execute(_COUNTS, values).one()
        if count != self.holds_count:
            message = f"{count} reservation rows, {self.holds_count} entries that reserved"
            yield self._finding(None, "reservation_unknown", message)
        if transfers:
            yield self._finding(transfers, "transfer_unknown", "a transfer belongs to no entry")
        if entries != self.state.sequence:
            yield self._finding(None, "entries_unknown", f"{entries} entries, the account counts {self.state.sequence}")
        for number, (*_, expires_at, _dataset, _started) in sorted(self.open_holds.items()):
            if expires_at is not None and not self._is_due_by(expires_at):
                name = format_reservation_id(self.state.account_id, number)
                yield self._finding(number, "due_late", f"{name} would expire unnoticed")


_COUNTS = text(
    "SELECT (SELECT count(*) FROM ledger_reservation WHERE account_id = :account_id),"
    " (SELECT min(sequence) FROM ledger_transfer t WHERE account_id = :account_id AND NOT EXISTS"
    " (SELECT 1 FROM ledger_entry e WHERE e.account_id = t.account_id AND e.sequence = t.sequence)),"
    " (SELECT count(*) FROM ledger_entry WHERE account_id = :account_id)"
)


def _audit_orphans(connection: Connection) -> Iterator[Finding]:
    """Rows of accounts that do not exist, which foreign keys should have refused."""
    for table in ("ledger_entry", "ledger_transfer", "ledger_grant", "ledger_reservation", "ledger_card"):
        statement = text(
            f"SELECT DISTINCT account_id FROM {table} t WHERE NOT EXISTS"
            " (SELECT 1 FROM ledger_account a WHERE a.account_id = t.account_id) ORDER BY 1"
        )
        for account_id in connection.execute(statement).scalars():
            yield Finding(account_id, None, "account_missing", f"{table} has rows of it and it has no row")
