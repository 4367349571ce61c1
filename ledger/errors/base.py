"""What every error of the ledger has: a stable code, an HTTP status, typed fields and a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

from estimator.credits import format_credits


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing in the book that does not add up: its place, a stable code, and what was found and expected there."""

    account_id: str
    sequence: int | None
    code: str
    message: str

    def __str__(self) -> str:
        """One line for a person."""
        where = f"account {self.account_id!r}" + ("" if self.sequence is None else f", entry {self.sequence}")
        return f"{where}: {self.code}: {self.message}"


class LedgerError(Exception):
    """Base of every refusal: a stable `code`, an HTTP `status_hint`, typed fields, a message that says what to do."""

    code: ClassVar[str] = "ledger_error"
    status_hint: ClassVar[int] = 500

    def __init__(self, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.message = message
        self._fields = fields
        for name, value in fields.items():
            setattr(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy with every field."""
        return (_rebuild, (type(self), self.message, self._fields))

    def to_dict(self) -> dict[str, Any]:
        """Code, message and typed fields as JSON-safe values; amounts as decimal strings."""
        return {"code": self.code, "message": self.message} | {
            name: _plain(value) for name, value in self._fields.items() if value is not None
        }


def _rebuild(kind: type[LedgerError], message: str, fields: dict[str, Any]) -> LedgerError:
    error = kind.__new__(kind)
    LedgerError.__init__(error, message, **fields)
    return error


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format_credits(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | None) else str(value)
