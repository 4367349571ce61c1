"""Databases of the command line: their URLs are shown without any secret."""

from __future__ import annotations

import pytest
from sqlalchemy.engine import make_url

from ledger.cli.database import shown_url
from ledger.cli.finance.reconcile import _name
from tests.command_line import Credits

SECRET = "hunter2"
URLS = [
    f"postgresql+psycopg://billing:{SECRET}@host/credits",
    f"postgresql+psycopg://billing@/credits?host=127.0.0.1&port=1&password={SECRET}",
    f"postgresql+psycopg://billing@/credits?host=127.0.0.1&port=1&PassWord={SECRET}",
    f"postgresql+psycopg://billing@host:1/credits?sslpassword={SECRET}&sslmode=disable",
    f"postgresql+psycopg://billing:{SECRET}@/credits?password={SECRET}&host=127.0.0.1&port=1",
    f"sqlite:///book.sqlite?password={SECRET}",
    f"postgresql+psycopg://billing@/credits?host=127.0.0.1&port=1&pwd={SECRET}",
    f"postgresql+psycopg://billing@host/credits?options=-c%20x.y={SECRET}",
    f"postgresql+psycopg://billing@host/credits?oauth_client_secret={SECRET}",
]


@pytest.mark.parametrize("url", URLS)
def test_a_password_is_starred_wherever_a_url_has_it(url: str) -> None:
    """What else the URL says is shown as it is."""
    shown = shown_url(make_url(url))
    assert SECRET not in shown
    assert "***" in shown
    assert ("port=1" in shown) == ("port=1" in url)
    assert SECRET not in _name(url)


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("url", [url for url in URLS if "127.0.0.1" in url])
def test_a_command_that_cannot_reach_its_database_names_it_without_its_password(url: str, as_json: bool) -> None:
    """For a person, and as JSON."""
    said = Credits(url)("balance", "acme", *(["--json"] if as_json else []), status=4)
    assert SECRET not in said
    assert "credits" in said


def test_a_source_that_is_no_url_is_shown_as_it_is() -> None:
    """A file of records has no secret in its name."""
    assert _name("balance.csv") == "balance.csv"


@pytest.mark.parametrize("as_json", [False, True])
def test_a_password_with_an_at_sign_is_refused_unseen(as_json: bool) -> None:
    """It would be taken for a part of the host, and be shown and looked up as such."""
    url = f"postgresql+psycopg://bob:p@{SECRET}@localhost/credits"
    said = Credits(url)("balance", "acme", *(["--json"] if as_json else []), status=2)
    assert SECRET not in said
    assert "%40" in said
