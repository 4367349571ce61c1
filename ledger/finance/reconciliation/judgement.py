"""What differs between records that belong together, and why, in words: pure rules over their values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

from ledger.documents import exact_text, moment_text
from ledger.finance.reconciliation.files.mappings import RecordMapping
from ledger.finance.reconciliation.joining import GROUP_MAX, Group, Item, micros
from ledger.finance.reconciliation.results import ResultKind
from ledger.model.moments import from_moment

Verdict = tuple[ResultKind, str]
"""What is wrong, and a sentence that says it."""


class Judge:
    """Judges groups by the tolerances of a mapping."""

    def __init__(self, mapping: RecordMapping) -> None:
        self.scale = mapping.scale
        self.amount = int(mapping.tolerance.amount.scaleb(mapping.scale))
        self.time = micros(mapping.tolerance.time)
        self._mapping = mapping

    def amount_of(self, whole: int) -> Decimal:
        """The amount of a whole number at the mapping's scale."""
        return exact(whole, self.scale)

    def text(self, whole: int, currency: str | None = None) -> str:
        """An amount in words."""
        unit = currency or {"credits": "credits", "rows": "rows"}.get(self._mapping.amount.unit, "")
        return f"{plain_amount(self.amount_of(whole))} {unit}".rstrip()

    def judge(self, group: Group) -> Verdict:
        """The first difference of a group that both sides have, with a sentence for each difference."""
        problems = [*self._names(group), *self._amounts(group), *self._statuses(group), *self._times(group)]
        if not problems:
            return ResultKind.MATCHED, "Both sides agree."
        return problems[0][0], " ".join(sentence for _, sentence in problems)

    def say_alone(self, item: Item, count: int, is_ours: bool, is_copy: bool) -> str:
        """Why something has no counterpart."""
        side, other = ("here", "there") if is_ours else ("there", "here")
        amount = self.text(item.amount, item.currency) + (f" in {count:,} records" if count > 1 else "")
        if is_copy:
            return f"A record of {amount} stands {side} once more than {other}, the same in everything it says."
        if item.ref is None:
            near = "" if item.moment is None else f", and nothing {other} has its amount and time"
            return f"{amount} {side} without a reference{near}."
        near = "" if item.moment is None else ", nor anything of its amount and time"
        return f"{amount} {side} under reference {item.ref!r}, which is not {other}{near}."

    def _names(self, group: Group) -> list[Verdict]:
        found = []
        for kind, name, what in (
            (ResultKind.CURRENCY_DIFFERS, "currency", "in"),
            (ResultKind.ACCOUNT_DIFFERS, "account", "of account"),
        ):
            ours, theirs = _values(group.here, name), _values(group.there, name)
            if ours and theirs and ours != theirs:
                found.append((kind, f"Here it is {what} {', '.join(ours)}, there {what} {', '.join(theirs)}."))
        return found

    def _amounts(self, group: Group) -> list[Verdict]:
        more = group.amount_there - group.amount_here
        if _values(group.here, "currency") != _values(group.there, "currency") and self._mapping.is_money:
            return []  # amounts of two currencies cannot be compared
        if abs(more) <= self.amount:
            return []
        if max(group.count_here, group.count_there) > 1 and max(group.count_here, group.count_there) <= GROUP_MAX:
            found = self._surplus(group.here, group.there, more, is_theirs=True)
            found = found or self._surplus(group.there, group.here, -more, is_theirs=False)
            if found is not None:
                return [found]
        currency = next(iter(_values(group.here, "currency")), None)
        ours, theirs = (
            self._sum(group.here, group.count_here, group.amount_here),
            self._sum(group.there, group.count_there, group.amount_there),
        )
        than = "more" if more > 0 else "less"
        sentence = f"Here it is {ours}, there {theirs}: {self.text(abs(more), currency)} {than} there."
        return [(ResultKind.AMOUNT_DIFFERS, sentence)]

    def _sum(self, items: Sequence[Item], count: int, amount: int) -> str:
        said = self.text(amount, items[0].currency)
        return said if count == 1 else f"{said} in {count:,} records"

    def _surplus(self, fewer: list[Item], more: list[Item], amount: int, *, is_theirs: bool) -> Verdict | None:
        """A surplus of one side: copies of its own records, or records that the other side lacks."""
        extra = _beyond(more, fewer)
        missing = _beyond(fewer, more)
        side, other = ("there", "here") if is_theirs else ("here", "there")
        copied = self._copies(more, amount, at_most=len(more) - 1)
        if copied is not None and (not missing or len(fewer) == 1):
            count, size = copied
            kind = ResultKind.DUPLICATE_THERE if is_theirs else ResultKind.DUPLICATE_HERE
            times = "twice" if count == 1 else f"{count + 1} times"
            sentence = f"A record of {self.text(size, more[0].currency)} stands {side} {times}, and {other} once less."
            if count > 1:
                sentence = sentence.replace("once less", f"{count} times less")
            return kind, sentence
        if extra and not missing and fewer:
            kind = ResultKind.MISSING_HERE if is_theirs else ResultKind.MISSING_THERE
            listed = ", ".join(self.text(item.amount, item.currency) for item in extra[:5])
            rest = f" and {len(extra) - 5:,} more" if len(extra) > 5 else ""
            return kind, f"Of its records {side}, {listed}{rest} has no counterpart {other}; the others have."
        return None

    def _copies(self, items: list[Item], amount: int, *, at_most: int) -> tuple[int, int] | None:
        """The copies that explain a difference: how many, and the amount of each."""
        sizes = Counter((item.amount, item.status) for item in items)
        for (size, status), count in sorted(sizes.items(), key=lambda found: (found[0][0], found[0][1] or "")):
            if count < 2 or not size or amount % size:
                continue
            copies = amount // size
            if not 1 <= copies <= min(count - 1, at_most):
                continue
            moments = sorted(i.moment for i in items if (i.amount, i.status) == (size, status) and i.moment is not None)
            close = sum(1 for a, b in pairwise(moments) if b - a <= self.time)
            if not moments or close >= copies:
                return copies, size
        return None

    def _statuses(self, group: Group) -> list[Verdict]:
        ours, theirs = _values(group.here, "status"), _values(group.there, "status")
        if not ours or not theirs or (ours[0], ours[-1]) == (theirs[0], theirs[-1]):
            return []
        return [(ResultKind.STATUS_DIFFERS, f"Here it is {', '.join(ours)}, there {', '.join(theirs)}.")]

    def _times(self, group: Group) -> list[Verdict]:
        ours = sorted(item.moment for item in group.here if item.moment is not None)
        theirs = sorted(item.moment for item in group.there if item.moment is not None)
        if not ours or not theirs:
            return []
        for mine, other in ((ours[0], theirs[0]), (ours[-1], theirs[-1])):
            if abs(mine - other) > self.time:
                gap = timedelta(microseconds=abs(mine - other))
                when = "later" if other > mine else "earlier"
                sentence = f"There it is {span(gap)} {when} than here ({_moment(other)}, here {_moment(mine)})."
                return [(ResultKind.TIMING, sentence)]
        return []


def exact(whole: int, scale: int) -> Decimal:
    """A whole number of 10^-scale as an exact decimal without trailing zeros."""
    sign, digits = (1, -whole) if whole < 0 else (0, whole)
    return Decimal(exact_text(Decimal((sign, tuple(map(int, str(digits))), -scale))))


def plain_amount(amount: Decimal) -> str:
    """An amount with all of its digits in groups of three, without trailing zeros.

    >>> plain_amount(Decimal("1234567.50"))
    '1,234,567.5'
    """
    return exact_text(amount, ",f")


def span(gap: timedelta) -> str:
    """A length of time in its two largest units.

    >>> span(timedelta(days=2, hours=3, minutes=4))
    '2 days 3 hours'
    """
    seconds = int(gap.total_seconds())
    sizes = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
    parts = []
    for name, size in sizes:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count:,} {name}{'' if count == 1 else 's'}")
    return " ".join(parts[:2]) or "less than a second"


def _moment(moment: int) -> str:
    return moment_text(from_moment(moment))


def _values(items: Sequence[Item], name: str) -> list[str]:
    return sorted({value for item in items if (value := getattr(item, name)) is not None})


def _beyond(items: list[Item], others: list[Item]) -> list[Item]:
    """The items whose amounts occur less often among the others."""
    left = Counter(item.amount for item in others)
    extra = []
    for item in items:
        if left[item.amount] > 0:
            left[item.amount] -= 1
        else:
            extra.append(item)
    return extra
