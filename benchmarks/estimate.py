"""Times a whole estimate, from decoded JSON to line items, beside two public price calculators.

Run `python -m benchmarks.estimate` with the extra `benchmarks` installed. All figures of a table come from one
process. The others answer a smaller question (tokens x price, one float or Decimal), from an object that needs no
validation; ours reads and checks the request, resolves it against a dataset and a card, and itemises exactly.
"""

from __future__ import annotations

import os
import subprocess
import sys
from decimal import Decimal
from typing import Any

from benchmarks.timing import Candidate, compare, report
from estimator import DatasetProfile, Estimate, RunRequest, estimate, plan_run, shipped_card

BODY = {
    "column_mapping": {"prompt": "q", "completion": "a"},
    "recipe_specification": {"recipes": {"reasoning_traces": True}},
    "brand_controls": {"length": "detailed", "hallucination_mitigation": True},
    "job_specification": {"max_rows": 500},
}
PROFILE = DatasetProfile(row_count=12_000, columns=("q", "a"))
IMPORT_ROUNDS = 7


def ours(name: str, expected: Decimal) -> Candidate:
    """Dict -> validated request -> plan -> itemised estimate, under a shipped card."""
    card = shipped_card(name)

    def call() -> Estimate:
        return estimate(plan_run(RunRequest.from_wire(BODY), PROFILE, card), card)

    def check(priced: Estimate) -> None:
        assert priced.credits == expected == sum(item.credits for item in priced.line_items), priced

    return Candidate(f"estimator, card {name}", call, check)


def theirs() -> list[Candidate]:
    """The same kind of answer from genai-prices and litellm: what did 1,000 + 500 tokens cost?"""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import genai_prices
    import litellm

    usage = genai_prices.Usage(input_tokens=1000, output_tokens=500)
    completion = litellm.ModelResponse(
        model="gpt-4o",
        usage=litellm.Usage(prompt_tokens=1000, completion_tokens=500, total_tokens=1500),
    )

    def check_genai(price: Any) -> None:
        assert price.total_price == Decimal("0.0075"), price

    def check_litellm(cost: float) -> None:
        assert abs(cost - 0.0075) < 1e-12, cost

    return [
        Candidate(
            "genai_prices.calc_price",
            lambda: genai_prices.calc_price(usage, model_ref="gpt-4o", provider_id="openai"),
            check_genai,
        ),
        Candidate(
            "litellm.completion_cost", lambda: litellm.completion_cost(completion_response=completion), check_litellm
        ),
    ]


def import_milliseconds(imported: str) -> float:
    """The least time that a fresh interpreter takes for `import <imported>`, its own start left out."""
    code = f"import time; start = time.perf_counter_ns(); import {imported}; print(time.perf_counter_ns() - start)"
    taken = [
        int(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
        for _ in range(IMPORT_ROUNDS)
    ]
    return min(taken) / 1e6


def main() -> None:
    """Print the tables."""
    timings = compare([ours("example", Decimal("18.85")), ours("observed", Decimal(5)), *theirs()])
    print(report(timings))
    print()
    a_model = "pydantic; type('M', (pydantic.BaseModel,), {'__annotations__': {'x': int}})"
    for label, code in (("pydantic and one model", a_model), ("estimator", "estimator")):
        print(f"import {label:<22} {import_milliseconds(code):>8.1f} ms")


if __name__ == "__main__":
    main()
