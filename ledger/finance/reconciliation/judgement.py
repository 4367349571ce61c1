"""What is wrong with records that belong together, and why, in words: pure rules over their values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

from ledger.finance.reconciliation.files.mappings import RecordMapping
from ledger.finance.reconciliation.joining import GROUP_MAX, Group, Item, micros
from ledger.finance.reconciliation.results import ResultKind
from ledger.model.moments import from_moment

Problem = tuple[ResultKind, str]


class Judge:
    """Judges groups by the tolerances of a mapping."""

    def __init__(self, mapping: RecordMapping) -> None:
        self.scale = mapping.scale
        self.amount = int(mapping.tolerance.amount.scaleb(mapping.scale))
        self.time = micros(mapping.tolerance.time)
        self._mapping = mapping

    def amount_of(self, whole: int) -> Decimal:
        """An amount in its unit, of the whole number that is kept."""
        return exact(whole, self.scale)

    def text(self, whole: int, currency: str | None = None) -> str:
        """An amount in words."""
        unit = currency or {"credits": "credits", "rows": "rows"}.get(self._mapping.amount.unit, "")
        return f"{plain_amount(self.amount_of(whole))} {unit}".rstrip()

    def judge(self, group: Group) -> Problem:
        """The first thing that is wrong with a group that both sides have, and a sentence for each."""
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

    def _names(self, group: Group) -> list[Problem]:
        found = []
        for kind, name, what in (
            (ResultKind.CURRENCY_DIFFERS, "currency", "in"),
            (ResultKind.ACCOUNT_DIFFERS, "account", "of account"),
        ):
            ours, theirs = _values(group.here, name), _values(group.there, name)
            if ours and theirs and ours != theirs:
                found.append((kind, f"Here it is {what} {', '.join(ours)}, there {what} {', '.join(theirs)}."))
        return found

    def _amounts(self, group: Group) -> list[Problem]:
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

    def _surplus(self, fewer: list[Item], more: list[Item], amount: int, *, is_theirs: bool) -> Problem | None:
        """Records that one side has too many: copies of others of its own, or such as the other side has not."""
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
        """How many copies of which amount explain a difference: (count, amount of each)."""
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

    def _statuses(self, group: Group) -> list[Problem]:
        ours, theirs = _values(group.here, "status"), _values(group.there, "status")
        if not ours or not theirs or (ours[0], ours[-1]) == (theirs[0], theirs[-1]):
            return []
        return [(ResultKind.STATUS_DIFFERS, f"Here it is {', '.join(ours)}, there {', '.join(theirs)}.")]

    def _times(self, group: Group) -> list[Problem]:
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
    """A whole number of 10^-scale as a decimal, exactly, without zeros to spare."""
    sign, digits = (1, -whole) if whole < 0 else (0, whole)
    number = Decimal((sign, tuple(map(int, str(digits))), -scale))
    text = format(number, "f")
    return Decimal(text.rstrip("0").rstrip(".") if "." in text else text)


def plain_amount(amount: Decimal) -> str:
    """An amount with groups of three digits, and no zeros to spare."""
    text = format(amount, ",f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def span(gap: timedelta) -> str:
    """A length of time in the two largest units that it has."""
    seconds = int(gap.total_seconds())
    sizes = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
    parts = []
    for name, size in sizes:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count:,} {name}{'' if count == 1 else 's'}")
    return " ".join(parts[:2]) or "less than a second"


def _moment(instant: int) -> str:
    return from_moment(instant).isoformat().replace("+00:00", "Z")


def _values(items: Sequence[Item], name: str) -> list[str]:
    return sorted({value for item in items if (value := getattr(item, name)) is not None})


def _beyond(items: list[Item], others: list[Item]) -> list[Item]:
    """Those of some items whose amounts the others do not have as often."""
    left = Counter(item.amount for item in others)
    extra = []
    for item in items:
        if left[item.amount] > 0:
            left[item.amount] -= 1
        else:
            extra.append(item)
    return extra
