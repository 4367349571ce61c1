"""The errors of reconciliation: a mapping that cannot be used, and records that cannot be read as it says."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from estimator.errors import Issue
from ledger.errors import LedgerError


class MappingInvalid(LedgerError):
    """The mapping cannot be used; every problem is listed in `issues`."""

    code = "mapping_invalid"
    status_hint = 400
    issues: tuple[Issue, ...]

    def __init__(self, issues: Iterable[Issue]) -> None:
        listed = tuple(issues)
        joined = " ".join(str(issue) for issue in listed)
        start = "The mapping: " if len(listed) == 1 else f"The mapping has {len(listed)} problems. "
        super().__init__(start + joined, issues=listed)

    def to_dict(self) -> dict[str, Any]:
        """Code, message and the problems as JSON-safe values."""
        problems = [issue.to_dict() for issue in self.issues]
        return {"code": self.code, "message": self.message, "issues": problems}


class RecordsUnreadable(LedgerError):
    """A file of records cannot be read as its mapping says; `line` (from 1) and `column` say where, if known."""

    code = "records_unreadable"
    status_hint = 400
    path: str
    line: int | None
    column: str | None

    def __init__(self, path: Path | str, problem: str, *, line: int | None = None, column: str | None = None) -> None:
        where = str(path)
        if line is not None:
            where += f", line {line:,}"
        if column is not None:
            where += f", column {column!r}"
        super().__init__(f"{where}: {problem}", path=str(path), line=line, column=column)
