"""From bearer tokens to accounts."""

from __future__ import annotations

import asyncio

from ledger.fastapi import Tokens
from tests.ledger.fastapi.conftest import TOKENS, Mount


def test_tokens_are_found_whole_and_kept_as_digests_only() -> None:
    tokens = Tokens(TOKENS)
    given = ("token-of-acme", "token-of-beta", "token-of-acm", "token-of-acmee", "", "\ud800")
    assert [asyncio.run(tokens(token)) for token in given] == ["acme", "beta", None, None, None, None]
    assert "token-of-acme" not in repr(vars(tokens))


def test_an_account_is_resolved_by_a_function_of_either_kind(mount: Mount) -> None:
    async def resolve(token: str) -> str | None:
        await asyncio.sleep(0)
        return TOKENS.get(token)

    for accounts in (TOKENS.get, resolve, Tokens(TOKENS)):
        service = mount(accounts=accounts)
        assert service.get("balance").json()["account_id"] == "acme"
        assert service.get("balance", token="token-of-beta").json()["account_id"] == "beta"
        assert service.get("balance", token="nobody").status_code == 401
