"""What a finished run costs, by the settlement policy of its rate card. Never more than the estimate.

    policy      succeeded                        failed or cancelled
    requested   the plan as it was asked         the plan for the rows processed
    delivered   the plan, billing the rows delivered (on an input basis: processed; on an added basis: the
    excess)

A run that processed nothing costs nothing, whatever the policy, the minimum and the fee.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from estimator.credits import MICRO_MAX, format_credits, from_micro, to_micro
from estimator.errors import Issue, OutcomeRejected
from estimator.estimates import Estimate, LineItem, estimate, items_table
from estimator.plans import RunPlan
from estimator.sentences import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from estimator.rates import RateCard

RunStatus = Literal["succeeded", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run ended: input rows processed, and output rows delivered (None where they were not counted).

    Raises `OutcomeRejected` for an unknown status or anything but counts.
    """

    status: RunStatus
    rows_processed: int
    rows_delivered: int | None = None

    def __post_init__(self) -> None:
        issues = []
        if self.status not in get_args(RunStatus):
            message = f"must be succeeded, failed or cancelled, not {shown(self.status)}."
            issues.append(Issue("status", "unknown_value", message))
        for name, value in (("rows_processed", self.rows_processed), ("rows_delivered", self.rows_delivered)):
            if value is None and name == "rows_delivered":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MICRO_MAX:
                issues.append(Issue(name, "count_invalid", f"must be a whole number of 0 or more, not {shown(value)}."))
        if issues:
            raise OutcomeRejected(issues)

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe fields."""
        return {"status": self.status, "rows_processed": self.rows_processed, "rows_delivered": self.rows_delivered}


class Settlement(NamedTuple):
    """The final price of a run. `line_items` sum to `credits`; `freed` is the rest of the estimate."""

    credits: Decimal
    freed: Decimal
    line_items: tuple[LineItem, ...]
    outcome: RunOutcome
    estimate: Estimate

    @property
    def card_id(self) -> str:
        """The card it was priced under."""
        return self.estimate.card_id

    @property
    def plan_digest(self) -> str:
        """SHA-256 (hex) of the plan that ran."""
        return self.estimate.plan_digest

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe fields, amounts as exact decimal text."""
        return {
            "credits": format_credits(self.credits),
            "freed": format_credits(self.freed),
            "line_items": [item.to_dict() for item in self.line_items],
            "outcome": self.outcome.to_dict(),
            "estimate": self.estimate.to_dict(),
        }

    def as_table(self) -> str:
        """The line items and their total as aligned plain text."""
        return items_table(self.line_items, self.credits)


def settle(plan: RunPlan, card: RateCard, outcome: RunOutcome) -> Settlement:
    """Price what a run did, by the card's settlement policy.

    Raises:
        OutcomeRejected: more rows than the plan has, or rows not counted that the policy bills.
        PriceMissing, RequestRejected: as for `estimate`.
    """
    estimated = estimate(plan, card)
    issues = list(_outcome_issues(plan, card, outcome))
    if issues:
        raise OutcomeRejected(issues)
    if not outcome.rows_processed:
        return Settlement(Decimal(0), estimated.credits, (), outcome, estimated)
    charged = _charged(plan, card, outcome, estimated)
    freed = Decimal(0) if charged is estimated else _difference(estimated.credits, charged.credits)
    return Settlement(charged.credits, freed, charged.line_items, outcome, estimated)


def _difference(more: Decimal, less: Decimal) -> Decimal:
    return from_micro(to_micro(more) - to_micro(less))


def _charged(plan: RunPlan, card: RateCard, outcome: RunOutcome, estimated: Estimate) -> Estimate:
    if card.settlement == "delivered":
        return estimate(plan, card, billable_max=_rows_billed(plan, card, outcome))
    if outcome.status == "succeeded":
        return estimated
    return estimate(plan._replace(rows=outcome.rows_processed), card)


def _rows_billed(plan: RunPlan, card: RateCard, outcome: RunOutcome) -> int:
    basis = card.sections[plan.modality].basis
    if basis == "input":
        return outcome.rows_processed
    delivered = outcome.rows_delivered or 0
    return delivered if basis == "output" else max(0, delivered - outcome.rows_processed)


def _outcome_issues(plan: RunPlan, card: RateCard, outcome: RunOutcome) -> Iterator[Issue]:
    if outcome.rows_processed > plan.rows:
        message = f"is {outcome.rows_processed} and the plan has {plan.rows} rows. Report what this run processed."
        yield Issue("rows_processed", "beyond_plan", message)
    delivered = outcome.rows_delivered
    if delivered is None:
        needed = card.settlement == "delivered" and card.sections[plan.modality].basis != "input"
        if needed and outcome.rows_processed:
            message = f"is needed: rate card {card.name!r} bills the rows delivered. Count and report them."
            yield Issue("rows_delivered", "missing", message)
    elif delivered > plan.rows_output:
        message = f"is {delivered} and the plan gives {plan.rows_output} rows. Report what this run delivered."
        yield Issue("rows_delivered", "beyond_plan", message)
    elif delivered and not outcome.rows_processed:
        message = f"is {delivered} though no row was processed. Report the rows processed as well."
        yield Issue("rows_delivered", "contradiction", message)
