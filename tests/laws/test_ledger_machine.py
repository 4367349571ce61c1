"""The ledger against a model that counts credits on its fingers, on both databases, in any order of commands."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

import ledger
from ledger.testing.machine import run_machine
from tests.laws import examples


def faults_after(engine: Engine, sequences: int) -> list[ledger.Finding]:
    """What an audit finds in the book that some sequences left. The machine fails where ledger and model differ."""
    run_machine(engine, examples=sequences)
    with Session(engine) as session:
        return list(ledger.audit(session))


def test_the_ledger_is_the_model_in_any_order_of_commands(engine: Engine) -> None:
    assert faults_after(engine, examples(20)) == []


@pytest.mark.external
def test_the_ledger_is_the_model_in_many_more_orders(engine: Engine) -> None:
    """Some of the long mode: about a minute on each database."""
    assert faults_after(engine, 100) == []
