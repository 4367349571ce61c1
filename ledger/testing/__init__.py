"""For tests of what you build on the ledger: a database in memory, an invariant check, and a model to compare with.

    from ledger.testing import assert_sound, memory_engine

    with memory_engine() as engine, Session(engine) as session:
        ledger.open_account(session, "acme")
        ledger.grant_credits(session, "acme", 10)
        assert_sound(session)

With pytest, `pytest_plugins = ["ledger.testing.fixtures"]` gives the fixtures `ledger_engine` and `ledger_session`.
With Hypothesis (`pip install 'run-credits[testing]'`), `ledger.testing.machine.run_machine(engine)` sends commands in
any order to the ledger on your engine and to a model that keeps every credit as an object, and compares the two.
"""

from __future__ import annotations

from ledger.testing.engines import memory_engine
from ledger.testing.invariants import assert_sound

__all__ = ["assert_sound", "memory_engine"]
