"""Whatever body comes, the service answers it: never with a defect, always with the field, and the book stays clean.

Each example is many bodies; `--long` sends 200,000 of them, half of them on each database.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

import ledger
from estimator import DatasetProfile, RunOutcome
from ledger.fastapi.models import request_schema
from tests.ledger.fastapi.conftest import COLUMNS, Service, fill, host
from tests.postgres import Databases
from tests.wire_bodies import bodies

NAMED = {400: "issues", 402: "requested", 409: "dataset_id", 413: "field", 422: "key"}
"""What the body of a refusal names beside its sentence."""

BODIES = 10
"""In an example: more than it can draw would be no example."""

LONG_EXAMPLES = 10_000
"""On each of two databases: 200,000 bodies."""

IS_LONG = settings().max_examples > 1_000
DATASETS = 40


@pytest.fixture(scope="module")
def sqlite_of_module(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('service') / 'book.sqlite'}"


@pytest.fixture(scope="module")
def postgresql_of_module(postgres: Databases) -> Iterator[str]:
    url = postgres.create()
    yield url
    postgres.drop(url)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    """A service whose account can pay for long, with datasets enough to find one without an active run."""
    engine = ledger.create_engine(request.getfixturevalue(f"{request.param}_of_module"))
    fill(engine)
    with Session(engine) as session, session.begin():
        ledger.grant_credits(session, "acme", 1_000_000)
    names = {f"d{number}" for number in range(DATASETS)}

    def profile(session: Session, account_id: str, dataset_id: str) -> DatasetProfile | None:
        return DatasetProfile(1640, COLUMNS) if dataset_id in names else None

    app = host(engine, profiles=profile, body_bytes_max=20_000)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield Service(client, engine, app)
    with Session(engine) as session:
        ledger.require_clean(session)
        # Some were no mistake: those got to the book.
        assert ledger.get_balance(session, "acme").consumed > 0
    engine.dispose()


def end(service: Service, run_id: str | None) -> None:
    """End a run of which one row was delivered, so that the next one of its dataset may start."""
    if run_id is not None:
        with Session(service.engine) as session, session.begin():
            ledger.settle_run(session, account_id="acme", run_id=run_id, outcome=RunOutcome("succeeded", 1, 1))


_BODY = bodies(request_schema())
_PATHS = st.sampled_from(["run", "adapt"])


# A list of bodies is not made smaller by itself: the one that failed is told by its own assertion.
@settings(
    max_examples=LONG_EXAMPLES if IS_LONG else settings().max_examples,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_no_body_is_answered_with_a_defect_and_every_refusal_names_its_field(service: Service, data: Any) -> None:
    for _ in range(BODIES):
        body = data.draw(_BODY)
        dataset = data.draw(st.integers(0, DATASETS))
        answer = service.post(body, f"d{dataset}", path=data.draw(_PATHS))
        assert answer.status_code < 500, (body, answer.text)
        if answer.status_code == 200:
            end(service, answer.json().get("run_id"))
        else:
            refusal = answer.json()
            assert refusal["statusCode"] == answer.status_code
            assert refusal["message"]
            assert refusal["code"]
            named = NAMED.get(answer.status_code)
            assert named is None or refusal[named], (body, refusal)
            assert all(issue["path"] for issue in refusal.get("issues", [])), (body, refusal)
