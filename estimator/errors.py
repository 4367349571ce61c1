"""What the estimator refuses, and what to do about each refusal.

    EstimatorError
      AmountInvalid        400  .value             an amount is no exact number of credits
      RequestRejected      400  .issues            the request, or its fit to dataset and rate card, is wrong
      RowCountUnknown      409                     the dataset has not been counted yet; wait for its profile
      OutcomeRejected      400  .issues            what a run reports does not fit the plan it ran
      FrameInvalid         400  .issues            a table of runs has columns or values that cannot be priced
      DialectUnknown       400  .dialect           no SQL is written for that engine, or none that was ever executed
      ExtraMissing         501  .extra             an optional part of the package is not installed
      RateCardError
        RateCardInvalid    400  .issues            the rate card's text cannot be used
          RateCardOverflow 400  .step .bound       the card could compute amounts beyond 64 bits
        RateCardNotFound   404  .wanted            no card of that id, name or moment
        PriceMissing       400  .dimension .card   the card has no price for something the plan uses

Each has a stable `code`, an HTTP `status_hint`, typed fields and a sentence that says what to do next.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, NamedTuple


class Issue(NamedTuple):
    """One problem: where it is (`job_specification.max_rows`), a stable code, and a sentence to act on."""

    path: str
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message

    def to_dict(self) -> dict[str, str]:
        """The three fields as a JSON object."""
        return self._asdict()


class EstimatorError(Exception):
    """Base of every refusal; `str(error)` is the sentence for the person who asked."""

    code: ClassVar[str] = "estimator_error"
    status_hint: ClassVar[int] = 400

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive copying and pickling: constructors take typed fields, not the message Exception passes."""
        return (_rebuild, (type(self), self.args), self.__dict__)

    def to_dict(self) -> dict[str, Any]:
        """Code, message and the typed fields as JSON-safe values."""
        fields = {name: _plain(value) for name, value in vars(self).items() if name != "message"}
        return {"code": self.code, "message": self.message} | fields


def _rebuild(kind: type[EstimatorError], args: tuple[Any, ...]) -> EstimatorError:
    error = kind.__new__(kind, *args)
    error.args = args
    return error


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [item.to_dict() for item in value]
    if isinstance(value, int) and value.bit_length() > 10_000:
        return hex(value)  # str() refuses integers of thousands of digits
    # Integers beyond 2**53 would lose digits in a JavaScript reader, so every other value goes as text.
    return str(value)


class AmountInvalid(EstimatorError):
    """`value` is not an exact, finite number of credits within range, or is below the least allowed."""

    code = "amount_invalid"
    value: object

    def __init__(self, value: object, problem: str) -> None:
        super().__init__(problem)
        self.value = value


class _IssuesError(EstimatorError):
    """An error that lists every problem found, in the order of the fields."""

    subject: ClassVar[str]
    issues: tuple[Issue, ...]

    def __init__(self, issues: Iterable[Issue]) -> None:
        listed = tuple(issues)
        joined = " ".join(str(issue) for issue in listed)
        super().__init__(joined if len(listed) == 1 else f"The {self.subject} has {len(listed)} problems. {joined}")
        self.issues = listed


class RequestRejected(_IssuesError):
    """The request is malformed, contradicts itself, or asks for what the dataset or rate card cannot give."""

    code = "request_rejected"
    subject = "request"


class OutcomeRejected(_IssuesError):
    """The outcome of a run does not fit the plan of that run."""

    code = "outcome_rejected"
    subject = "outcome"


class FrameInvalid(_IssuesError):
    """A table of runs lacks a column, or holds values that have no price; each issue names and counts its rows."""

    code = "frame_invalid"
    subject = "table of runs"


class DialectUnknown(EstimatorError):
    """No SQL can be written for `dialect`, or what can be written was never executed by such an engine."""

    code = "dialect_unknown"
    dialect: str

    def __init__(self, dialect: str, message: str) -> None:
        super().__init__(message)
        self.dialect = dialect


class ExtraMissing(EstimatorError, ImportError):
    """What was asked for needs packages that an `extra` of this one installs."""

    code = "extra_missing"
    status_hint = 501
    extra: str

    def __init__(self, subject: str, extra: str) -> None:
        super().__init__(f"{subject} needs more packages. Run `pip install 'run-credits[{extra}]'`.")
        self.extra = extra


class RowCountUnknown(EstimatorError):
    """The dataset's profile has no row count yet, so nothing can be priced."""

    code = "row_count_unknown"
    status_hint = 409

    def __init__(self) -> None:
        super().__init__(
            "The dataset's row count is not known yet. Wait until its profile is complete, then ask again."
        )


class RateCardError(EstimatorError):
    """Base of everything that is wrong with a rate card, not with a request."""

    code = "rate_card_error"


class RateCardInvalid(_IssuesError, RateCardError):
    """The rate card cannot be used; every problem is listed."""

    code = "rate_card_invalid"
    subject = "rate card"


class RateCardOverflow(RateCardInvalid):
    """At the card's own limits, `step` of its program could reach `bound`, which 64 bits do not hold."""

    code = "rate_card_overflow"
    step: str
    bound: int

    def __init__(self, section: str, step: str, bound: int, remedy: str) -> None:
        message = f"step {step!r} of its program could reach {bound:,}, beyond what 64 bits hold. {remedy}"
        super().__init__((Issue(section, "overflow", message),))
        self.step = step
        self.bound = bound


class RateCardNotFound(RateCardError):
    """No rate card has that id or name, or none was in force at that moment."""

    code = "rate_card_not_found"
    status_hint = 404
    wanted: str

    def __init__(self, wanted: str, message: str) -> None:
        super().__init__(message)
        self.wanted = wanted


class PriceMissing(RateCardError):
    """The card names no price for a dimension (`text.grounding`) that the plan uses."""

    code = "price_missing"
    dimension: str
    card: str

    def __init__(self, dimension: str, card: str) -> None:
        super().__init__(
            f"Rate card {card!r} has no price for {dimension}. "
            "Price the plan under a card that has one, or add it to a new card (`included = true` if free)."
        )
        self.dimension = dimension
        self.card = card
