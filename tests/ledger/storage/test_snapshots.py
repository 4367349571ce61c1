"""What a batch reads of its accounts: the rows that its commands name, and the first of very many grants."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

import ledger
from estimator import RateCardBook, RunOutcome
from ledger.book.states import AccountState
from ledger.model.moments import to_moment
from ledger.schema.tables import metadata
from ledger.storage import cards, journal, queries, snapshots
from ledger.storage.snapshots import Needs
from ledger.storage.stores.base import Request
from tests.ledger.conftest import START, later
from tests.ledger.shorthand import NOW, drawn, grant, is_sound, standing
from tests.ledger.statements import record_requests
from tests.ledger.test_runs import DELIVERED, PLAIN, launch
from tests.ledger.verbs import OUTCOME, launch_command


def test_an_account_of_very_many_grants_burns_them_in_the_same_order(session: Session, empty: str) -> None:
    commands = [
        ledger.GrantCredits("acme", 1, priority=number % 5, expires_at=later(days=1 + number % 3), at=START)
        for number in range(300)
    ]
    ledger.execute(session, commands)
    ledger.execute(session, [ledger.Reserve("acme", 10, at=START) for _ in range(5)])
    hold = ledger.reserve(session, "acme", 200, at=START)
    places = [(g.priority, g.expires_at) for part in hold.slices for g in [standing(session, part.grant_id)]]
    assert places == sorted(places)
    # Reading on from the first page, a batch still sees its own grants in their place.
    late = ledger.GrantCredits("acme", 1, priority=9, at=START)
    _, last = ledger.execute(session, [late, ledger.Reserve("acme", 51, at=START)])
    assert isinstance(last, ledger.Reservation)
    assert len(last.slices) == 51
    assert last.slices[-1].grant_id == "acme/g307"
    with pytest.raises(ledger.InsufficientCredits):
        ledger.reserve(session, "acme", 1, at=START)
    assert is_sound(session)


def test_grants_beyond_the_first_page_are_read_when_they_are_needed(session: Session, empty: str) -> None:
    """Without expiries nothing comes due, and only the first grants in burn order are read at first."""
    numbers = [number % 7 for number in range(200)]
    ledger.execute(session, [ledger.GrantCredits("acme", 1, priority=number, at=START) for number in numbers])
    assert [part for _, part in drawn(session, 10)] == [1] * 10
    # A grant made in the batch has its place behind those that were not read yet.
    batch = [ledger.GrantCredits("acme", 5, priority=6, at=START), ledger.Reserve("acme", 60, at=START)]
    _, hold = ledger.execute(session, batch)
    assert isinstance(hold, ledger.Reservation)
    places = [standing(session, part.grant_id).priority for part in hold.slices]
    assert places == sorted(places)
    assert len(places) == 60
    # More than the first page has is asked for, and then more than there is.
    assert len(drawn(session, 100)) == 100
    assert drawn(session, 35)[-1] == ("acme/g202", 5)
    with pytest.raises(ledger.InsufficientCredits):
        ledger.reserve(session, "acme", 1, at=START)
    assert is_sound(session)


def test_what_a_hold_frees_beyond_the_first_page_keeps_its_place(session: Session, empty: str) -> None:
    last = grant(session, 5, priority=9)
    hold = ledger.reserve(session, "acme", 5, at=START)
    ledger.execute(session, [ledger.GrantCredits("acme", 1, priority=1, at=START) for _ in range(100)])
    freed, all_of_it = ledger.execute(
        session, [ledger.Release(hold.reservation_id, at=START), ledger.Reserve("acme", 104, at=START)]
    )
    assert isinstance(freed, ledger.Reservation)
    assert isinstance(all_of_it, ledger.Reservation)
    assert (all_of_it.slices[-1].grant_id, all_of_it.slices[-1].amount) == (last, 4)
    assert is_sound(session)


def needs_of(*commands: ledger.Command) -> Needs:
    """What commands need, where the clock says the start of the tests' time."""
    return Needs.of(commands, NOW)


def test_what_a_command_names_is_what_is_read_for_it() -> None:
    """Its account, its key in its name space, the hold, run, grant or labels that it names, and its moment."""
    reserve = needs_of(ledger.Reserve("a", 1, "k", labels={"project": "p"}, at=later(5)))
    assert (reserve.accounts, reserve.keys, reserve.labels) == ({"a"}, {("a", "", "k")}, [("a", {"project": "p"})])
    assert (reserve.horizon, reserve.moments) == (to_moment(later(5)), {"a": {to_moment(later(5))}})
    for command in (ledger.Capture("a/r7"), ledger.Release("a/r7"), ledger.Extend("a/r7", timedelta(1))):
        assert needs_of(command).holds == {("a", 7)}
        assert needs_of(command).refunded == set()
    refund = needs_of(ledger.Refund("a/r7"))
    assert (refund.holds, refund.refunded) == ({("a", 7)}, {"a"})
    revoke = needs_of(ledger.RevokeGrant("a/g7"))
    assert (revoke.grants, revoke.all_grants) == ({("a", 7)}, {"a"})
    settle = needs_of(ledger.SettleRun("a", "dataset-d-5", OUTCOME))
    assert (settle.runs, settle.keys) == ({("a", "d", 5)}, {("a", "settle", "dataset-d-5")})
    launch = needs_of(launch_command("a"))
    assert (launch.datasets, launch.cards) == ({("a", "d2")}, {("a", PLAIN.id)})
    assert launch.labels == [("a", {"dataset": "d2"})]


def test_a_batch_needs_what_its_commands_need_up_to_the_latest_of_their_moments() -> None:
    """A moment before the clock's does not make the horizon earlier."""
    needs = needs_of(
        ledger.ExpireDue("a", later(-5)), ledger.Reserve("b", 1, "k"), ledger.GrantCredits("a", 1, at=later(9))
    )
    assert (needs.accounts, needs.keys) == ({"a", "b"}, {("b", "", "k")})
    assert needs.horizon == to_moment(later(9))
    assert needs_of(ledger.ExpireDue("a", later(-5))).horizon == NOW


def read(session: Session, *commands: ledger.Command) -> AccountState:
    """The account `acme` as a batch of these commands reads it."""
    needs = needs_of(*commands)
    return snapshots.read_states(session.connection(), needs, queries.LOCK_ACCOUNTS)["acme"]


def test_a_batch_reads_the_holds_that_it_names_and_those_that_are_due_and_no_others(
    session: Session, acme: str
) -> None:
    for seconds in (5, 6, 7, 100):
        ledger.reserve(session, acme, 1, expires_in=timedelta(seconds=seconds), at=START)
    assert read(session, ledger.Reserve(acme, 1, at=START)).holds == {}
    assert list(read(session, ledger.Capture("acme/r5", at=START)).holds) == [5]
    state = read(session, ledger.Capture("acme/r5", at=later(6)))
    assert sorted(state.holds) == [2, 3, 5]
    assert state.hold_due_after == to_moment(later(7))


def test_an_account_that_does_not_exist_is_not_among_those_read(session: Session, acme: str) -> None:
    assert list(snapshots.read_accounts(session.connection(), ["nobody", acme])) == [acme]
    needs = needs_of(ledger.Reserve("nobody", 1), ledger.Reserve(acme, 1))
    assert list(snapshots.read_states(session.connection(), needs, queries.LOCK_ACCOUNTS)) == [acme]


def write_runs(session: Session) -> list[str]:
    """Two accounts with limits, grants and holds that come due, and runs under two cards; the runs' ids."""
    for name in ("acme", "beta"):
        ledger.open_account(session, name, at=START)
        ledger.grant_credits(session, name, 100, at=START)
        ledger.grant_credits(session, name, 5, expires_at=later(50), kind="promotional", at=START)
        ledger.grant_credits(session, name, 5, effective_at=later(60), at=START)
        for period, maximum in (("day", 90), ("concurrent", 80)):
            ledger.set_limit(session, name, period, maximum, label="dataset", at=START)
        ledger.reserve(session, name, 3, expires_in=timedelta(seconds=40), labels={"dataset": "d1"}, at=later(1))
        ledger.reserve(session, name, 4, expires_in=timedelta(days=9), labels={"dataset": "d2"}, at=later(1))
    kinds = [("acme", "d1", DELIVERED), ("acme", "d3", PLAIN), ("beta", "d1", PLAIN)]
    return [
        str(launch(session, account_id=name, dataset_id=dataset, cards=RateCardBook([card]), at=later(2)).run_id)
        for name, dataset, card in kinds
    ]


def batches_of(runs: list[str]) -> list[list[ledger.Command]]:
    """Batches whose first reads call for more: what is due, limits and their counters, grants of holds, cards."""
    half = RunOutcome("succeeded", rows_processed=50, rows_delivered=20)
    labels = {"dataset": "d1"}
    return [
        [ledger.SettleRun("acme", runs[0], half, at=later(10)), ledger.SettleRun("beta", runs[2], half, at=later(10))],
        [ledger.Reserve("acme", 9, "k", labels=labels, at=later(70)), ledger.Reserve("beta", 9, "k", at=later(45))],
        [ledger.SettleRun("acme", runs[1], half, at=later(71)), ledger.SettleRun("acme", runs[0], half, at=later(72))],
        [ledger.Reserve("acme", 9, "k", labels=labels, at=later(70)), ledger.Capture("beta/r7", at=later(80))],
        [ledger.Reserve("acme", 90, labels=labels, at=later(80)), ledger.ExpireDue("beta", later(90))],
    ]


SEEN: dict[str, tuple[dict[str, str], set[str]]] = {
    "nothing": ({}, set()),
    "another card": ({"acme": PLAIN.id, "beta": DELIVERED.id}, set()),
    "a card that is not there": ({"acme": "0" * 64, "beta": "0" * 64}, set()),
    "many grants": ({}, {"acme", "beta", "nobody"}),
}


def worked(session: Session, runs: list[str], prepare: Callable[[], None]) -> tuple[list[str], list[list[str]]]:
    """The answers to the batches, each after some preparation, and the rows they leave; all of it is undone."""
    answers = []
    with session.begin_nested() as undone:
        for batch in batches_of(runs):
            prepare()
            answers += [repr(answer) for answer in ledger.execute(session, batch)]
        assert is_sound(session)
        rows = [
            sorted(map(repr, session.execute(text(f"SELECT * FROM {table.name}")).all()))
            for table in metadata.sorted_tables
        ]
        undone.rollback()
    return answers, rows


@pytest.mark.parametrize("seen", SEEN)
def test_a_batch_is_carried_out_alike_whatever_its_process_has_seen_before(
    session: Session, monkeypatch: pytest.MonkeyPatch, seen: str
) -> None:
    """What is expected saves a round trip at most: a card, and whether an account has very many grants."""
    monkeypatch.setattr(journal, "clock", lambda: NOW)
    runs = write_runs(session)
    warm = worked(session, runs, lambda: None)

    def prepare() -> None:
        monkeypatch.setattr(cards, "_expected", dict(SEEN[seen][0]))
        monkeypatch.setattr(snapshots, "_many_grants", set(SEEN[seen][1]))

    assert worked(session, runs, prepare) == warm
    assert [answer.partition("(")[0] for answer in warm[0]] == [
        "RunSettlement", "RunSettlement", "Reservation", "Reservation", "RunSettlement", "RunSettlement",
        "Reservation", "Reservation", "LimitExceeded", "Expiry",
    ]  # fmt: skip


def test_a_card_that_was_last_seen_is_read_along_with_the_run(
    session: Session, acme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a launch the settlement of its run asks for it once, and not after what the run says."""
    monkeypatch.setattr(cards, "_expected", {})
    run_id = str(launch(session).run_id)
    assert cards.expected_card(acme) == PLAIN.id
    for expected in (PLAIN.id, None):
        monkeypatch.setattr(cards, "_expected", {} if expected is None else {acme: expected})
        with monkeypatch.context() as patch:
            sent = [request.sql for request in settled(session, patch, run_id)]
        launches = [place for place, sql in enumerate(sent) if "FROM ledger_entry" in sql]
        (card,) = [place for place, sql in enumerate(sent) if "FROM ledger_card" in sql]
        assert (card < launches[-1]) is (expected is not None)
        assert cards.expected_card(acme) == PLAIN.id


def settled(session: Session, patch: pytest.MonkeyPatch, run_id: str) -> list[Request]:
    """What is sent to settle a run, which is undone."""
    sent = record_requests(patch)
    with session.begin_nested() as undone:
        ledger.settle_run(session, account_id="acme", run_id=run_id, outcome=RunOutcome("succeeded", 50, 50), at=START)
        undone.rollback()
    return sent


def is_paged(sent: list[Request]) -> list[bool]:
    """Which of the reads of grants asked for the first page only."""
    return ["LIMIT" in each.sql for each in sent if each.sql.startswith("SELECT") and "ledger_grant" in each.sql]


def test_an_account_of_very_many_grants_is_noted_and_then_read_by_pages_among_others_too(
    session: Session, empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All grants of several accounts are read at once until one is seen to have very many."""
    monkeypatch.setattr(snapshots, "_many_grants", set())
    ledger.open_account(session, "beta", at=START)
    ledger.grant_credits(session, "beta", 50, at=START)
    ledger.execute(session, [ledger.GrantCredits(empty, 1, priority=n % 7, at=START) for n in range(200)])
    monkeypatch.setattr(snapshots, "_many_grants", set())
    pages, places = [], []
    for _ in range(3):
        with monkeypatch.context() as patch:
            sent = record_requests(patch)
            both = ledger.execute(session, [ledger.Reserve(name, 10, at=START) for name in (empty, "beta")])
        pages.append(is_paged(sent))
        hold = both[0]
        assert isinstance(hold, ledger.Reservation)
        places += [standing(session, part.grant_id).priority for part in hold.slices]
    assert snapshots._many_grants == {empty}
    assert pages == [[False], [True, False], [True, False]]
    assert places == sorted(places)
    # More than the first page has, in one batch with the other account.
    results = ledger.execute(session, [ledger.Reserve(name, n, at=START) for name, n in ((empty, 170), ("beta", 20))])
    assert [result.amount for result in results if isinstance(result, ledger.Reservation)] == [170, 20]
    assert is_sound(session)


def test_what_a_process_notes_does_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "_many_grants", set())
    monkeypatch.setattr(snapshots, "_NOTED_MAX", 3)
    monkeypatch.setattr(cards, "_expected", {})
    monkeypatch.setattr(cards, "_EXPECTED_MAX", 3)
    for number in range(10):
        snapshots._note_many_grants(f"a{number}")
        cards.expect_card(f"a{number}", "c")
        assert len(snapshots._many_grants) <= 3
        assert len(cards._expected) <= 3
    assert "a9" in snapshots._many_grants
    assert cards.expected_card("a9") == "c"
