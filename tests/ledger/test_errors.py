"""Refusals: stable codes, status hints, typed fields, and a sentence that says what to do."""

from __future__ import annotations

import copy
import inspect
import pickle
from decimal import Decimal
from typing import Any

import pytest

import ledger
from ledger import errors
from ledger.errors import Finding

EXAMPLES: list[tuple[errors.LedgerError, str, int, dict[str, Any]]] = [
    (errors.CommandInvalid("amount", "is 0."), "command_invalid", 400, {"field": "amount"}),
    (
        errors.InsufficientCredits("acme", Decimal("5.5"), Decimal(2), 20),
        "insufficient_credits",
        402,
        {"account_id": "acme", "requested": "5.5", "available": "2", "affordable_rows": 20},
    ),
    (
        errors.LimitExceeded("acme", "credits per day of project 'p1'", Decimal(5), Decimal(2)),
        "limit_exceeded",
        402,
        {"account_id": "acme", "limit": "credits per day of project 'p1'", "requested": "5", "left": "2"},
    ),
    (
        errors.RefundExceedsCapture("acme/r1", Decimal(3), Decimal("2.5")),
        "refund_exceeds_capture",
        409,
        {"reservation_id": "acme/r1", "requested": "3", "refundable": "2.5"},
    ),
    (
        errors.GrantEnded("acme/g1", "revoked"),
        "grant_ended",
        409,
        {"grant_id": "acme/g1", "state": "revoked"},
    ),
    (errors.AccountNotFound("acme"), "account_not_found", 404, {"account_id": "acme"}),
    (errors.GrantNotFound("acme/g1"), "grant_not_found", 404, {"grant_id": "acme/g1"}),
    (errors.ReservationNotFound("acme/r1"), "reservation_not_found", 404, {"reservation_id": "acme/r1"}),
    (errors.PeriodNotClosable("2026-11", "ends later."), "period_not_closable", 409, {"period": "2026-11"}),
    (errors.RunNotFound("dataset-d-1"), "run_not_found", 404, {"run_id": "dataset-d-1"}),
    (
        errors.ReservationNotHeld("acme/r1", "released"),
        "reservation_not_held",
        409,
        {"reservation_id": "acme/r1", "state": "released"},
    ),
    (
        errors.CaptureExceedsReservation("acme/r1", Decimal(3), Decimal("2.5")),
        "capture_exceeds_reservation",
        409,
        {"reservation_id": "acme/r1", "requested": "3", "held": "2.5"},
    ),
    (
        errors.RunAlreadyActive("d1", "dataset-d1-5"),
        "run_already_active",
        409,
        {"dataset_id": "d1", "run_id": "dataset-d1-5"},
    ),
    (errors.QueueFull(5), "queue_full", 503, {"queue_max": 5}),
    (errors.BatcherClosed(), "batcher_closed", 503, {}),
    (errors.NotCarriedOut("The database failed", "k"), "not_carried_out", 503, {"key": "k"}),
    (errors.OutcomeUnknown("The database failed"), "outcome_unknown", 504, {}),
    (errors.IdempotencyConflict("k"), "idempotency_conflict", 422, {"key": "k"}),
    (
        errors.AuditFailed([Finding("acme", 3, "entry_altered", "its hash is wrong")]),
        "audit_failed",
        500,
        {"findings": ["account 'acme', entry 3: entry_altered: its hash is wrong"]},
    ),
    (errors.CheckpointInvalid("is no checkpoint. Name another."), "checkpoint_invalid", 400, {}),
    (errors.CommitUnknown(), "commit_unknown", 503, {}),
    (errors.SchemaMismatch(None, "0001"), "schema_mismatch", 500, {"expected": "0001"}),
    (
        errors.UpgradeBlocked("The upgrade waited 5s for the table ledger_grant", "ledger_grant", [7]),
        "upgrade_blocked",
        503,
        {"table": "ledger_grant", "holders": [7]},
    ),
    (errors.UpgradeNotScripted("rows are read", "0001"), "upgrade_not_scripted", 500, {"found": "0001"}),
    (errors.DistributionUnavailable("there is one server. Add some."), "distribution_unavailable", 500, {}),
    (errors.SessionUnusable("is none. Pass a Session."), "session_unusable", 500, {}),
    (
        errors.DatabaseUnsupported("mysql", "mysqldb", "sqlite://"),
        "database_unsupported",
        500,
        {"dialect": "mysql", "driver": "mysqldb"},
    ),
    (errors.EngineUnusable("is none. Make one."), "engine_unusable", 500, {}),
    (errors.PreparedStatementsLost(), "prepared_statements_lost", 500, {}),
    (errors.AccountsHidden("app"), "accounts_hidden", 500, {"role": "app"}),
    (errors.TransactionEnded(), "transaction_ended", 500, {}),
]


@pytest.mark.parametrize(("error", "code", "status", "fields"), EXAMPLES, ids=lambda value: getattr(value, "code", ""))
def test_a_refusal_has_a_code_a_status_typed_fields_and_a_sentence(
    error: errors.LedgerError, code: str, status: int, fields: dict[str, Any]
) -> None:
    assert (error.code, error.status_hint) == (code, status)
    assert error.to_dict() == {"code": code, "message": str(error)} | fields
    assert str(error).endswith(".")


@pytest.mark.parametrize("error", [example[0] for example in EXAMPLES], ids=lambda error: error.code)
def test_a_refusal_survives_pickling_and_copying(error: errors.LedgerError) -> None:
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is type(error)
        assert twin.to_dict() == error.to_dict()
        assert vars(twin) == vars(error)


def test_every_refusal_is_drawn_in_the_tree_and_has_an_example_here() -> None:
    kinds = {
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.LedgerError) and kind is not errors.LedgerError
    }
    assert {type(example[0]) for example in EXAMPLES} == kinds
    for kind in kinds:
        assert f"{kind.__name__} " in str(errors.__doc__)
        assert str(kind.status_hint) in str(errors.__doc__)
        assert getattr(ledger, kind.__name__) is kind


def test_a_shortage_says_how_to_proceed() -> None:
    def shortage(rows: int | None) -> str:
        return str(errors.InsufficientCredits("acme", Decimal(5), Decimal(2), rows))

    assert shortage(None).endswith("Grant more credits, or ask for less.")
    assert shortage(20).endswith("Grant more credits, or set max_rows to 20 or fewer.")
    assert shortage(0).endswith("Grant more credits: not even one row is payable.")


def test_the_public_names_are_these() -> None:
    assert ledger.__all__ == sorted(ledger.__all__)
    assert all(hasattr(ledger, name) for name in ledger.__all__)
