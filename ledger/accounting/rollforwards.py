"""What a transfer means to an accountant: sold, recognised, refunded, broken, revoked; lent, freed, repaid.

Credits of a grant that are available, held or scheduled are deferred: paid for and not used yet. For every grant, and
so for any sum of grants of one currency,

    opening + sold + refunded - recognised - breakage - revoked = closing

A credit line is no sale. Credits that it lends are owed until they are returned unused (`freed`), refunded, or repaid
by a new grant. The used part (`drawn`) is the receivable; the rest is held:

    owed at the opening + lent - freed - refunded - repaid = owed at the closing

A credit line has no cost basis, so its used credits have no price yet: their revenue is recognised when a grant repays
them, at that grant's cost basis. `repaying` is the part of a grant's `recognised` that repaid.

All figures are whole micro-credits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from ledger.book.buckets import BUCKETS
from ledger.book.burning import CREDIT_LINE
from ledger.model.values import EntryKind

DEFERRED = ("available", "held", "scheduled")
"""The buckets of credits that are not used yet."""

_REPAYING_KINDS = frozenset({EntryKind.GRANT, EntryKind.ACTIVATE, EntryKind.RENEW})


@dataclass(slots=True)
class _NamedAmounts:
    """Amounts by name, added up name by name."""

    def add(self, other: Self) -> None:
        """Add the amounts of another."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

    def to_dict(self) -> dict[str, int]:
        """The amounts by name, in their order."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def has_any(self) -> bool:
        """True when any is not zero."""
        return any(getattr(self, each.name) for each in fields(self))


@dataclass(slots=True)
class Flows(_NamedAmounts):
    """How the credits of grants were used. `repaying` is a part of `recognised`."""

    sold: int = 0
    refunded: int = 0
    recognised: int = 0
    breakage: int = 0
    revoked: int = 0
    repaying: int = 0

    @property
    def net(self) -> int:
        """By how much the flows raise what is deferred."""
        return self.sold + self.refunded - self.recognised - self.breakage - self.revoked

    def move(self, source: str, target: str, amount: int, *, is_of_debt: bool = False) -> None:
        """Count a transfer; one between two deferred buckets counts nothing. `is_of_debt`: it repays what was lent."""
        if source in DEFERRED and target in DEFERRED:
            return
        if source == "issued":
            self.sold += amount
        elif source == "consumed":
            self.refunded += amount
        elif source == "expired":
            self.breakage -= amount
        elif source == "revoked":
            self.revoked -= amount
        if target == "consumed":
            self.recognised += amount
            self.repaying += amount if is_of_debt else 0
        elif target == "expired":
            self.breakage += amount
        elif target == "revoked":
            self.revoked += amount


@dataclass(slots=True)
class Lending(_NamedAmounts):
    """How the credits of a credit line were used. `drawn` is the used part of what is, or was, owed."""

    lent: int = 0
    freed: int = 0
    refunded: int = 0
    repaid: int = 0
    drawn: int = 0

    @property
    def net(self) -> int:
        """By how much the flows raise what is owed."""
        return self.lent - self.freed - self.refunded - self.repaid

    @property
    def net_used(self) -> int:
        """By how much they raise what is owed for credits that were used."""
        return self.drawn - self.refunded - self.repaid

    def move(self, source: str, target: str, amount: int, *, is_refund: bool = False) -> None:
        """Count a transfer."""
        if source == "issued":
            self.lent += amount
        if target == "consumed":
            self.drawn += amount
        elif target == "issued" and source != "consumed":
            self.freed += amount
        elif target == "issued" and is_refund:
            self.refunded += amount
        elif target == "issued":
            self.repaid += amount


class _Sheet:
    """What both kinds of sheets have: an opening, and the flows and adjustments that lead to the closing."""

    __slots__ = ()

    opening: int
    flows: Flows | Lending
    adjustments: Flows | Lending

    @property
    def closing(self) -> int:
        """What is deferred, or owed as in `CreditLine.owed`, at the period's end."""
        return self.opening + self.flows.net + self.adjustments.net

    def has_any(self) -> bool:
        """True when anything was deferred or owed, or moved."""
        return bool(self.opening) or self.flows.has_any() or self.adjustments.has_any()


@dataclass(slots=True)
class Deferral(_Sheet):
    """What is deferred of grants, from a period's opening to its closing.

    `adjustments` are effects whose moment is in an earlier period, and that were recorded after it had been closed.
    """

    opening: int = 0
    flows: Flows = field(default_factory=Flows)
    adjustments: Flows = field(default_factory=Flows)

    def add(self, other: Deferral) -> None:
        """Add the deferral of other grants."""
        self.opening += other.opening
        self.flows.add(other.flows)
        self.adjustments.add(other.adjustments)

    def rolled(self) -> Deferral:
        """The period after: its opening is this closing."""
        return Deferral(self.closing)

    def count(self, part: int, transfer: AccountedTransfer) -> None:
        """Count a transfer in a part of the book: `BEFORE` the period, `WITHIN` it, or `ADJUSTING`."""
        flows = (Flows(), self.flows, self.adjustments)[part]
        flows.move(transfer.source, transfer.target, transfer.amount, is_of_debt=transfer.is_of_debt)
        if not part:
            self.opening += flows.net


@dataclass(slots=True)
class Receivable(_Sheet):
    """What a credit line is owed, from a period's opening to its closing; `used_opening` of it for used credits."""

    opening: int = 0
    used_opening: int = 0
    flows: Lending = field(default_factory=Lending)
    adjustments: Lending = field(default_factory=Lending)

    @property
    def used_closing(self) -> int:
        """What is owed at the end for credits that were used; the rest is held."""
        return self.used_opening + self.flows.net_used + self.adjustments.net_used

    def add(self, other: Receivable) -> None:
        """Add the receivable of another credit line."""
        self.opening += other.opening
        self.used_opening += other.used_opening
        self.flows.add(other.flows)
        self.adjustments.add(other.adjustments)

    def rolled(self) -> Receivable:
        """The period after: its opening is this closing."""
        return Receivable(self.closing, self.used_closing)

    def count(self, part: int, transfer: AccountedTransfer) -> None:
        """As `Deferral.count`."""
        flows = (Lending(), self.flows, self.adjustments)[part]
        flows.move(transfer.source, transfer.target, transfer.amount, is_refund=transfer.is_refund)
        if not part:
            self.opening += flows.net
            self.used_opening += flows.net_used


FLOWS = ("opening", "sold", "refunded", "recognised", "breakage", "revoked", "closing")
"""The lines of a roll-forward of what is deferred."""

LENDING = ("opening", "lent", "freed", "refunded", "repaid", "closing")
"""The lines of a roll-forward of what is owed."""


def amount_of(sheet: Deferral | Receivable, flow: str, *, adjusted: bool = False) -> int:
    """An amount of a sheet by name: of `FLOWS` or `LENDING`, `repaying`, `drawn`, `used_opening` or `used_closing`.

    `adjusted`: the flow's amount among the adjustments instead of the period itself. `adjustments` names their net.
    """
    if flow == "adjustments":
        return sheet.adjustments.net
    if flow in ("opening", "closing", "used_opening", "used_closing"):
        return 0 if adjusted else int(getattr(sheet, flow))
    return int(getattr(sheet.adjustments if adjusted else sheet.flows, flow))


BEFORE, WITHIN, ADJUSTING = range(3)
"""The parts of the book in relation to a period."""


@dataclass(frozen=True, slots=True)
class AccountedTransfer:
    """A transfer of some grant, or the sum of several, from one bucket to another, and what its entry says of it."""

    source: str
    target: str
    amount: int
    is_refund: bool = False
    is_of_debt: bool = False


OF_DEBT_SQL = (
    f"e.kind IN ({', '.join(sorted(repr(str(kind)) for kind in _REPAYING_KINDS))})"
    f" OR (e.kind = '{EntryKind.ADJUST}' AND t.grant_number = e.sequence)"
)
"""`is_of_debt` in SQL, of entries `e` and transfers `t`."""


def is_of_debt(kind: str, sequence: int, grant: int) -> bool:
    """True where credits that an entry moves into `consumed` repay what the credit line had lent.

    That is so of a grant when it is made, takes effect or renews. A correction repays with its own grant only; of older
    grants it consumes credits as usage does.
    """
    return kind in _REPAYING_KINDS or (kind == EntryKind.ADJUST and grant == sequence)


def name_of(bucket: Any) -> str:
    """A bucket's name, from its index or its name."""
    return BUCKETS[bucket] if isinstance(bucket, int) else str(bucket)


Sheets = dict[int, Deferral | Receivable]
"""The sheets of an account by the number of their grant."""


def sheets_of(transfers: Mapping[int, list[tuple[int, AccountedTransfer]]], kinds: Mapping[int, str]) -> Sheets:
    """The sheets of grants, from each one's transfers and the part that each belongs to."""
    sheets: Sheets = {}
    for number, parts in transfers.items():
        sheet: Deferral | Receivable = Receivable() if kinds.get(number) == CREDIT_LINE else Deferral()
        for part, transfer in parts:
            sheet.count(part, transfer)
        sheets[number] = sheet
    return sheets
