"""Laws of reconciliation: order changes nothing, a side agrees with itself, one change is one finding of its kind."""

from __future__ import annotations

import random
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.finance import ReconciliationResult, RecordMapping, ResultKind, reconcile
from tests.laws import examples
from tests.ledger.finance.reconciliation.conftest import IN_MONEY, Line, at, write_lines

MAPPING = RecordMapping.from_dict(IN_MONEY)
EXAMPLES = examples(8)

_lines = st.builds(
    lambda number, account, micro, currency, hour: Line(
        # Far enough apart that no slip of the pen makes one of the other.
        f"charge-{number:03d}-{number * 7919 % 100_000:05d}-{number * 104_729 % 100_000:05d}",
        f"account-{account}",
        f"{micro // 10**6}.{micro % 10**6:06d}",
        ("EUR", "USD")[currency],
        at(hours=hour),
        "paid",
    ),
    st.integers(0, 400),
    st.integers(0, 3),
    st.integers(1, 10**13),
    st.integers(0, 1),
    st.integers(0, 2_000),
)
_unnamed = _lines.map(lambda line: line._replace(reference=""))
BOOKS = st.lists(_lines, min_size=1, max_size=25, unique_by=lambda line: line.reference)


def compare(folder: Path, ours: list[Line], theirs: list[Line]) -> list[ReconciliationResult]:
    here, there = (write_lines(folder / name, lines) for name, lines in (("here", ours), ("there", theirs)))
    with reconcile(here, there, MAPPING) as found:
        return list(found)


@settings(max_examples=EXAMPLES)
@given(
    ours=st.lists(_lines | _unnamed, max_size=25), theirs=st.lists(_lines | _unnamed, max_size=25), seed=st.integers()
)
def test_shuffling_the_records_changes_nothing(ours: list[Line], theirs: list[Line], seed: int, tmp_path: Path) -> None:
    theirs = [*theirs, *ours[::2], *ours[:1]]
    found = compare(tmp_path, ours, theirs)
    chance = random.Random(seed)
    for lines in (ours, theirs):
        chance.shuffle(lines)
    assert compare(tmp_path, ours, theirs) == found


@settings(max_examples=EXAMPLES)
@given(lines=st.lists(_lines | _unnamed, max_size=40), seed=st.integers())
def test_a_side_agrees_with_itself(lines: list[Line], seed: int, tmp_path: Path) -> None:
    again = list(lines)
    random.Random(seed).shuffle(again)
    assert compare(tmp_path, lines, again) == []


def _changed(line: Line, kind: ResultKind) -> list[Line]:
    """What becomes of one of their lines."""
    other = {"EUR": "USD", "USD": "EUR"}[line.currency]
    moved = at(hours=5_000)
    return {
        ResultKind.AMOUNT_DIFFERS: [line._replace(amount=line.amount + "000001")],
        ResultKind.CURRENCY_DIFFERS: [line._replace(currency=other)],
        ResultKind.ACCOUNT_DIFFERS: [line._replace(account="nobody")],
        ResultKind.STATUS_DIFFERS: [line._replace(status="lost")],
        ResultKind.TIMING: [line._replace(at=moved)],
        ResultKind.REFERENCE_DIFFERS: [line._replace(reference=line.reference.replace("charge", "chrage"))],
        ResultKind.MISSING_HERE: [line, Line("payout-of-nothing", "account-1", "77.7", "EUR", moved, "paid")],
        ResultKind.MISSING_THERE: [],
        ResultKind.DUPLICATE_THERE: [line, line._replace(id="again")],
    }[kind]


@settings(max_examples=EXAMPLES * 3)
@given(lines=BOOKS, place=st.integers(0, 24), kind=st.sampled_from([k for k in ResultKind if k != "matched"]))
def test_one_change_is_one_finding_of_its_kind(lines: list[Line], place: int, kind: ResultKind, tmp_path: Path) -> None:
    place %= len(lines)
    ours, theirs = list(lines), list(lines)
    if kind is ResultKind.DUPLICATE_HERE:
        ours.append(lines[place])
    else:
        theirs[place : place + 1] = _changed(lines[place], kind)
    found = compare(tmp_path, ours, theirs)
    assert [result.kind for result in found] == [kind]
