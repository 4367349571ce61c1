"""The outbox beside a model of it: whatever is launched, ended, failed, given back and delivered, in any order."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlalchemy.orm import Session

import ledger
from estimator import DatasetProfile, RateCardBook, RunOutcome, RunRequest, shipped_card
from ledger.testing import memory_engine

START = datetime(2026, 6, 1, tzinfo=UTC)
ACCOUNTS = ("acme", "beta")
PAUSE, PAUSE_MAX = 2, 15
_CARDS = RateCardBook([shipped_card("example")])
_PROFILE = DatasetProfile(row_count=5, columns=("prompt",))
_REQUEST = RunRequest.from_wire({"column_mapping": {"prompt": "prompt"}})

# How many at most, which of every so many fail, and whether the delivery is committed.
DELIVER = st.tuples(st.just("deliver"), st.integers(1, 4), st.sampled_from([1, 2, 99]), st.sampled_from([True, False]))
LAUNCH = st.tuples(st.just("launch"), st.sampled_from(ACCOUNTS), st.sampled_from([None, None, 2, 4]))
PASS = st.tuples(st.just("pass"), st.integers(1, 3))
END = st.tuples(st.just("end"), st.integers(0, 9), st.sampled_from(["settle", "release"]))
STEPS = st.lists(st.one_of(DELIVER, LAUNCH, PASS, DELIVER, END, st.just(("expire",))), min_size=12, max_size=30)


@dataclass(slots=True)
class Start:
    """A start as the model has it; moments are seconds."""

    start_id: str
    place: tuple[str, int]
    launch: ledger.Launch
    due: int
    lapses: int | None
    attempts: int = 0
    state: str = "waiting"
    is_ended: bool = False


@dataclass(slots=True)
class Model:
    """What the outbox has to be, and all that handlers were given in deliveries that were committed."""

    engine: Engine
    now: int = 0
    starts: list[Start] = field(default_factory=list)
    handed: list[str] = field(default_factory=list)

    def at(self) -> datetime:
        return START + timedelta(seconds=self.now)

    def launch(self, account_id: str, lasts: int | None) -> None:
        """Launch a run of a dataset of its own."""
        with Session(self.engine) as session, session.begin():
            launched = ledger.launch(
                session, account_id=account_id, dataset_id=f"d{len(self.starts)}", profile=_PROFILE, request=_REQUEST,
                cards=_CARDS, at=self.at(), expires_in=None if lasts is None else timedelta(seconds=lasts),
            )  # fmt: skip
        number = int(str(launched.reservation_id).rpartition("/r")[2])
        lapses = None if lasts is None else self.now + lasts
        self.starts.append(Start(f"{account_id}/o{number}", (account_id, number), launched, self.now, lapses))

    def end(self, index: int, how: str) -> None:
        """Settle a run or release its hold, which is refused where it has ended already."""
        if not self.starts:
            return
        start = self.starts[index % len(self.starts)]
        run = start.launch
        try:
            with Session(self.engine) as session, session.begin():
                if how == "release":
                    ledger.release(session, str(run.reservation_id), at=self.at())
                else:
                    outcome = RunOutcome("succeeded", 5, 5)
                    run_id = str(run.run_id)
                    ledger.settle_run(session, account_id=run.account_id, run_id=run_id, outcome=outcome, at=self.at())
        except ledger.ReservationNotHeld:
            assert self.has_ended(start)
        start.is_ended = True

    def expire(self) -> None:
        """Record what has lapsed."""
        with Session(self.engine) as session, session.begin():
            ledger.expire_due(session, at=self.at())

    def has_ended(self, start: Start) -> bool:
        return start.is_ended or (start.lapses is not None and start.lapses <= self.now)

    def deliver(self, limit: int, every: int, is_committed: bool) -> None:
        """Deliver beside the model, by a handler that fails now and then."""
        given: list[str] = []

        def handler(start: ledger.RunStart) -> None:
            given.append(start.start_id)
            if len(given) % every == 0:
                raise OSError

        pauses = {"pause": timedelta(seconds=PAUSE), "pause_max": timedelta(seconds=PAUSE_MAX)}
        with Session(self.engine) as session:
            report = ledger.deliver_outbox(session, handler, limit=limit, at=self.at(), **pauses)
            session.commit() if is_committed else session.rollback()
        due = [start for start in self.starts if start.state == "waiting" and start.due <= self.now]
        due.sort(key=lambda start: (start.due, start.place))
        said: dict[str, list[str]] = {"delivered": [], "failed": [], "withdrawn": []}
        asked = []
        for start in due[:limit]:
            if self.has_ended(start):
                said["withdrawn"].append(start.start_id)
                continue
            asked.append(start.start_id)
            said["failed" if len(asked) % every == 0 else "delivered"].append(start.start_id)
        assert given == asked
        assert report == ledger.DeliveryReport(**{name: tuple(ids) for name, ids in said.items()})
        if is_committed:
            self.handed += given
            self.note(said)

    def note(self, said: dict[str, list[str]]) -> None:
        """Take over what a committed delivery did."""
        found: dict[str, Any] = {start.start_id: start for start in self.starts}
        for state in ("delivered", "withdrawn"):
            for start_id in said[state]:
                found[start_id].state = state
                found[start_id].attempts += state == "delivered"
        for start_id in said["failed"]:
            start = found[start_id]
            start.due = self.now + min(PAUSE_MAX, PAUSE * 2**start.attempts)
            start.attempts += 1

    def check(self) -> None:
        """The whole table says what the model does, and the book proves itself."""
        with Session(self.engine) as session:
            stored = {standing.start_id: standing for standing in ledger.list_outbox(session, state=None, limit=1000)}
            ledger.require_clean(session)
        for start in self.starts:
            standing = stored.pop(start.start_id)
            due = START + timedelta(seconds=start.due)
            assert (standing.state, standing.attempts, standing.next_attempt_at) == (start.state, start.attempts, due)
        assert stored == {}


@given(steps=STEPS)
def test_the_outbox_does_what_its_model_does(steps: list[tuple[Any, ...]]) -> None:
    with memory_engine() as engine:
        with Session(engine) as session, session.begin():
            for name in ACCOUNTS:
                ledger.open_account(session, name, at=START)
                ledger.grant_credits(session, name, 10_000, at=START)
        model = Model(engine)
        for kind, *arguments in steps:
            if kind == "pass":
                model.now += arguments[0]
            else:
                getattr(model, kind)(*arguments)
        model.check()
        # With nothing that fails any more, what waits is handed over or has ended.
        while any(start.state == "waiting" for start in model.starts):
            model.now += PAUSE_MAX
            model.deliver(100, 10**6, True)
        model.check()
        delivered = {start.start_id for start in model.starts if start.state == "delivered"}
        assert delivered <= set(model.handed)
