"""What an import must not load: nobody pays for a terminal, a migration or an engine of frames that is not used."""

from __future__ import annotations

import pytest

from benchmarks.imports import FORBIDDEN, forbidden_of


@pytest.mark.parametrize("module", [module for module in FORBIDDEN if module not in ("sqlmodel", "fastapi")])
def test_an_import_loads_nothing_that_only_others_need(module: str) -> None:
    """`import ledger` loads no Alembic and no terminal, `import ledger.fastapi` no terminal."""
    assert forbidden_of(module) == set()
