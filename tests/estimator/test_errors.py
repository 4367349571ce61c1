"""Every refusal: code, status, typed fields, a sentence, and a life across processes."""

from __future__ import annotations

import copy
import json
import pickle
from decimal import Decimal

import pytest

from estimator import errors
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

ISSUES = (Issue("a.b", "missing", "is required; add it."), Issue("", "wrong_type", "must be an object, not a list."))

EXAMPLES = [
    (AmountInvalid(Decimal("NaN"), "NaN is not finite. Give a number."), "amount_invalid", 400),
    (RequestRejected(ISSUES), "request_rejected", 400),
    (RequestRejected(ISSUES[:1]), "request_rejected", 400),
    (RowCountUnknown(), "row_count_unknown", 409),
    (OutcomeRejected(ISSUES), "outcome_rejected", 400),
    (FrameInvalid(ISSUES), "frame_invalid", 400),
    (DialectUnknown("oracle", "No SQL is written for oracle. Use duckdb."), "dialect_unknown", 400),
    (ExtraMissing("Pricing whole columns", "frames"), "extra_missing", 501),
    (RateCardInvalid(ISSUES), "rate_card_invalid", 400),
    (RateCardOverflow("text", "charge", 2**80, "Lower rows_max."), "rate_card_overflow", 400),
    (RateCardNotFound("x", "No card x. Add it."), "rate_card_not_found", 404),
    (PriceMissing("text.grounding", "mine"), "price_missing", 400),
]


@pytest.mark.parametrize(("error", "code", "status"), EXAMPLES, ids=lambda value: str(value)[:20])
def test_each_error_has_a_code_a_status_and_a_sentence(error: EstimatorError, code: str, status: int) -> None:
    assert (error.code, error.status_hint) == (code, status)
    assert str(error) == error.message
    assert str(error).endswith(".")


@pytest.mark.parametrize("error", [example[0] for example in EXAMPLES], ids=lambda error: type(error).__name__)
def test_errors_survive_pickling_and_copying(error: EstimatorError) -> None:
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert again.to_dict() == error.to_dict()


@pytest.mark.parametrize("error", [example[0] for example in EXAMPLES], ids=lambda error: type(error).__name__)
def test_error_bodies_are_json(error: EstimatorError) -> None:
    body = json.loads(json.dumps(error.to_dict()))
    assert body["code"] == error.code
    assert body["message"] == str(error)


def test_issues_are_listed_with_their_paths() -> None:
    error = RequestRejected(ISSUES)
    assert str(error) == ("The request has 2 problems. a.b: is required; add it. must be an object, not a list.")
    assert error.to_dict()["issues"][0] == {"path": "a.b", "code": "missing", "message": "is required; add it."}


def test_a_value_of_thousands_of_digits_still_has_a_body() -> None:
    assert AmountInvalid(10**5000, "Too large. Give less.").to_dict()["value"].startswith("0x")


def test_every_error_of_a_rate_card_is_a_rate_card_error() -> None:
    for kind in (RateCardInvalid, RateCardOverflow, RateCardNotFound, PriceMissing):
        assert issubclass(kind, RateCardError)
    assert issubclass(RateCardOverflow, RateCardInvalid)


def test_the_tree_drawn_in_the_module_names_every_error() -> None:
    """The drawing, the exported names and the classes are one list."""
    drawn = {line.split()[0] for line in (errors.__doc__ or "").splitlines() if line.startswith("    ")}
    kinds = {name for name, item in vars(errors).items() if isinstance(item, type) and issubclass(item, Exception)}
    public = {name for name in kinds if not name.startswith("_")}
    assert drawn == public
