"""What a batch reads of its accounts: the rows that its commands name, and the first of very many grants."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

import ledger
from ledger.book.states import AccountState
from ledger.model.moments import to_moment
from ledger.storage import queries, snapshots
from ledger.storage.snapshots import Needs
from tests.ledger.conftest import START, later
from tests.ledger.shorthand import NOW, drawn, grant, is_sound, standing
from tests.ledger.test_runs import PLAIN
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
