"""What the host of the routes supplies: who asks, which dataset, at what prices, and what else belongs to a launch."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.orm import Session

from estimator import DatasetProfile, RateCardBook, RunRequest
from ledger.model.values import Launch

AccountResolver = Callable[[str], str | Awaitable[str | None] | None]
"""From a bearer token to the id of its account, None for nobody's. A plain function runs in a thread."""

ProfileLookup = Callable[[Session, str, str], DatasetProfile | None]
"""From account id and dataset id to the dataset's profile, None where the account has no such dataset.

It runs within the transaction of the launch, on the same session, so that it may read the host's own tables. What is
not counted yet has a `row_count` of None, or raises `RowCountUnknown`. It must look at the account: one account's
dataset is unknown to another.
"""

LaunchHook = Callable[[Session, Launch, RunRequest], object]
"""Is told of each run that is launched, not of replays and estimates, within the transaction that holds its credits:
what it writes commits with the hold, or not at all. What it raises undoes the launch.

The place to keep a `language_expansion` that the request sets or clears. Not the place to start a pipeline.
"""

ProgressLookup = Callable[[Session, str, str], int | None]
"""From account id and run id to how many rows the run has processed so far, None where nobody counts."""


@dataclass(frozen=True, slots=True)
class LaunchTerms:
    """What the host adds to a launch: see `ledger.launch`."""

    discount: str | None = None
    voucher: str | None = None
    labels: dict[str, str] | None = None
    expires_in: timedelta | None = None
    grace: timedelta | None = None


TermsLookup = Callable[[Session, str, str], LaunchTerms]
"""From account id and dataset id to the terms of a launch."""


@dataclass(frozen=True, slots=True)
class Host:
    """Everything that the routes ask of their host."""

    profiles: ProfileLookup
    cards: RateCardBook | Callable[[], RateCardBook]
    on_launch: LaunchHook | None
    progress: ProgressLookup | None
    terms: TermsLookup
    outbox: bool

    def book(self) -> RateCardBook:
        """The rate cards to price with now."""
        return self.cards if isinstance(self.cards, RateCardBook) else self.cards()
