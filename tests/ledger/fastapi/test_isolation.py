"""One account can neither see nor move anything of another's, through any route that there is."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.routing import APIRoute
from sqlalchemy import text
from sqlalchemy.orm import Session

import ledger
from ledger.schema.tables import metadata
from tests.ledger.fastapi.conftest import BODY, TOKENS, Service, keyed

INTRUSIONS: dict[tuple[str, str], list[tuple[str, Any]]] = {
    ("POST", "/datasets/{dataset_id}/run"): [("datasets/d1/run", keyed("k")), ("datasets/d1/run", {"estimate": True})],
    ("POST", "/datasets/{dataset_id}/adapt"): [("datasets/d1/adapt", keyed("k")), ("datasets/d1/adapt", BODY)],
    ("GET", "/datasets/{dataset_id}/status"): [("datasets/d1/status", None)],
    ("GET", "/balance"): [("balance", None), ("balance?account_id=acme", None)],
    ("GET", "/statement"): [("statement", None), ("statement?account_id=acme", None), ("statement?after=1", None)],
    ("GET", "/reservations"): [
        ("reservations", None),
        ("reservations?after=acme/r1", None),
        ("reservations?account_id=acme", None),
    ],
    ("GET", "/reservations/{reservation_id:path}"): [
        ("reservations/acme/r2", None),
        ("reservations/beta/../acme/r2", None),
        ("reservations/acme%2Fr2", None),
    ],
}
"""What account beta tries by each route, on what is acme's."""


def _routes(service: Service) -> set[tuple[str, str]]:
    """Every route of the service that answers for an account, by method and path."""
    found = _walk(service.app.router)
    return {
        (method, route.path.removeprefix("/api/v1"))
        for route in found
        if route.path.startswith("/api/v1")
        for method in route.methods or ()
    }


def _walk(router: Any) -> list[APIRoute]:
    found: list[APIRoute] = []
    for route in router.routes:
        if isinstance(route, APIRoute):
            found.append(route)
        for inner in (getattr(route, "original_router", None), getattr(route, "router", None)):
            if inner is not None and inner is not router:
                found += _walk(inner)
    return found


def _rows(service: Service, account_id: str) -> list[str]:
    """All rows of an account."""
    with Session(service.engine) as session:
        return [
            repr(row)
            for table in metadata.sorted_tables
            for row in session.execute(
                text(f"SELECT * FROM {table.name} WHERE account_id = :account_id ORDER BY 1, 2"),
                {"account_id": account_id},
            ).all()
        ]


def _send(service: Service, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
    content = {} if body is None else {"json": body}
    return service.client.request(method, f"/api/v1/{path}", headers=headers, **content)


def test_every_route_is_tried_here(service: Service) -> None:
    assert _routes(service) == set(INTRUSIONS)


def test_no_route_shows_or_moves_what_is_another_accounts(any_service: Service) -> None:
    run_id = any_service.post(keyed("k")).json()["run_id"]
    before = _rows(any_service, "acme")
    for (method, _), tries in INTRUSIONS.items():
        for path, body in tries:
            answer = _send(any_service, method, path, body, {"Authorization": "Bearer token-of-beta"})
            assert answer.status_code < 500
            assert answer.status_code != 200 or answer.json()["account_id"] == "beta"
            assert run_id not in answer.text
            assert '"held":17' not in answer.text
    assert _rows(any_service, "acme") == before


ODD_IDS = [
    "d1%00",
    "%64%31",
    "d1%0a",
    "..%2Fd1",
    "d1%2F..%2Fd1",
    "x" * 5000,
    "%ff",
    "%ED%A0%80",
    "%F0%9F%92%B8",
    "D1",
    "%25",
]
"""What is no dataset of beta's, however a server or a database might read it."""


@pytest.mark.parametrize("odd", ODD_IDS, ids=lambda odd: odd[:20])
def test_no_spelling_of_an_id_leads_to_another_account_or_to_a_defect(service: Service, odd: str) -> None:
    service.post(keyed("k"))
    before = _rows(service, "acme")
    bearer = {"Authorization": "Bearer token-of-beta"}
    for method, path, body in (
        ("POST", f"datasets/{odd}/run", keyed("k")),
        ("POST", f"datasets/{odd}/adapt", {"estimate": True}),
        ("GET", f"datasets/{odd}/status", None),
        ("GET", f"reservations/{odd}", None),
        ("GET", f"reservations/acme/r2{odd}", None),
        ("GET", f"reservations?after={odd}", None),
    ):
        answer = _send(service, method, path, body, bearer)
        assert answer.status_code in (400, 404), (path, answer.text)
    assert _rows(service, "acme") == before


def test_of_several_tokens_none_counts(service: Service) -> None:
    """A proxy in front may have looked at the other one."""
    for tokens in (("acme", "beta"), ("acme", "acme"), ("beta", "nobody")):
        headers = [("Authorization", f"Bearer token-of-{name}") for name in tokens]
        answer = service.client.get("/api/v1/balance", headers=headers)  # type: ignore[arg-type]
        assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic token-of-acme"},
        {"Authorization": "token-of-acme"},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer token-of-acme token-of-acme"},
        {"Authorization": "Bearer t\u00f6ken".encode("latin-1")},
        {"Authorization": b"Bearer \xff\x00"},
        {"Authorization": "Bearer " + "x" * 100_000},
        {"Cookie": "Authorization=Bearer token-of-acme"},
    ],
)
def test_no_route_answers_without_an_accounts_token(service: Service, headers: dict[str, str]) -> None:
    for (method, _), tries in INTRUSIONS.items():
        answer = _send(service, method, *tries[0], headers)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert answer.json()["code"] == "not_authenticated"
        assert not any(token in answer.text for token in TOKENS)


def test_a_hold_without_a_run_of_anothers_cannot_be_read_by_its_id(service: Service) -> None:
    with Session(service.engine) as session, session.begin():
        hold = ledger.reserve(session, "acme", 1).reservation_id
    answers = [service.get(f"reservations/{name}", token="token-of-beta") for name in (hold, "acme/r999")]
    assert [answer.status_code for answer in answers] == [404, 404]
