"""A comparison with large amounts and with names that would be markup."""

from __future__ import annotations

from decimal import Decimal

from estimator.scenarios.results import Bin, CardTotal, Change, Comparison, Group, Groups, Movement, RunMover, Step

LARGE = Decimal("90071992547409.930001")  # has no double


CARDS = ("now", "<b>then</b> & more")


def comparison() -> Comparison:
    """Three months of two accounts, one of which pays more; the other's name would be markup."""
    groups = (
        Group("acme", 2, Decimal(10), (Decimal("12.5"),)),
        Group("<script>alert(1)</script>", 1, LARGE, (LARGE - 1,)),
    )
    months = tuple(Group(f"2026-0{n}", 1, Decimal(n), (Decimal(n + 1),)) for n in (1, 2, 3))
    change = Change(
        card=CardTotal(CARDS[1], "id-then", LARGE + Decimal("11.5")),
        delta=Decimal("1.5"),
        delta_percent=Decimal("0.01"),
        runs=Movement(2, 1, 0),
        distribution=(Bin("-5% to -1%", -5, -1, 1), Bin("no change", 0, 0, 0), Bin("25% to 50%", 25, 50, 2)),
        dearer_runs=(RunMover("runs/a.parquet", 7, {"rows": 3}, Decimal(4), Decimal(6)),),
        cheaper_runs=(),
        steps=(
            Step(("base",), "Base price", Decimal("-1"), LARGE + 9),
            Step(("fee",), "Fee per run", Decimal("2.5"), LARGE + Decimal("11.5")),
        ),
        accounts=Movement(1, 1, 0),
        account_distribution=(Bin("-1% to 0%", -1, 0, 1), Bin("25% to 50%", 25, 50, 1)),
        dearer_accounts=groups[:1],
        cheaper_accounts=groups[1:],
    )
    tables = {"account": Groups("account", CARDS, groups), "month": Groups("month", CARDS, months)}
    return Comparison(3, CardTotal("now", "id-now", LARGE + 10), (change,), tables)
