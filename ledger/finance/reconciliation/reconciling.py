"""Reconciliation: the ledger or a file compared with outside records or a second ledger; nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from ledger.errors import CommandInvalid
from ledger.finance.calendar import AccountingPeriod
from ledger.finance.reconciliation.comparing import Comparison, StepProgress
from ledger.finance.reconciliation.files.mappings import RecordMapping
from ledger.finance.reconciliation.files.record_files import read_records
from ledger.finance.reconciliation.files.scratch import Period, Scratch
from ledger.finance.reconciliation.findings import Findings, to_document
from ledger.finance.reconciliation.joining import Group, Join, group_of, micros
from ledger.finance.reconciliation.judgement import Judge
from ledger.finance.reconciliation.ledger_sides import read_side
from ledger.finance.reconciliation.results import Basis, ReconciliationResult, ReconciliationSummary
from ledger.model.moments import to_moment
from ledger.storage.history import require_account

Source = Session | Path | str
MappingSource = RecordMapping | Mapping[str, Any] | Path | str

_TOLD_EVERY = 10_000


class Reconciliation:
    """What a reconciliation found. Iterate it for its findings; `matches` gives what agrees; close it when done."""

    summary: ReconciliationSummary

    def __init__(
        self, scratch: Scratch, join: Join, findings: Findings, matched: Findings, summary: ReconciliationSummary
    ) -> None:
        self.summary = summary
        self._scratch = scratch
        self._join = join
        self._findings = findings
        self._matched = matched

    def __enter__(self) -> Reconciliation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the scratch database. Results that were yielded stay valid."""
        self._scratch.close()

    def __iter__(self) -> Iterator[ReconciliationResult]:
        """The findings, by time, reference and kind, whatever order the records had."""
        yield from self._findings

    def matches(self) -> Iterator[ReconciliationResult]:
        """What matched: one to one by reference, several by reference, then by amount and time; each in order."""
        for ours, theirs in self._join.clean_pairs():
            yield self._match(group_of(ours, theirs))
        for group in self._join.groups(clean=True):
            yield self._match(group)
        yield from self._matched

    def _match(self, group: Group) -> ReconciliationResult:
        kind, cause = self._findings.judge.judge(group)
        return self._findings.result(to_document(kind, Basis.REFERENCE, cause, group))


def reconcile(
    here: Source,
    there: Source,
    mapping: MappingSource,
    *,
    here_mapping: MappingSource | None = None,
    period: AccountingPeriod | None = None,
    at: datetime | None = None,
    account_id: str | None = None,
    progress: StepProgress | None = None,
) -> Reconciliation:
    """Compare our records with those of others, one by one.

    Args:
        here: a session on the ledger, or the path of a file (CSV, also gzipped, or Parquet).
        there: outside records: a path, or a session on a second ledger.
        mapping: what the file's columns mean and what they are compared with: a `RecordMapping`, the name of one that
            ships (`stripe`, `usage`, `journal`), the path of a TOML file, or its content.
        here_mapping: the mapping of `here`, where it is a file with other columns.
        period: only records that either side has in it. Their counterparts are looked for up to the mapping's window
            before and after it, and their timing is judged.
        at: the ledgers as they stood then; as they stand now by default.
        account_id: only this account of the ledger, and of the file, where it names accounts.
        progress: told the step that is being done, and how many records of it are done.

    Memory is bounded: what does not fit is kept on disk until the answer is closed. Raises `MappingInvalid`,
    `RecordsUnreadable`, `CommandInvalid`, `AccountNotFound`, and `ExtraMissing` without the extra `reconcile`.
    """
    rules = _mapping(mapping)
    ours = rules if here_mapping is None else _mapping(here_mapping)
    if (ours.side, ours.scale, ours.is_money) != (rules.side, rules.scale, rules.is_money):
        raise CommandInvalid("here_mapping", "is of another side or unit. Give two mappings of the same.")
    tell = progress or (lambda _what, _count: None)
    window = micros(rules.tolerance.window)
    inside = Period.of(period)
    until = None if at is None else to_moment(at)
    scratch = Scratch(rules.scale)
    try:
        left_out = 0
        for table, source, of_side in (("here", here, ours), ("there", there, rules)):
            if isinstance(source, Session):
                _read_ledger(scratch, table, source, of_side, account_id, until, tell)
            else:
                tell(f"Reading {source}", 0)
                left_out += read_records(scratch, table, source, of_side)
            narrowed = _narrow(scratch, table, inside, window, account_id)
            left_out += 0 if isinstance(source, Session) else narrowed
        tell("Joining by reference", 0)
        join = Join(scratch, rules, inside)
        judge = Judge(rules)
        findings, matched = (Findings(scratch, rules, judge, table) for table in ("findings", "matched"))
        summary = Comparison(scratch, rules, join, findings, matched, inside, tell).carry_out(left_out)
        return Reconciliation(scratch, join, findings, matched, summary)
    except BaseException:
        scratch.close()
        raise


def _mapping(given: MappingSource) -> RecordMapping:
    if isinstance(given, RecordMapping):
        return given
    return RecordMapping.from_dict(dict(given)) if isinstance(given, Mapping) else RecordMapping.named(given)


def _read_ledger(
    scratch: Scratch,
    table: str,
    session: Session,
    mapping: RecordMapping,
    account_id: str | None,
    until: int | None,
    tell: StepProgress,
) -> None:
    """Make the table of a side from a ledger."""
    what = "Reading the ledger" if table == "here" else "Reading the second ledger"
    if account_id is not None and table == "here":
        require_account(session, account_id)

    def told() -> Iterator[Any]:
        tell(what, 0)
        for count, row in enumerate(read_side(session, mapping, account_id=account_id, until=until), 1):
            if not count % _TOLD_EVERY:
                tell(what, count)
            yield row

    scratch.create(table, scratch.record_columns)
    scratch.fill(table, scratch.record_columns, told())


def _narrow(scratch: Scratch, table: str, inside: Period, window: int, account_id: str | None) -> int:
    """Delete records of other accounts, and those too far from the period to match; answers how many."""
    conditions = []
    values: dict[str, Any] = {}
    if inside.bounds is not None:
        since, until = inside.bounds
        conditions.append("moment < $first OR moment >= $last")
        values |= {"first": since - window, "last": until + window}
    if account_id is not None:
        conditions.append("account <> $account")
        values["account"] = account_id
    if not conditions:
        return 0
    return int(scratch.one(f"DELETE FROM {table} WHERE {' OR '.join(conditions)}", values)[0])
