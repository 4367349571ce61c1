"""What the ledger answers: frozen values whose figures add up."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import get_args

import pytest

from ledger.model import values
from ledger.model.values import Balance, Bucket

AT = datetime(2026, 3, 1, tzinfo=UTC)


def test_the_six_places_of_a_balance_sum_to_what_was_issued_and_what_is_owed_is_none_of_them() -> None:
    amounts = [Decimal(2) ** power for power in range(6)]
    balance = Balance("acme", AT, *amounts, owed=Decimal(1000))
    assert balance.issued == 63
    places = {bucket.value for bucket in Bucket} - {"issued"}
    assert {field.name for field in fields(Balance)} == places | {"account_id", "at", "owed"}


@pytest.mark.parametrize("kind", get_args(values.Result), ids=lambda kind: kind.__name__)
def test_an_answer_is_frozen_and_names_its_account(kind: type) -> None:
    """A run's settlement names it by the run and the reservation."""
    names = {field.name for field in fields(kind)}
    assert "account_id" in names or "reservation_id" in names
    with pytest.raises(FrozenInstanceError):
        setattr(kind.__new__(kind), fields(kind)[0].name, "other")
