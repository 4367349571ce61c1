"""The augmentation API's routes for a FastAPI service of yours: mount them, and the public client works against it.

Needs the extra `fastapi`.

    import ledger
    from estimator import DatasetProfile, RateCardBook, shipped_card
    from fastapi import FastAPI
    from ledger.fastapi import create_router

    engine = ledger.create_engine("sqlite:///credits.sqlite")
    ledger.upgrade(engine)
    DATASETS = {("acme", "d1"): DatasetProfile(row_count=164, columns=("prompt", "canonical_solution"))}


    def profiles(session, account_id, dataset_id):
        return DATASETS.get((account_id, dataset_id))


    def start(run):
        print("start the pipeline for", run.run_id, "unless", run.start_id, "is known already")


    app = FastAPI()
    app.include_router(
        create_router(
            engine,
            accounts={"secret": "acme"}.get,
            profiles=profiles,
            cards=RateCardBook([shipped_card("observed")]),
            start=start,
        )
    )
"""

from __future__ import annotations

try:
    import fastapi as _framework  # noqa: F401
except ImportError as error:
    raise ImportError("ledger.fastapi needs FastAPI. Run `pip install 'run-credits[fastapi]'`.") from error

from ledger.fastapi.hosts import (
    AccountResolver,
    LaunchHook,
    LaunchTerms,
    ProfileLookup,
    ProgressLookup,
    TermsLookup,
)
from ledger.fastapi.identity import Tokens
from ledger.fastapi.refusals import (
    BodyTooLarge,
    BodyTooSlow,
    DatasetNotFound,
    LaunchInFlight,
    NotAuthenticated,
    RequestRefused,
    Unavailable,
    install_error_handlers,
)
from ledger.fastapi.router import create_router
from ledger.fastapi.telemetry import JSONLines

__all__ = [
    "AccountResolver",
    "BodyTooLarge",
    "BodyTooSlow",
    "DatasetNotFound",
    "JSONLines",
    "LaunchHook",
    "LaunchInFlight",
    "LaunchTerms",
    "NotAuthenticated",
    "ProfileLookup",
    "ProgressLookup",
    "RequestRefused",
    "TermsLookup",
    "Tokens",
    "Unavailable",
    "create_router",
    "install_error_handlers",
]
