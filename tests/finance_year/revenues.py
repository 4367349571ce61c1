"""The year's revenue, month by month: it rolls forward, sums to the year, and ties to the book and to the charges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal

from sqlalchemy.orm import Session

from ledger.finance import AccountingPeriod, Flows, RevenueTotal, stream_revenue, total_revenue
from ledger.finance.revenue import FLOWS, RevenueLine
from tests.finance_year.cards import YEAR
from tests.finance_year.customers import SUBSCRIPTION_PRICE, Purchase
from tests.finance_year.figures import BUCKETS, MONTHS, Figures, Month, every_month

_DEFERRED = ("available", "held", "scheduled")
_MOVED = FLOWS[1:-1]
_FLOW_OF_SOURCE = {
    "issued": ("sold", 1),
    "consumed": ("refunded", 1),
    "expired": ("breakage", -1),
    "revoked": ("revoked", -1),
}
_FLOW_OF_TARGET = {"issued": "returned", "consumed": "recognised", "expired": "breakage", "revoked": "revoked"}

Sums = dict[tuple[str, str | None], RevenueTotal]


def revenue_problems(
    session: Session, figures: Figures, purchases: Iterable[Purchase], accounts: list[str]
) -> list[str]:
    """Whatever of twelve months and the year does not add up."""
    charged = Counter[tuple[str, str]]()
    for bought in purchases:
        charged[f"{bought.at:%Y-%m}", bought.currency] += bought.amount  # type: ignore[assignment]
    problems: list[str] = []
    months: list[Sums] = []
    flows_by_account: dict[tuple[str, str], Flows] = {}
    for month in MONTHS:
        tally = _Tally()
        months.append(tally.total(stream_revenue(session, AccountingPeriod.parse(month))))
        flows_by_account |= {(name, month): flows for name, flows in tally.accounts.items()}
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
        *_tied_to_book(flows_by_account, figures, accounts),
    ]


class _Tally:
    """What a period's lines add up to: by account, and what of purchases was sold by currency."""

    def __init__(self) -> None:
        self.accounts: dict[str, Flows] = {}
        self.sold: dict[str, Decimal] = {}

    def total(self, lines: Iterable[RevenueLine]) -> Sums:
        """The totals of some lines, which are looked at on their way."""
        return {(total.kind, total.currency): total for total in total_revenue(self._seen(line) for line in lines)}

    def _seen(self, line: RevenueLine) -> RevenueLine:
        self.accounts.setdefault(line.account_id, Flows()).add(line.flows)
        money = line.money("sold")
        if money and line.currency is not None and line.per_credit != SUBSCRIPTION_PRICE:
            self.sold[line.currency] = self.sold.get(line.currency, Decimal(0)) + money
        return line


def _rolled(months: list[Sums]) -> list[str]:
    """Opening and movements are the closing, and the closing is the next opening: in credits, and in money."""
    problems: list[str] = []
    for name, before, month in zip(MONTHS, [{}, *months], months, strict=False):
        for key in sorted(before.keys() | month.keys(), key=str):
            ended, began = before.get(key), month.get(key)
            closed = ended.flows.closing if ended else 0
            opened = began.flows.opening if began else 0
            if closed != opened:
                problems.append(f"{name} {key}: opens with {opened}, the month before closes with {closed}")
            if (ended.money.get("closing", 0) if ended else 0) != (began.money.get("opening", 0) if began else 0):
                problems.append(f"{name} {key}: its money opens with another amount than the month before closes")
            if began is not None and began.money and _closing(began.money) != began.money["closing"]:
                problems.append(f"{name} {key}: {began.money} does not roll forward")
    return problems


def _closing(money: dict[str, Decimal]) -> Decimal:
    gained = money["opening"] + money["sold"] + money["refunded"]
    return gained - money["recognised"] - money["breakage"] - money["revoked"] - money["returned"]


def _summed(months: list[Sums], year: Sums) -> list[str]:
    """The movements of the year are those of its months."""
    problems: list[str] = []
    for key in sorted({key for sums in [*months, year] for key in sums}, key=str):
        parts = [sums[key] for sums in months if key in sums]
        for flow in _MOVED:
            whole = getattr(year[key].flows, flow) if key in year else 0
            summed = sum(getattr(part.flows, flow) for part in parts)
            money = year[key].money.get(flow, Decimal(0)) if key in year else Decimal(0)
            money_summed = sum((part.money.get(flow, Decimal(0)) for part in parts), Decimal(0))
            if (whole, money) != (summed, money_summed):
                problems.append(
                    f"{key} {flow}: {whole} and {money} in the year, {summed} and {money_summed} in its months"
                )
        last = months[-1].get(key)
        if (year[key].flows.closing if key in year else 0) != (last.flows.closing if last else 0):
            problems.append(f"{key}: the year closes with another amount than its last month")
    return problems


def _tied_to_book(found: dict[tuple[str, str], Flows], figures: Figures, accounts: list[str]) -> list[str]:
    """Each account's flows are the moves of the book between what is deferred and what is not."""
    problems: list[str] = []
    opening = 0
    for name, month in every_month(accounts):
        if month == MONTHS[0]:
            opening = 0
        figure = figures[name, month]
        flows = found.get((name, month), Flows())
        expected = _flows(figure) | {"opening": opening, "closing": _deferred(figure)}
        said = {flow: getattr(flows, flow) for flow in FLOWS}
        if said != expected:
            problems.append(f"{name} {month}: revenue says {said}, the book {expected}")
        opening = _deferred(figure)
    return problems


def _flows(figure: Month) -> dict[str, int]:
    flows = dict.fromkeys(FLOWS, 0)
    for (source, target), amount in figure.moves.items():
        if source in _DEFERRED and target in _DEFERRED:
            continue
        if source in _FLOW_OF_SOURCE:
            flow, sign = _FLOW_OF_SOURCE[source]
            flows[flow] += sign * amount
        if target in _FLOW_OF_TARGET:
            flows[_FLOW_OF_TARGET[target]] += amount
    return flows


def _deferred(figure: Month) -> int:
    return sum(figure.closing[BUCKETS.index(name)] for name in _DEFERRED)
