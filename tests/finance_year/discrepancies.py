"""Puts discrepancies of ten kinds into the records of others, and knows of each how it must be found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from random import Random
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from ledger.model.moments import to_moment
from tests.finance_year.customers import START
from tests.finance_year.outside import Alteration, Line
from tests.finance_year.writing import Settings, Year

DAY = 86_400_000_000

SHARES: dict[str, dict[str, int]] = {
    "usage": {
        "amount_differs": 4,
        "status_differs": 5,
        "account_differs": 10,
        "missing_here": 4,
        "missing_there": 4,
        "duplicate_there": 4,
        "timing": 5,
        "reference_differs": 5,
    },
    "charges": {
        "currency_differs": 10,
        "duplicate_here": 10,
        "amount_differs": 2,
        "missing_here": 2,
        "missing_there": 2,
        "duplicate_there": 2,
    },
    "second ledger": {
        "amount_differs": 4,
        "status_differs": 5,
        "missing_here": 4,
        "missing_there": 4,
        "duplicate_there": 4,
        "timing": 5,
        "reference_differs": 5,
    },
}
"""Tenths of the discrepancies of each kind, by the file that they are in."""

KINDS = tuple(sorted({kind for shares in SHARES.values() for kind in shares}))


class Expected(NamedTuple):
    """A finding that must be made: in which file, of which kind, under which reference."""

    file: str
    kind: str
    reference: str


class Plan(NamedTuple):
    """What becomes of which records, by file, and what must be found of it."""

    altered: dict[str, dict[str, Alteration]]
    expected: set[Expected]


def plan_discrepancies(session: Session, year: Year) -> Plan:
    """Choose the records to be altered, no record twice, from the whole year."""
    settings = year.settings
    random = Random(f"{settings.seed}/discrepancies")
    candidates: dict[str, Callable[[int], Sequence[str]]] = {
        "usage": lambda count: random.sample([run.run_id for run in year.runs if run.credits > 0], count),
        "charges": lambda count: random.sample(_charged_once(year), count),
        "second ledger": lambda count: _entries_that_move(session, random, count),
    }
    altered: dict[str, dict[str, Alteration]] = {}
    expected: set[Expected] = set()
    for name, shares in SHARES.items():
        kinds = [kind for kind, tenths in shares.items() for _ in range(_share(settings, kind, name))]
        within = [kind for kind in kinds if kind not in ("missing_here", "duplicate_here")]
        chosen = dict(zip(candidates[name](len(within)), within, strict=True))
        altered[name] = {ref: Alteration(kind, _alter(kind, random, settings, name)) for ref, kind in chosen.items()}
        for number in range(kinds.count("missing_here")):
            line = _invented(name, number, random, settings)
            altered[name][line.reference] = Alteration("missing_here", lambda _, line=line: [line])
        expected |= {Expected(name, found.kind, ref) for ref, found in altered[name].items()}
    twice = {one.external_ref for one in year.purchases if settings.is_booked_twice(_number(one.account_id))}
    twice = {ref for ref in twice if sum(one.external_ref == ref for one in year.purchases) > 1}
    expected |= {Expected("charges", "duplicate_here", ref) for ref in twice}
    return Plan(altered, expected)


def _share(settings: Settings, kind: str, name: str) -> int:
    """How many of a kind are in a file: its tenths, the last file that has the kind taking what rounding leaves."""
    places = [place for place, shares in SHARES.items() if kind in shares]
    counts = {place: settings.of_a_kind * SHARES[place][kind] // 10 for place in places}
    counts[places[-1]] += settings.of_a_kind - sum(counts.values())
    return counts[name]


def _number(account_id: str) -> int:
    return int(account_id.rpartition("-")[2])


def _charged_once(year: Year) -> list[str]:
    seen: dict[str, int] = {}
    for one in year.purchases:
        seen[one.external_ref] = seen.get(one.external_ref, 0) + 1
    return sorted(ref for ref, count in seen.items() if count == 1)


_SIZES = text("SELECT account_id, sequence FROM ledger_account ORDER BY account_id")
_MOVED = text("SELECT count(*) FROM ledger_transfer WHERE account_id = :account_id AND sequence = :sequence")


def _entries_that_move(session: Session, random: Random, count: int) -> list[str]:
    sizes = [(row[0], row[1]) for row in session.execute(_SIZES) if row[1]]
    found: dict[str, None] = {}
    while len(found) < count:
        account_id, size = random.choice(sizes)
        sequence = random.randint(1, size)
        if session.execute(_MOVED, {"account_id": account_id, "sequence": sequence}).scalar_one():
            found[f"{account_id}/{sequence}"] = None
    return list(found)


def _invented(name: str, number: int, random: Random, settings: Settings) -> Line:
    """A record of what never was, of an amount that nothing has."""
    owner = f"customer-{random.randrange(settings.accounts):04d}"
    at = to_moment(START) + random.randrange(5 * DAY, 360 * DAY)
    amount = Decimal(7_000_000 + number) + Decimal(random.randint(1, 99)) / 100
    reference, status, currency = {
        "usage": (f"dataset-unheard-of-{at // 1000}", "succeeded", None),
        "charges": (f"ch_unheard_of_{number}", "paid", "EUR"),
        "second ledger": (f"{owner}/{900_000 + number}", "grant", None),
    }[name]
    return Line(reference, owner, amount, currency, at, status)


def _alter(kind: str, random: Random, settings: Settings, name: str) -> Callable[[list[Line]], list[Line]]:
    """How the lines of a record are altered for a discrepancy of a kind; the chance of it is drawn now."""
    more = Decimal(random.randint(1, 500)) / 100
    owner = f"customer-{random.randrange(settings.accounts):04d}"
    apart = random.choice([-1, 1]) * random.randint(3 * DAY, 20 * DAY)
    place = random.random()
    return {
        "amount_differs": lambda lines: [lines[0]._replace(amount=lines[0].amount + more), *lines[1:]],
        "currency_differs": lambda lines: [
            line._replace(currency="USD" if line.currency == "EUR" else "EUR") for line in lines
        ],
        "account_differs": lambda lines: [line._replace(account_id=_other(line.account_id, owner)) for line in lines],
        "status_differs": lambda lines: [line._replace(status=_OTHER_STATUS[line.status]) for line in lines],
        "timing": lambda lines: [line._replace(at=line.at + apart) for line in lines],
        "missing_there": lambda _: [],
        "duplicate_there": lambda lines: [*lines, lines[-1]],
        "reference_differs": lambda lines: [line._replace(reference=_slip(line.reference, place)) for line in lines],
    }[kind]


def _other(account_id: str, owner: str) -> str:
    return owner if owner != account_id else "customer-elsewhere"


_OTHER_STATUS = {
    "succeeded": "failed",
    "failed": "succeeded",
    "cancelled": "succeeded",
    "grant": "adjust",
    "reserve": "capture",
    "capture": "release",
    "release": "capture",
    "expire": "release",
    "activate": "grant",
    "renew": "grant",
    "revoke": "expire",
    "refund": "adjust",
    "adjust": "refund",
}


def _slip(reference: str, place: float) -> str:
    """A reference with a letter too many in its last part."""
    head, mark, tail = reference.rpartition("-" if reference.startswith("dataset-") else "/")
    at = int(place * len(tail))
    return f"{head}{mark}{tail[:at]}o{tail[at:]}"


def compare(expected: Iterable[Expected], found: Iterable[Expected]) -> Iterator[str]:
    """What was not found, or found as another kind, and what was found without being there."""
    wanted, made = set(expected), list(found)
    yield from (f"missed: {one}" for one in sorted(wanted - set(made)))
    yield from (f"false finding: {one}" for one in sorted(set(made) - wanted))
    yield from (f"found twice: {one}" for one in sorted({one for one in made if made.count(one) > 1}))
