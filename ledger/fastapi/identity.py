"""Authentication: from the bearer token of a request to its account."""

import hmac
import inspect
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Annotated, Any

from anyio import to_thread
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from ledger.fastapi.hosts import AccountResolver
from ledger.fastapi.refusals import NotAuthenticated
from ledger.fastapi.routing import facts_of

_BEARER = HTTPBearer(auto_error=False, description="The account's token.")


def authenticator(accounts: AccountResolver) -> Callable[..., Any]:
    """A dependency that answers the account id of a request. Raises `NotAuthenticated`."""
    # The `get` of a dictionary does not block, and handing it to a thread would cost more than the call.
    at_once = inspect.iscoroutinefunction(accounts) or isinstance(getattr(accounts, "__self__", None), dict)

    async def authenticated(
        request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]
    ) -> str:
        # Several headers are refused: a proxy in front may have checked another one than this function reads.
        if credentials is None or not credentials.credentials or len(request.headers.getlist("authorization")) > 1:
            raise NotAuthenticated
        token = credentials.credentials
        found = accounts(token) if at_once else await to_thread.run_sync(accounts, token)
        account_id = await found if inspect.isawaitable(found) else found
        if account_id is None:
            raise NotAuthenticated
        facts_of(request).account_id = account_id
        return account_id

    return authenticated


class Tokens:
    """A resolver over a fixed set of tokens, in constant time: a wrong token takes as long as a right one.

    It keeps digests of the tokens only.
    """

    def __init__(self, accounts: Mapping[str, str]) -> None:
        self._accounts = [(_digest(token), account_id) for token, account_id in accounts.items()]

    async def __call__(self, token: str) -> str | None:
        """The account of a token; None for an unknown token."""
        given, found = _digest(token), None
        for known, account_id in self._accounts:
            # No early exit, so that the time taken says nothing about which token was nearly right.
            if hmac.compare_digest(known, given):
                found = account_id
        return found


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
