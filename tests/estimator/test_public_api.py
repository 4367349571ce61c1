"""The public names, and what importing them does not do."""

from __future__ import annotations

import ast
import subprocess
import sys

import estimator

PUBLIC = {
    "MICRO_PER_CREDIT",
    "AmountInvalid",
    "BatchPricer",
    "BrandControls",
    "ColumnMapping",
    "DatasetProfile",
    "DialectUnknown",
    "Estimate",
    "EstimatorError",
    "ExtraMissing",
    "FrameInvalid",
    "Issue",
    "JobSpecification",
    "LanguageExpansion",
    "LanguagePair",
    "LineItem",
    "Minutes",
    "OutcomeRejected",
    "PriceMissing",
    "Program",
    "RateCard",
    "RateCardBook",
    "RateCardError",
    "RateCardInvalid",
    "RateCardNotFound",
    "RateCardOverflow",
    "RecipeSpecification",
    "Recipes",
    "RequestRejected",
    "RowCountUnknown",
    "RunOutcome",
    "RunPlan",
    "RunRequest",
    "RunResponse",
    "Settlement",
    "affordable_rows",
    "compile_card",
    "diagnosis_sql",
    "estimate",
    "estimate_batches",
    "estimate_frame",
    "format_credits",
    "from_micro",
    "parse_credits",
    "plan_run",
    "price_micro",
    "settle",
    "shipped",
    "shipped_card",
    "sql",
    "to_micro",
}


def test_the_public_names_are_these() -> None:
    assert set(estimator.__all__) == PUBLIC
    assert all(hasattr(estimator, name) for name in PUBLIC)


def test_public_functions_and_classes_say_what_they_do() -> None:
    for name in PUBLIC - {"MICRO_PER_CREDIT"}:
        assert getattr(estimator, name).__doc__, name


def test_importing_the_estimator_loads_no_database_no_terminal_and_no_client() -> None:
    code = (
        "import sys; before = set(sys.modules); import estimator; "
        "print(sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    loaded = ast.literal_eval(
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    )
    assert not {"sqlalchemy", "sqlmodel", "alembic", "rich", "typer", "click", "ledger", "numpy", "pyarrow"} & set(
        loaded
    )
