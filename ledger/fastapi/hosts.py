"""What the host of the routes supplies: accounts of tokens, profiles of datasets, rate cards, and terms of a launch."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.orm import Session

from estimator import DatasetProfile, RateCardBook, RunRequest
from ledger.model.values import Launch

AccountResolver = Callable[[str], str | Awaitable[str | None] | None]
"""From a bearer token to the id of its account; None for an unknown token. A plain function runs in a thread."""

ProfileLookup = Callable[[Session, str, str], DatasetProfile | None]
"""From account id and dataset id to the dataset's profile, None where the account has no such dataset.

It runs in the transaction of the launch, on the same session, so it may read the host's own tables. For a dataset
whose rows are not counted yet it returns a profile with a `row_count` of None, or raises `RowCountUnknown`. It must
check the account: a dataset of another account is unknown.
"""

LaunchHook = Callable[[Session, Launch, RunRequest], object]
"""Called for each launched run, not for replays and estimates, in the transaction that holds its credits: what it
writes commits with the hold, or not at all. An exception that it raises undoes the launch.

Keep a `language_expansion` here that the request sets or clears. Do not start a pipeline here: the hold may not commit.
"""

ProgressLookup = Callable[[Session, str, str], int | None]
"""From account id and run id to the number of rows processed so far; None where it is unknown."""


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
    """Everything that the routes need from their host."""

    profiles: ProfileLookup
    cards: RateCardBook | Callable[[], RateCardBook]
    on_launch: LaunchHook | None
    progress: ProgressLookup | None
    terms: TermsLookup
    outbox: bool

    def book(self) -> RateCardBook:
        """The rate cards to price with now."""
        return self.cards if isinstance(self.cards, RateCardBook) else self.cards()
