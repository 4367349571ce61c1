"""A route that answers every refusal in the wire's form, and reports each request once: span, metrics, log line."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect

from ledger.fastapi.refusals import refusal_of
from ledger.fastapi.telemetry import Facts, observed

_FACTS = "ledger.fastapi.facts"


def facts_of(request: Request) -> Facts:
    """What is known of the request so far, for its route to add to."""
    facts: Facts = request.scope[_FACTS]
    return facts


class WireRoute(APIRoute):
    """Turns refusals into answers itself; the exception handlers of the application stay the host's."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler of the framework, with refusals answered and requests reported."""
        handle = super().get_route_handler()
        name = self.name

        async def answer(request: Request) -> Response:
            facts = request.scope[_FACTS] = Facts(name)
            with observed(facts):
                try:
                    response = await handle(request)
                except ClientDisconnect:
                    facts.status, facts.code = 400, "client_disconnected"
                    return Response(status_code=400)  # the client is gone: nothing reads it
                except Exception as error:
                    refusal = refusal_of(error)
                    if refusal is None:
                        raise
                    facts.refused(refusal)
                    return refusal.to_response()
                facts.status = response.status_code
                return response

        return answer
