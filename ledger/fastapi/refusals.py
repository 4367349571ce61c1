"""What a request is refused with: the statuses, bodies and headers that the public client understands.

    400  the request is wrong; `issues` names each field        not retried
    401  the token is missing or unknown                        not retried
    402  insufficient credits, or a limit reached               not retried
    404  unknown dataset, account or reservation                not retried
    408  the body has not come whole in time                    retried
    409  a run is active, or the rows are not counted yet       `x-should-retry: false`
    409  another request holds the account                      retried: the key's first answer is then there
    413  the body is too large                                  not retried
    422  the key was used for another request                   not retried
    503  the database is briefly unavailable                    retried, `Retry-After` says when

Every body is `{"statusCode", "error", "message", "code"}` and the typed fields of the refusal; amounts are numbers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import SQLAlchemyError

from estimator import EstimatorError, Issue, RateCardNotFound, RequestRejected
from estimator.credits import number
from ledger.errors import CommandInvalid, LedgerError
from ledger.storage.failures import UNAVAILABLE, code_of, kind_of

RETRY_SECONDS = 1
"""What `Retry-After` says."""

ISSUES_MAX = 100
"""The most issues that one answer lists."""

# Python's own words for these differ from release to release.
_PHRASES = {413: "Payload Too Large", 422: "Unprocessable Entity"}


class RequestRefused(Exception):
    """A refusal of the service itself: `status`, a stable `code`, a sentence, and typed fields for the body."""

    status: int = 400
    code: str = "request_refused"

    def __init__(self, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.message = message
        self.fields = fields


class NotAuthenticated(RequestRefused):
    """The request names no account: its bearer token is missing or unknown."""

    status = 401
    code = "not_authenticated"

    def __init__(self) -> None:
        super().__init__("The bearer token is missing or unknown. Send it as `Authorization: Bearer <token>`.")


class DatasetNotFound(RequestRefused):
    """The account has no dataset of that id."""

    status = 404
    code = "dataset_not_found"

    def __init__(self, dataset_id: str) -> None:
        super().__init__(f"No dataset {dataset_id!r} exists in this account. Check its id.", dataset_id=dataset_id)
        self.dataset_id = dataset_id


class BodyTooLarge(RequestRefused):
    """The request's body has more bytes than the service reads."""

    status = 413
    code = "body_too_large"

    def __init__(self, bytes_max: int) -> None:
        message = f"The body has more than {bytes_max} bytes. Send a smaller one."
        super().__init__(message, field="body", bytes_max=bytes_max)


class BodyTooSlow(RequestRefused):
    """The request's body has not come whole in time."""

    status = 408
    code = "body_too_slow"

    def __init__(self, seconds: float) -> None:
        message = f"The body has not come whole within {seconds:g} seconds. Send the request again."
        super().__init__(message, field="body")


class LaunchInFlight(RequestRefused):
    """Another request held the account for longer than this one could wait; the outcome of that one is unknown yet."""

    status = 409
    code = "launch_in_flight"

    def __init__(self, key: str) -> None:
        message = (
            "Another request of the account is still under way, perhaps this one's own first attempt. "
            f"Send it again unchanged, with the key {key!r}: it takes effect once."
        )
        super().__init__(message, key=key)


class Unavailable(RequestRefused):
    """The database cannot be used now, and this request certainly changed nothing, or is safe to repeat."""

    status = 503
    code = "database_unavailable"

    def __init__(self, cause: str = "") -> None:
        super().__init__("The database is briefly unavailable. Send the request again, unchanged.")
        self.cause = cause


class Refusal:
    """A refusal as HTTP: `status`, `code`, body and headers. `cause` is what a log may say of it beyond the code."""

    def __init__(
        self, status: int, code: str, message: str, fields: Mapping[str, Any], *, may_retry: bool = False
    ) -> None:
        self.status = status
        self.code = code
        self.body = {
            "statusCode": status,
            "error": _PHRASES.get(status) or HTTPStatus(status).phrase,
            "message": message,
            "code": code,
        } | {name: _plain(value) for name, value in fields.items() if value is not None}
        self.headers: dict[str, str] = {}
        self.cause: str | None = None
        if status == HTTPStatus.CONFLICT and not may_retry:
            self.headers["x-should-retry"] = "false"
        elif status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.CONFLICT):
            self.headers["Retry-After"] = str(RETRY_SECONDS)
        elif status == HTTPStatus.UNAUTHORIZED:
            self.headers["WWW-Authenticate"] = "Bearer"

    def to_response(self) -> Response:
        """The HTTP answer."""
        return JSONBody(self.body, status_code=self.status, headers=self.headers)


class JSONBody(Response):
    """A JSON answer that can always be encoded, whatever texts of the request it repeats."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """UTF-8; half of a surrogate pair, which no encoding has, becomes a question mark."""
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8", "replace")


def refusal_of(error: Exception) -> Refusal | None:
    """The refusal that an exception stands for; None for a defect."""
    if isinstance(error, RequestRefused):
        return _of_service(error)
    if isinstance(error, EstimatorError):
        return _of_estimator(error)
    if isinstance(error, CommandInvalid):
        path, _, problem = error.message.partition(": ")
        return _of_issues([Issue(path, error.code, problem)], error.code)
    if isinstance(error, LedgerError):
        fields = {name: getattr(error, name) for name in error.to_dict() if name not in ("code", "message")}
        return Refusal(error.status_hint, error.code, error.message, fields)
    if isinstance(error, RequestValidationError):
        return _of_issues([_issue_of(detail) for detail in error.errors()], RequestRejected.code)
    if isinstance(error, SQLAlchemyError) and is_unavailable(error):
        return _of_service(Unavailable(cause_of(error)))
    return None


def _of_service(error: RequestRefused) -> Refusal:
    refusal = Refusal(
        error.status, error.code, error.message, error.fields, may_retry=isinstance(error, LaunchInFlight)
    )
    refusal.cause = getattr(error, "cause", None)
    return refusal


def _of_estimator(error: EstimatorError) -> Refusal:
    if isinstance(error, RateCardNotFound):
        # Neither a mistake of the client nor a missing dataset: the host has no card in force.
        return Refusal(503, error.code, error.message, {})
    issues = getattr(error, "issues", None)
    if issues is not None:
        return _of_issues(issues, error.code, error.message)
    fields = {name: value for name, value in vars(error).items() if name != "message"}
    return Refusal(error.status_hint, error.code, error.message, fields)


def _of_issues(issues: Any, code: str, message: str | None = None) -> Refusal:
    named = [issue._replace(path=issue.path or "body") for issue in issues]
    if message is None or len(named) > ISSUES_MAX:
        message = " ".join(str(issue) for issue in named[:ISSUES_MAX])
    if len(named) > ISSUES_MAX:
        message = f"The request has {len(named)} problems, of which these are the first. {message}"
    return Refusal(400, code, message, {"issues": [issue.to_dict() for issue in named[:ISSUES_MAX]]})


def _issue_of(detail: Mapping[str, Any]) -> Issue:
    """What the framework found in a query or a path, where the first of the location says in which of them."""
    path = ".".join(str(part) for part in detail["loc"][1:])
    problem = str(detail["msg"]).removeprefix("Value error, ")
    return Issue(path, str(detail["type"]), f"{problem}. Correct it or leave it out.")


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return number(value)
    return value if isinstance(value, str | int | list) else str(value)


def is_unavailable(error: SQLAlchemyError) -> bool:
    """True when the database could not be used, for a reason that lies neither in the request nor in the code."""
    return kind_of(error) in UNAVAILABLE


def cause_of(error: BaseException) -> str:
    """What a log may say of a database's error: its class and code, never its text, which holds values."""
    code = code_of(error)
    return type(getattr(error, "orig", None) or error).__name__ + (f" {code}" if code else "")


def install_error_handlers(app: FastAPI) -> None:
    """Let an application of yours answer what ledger and estimator raise as the router of this package does.

    For routes of your own that call `ledger.launch` and the like; the router needs no handlers. An exception that is no
    refusal is raised again, for the handlers of the application.
    """
    for kind in (RequestRefused, EstimatorError, LedgerError, SQLAlchemyError):
        app.add_exception_handler(kind, answer_error)


async def answer_error(request: Request, error: Exception) -> Response:
    """The answer to an exception of ledger, estimator or service. Raises one that stands for no refusal."""
    refusal = refusal_of(error)
    if refusal is None:
        raise error
    return refusal.to_response()
