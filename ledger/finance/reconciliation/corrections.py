"""Suggested corrections: a `credits adjust` command that would make our amount theirs. Nothing here runs it.

Its key is made of what it corrects: running it twice corrects once.
"""

from __future__ import annotations

import shlex
from decimal import Context, Decimal, Inexact
from hashlib import blake2b

from estimator.credits import format_credits, to_micro
from estimator.errors import AmountInvalid
from ledger.finance.reconciliation.files.mappings import RecordMapping
from ledger.finance.reconciliation.results import ReconciliationResult, ResultKind

_OURS_IS_WRONG = {
    ResultKind.AMOUNT_DIFFERS,
    ResultKind.MISSING_HERE,
    ResultKind.MISSING_THERE,
    ResultKind.DUPLICATE_HERE,
}
_EXACT = Context(prec=60, traps=[Inexact])


def suggest(result: ReconciliationResult, mapping: RecordMapping, rate: str | None) -> tuple[str, str] | None:
    """The command and its key; None where no adjustment corrects the finding, or its amount is not exact in credits.

    `rate` is what a credit of the grant cost, where amounts are money.
    """
    account = result.account_id
    if result.kind not in _OURS_IS_WRONG or account is None or mapping.side == "entries":
        return None
    more = _credits(result.difference, mapping, rate)
    if not more:
        return None
    # More used means fewer credits left; more granted means more of them.
    amount = more if mapping.side == "grants" else -more
    about = result.reference or next((r.record_id for r in (*result.here, *result.there) if r.record_id), None)
    named = f" {about}" if about else ""
    reason = f"reconciliation of {mapping.side}:{named} {result.kind.value.replace('_', ' ')}"
    key = _key(result, mapping)
    words = ["credits", "adjust", account, format_credits(amount), "--reason", reason, "--key", key]
    if account.startswith("-"):
        words = [*words[:2], *words[4:], "--", *words[2:4]]
    return " ".join(map(shlex.quote, words)), key


def _credits(difference: Decimal, mapping: RecordMapping, rate: str | None) -> Decimal | None:
    if mapping.amount.unit == "rows":
        return None  # the rate card says what rows cost
    if mapping.is_money:
        if rate is None or not Decimal(rate):
            return None
        try:
            difference = _EXACT.divide(difference, Decimal(rate))
        except Inexact:
            return None
    try:
        to_micro(difference)
    except AmountInvalid:
        return None
    return difference


def _key(result: ReconciliationResult, mapping: RecordMapping) -> str:
    parts = [mapping.side, result.kind.value, result.account_id, str(result.amount_here), str(result.amount_there)]
    for found in (*result.here, *result.there):
        parts += [found.reference or "", found.record_id or "", str(found.at or "")]
    return "reconcile-" + blake2b("\x1f".join(map(str, parts)).encode(), digest_size=12).hexdigest()
