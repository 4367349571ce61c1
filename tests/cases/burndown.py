"""Operations of cases that burn grants down over time: grants and usage anywhere in it, figures at any moment of it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from sqlalchemy.orm import Session

import ledger
from tests.cases.book import START, Book, amount_of

Step = dict[str, Any]
Found = str | None


def in_time(steps: list[Step]) -> list[Step]:
    """The steps of a case in the order of their moments; grants are issued when they take effect, or at the start."""

    def second(step: Step) -> float:
        if step["op"] == "grant":
            return min(0.0, float(step.get("effective_at", 0)))
        return float(step.get("at", 0))

    if not all("at" in step or step["op"] in ("grant", "consume_parts", "correct", "used") for step in steps):
        return steps
    return sorted(steps, key=lambda step: (second(step), step["op"] != "grant", float(step.get("created", 0))))


def grant(book: Book, step: Step, resets: list[Step]) -> Found:
    """Issue a grant; where a case resets it, as one whose rest is carried over at that moment."""
    second = min(0.0, float(step.get("effective_at", 0)))
    terms: dict[str, Any] = {"priority": int(step.get("priority", 1))}
    if step.get("expires_at") is not None:
        terms["expires_at"] = book.moment(step["expires_at"])
    if step.get("effective_at") is not None:
        terms["effective_at"] = book.moment(step["effective_at"])
    if "cat" in step:
        terms["kind"] = "paid" if step["cat"] else "promotional"
    if "recur" in step:
        try:
            terms["recurrence"] = _recurrence(book, step["recur"])
        except ValueError:
            return "refused"
    elif resets:
        terms["recurrence"] = ledger.Recurrence(
            "year",
            5,
            0,
            book.moment(resets[0]["at"]),
            amount_of(step.get("roll_min", 0)),
            amount_of(step.get("roll_max", step.get("roll_min", 0))),
        )
    outcome = book.deposit(step["amount"], second=second, **terms)
    if isinstance(outcome.value, ledger.Grant):
        book.names[step["id"]] = outcome.value.grant_id
        return None
    return outcome.code


def _recurrence(book: Book, said: dict[str, Any]) -> ledger.Recurrence:
    every = int(said["every"])
    if every % 3600:
        raise ValueError("not in whole hours")
    unit, count = ("day", every // 86400) if every % 86400 == 0 else ("hour", every // 3600)
    return ledger.Recurrence(unit, count, None, book.moment(said.get("anchor", 0)))


def usage(book: Book, step: Step) -> Found:
    """Consume, borrowing what no grant pays."""
    book.now = max(book.now, amount_of(step.get("at", 0)))
    outcome = book.debit({"amount": step["amount"]})
    return None if outcome.code == step.get("expect", "ok") else outcome.code


def remaining(book: Book, name: str) -> Decimal:
    """What a grant has left, all lots of its recurrence together."""
    grant_id = book.names.get(name)
    lots = [lot for lot in book.grants() if grant_id in (lot.grant_id, lot.recurring_id)]
    return sum((lot.available for lot in lots), Decimal(0))


def evaluate(book: Book, step: Step) -> Found:
    """Compare grants, their sum and the overage at a moment."""
    book.now = max(book.now, amount_of(step["at"]))
    expected, seen = step["expect"], book.balance()
    found: dict[str, Any] = {"overage": seen.owed, "total": seen.available}
    wrong = {
        name: str(found[name]) for name in ("overage", "total") if name in expected and found[name] != expected[name]
    }
    for name, left in expected.get("grants", {}).items():
        if remaining(book, name) != amount_of(left):
            wrong[name] = str(remaining(book, name))
    return f"differs: {wrong}" if wrong else None


def expired_by(book: Book, step: Step) -> Found:
    book.now = max(book.now, amount_of(step["at"]))
    found = book.balance().expired
    return None if found == amount_of(step["expect"]) else str(found)


def consume_parts(book: Book, step: Step) -> Found:
    """Consume given parts of grants, in burn order, at once: what is not to be touched is held for the moment.

    Each grant is let go in its turn but for the rest of it, and what is to be consumed is held apart until all are.
    """
    for name, part in step["parts"]:
        if name not in book.names:
            book.names[name] = book.deposit(part).value.grant_id
    whole: list[str] = []
    blocked: list[str] = []
    kept: list[str] = []
    for name, _ in step["parts"]:
        whole.append(_held(book, remaining(book, name)))
    for (name, part), hold in zip(step["parts"], whole, strict=True):
        book.send(ledger.Release(hold, at=book.moment()))
        if rest := remaining(book, name) - amount_of(part):
            blocked.append(_held(book, rest))
        kept.append(_held(book, amount_of(part)))
    book.send(*[ledger.Release(hold, at=book.moment()) for hold in kept])
    outcome = book.debit({"id": step.get("id", "parts"), "amount": sum(part for _, part in step["parts"])})
    book.send(*[ledger.Release(hold, at=book.moment()) for hold in blocked])
    return None if outcome.code == "ok" else outcome.code


def _held(book: Book, amount: Decimal) -> str:
    (hold,) = book.send(ledger.Reserve(book.account_id, amount, at=book.moment()))
    reservation_id: str = hold.reservation_id
    return reservation_id


def correct(book: Book, step: Step) -> Found:
    """Give part of what was consumed back, and see where it went."""
    outcome = book.refund({"id": step["id"], "amount": step["amount"]})
    if outcome.code != "ok":
        return outcome.code
    return _parts(book, book.last_transfers(), step["expect"])


def _parts(book: Book, moved: list[ledger.Transfer], expected: list[list[Any]]) -> Found:
    names = {grant_id: name for name, grant_id in book.names.items()}
    found = [[names[transfer.grant_id], transfer.amount] for transfer in moved]
    return None if found == [[name, amount_of(part)] for name, part in expected] else str(found)


def correct_what_if(book: Book, step: Step) -> Found:
    """The same, in a transaction that is rolled back."""
    name = next(iter(book.debits))
    with Session(book.engine) as session:
        command = ledger.Refund(book.reservation_id(name), amount_of(step["amount"]), at=book.moment())
        (result,) = ledger.execute(session, [command])
        if isinstance(result, Exception):
            return book.code_of(result)
        moved = list(ledger.get_statement(session, book.account_id, until=book.moment(10**6)).entries[-1].transfers)
        session.rollback()
    return _parts(book, moved, step["expect"])


def used(book: Book, step: Step) -> Found:
    consumed = {grant.grant_id: grant.consumed for grant in book.grants()}
    found = {name: consumed[book.names[name]] for name in step["expect"]}
    return None if found == {name: amount_of(part) for name, part in step["expect"].items()} else str(found)


def make_grants(book: Book, step: Step) -> Found:
    """Very many equal grants, of which one, somewhere among them, ends first and is burnt first."""
    expires, first = step["expires_days"] * 86400, step["one_expires_days"] * 86400
    among = step["n"] // 3
    commands = [
        ledger.GrantCredits(
            book.account_id,
            amount_of(step["amount"]),
            expires_at=book.moment(first if number == among else expires),
            at=START,
        )
        for number in range(step["n"])
    ]
    book.send(*commands)
    book.debit({"amount": step["usage"]})
    grants = book.grants()
    soonest = [grant.available for grant in grants if grant.expires_at == book.moment(first)]
    others = {grant.available for grant in grants if grant.expires_at == book.moment(expires)}
    expected = step["expect"]
    is_so = soonest == [amount_of(expected["soonest"])] and others == {amount_of(expected["others"])}
    return None if is_so else f"soonest {soonest}, others {others}"


OPERATIONS: dict[str, Callable[[Book, Step], Found]] = {
    "usage": usage,
    "consume": usage,
    "evaluate": evaluate,
    "expired_by": expired_by,
    "consume_parts": consume_parts,
    "correct": correct,
    "correct_what_if": correct_what_if,
    "used": used,
    "make_grants": make_grants,
}
