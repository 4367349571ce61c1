"""From an estimate to the wire's answer."""

from __future__ import annotations

from decimal import Decimal

from estimator import Estimate, RunResponse


def respond(quote: Estimate, *, run_id: str | None, available: Decimal) -> RunResponse:
    """The wire's answer: an estimate when no run was started, else the amount held for the run."""
    return RunResponse(
        run_id=run_id,
        estimate=run_id is None,
        credits=quote.credits,
        minutes=quote.minutes.p50,
        multimodal=quote.multimodal,
        credit_multiplier=quote.credit_multiplier,
        available_credits=available,
        line_items=tuple(item.to_dict() for item in quote.line_items),
    )
