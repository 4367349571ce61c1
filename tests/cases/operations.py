"""What each operation of a case does, and how its answer is held against what the case expects.

An operation answers None when all is as expected, and otherwise a few words for what was found instead.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import ledger
from estimator import DatasetProfile, RateCard, RunRequest, estimate, plan_run
from tests.cases.book import START, Book, Outcome, amount_of

Step = dict[str, Any]
Found = str | None


def settled(book: Book, step: Step, outcome: Outcome) -> Found:
    """Compare an outcome's code and figures with what a step expects."""
    expected = step.get("expect", "ok")
    if expected == "refused_not_skipped":
        return None if isinstance(outcome.value, Exception) else outcome.code
    if outcome.code != expected:
        return outcome.code
    for name, figure in (("applied", "applied"), ("released", "freed")):
        if name in step and getattr(outcome.value, figure) != amount_of(step[name]):
            return f"{name} {getattr(outcome.value, figure)}"
    return None


def deposit(book: Book, step: Step) -> Found:
    return settled(book, step, book.deposit(step["amount"], key=step.get("key")))


def debit(book: Book, step: Step) -> Found:
    return settled(book, step, book.debit(step, second=step.get("at")))


def reserve(book: Book, step: Step) -> Found:
    if "estimate" in step:
        return settled(book, step, book.reserve(step, amount=step["estimate"]) if step["estimate"] else _unpriced(book))
    outcome = book.reserve(step, second=step.get("at"))
    return settled(book, step, outcome)


def _unpriced(book: Book) -> Outcome:
    """A hold whose cost nobody could estimate."""
    return book.ask(lambda at: ledger.Reserve(book.account_id, None, at=at))  # type: ignore[arg-type]


def capture(book: Book, step: Step) -> Found:
    return settled(book, step, book.capture(step))


def release(book: Book, step: Step) -> Found:
    return settled(book, step, book.release(step))


def refund(book: Book, step: Step) -> Found:
    return settled(book, step, book.refund(step))


def extend(book: Book, step: Step) -> Found:
    return settled(book, step, book.extend(step))


def tick(book: Book, step: Step) -> Found:
    book.now += amount_of(step["by"])
    return None


def balance(book: Book, step: Step) -> Found:
    return _figures(book.balance(step.get("at")), step["expect"])


def balance_is(book: Book, step: Step) -> Found:
    return _figures(book.balance(), {"available": step["amount"]})


def _figures(found: ledger.Balance, expected: dict[str, Any]) -> Found:
    figures: dict[str, Decimal] = {
        "available": found.available - found.owed,
        "reserved": found.held,
        "held": found.held,
        "spent": found.consumed,
        "consumed": found.consumed,
        "expired": found.expired,
        "debt": found.owed,
        "owed": found.owed,
        "overage": found.owed,
        "total": found.available,
    }
    wrong = {name: str(figures.get(name)) for name, value in expected.items() if figures.get(name) != amount_of(value)}
    return f"differs: {wrong}" if wrong else None


def sources(book: Book, step: Step) -> Found:
    for amount in step["balances"]:
        book.deposit(amount)
    return None


def take(book: Book, step: Step) -> Found:
    outcome = book.reserve(step)
    grants = [grant.grant_id for grant in book.grants()]
    slices = {part.grant_id: part.amount for part in getattr(outcome.value, "slices", ())}
    if "taken" in step and [slices.get(grant, Decimal(0)) for grant in grants] != list(map(amount_of, step["taken"])):
        return f"taken {slices}"
    return settled(book, step, outcome)


def race(book: Book, step: Step) -> Found:
    """Many workers at once, each with a connection of its own, holding or consuming the same amount."""
    book.deposit(step["balance"])
    if "max_concurrent" in step:
        book.send(ledger.SetLimit(book.account_id, "concurrent", step["max_concurrent"], at=START))
    is_debit = "spent" in step and "reserved" not in step
    act = book.debit if is_debit else book.reserve
    with ThreadPoolExecutor(min(step["workers"], 32)) as workers:
        outcomes = list(workers.map(lambda _: act({"amount": step["each"]}), range(step["workers"])))
    codes = [outcome.code for outcome in outcomes]
    found = {"ok": codes.count("ok"), "denied": codes.count("insufficient")}
    wrong = {name: count for name, count in found.items() if count != step.get(name, count)}
    if wrong:
        return f"differs: {wrong}"
    return _figures(book.balance(), {name: step[name] for name in ("reserved", "available", "spent") if name in step})


def duration(book: Book, step: Step) -> Found:
    """A duration that is asked for: of a hold, of its extension, of its grace."""
    lasts = timedelta(milliseconds=step["value"])
    book.deposit(2)
    hold = ledger.Reserve(book.account_id, 1, expires_in=timedelta(days=2), at=START)
    (held,) = book.send(hold)
    asked: dict[str, Callable[[Any], ledger.Command]] = {
        "ttl_ms": lambda at: ledger.Reserve(book.account_id, 1, expires_in=lasts, at=at),
        "grace_ms": lambda at: ledger.Reserve(book.account_id, 1, expires_in=timedelta(days=1), grace=lasts, at=at),
        "extend_by_ms": lambda at: ledger.Extend(held.reservation_id, lasts, at=at),
    }
    return settled(book, step, book.ask(asked[step["op"]]))


def call(book: Book, step: Step) -> Found:
    """A call with a key, to whatever the case calls its endpoints."""
    endpoint, body = step["endpoint"], step.get("body", {})
    amount, key = body.get("amount"), step.get("key")
    if endpoint in ("reserve", "tx") and not book.balance().issued:
        book.deposit(1_000_000)
    if body.get("dry_run"):
        before, _ = book.balance(), book.balance()
        return None if book.balance() == before and step["expect"] == "ok_nothing_held" else "held"
    if endpoint == "grant":
        outcome = book.deposit(amount, key=key)
    elif endpoint == "commit":
        outcome = book.capture({"id": "called", "amount": amount, "key": key})
    elif endpoint == "release":
        outcome = book.release({"id": "called", "key": key})
    else:
        outcome = book.reserve({"id": "called", "amount": amount, "key": key})
    return _called(step, outcome)


def _called(step: Step, outcome: Outcome) -> Found:
    code = {"replay": "replay_same_id"}.get(outcome.code, outcome.code)
    if code != step["expect"]:
        return outcome.code
    flag = step.get("replay_flag")
    return None if flag is None or outcome.value.replayed == flag else f"replayed is {outcome.value.replayed}"


def priced(book: Book, step: Step) -> Found:
    """A formula's price, by a card that charges whole credits: rounded up, once."""
    exact = _value(ast.parse(step["formula"], mode="eval").body)
    if exact != Fraction(step["exact"]):
        return f"exact {exact}"
    card = RateCard.from_dict(
        {
            "name": "case",
            "effective_from": "2026-01-01T00:00:00Z",
            "rows_max": 10,
            "quantum": "1",
            "text": {"row": step["exact"]},
        }
    )
    request = RunRequest.from_wire({"column_mapping": {"prompt": "q"}})
    plan = plan_run(request, DatasetProfile(row_count=1, columns=("q",)), card)
    found = estimate(plan, card).credits
    return None if found == amount_of(step["expect"]) else str(found)


def _value(node: ast.expr) -> Fraction:
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left), _value(node.right)
        return left * right if isinstance(node.op, ast.Mult) else left + right
    if isinstance(node, ast.Constant):
        return Fraction(str(node.value))
    raise ValueError(ast.dump(node))


def void(book: Book, step: Step) -> Found:
    """Credits taken back, or topped up, by an amount of many decimals."""
    book.deposit(step.get("start", 1))
    try:
        taken = ledger.Adjust(book.account_id, -amount_of(step["credits"]), "void", at=book.moment())
    except ledger.CommandInvalid:
        return "refused"
    (result,) = book.send(taken)
    left = book.balance().available
    expected = step["expect"]
    is_so = -result.amount == amount_of(expected["credit_applied"]) and left == amount_of(expected["credits_left"])
    return None if is_so else f"left {left}"


def topup(book: Book, step: Step) -> Found:
    outcome = book.deposit(step["credits"])
    if isinstance(outcome.value, ledger.CommandInvalid):
        return "refused"
    found = book.balance().available
    return None if found == amount_of(step["expect"]["credits"]) else str(found)


def transfers(_book: Book, _step: Step) -> Found:
    return "unsupported"


def rule(book: Book, step: Step) -> Found:
    """A rule about keys in words: the situation that it names, brought about."""
    when = step["when"]
    book.deposit(10)
    first = book.reserve({"id": "a", "amount": 1, "key": "k"})
    if "other parameters" in when:
        return None if book.reserve({"id": "b", "amount": 2, "key": "k"}).code == "key_mismatch" else "accepted"
    if "255" in when:
        return None if book.reserve({"id": "b", "amount": 1, "key": "k" * 256}).code == "reject" else "accepted"
    if "validation" in when or "concurrent" in when:
        book.reserve({"id": "b", "amount": 100, "key": "refused"})
        return None if book.reserve({"id": "b", "amount": 1, "key": "refused"}).code == "ok" else "bound"
    if "older" in when or "prune" in when:
        book.now += 2 * 86400
        return book.reserve({"id": "a", "amount": 1, "key": "k"}).code
    again = book.reserve({"id": "a", "amount": 1, "key": "k"})
    same = again.code == "replay" and again.value.reservation_id == first.value.reservation_id
    return "replay of successes" if same else again.code


def question(book: Book, step: Step) -> Found:
    """A hold outlives its grant: what it captures is good, and what it frees expires with the grant."""
    if "lapsed" not in step["text"]:
        return "an open question of another kind"
    book.now = amount_of(step["at"])
    name = next(name for name, found in book.names.items() if "/r" in found)
    grant = book.grants()[0]
    before = book.balance()
    (half,) = book.send(ledger.Capture(book.reservation_id(name), before.held / 2, final=False, at=book.moment()))
    (rest,) = book.send(ledger.Release(book.reservation_id(name), at=book.moment()))
    after = book.balance()
    is_so = half.applied == before.held / 2 and after.available == before.available and rest.freed == half.applied
    return None if is_so and after.expired == before.expired + rest.freed and grant.held == before.held else str(after)


def property_of_splits(book: Book, step: Step) -> Found:
    """Recording what comes due in pieces, at any moments, leaves what recording it once leaves."""
    if "piece" not in step["text"]:
        return "a property of another kind"
    chance = random.Random(11)
    books = [Book(book.engine, f"{book.account_id}-{number}", {"unlimited": True}) for number in range(4)]
    moments = sorted(chance.sample(range(1, 5000), 40))
    for each in books:
        each.open()
        made = random.Random(5)
        for number in range(20):
            begins = made.randrange(0, 4000)
            each.deposit(
                made.randint(1, 50),
                second=0,
                priority=made.randint(1, 3),
                effective_at=each.moment(begins),
                expires_at=each.moment(begins + made.randrange(1, 2000)),
                key=str(number),
            )
        pieces = chance.sample(range(1, 5000), books.index(each) * 6)
        for second in sorted([*moments, *pieces]):
            each.now = Decimal(second)
            if second in pieces:
                each.send(ledger.ExpireDue(each.account_id, each.moment()))
            if second in moments:
                each.debit({"amount": 1 + second % 9})
        each.now = Decimal(9000)
        each.send(ledger.ExpireDue(each.account_id, each.moment()))
    seen = [[tuple(grant)[4:] for grant in map(_standing, each.grants())] for each in books]
    return None if all(one == seen[0] for one in seen) else "the pieces differ"


def _standing(grant: ledger.GrantStanding) -> tuple[Any, ...]:
    return (0, 0, 0, 0, grant.amount, grant.available, grant.consumed, grant.expired, grant.effective_at)


OPERATIONS: dict[str, Callable[[Book, Step], Found]] = {
    "deposit": deposit,
    "balance0": deposit,
    "debit": debit,
    "reserve": reserve,
    "capture": capture,
    "release": release,
    "void_hold": release,
    "refund": refund,
    "extend": extend,
    "tick": tick,
    "balance": balance,
    "balance_is": balance_is,
    "sources": sources,
    "take": take,
    "race": race,
    "ttl_ms": duration,
    "extend_by_ms": duration,
    "grace_ms": duration,
    "call": call,
    "estimate": priced,
    "void": void,
    "topup": topup,
    "transfers": transfers,
    "rule": rule,
    "question": question,
    "property": property_of_splits,
}
