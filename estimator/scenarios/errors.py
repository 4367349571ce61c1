"""What the scenarios refuse: runs that cannot be read, and questions that runs or cards cannot answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from estimator.errors import EstimatorError

if TYPE_CHECKING:
    from pathlib import Path


class RunsUnreadable(EstimatorError):
    """Past runs cannot be read: `.path` is the file, folder or pattern at fault, or what was given instead."""

    code = "runs_unreadable"
    path: str

    def __init__(self, path: str | Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = str(path)


class ScenarioInvalid(EstimatorError):
    """A scenario cannot be worked out as asked: `.field` names the argument, dimension or card field at fault."""

    code = "scenario_invalid"
    field: str

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
