"""The ledger against a model that counts credits on its fingers, on both databases, in any order of commands."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from ledger.testing.machine import run_machine
from tests.laws import examples


def test_the_ledger_is_the_model_in_any_order_of_commands(engine: Engine) -> None:
    run_machine(engine, examples=examples(20))


@pytest.mark.external
def test_the_ledger_is_the_model_in_many_more_orders(engine: Engine) -> None:
    """Some of the long mode: about a minute on each database."""
    run_machine(engine, examples=100)
