"""The public names, and what importing them does not do."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import estimator

PACKAGE = Path(estimator.__file__).parent
IMPURE = {"cli.py", "cli_options.py", "datasets.py", "rendering.py", "terminal.py"}
"""Files of the command line and of dataset reading: the edge, where input and output belong."""

PURE = sorted(path for path in PACKAGE.rglob("*.py") if path.name not in IMPURE)
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
    assert not {"sqlalchemy", "sqlmodel", "alembic", "rich", "typer", "click", "ledger", "pyarrow"} & set(loaded)


@pytest.mark.parametrize("path", PURE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_pure_modules_use_no_clock_no_chance_no_environment_and_no_database(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert not imported & {
        "time",
        "random",
        "secrets",
        "uuid",
        "os",
        "socket",
        "sqlalchemy",
        "sqlmodel",
        "ledger",
        "rich",
    }
    called = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not called & {"now", "utcnow", "today", "environ", "getenv"}


@pytest.mark.parametrize("path", PURE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_pure_modules_make_no_float_of_an_amount(path: Path) -> None:
    """Only the wire makes floats; the two divisions are of fractions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    made = [
        node
        for node in ast.walk(tree)
        if (isinstance(node, ast.Constant) and isinstance(node.value, float))
        or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float")
        or isinstance(node, ast.Div)
    ]
    allowed = {"credits.py": 1, "requests.py": 2, "pricing.py": 2}
    assert len(made) <= allowed.get(path.name, 0), [getattr(node, "lineno", "?") for node in made]
