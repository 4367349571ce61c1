"""What a run costs and how long it takes: pure functions of a request, a dataset and a rate card."""

from estimator.cards import shipped, shipped_card
from estimator.credits import MICRO_PER_CREDIT, format_credits, from_micro, parse_credits, to_micro
from estimator.errors import (
    AmountInvalid,
    DialectUnknown,
    EstimatorError,
    ExtraMissing,
    FrameInvalid,
    Issue,
    OutcomeRejected,
    PriceMissing,
    RateCardError,
    RateCardInvalid,
    RateCardNotFound,
    RateCardOverflow,
    RequestRejected,
    RowCountUnknown,
)
from estimator.estimates import Estimate, LineItem, Minutes, affordable_rows, estimate, price_micro
from estimator.frames.tables import BatchPricer, estimate_batches, estimate_frame
from estimator.plans import DatasetProfile, RunPlan, plan_run
from estimator.programs.program import Program
from estimator.rates import RateCard, RateCardBook
from estimator.rates.compiler import compile_card
from estimator.settlements import RunOutcome, Settlement, settle
from estimator.sql.select import diagnosis_sql, sql
from estimator.wire.requests import (
    BrandControls,
    ColumnMapping,
    JobSpecification,
    LanguageExpansion,
    LanguagePair,
    Recipes,
    RecipeSpecification,
    RunRequest,
)
from estimator.wire.responses import RunResponse

__all__ = [
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
]
