"""The bodies of the routes as OpenAPI shows them: every field with its meaning, refusals with examples.

The routes write what the library answers and do not pass through these models; tests hold the two together.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, WithJsonSchema

from estimator import RunRequest

Number = Annotated[Decimal, WithJsonSchema({"type": "number"})]
_RUN = "dataset-550e8400-e29b-41d4-a716-446655440000-1712234567890"


class _Shown(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LineItemAnswer(BaseModel):
    """One part of an estimate; the parts sum to the whole."""

    model_config = ConfigDict(extra="allow")

    credits: Number = Field(description="Credits of this item; below 0 for a discount.")


class RunAnswer(_Shown):
    """What a run was estimated to cost and, unless only an estimate was asked for, the run that was started."""

    run_id: str | None = Field(
        description="Unique identifier of the run. Null for estimate-only requests.", examples=[_RUN]
    )
    estimate: bool = Field(description="Whether this was an estimate-only request, so that no run was started.")
    estimatedCreditsConsumed: Number = Field(  # noqa: N815  # the wire's own name
        description="Credits that the run is estimated to consume, and that a run has reserved.", examples=[2.5]
    )
    estimatedMinutes: Number = Field(  # noqa: N815  # the wire's own name
        description="Estimated processing time in minutes. Never billed.", examples=[4]
    )
    multimodalPricingApplied: bool = Field(  # noqa: N815  # the wire's own name
        description="True when an image column is mapped, so that rows are billed at the rate for images."
    )
    creditMultiplier: Number | None = Field(  # noqa: N815  # the wire's own name
        None, description="Credits per 100 output rows of a multimodal run. Absent for text."
    )
    available_credits: Number | None = Field(None, description="What the account can still spend after this.")
    line_items: list[LineItemAnswer] | None = Field(None, description="What the credits are for; they sum up.")


class IssueAnswer(_Shown):
    """One problem of a request."""

    path: str = Field(description="The field, such as job_specification.max_rows; `body` for the body itself.")
    code: str = Field(description="A stable code of the problem.")
    message: str = Field(description="What is wrong, and what to send instead.")


class RefusalAnswer(BaseModel):
    """Why a request was refused. What else the body has depends on the code."""

    model_config = ConfigDict(extra="allow")

    statusCode: int = Field(description="The HTTP status.")  # noqa: N815  # the wire's own name
    error: str = Field(description="The HTTP status in words.")
    message: str = Field(description="What is wrong, and what to do next.")
    code: str = Field(description="A stable code of the refusal.")
    issues: list[IssueAnswer] | None = Field(None, description="Every field that is wrong.")


class ProgressAnswer(_Shown):
    """How far a run is."""

    percent: int | None = Field(description="Percentage of the rows, 0 to 99 until the run has ended.")
    processed_rows: int | None = Field(description="Rows processed so far, where they are counted.")
    total_rows: int | None = Field(description="Rows that the run is to process.")


class FailureAnswer(_Shown):
    """Why the last run failed, for newer clients."""

    message: str
    code: str
    level: Literal["error", "warning"]


class FailureMessage(_Shown):
    """Why the last run failed, for older clients."""

    message: str


class StatusAnswer(_Shown):
    """Where a dataset and its last run stand."""

    dataset_id: str = Field(description="The dataset.")
    status: Literal["pending", "running", "awaiting_input", "succeeded", "failed"] = Field(
        description="pending: not counted yet. awaiting_input: no run so far, or the last was cancelled or released."
    )
    row_count: int | None = Field(description="Rows of the dataset; null until they are counted.")
    progress: ProgressAnswer | None = Field(description="Null when no run is active.")
    error_data: FailureAnswer | None = Field(description="Null unless the last run failed.")
    error: FailureMessage | None = Field(description="The same, as older clients read it.")
    run_id: str | None = Field(description="The last run; null without any.")


class BucketsAnswer(_Shown):
    """Credits by where they are. All but `owed` and `issued` sum to `issued`."""

    available: Number = Field(description="Can be spent now.")
    held: Number = Field(description="Reserved for runs that have not ended.")
    consumed: Number = Field(description="Paid for runs.")
    expired: Number = Field(description="Lapsed unspent.")
    revoked: Number = Field(description="Taken back unspent.")
    scheduled: Number = Field(description="Granted, and effective later.")
    owed: Number = Field(description="Lent by the credit line and not got back.")
    issued: Number = Field(description="All that was ever granted or lent.")


class BalanceAnswer(BucketsAnswer):
    """An account's credits at a moment."""

    account_id: str
    at: AwareDatetime


class TransferAnswer(_Shown):
    """Credits of one grant that went from one bucket to another."""

    grant_id: str
    source: str
    target: str
    amount: Number


class EntryAnswer(_Shown):
    """One operation in the account's journal."""

    sequence: int = Field(description="Numbered from 1 without gaps.")
    kind: str = Field(description="Such as grant, reserve, capture, release, expire.")
    at: AwareDatetime = Field(description="When it took effect.")
    recorded_at: AwareDatetime = Field(description="When it was written.")
    key: str | None = Field(description="The idempotency key that it bound.")
    reservation_id: str | None = Field(description="The reservation that it made or changed.")
    transfers: list[TransferAnswer]
    balance: BucketsAnswer = Field(description="The balance that it left.")
    hash: str = Field(description="SHA-256 over the entry before and this one.")


class StatementAnswer(_Shown):
    """A page of entries between the balance before and after it."""

    account_id: str
    since: AwareDatetime | None
    until: AwareDatetime
    opening: BucketsAnswer
    entries: list[EntryAnswer]
    closing: BucketsAnswer
    next_after: int | None = Field(description="Pass as `after` for the next page; null on the last.")


class SliceAnswer(_Shown):
    """The part of one grant that a reservation holds or held."""

    grant_id: str
    amount: Number


class ReservationAnswer(_Shown):
    """A hold on credits."""

    reservation_id: str
    account_id: str
    state: Literal["held", "captured", "released", "expired"]
    amount: Number = Field(description="What was held.")
    captured: Number = Field(description="What was consumed.")
    freed: Number = Field(description="What went back.")
    refunded: Number = Field(description="What of the consumed was given back since.")
    reserved_at: AwareDatetime
    expires_at: AwareDatetime | None
    dataset_id: str | None
    run_id: str | None = Field(description="The run that it was made for.")
    slices: list[SliceAnswer]


class ReservationsAnswer(_Shown):
    """A page of reservations, oldest first."""

    account_id: str
    reservations: list[ReservationAnswer]
    next_after: str | None = Field(description="Pass as `after` for the next page; null on the last.")


REQUEST_EXAMPLES: dict[str, Any] = {
    "estimate": {"summary": "Only the price", "value": {"estimate": True}},
    "run": {
        "summary": "A run that may be retried safely",
        "value": {
            "column_mapping": {"prompt": "question", "completion": "answer", "context": ["topic"]},
            "recipe_specification": {"recipes": {"deduplication": True, "reasoning_traces": True}},
            "brand_controls": {"length": "detailed", "safety_categories": ["violence"]},
            "job_specification": {"max_rows": 500, "idempotency_key": "order-1"},
        },
    },
}


def request_schema() -> dict[str, Any]:
    """The JSON schema of a run request, whole, so that it stands in any application's OpenAPI document."""
    schema = RunRequest.model_json_schema()
    inlined: dict[str, Any] = _inlined(schema, schema.pop("$defs"))
    return inlined


def _inlined(part: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(part, list):
        return [_inlined(item, definitions) for item in part]
    if not isinstance(part, dict):
        return part
    reference = part.get("$ref")
    if reference is not None:
        beside = {name: value for name, value in part.items() if name != "$ref"}
        return _inlined(definitions[reference.rpartition("/")[2]], definitions) | beside
    return {name: _inlined(item, definitions) for name, item in part.items()}


def _refusal(description: str, status: int, error: str, code: str, message: str, **fields: Any) -> dict[str, Any]:
    example = {"statusCode": status, "error": error, "message": message, "code": code} | fields
    return {
        "model": RefusalAnswer,
        "description": description,
        "content": {"application/json": {"example": example}},
    }


_ROWS = "must be a whole number from 1 to 9223372036854775807, not 0. Leave it out to process every row."
_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: _refusal(
        "The request is wrong, contradicts itself, or names what the dataset lacks.",
        400, "Bad Request", "request_rejected", f"job_specification.max_rows: {_ROWS}",
        issues=[{"path": "job_specification.max_rows", "code": "rows_invalid", "message": _ROWS}],
    ),
    401: _refusal(
        "The bearer token is missing or unknown.", 401, "Unauthorized", "not_authenticated",
        "The bearer token is missing or unknown. Send it as `Authorization: Bearer <token>`.",
    ),
    402: _refusal(
        "The account cannot pay for the run.", 402, "Payment Required", "insufficient_credits",
        "Account 'acme' has 2 credits available and 2.5 are needed. Grant more credits, or set max_rows to 200 or "
        "fewer.", account_id="acme", requested=2.5, available=2, affordable_rows=200,
    ),
    404: _refusal(
        "The account has no such dataset, or no such reservation.", 404, "Not Found", "dataset_not_found",
        "No dataset 'd1' exists in this account. Check its id.", dataset_id="d1",
    ),
    408: _refusal(
        "The body has not come whole in time.", 408, "Request Timeout", "body_too_slow",
        "The body has not come whole within 30 seconds. Send the request again.", field="body",
    ),
    409: _refusal(
        "A run is active on the dataset, or its rows are not counted yet: `x-should-retry` is false. Without that "
        "header, another request holds the account: send this one again.",
        409, "Conflict", "run_already_active",
        f"Run '{_RUN}' is still active on dataset 'd1'. Wait for it to end, or cancel it, before launching another.",
        dataset_id="d1", run_id=_RUN,
    ),
    413: _refusal(
        "The body is too large.", 413, "Payload Too Large", "body_too_large",
        "The body has more than 262144 bytes. Send a smaller one.", field="body", bytes_max=262144,
    ),
    422: _refusal(
        "The idempotency key was used for another request.", 422, "Unprocessable Entity", "idempotency_conflict",
        "Key 'order-1' was already used for a different request. Use a new key for a new request; repeat a request "
        "unchanged to get its first answer.", key="order-1",
    ),
    503: _refusal(
        "The database is briefly unavailable; `Retry-After` says when to send the request again.", 503,
        "Service Unavailable", "database_unavailable",
        "The database is briefly unavailable. Send the request again, unchanged.",
    ),
}  # fmt: skip
_OTHERS: dict[int | str, dict[str, Any]] = {"4XX": {"model": RefusalAnswer, "description": "Any other refusal."}}


def run_responses(model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """The answers of a route that launches runs."""
    return {200: {"model": model}, **_REFUSALS}


def read_responses(model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """The answers of a route that only reads."""
    return {200: {"model": model}, **{status: _REFUSALS[status] for status in (400, 401, 404, 503)}, **_OTHERS}
