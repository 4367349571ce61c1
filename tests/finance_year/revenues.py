"""The year's revenue, month by month: it rolls forward, sums to the year, and ties to the book and to the charges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal

from sqlalchemy.orm import Session

from ledger.accounting.rollforwards import DEFERRED, FLOWS, LENDING
from ledger.finance import AccountingPeriod, AccountRevenue, Figures, stream_revenue
from tests.finance_year import figures as book
from tests.finance_year.cards import YEAR
from tests.finance_year.customers import SUBSCRIPTION_PRICE, Purchase
from tests.finance_year.figures import BUCKETS, MONTHS, Month, every_month

OWED = "owed by credit lines"

Sums = dict[str, dict[str, Decimal]]
"""Amounts by flow, of each kind and currency in credits and in money, and of what credit lines are owed."""


def revenue_problems(
    session: Session, figures: book.Figures, purchases: Iterable[Purchase], accounts: list[str]
) -> list[str]:
    """Whatever of twelve months and the year does not add up."""
    charged = Counter[tuple[str, str]]()
    for bought in purchases:
        charged[f"{bought.at:%Y-%m}", bought.currency] += bought.amount  # type: ignore[assignment]
    problems: list[str] = []
    months: list[Sums] = []
    by_account: dict[tuple[str, str], Figures] = {}
    for month in MONTHS:
        tally = _Tally()
        months.append(tally.total(stream_revenue(session, AccountingPeriod.parse(month))))
        by_account |= {(name, month): found for name, found in tally.accounts.items()}
        for currency, sold in sorted(tally.sold.items()):
            if sold != charged[month, currency]:
                problems.append(f"{month}: {sold} {currency} of purchases sold, {charged[month, currency]} charged")
        missing = {pair for pair in charged if pair[0] == month and pair[1] not in tally.sold}
        problems += [
            f"{month}: nothing sold in {currency}, though there are charges" for _, currency in sorted(missing)
        ]
    year = _Tally().total(stream_revenue(session, AccountingPeriod.parse(str(YEAR))))
    return [
        *problems,
        *_rolled(months),
        *_summed(months, year),
        *_tied_to_book(by_account, figures, accounts),
    ]


class _Tally:
    """What a period's accounts add up to: each by itself, all of them, and what of purchases was sold by currency."""

    def __init__(self) -> None:
        self.accounts: dict[str, Figures] = {}
        self.sold: dict[str, Decimal] = {}
        self._all = Figures()

    def total(self, found: Iterable[AccountRevenue]) -> Sums:
        """The sums of some accounts."""
        for account in found:
            self.accounts[account.account_id] = account.figures
            self._all.add(account.figures)
            for line in account.lines:
                money = line.money("sold")
                if money and line.currency is not None and line.per_credit != SUBSCRIPTION_PRICE:
                    self.sold[line.currency] = self.sold.get(line.currency, Decimal(0)) + money
        return _sums_of(self._all)


def _sums_of(figures: Figures) -> Sums:
    sums: Sums = {OWED: {flow: figures.owed(flow) for flow in LENDING}}
    for total in figures.totals:
        name = f"{total.kind} {total.currency}"
        sums[name] = {flow: total.credits(flow) for flow in FLOWS}
        if total.priced is not None:
            sums[f"{name}, money"] = {flow: total.money(flow) or Decimal(0) for flow in FLOWS}
    return sums


def _rolled(months: list[Sums]) -> list[str]:
    """Opening and movements are the closing, and the closing is the next opening: in credits, and in money."""
    problems: list[str] = []
    for name, before, month in zip(MONTHS, [{}, *months], months, strict=False):
        for key in sorted(before.keys() | month.keys()):
            closed = before.get(key, {}).get("closing", Decimal(0))
            opened = month.get(key, {}).get("opening", Decimal(0))
            if closed != opened:
                problems.append(f"{name} {key}: opens with {opened}, the month before closes with {closed}")
            if key in month and _closing(month[key]) != month[key]["closing"]:
                problems.append(f"{name} {key}: {month[key]} does not roll forward")
    return problems


def _closing(flows: dict[str, Decimal]) -> Decimal:
    gained = ("opening", "lent") if "lent" in flows else ("opening", "sold", "refunded")
    return 2 * sum(flows[flow] for flow in gained) - sum(flows[flow] for flow in flows if flow != "closing")


def _summed(months: list[Sums], year: Sums) -> list[str]:
    """The movements of the year are those of its months, and it closes as the last of them does."""
    problems: list[str] = []
    for key in sorted({key for sums in [*months, year] for key in sums}):
        for flow in LENDING if key == OWED else FLOWS:
            parts = [sums.get(key, {}).get(flow, Decimal(0)) for sums in months]
            expected = {"opening": parts[0], "closing": parts[-1]}.get(flow, sum(parts, Decimal(0)))
            whole = year.get(key, {}).get(flow, Decimal(0))
            if whole != expected:
                problems.append(f"{key} {flow}: {whole} in the year, {expected} by its months")
    return problems


def _tied_to_book(found: dict[tuple[str, str], Figures], figures: book.Figures, accounts: list[str]) -> list[str]:
    """Each account's flows are the moves of the book, and what is deferred or held on credit stands in its buckets."""
    problems: list[str] = []
    opening = 0
    for name, month in every_month(accounts):
        if month == MONTHS[0]:
            opening = 0
        figure = figures[name, month]
        expected = _moves(figure) | {"opening": opening, "closing": _unused(figure)}
        said = _said(found.get((name, month), Figures()))
        if said != expected:
            problems.append(f"{name} {month}: revenue says {said}, the book {expected}")
        opening = _unused(figure)
    return problems


def _said(figures: Figures) -> dict[str, int]:
    owed = figures.receivable
    sheets = [total.deferral for total in figures.totals]
    return {
        "issued": sum(sheet.flows.sold for sheet in sheets) + owed.flows.lent,
        "used": sum(sheet.flows.recognised for sheet in sheets) + owed.flows.drawn,
        "refunded": sum(sheet.flows.refunded for sheet in sheets),
        "given back": owed.flows.freed + owed.flows.refunded + owed.flows.repaid,
        "breakage": sum(sheet.flows.breakage for sheet in sheets),
        "revoked": sum(sheet.flows.revoked for sheet in sheets),
        "opening": sum(sheet.opening for sheet in sheets) + owed.opening - owed.used_opening,
        "closing": sum(sheet.closing for sheet in sheets) + owed.closing - owed.used_closing,
    }


def _moves(figure: Month) -> dict[str, int]:
    def moved(is_one: Callable[[str, str], bool]) -> int:
        return sum(amount for (source, target), amount in figure.moves.items() if is_one(source, target))

    def gained(bucket: str) -> int:
        return moved(lambda _, target: target == bucket) - moved(lambda source, _: source == bucket)

    return {
        "issued": moved(lambda source, _: source == "issued"),
        "used": moved(lambda _, target: target == "consumed"),
        "refunded": moved(lambda source, target: source == "consumed" and target != "issued"),
        "given back": moved(lambda _, target: target == "issued"),
        "breakage": gained("expired"),
        "revoked": gained("revoked"),
    }


def _unused(figure: Month) -> int:
    return sum(figure.closing[BUCKETS.index(name)] for name in DEFERRED)
