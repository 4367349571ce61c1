"""Batches that fail: each call is settled once, with what is certain, and nothing is lost or doubled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, NullPool, event, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

import ledger
from ledger import Reserve
from ledger.batching import attempts
from ledger.batching.calls import Call, ThreadCall
from ledger.storage import commands_alone
from ledger.storage.own_sessions import Ending
from ledger.storage.stores.psycopg import PsycopgStore
from tests.drivers import create_engine


class Poisoned(Reserve):
    """A command that breaks its batch."""

    __slots__ = ()

    def digest(self) -> bytes:
        raise StopIteration("poison")


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between attempts, none of them taken."""
    asked: list[float] = []
    monkeypatch.setattr(attempts.time, "sleep", asked.append)
    return asked


def carry_out(engine: Engine, *commands: ledger.Command, tries: int = 3) -> list[Any]:
    """What became of each command: its result, or the error its caller would get. Every caller has been woken."""
    calls = [ThreadCall(command) for command in commands]
    attempts.carry_out(engine, calls, tries)
    assert all(call.wait(0) for call in calls)
    return [outcome(call) for call in calls]


def outcome(call: Call) -> Any:
    """A call's result or error."""
    try:
        return call.outcome()
    except BaseException as error:  # noqa: BLE001  # it is the answer
        return error


def names(outcomes: list[Any]) -> list[str]:
    """The outcomes' types."""
    return [type(each).__name__ for each in outcomes]


def book(engine: Engine) -> list[tuple[str, int]]:
    """Micro-credits and key of each reservation, in order, in a book that proves itself."""
    query = (
        "SELECT e.key, r.amount FROM ledger_reservation r JOIN ledger_entry e"
        " ON e.account_id = r.account_id AND e.sequence = r.number ORDER BY r.number"
    )
    with Session(engine) as session:
        ledger.require_clean(session)
        return [(row[0], row[1] // 10**6) for row in session.execute(text(query))]


def lost_connection(engine: Engine) -> Exception:
    """What the driver raises when the other end is gone."""
    error: Exception = engine.dialect.loaded_dbapi.OperationalError("server closed the connection unexpectedly")
    return error


def fail_first(engine: Engine, times: int, where: str, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Have the first transactions fail as by an outage, before or after their work; answers all that were begun."""
    begun: list[int] = []

    def work(connection: Connection, commands: Any, _: Ending) -> Any:
        begun.append(1)
        if where == "after" or len(begun) > times:
            results = ledger.execute(Session(connection), commands)
        if len(begun) <= times:
            raise OperationalError("SELECT", {}, lost_connection(engine))
        return results

    monkeypatch.setattr(commands_alone, "execute_alone", work)
    return begun


def commit_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every transaction commit by a statement of its own, before which something can happen."""
    monkeypatch.setattr(PsycopgStore, "commit_request", lambda *_: None)


def fail_commit(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, *, happens: bool, times: int = 1, error: Exception | None = None
) -> list[int]:
    """Have the first commits raise an error, whether they happen or not; answers all that were tried."""
    commit_apart(monkeypatch)
    commit = engine.dialect.do_commit
    tried: list[int] = []

    def do_commit(connection: Any) -> None:
        tried.append(1)
        failing = len(tried) <= times
        if happens or not failing:
            commit(connection)
        if failing:
            raise error or lost_connection(engine)

    monkeypatch.setattr(engine.dialect, "do_commit", do_commit)
    return tried


@pytest.mark.parametrize("where", ["before", "after"])
def test_what_an_outage_undid_is_tried_again_keyed_or_not(
    funded: Engine, where: str, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = fail_first(funded, 2, where, monkeypatch)
    results = carry_out(funded, Reserve("acme", 1, "k"), Reserve("acme", 2), Reserve("acme", 1000))
    assert names(results) == ["Reservation", "Reservation", "InsufficientCredits"]
    assert (len(begun), len(pauses)) == (3, 2)
    assert 0 < pauses[0] < pauses[1] < 1
    assert book(funded) == [("k", 1), (None, 2)]


def test_an_outage_that_lasts_ends_in_the_certainty_that_nothing_was_done(
    funded: Engine, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = fail_first(funded, 3, "after", monkeypatch)
    keyed, plain = carry_out(funded, Reserve("acme", 1, "k"), Reserve("acme", 2))
    assert names([keyed, plain]) == ["NotCarriedOut", "NotCarriedOut"]
    assert (keyed.key, plain.key, len(begun), len(pauses)) == ("k", None, 3, 2)
    assert keyed is not plain
    assert isinstance(keyed.__cause__, OperationalError)
    assert "attempts made: 3" in str(keyed)
    assert book(funded) == []


@pytest.mark.parametrize("happens", [True, False])
def test_a_lost_answer_to_the_commit_is_healed_by_the_key_and_unknown_without_one(
    funded: Engine, monkeypatch: pytest.MonkeyPatch, happens: bool
) -> None:
    tried = fail_commit(funded, monkeypatch, happens=happens)
    plain, keyed, opened, balance, refused, expired = carry_out(
        funded,
        Reserve("acme", 2),
        Reserve("acme", 1, "k"),
        ledger.OpenAccount("zeta"),
        ledger.GetBalance("acme"),
        Reserve("acme", 1000, "refused"),
        ledger.ExpireDue("acme"),
    )
    assert isinstance(plain, ledger.OutcomeUnknown)
    assert isinstance(plain.__cause__, OperationalError)
    assert (keyed.amount, keyed.replayed, opened.replayed) == (1, happens, happens)
    assert names([balance, refused, expired]) == ["Balance", "InsufficientCredits", "Expiry"]
    assert len(tried) == 2
    assert book(funded) == ([(None, 2), ("k", 1)] if happens else [("k", 1)])


@pytest.mark.parametrize("happens", [True, False])
def test_commits_whose_answers_stay_lost_are_unknown_and_heal_later(
    funded: Engine, monkeypatch: pytest.MonkeyPatch, happens: bool
) -> None:
    tried = fail_commit(funded, monkeypatch, happens=happens, times=3)
    (unknown,) = carry_out(funded, Reserve("acme", 1, "k"))
    assert isinstance(unknown, ledger.OutcomeUnknown)
    assert len(tried) == 3
    (healed,) = carry_out(funded, Reserve("acme", 1, "k"))
    assert healed.replayed == happens
    assert book(funded) == [("k", 1)]


def test_a_repeat_that_meets_an_outage_stays_unknown(funded: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_commit(funded, monkeypatch, happens=True)
    begun: list[int] = []

    def begin(_connection: Any) -> None:
        begun.append(1)
        if len(begun) > 1:
            raise OperationalError("BEGIN", {}, lost_connection(funded))

    event.listen(funded, "begin", begin, insert=True)
    (unknown,) = carry_out(funded, Reserve("acme", 1, "k"))
    event.remove(funded, "begin", begin)
    assert isinstance(unknown, ledger.OutcomeUnknown)
    assert book(funded) == [("k", 1)]


def test_a_repeat_that_fails_by_itself_stays_unknown(funded: Engine) -> None:
    call = ThreadCall(Poisoned("acme", 1, "k"))
    call.is_doubtful = True
    attempts.carry_out(funded, [call], 3)
    unknown = outcome(call)
    assert isinstance(unknown, ledger.OutcomeUnknown)
    assert isinstance(unknown.__cause__, StopIteration)


@pytest.mark.parametrize("place", [0, 3, 6])
def test_a_command_that_breaks_its_batch_harms_itself_only(funded: Engine, place: int, pauses: list[float]) -> None:
    commands: list[ledger.Command] = [Reserve("acme", number + 1, f"k{number}") for number in range(6)]
    commands.insert(place, Poisoned("acme", 1, "poison"))
    results = carry_out(funded, *commands)
    assert isinstance(results.pop(place), StopIteration)
    assert [result.amount for result in results] == [1, 2, 3, 4, 5, 6]
    # In the order of arrival all the same.
    assert book(funded) == [(f"k{number}", number + 1) for number in range(6)]
    assert pauses == []


def test_a_caller_is_woken_before_the_transactions_that_follow_its_own_begin(funded: Engine) -> None:
    calls = [ThreadCall(Reserve("acme", 1, f"k{number}")) for number in range(4)]
    calls += [ThreadCall(Poisoned("acme", 1, f"p{number}")) for number in range(4)]
    asleep: list[int] = []

    def note(_connection: Any) -> None:
        asleep.append(sum(call.is_settled and not call.wait(0) for call in calls))
        for call in calls:
            if call.is_settled:
                call.wake()

    event.listen(funded, "begin", note)
    attempts.carry_out(funded, calls, 3)
    # All, the first half, which succeeds; the second half, its halves, and so on: 1 + 1 + 7 transactions.
    assert asleep == [0] * 9


def test_every_one_of_many_that_break_their_batch_gets_its_own_error(funded: Engine) -> None:
    poison = [Poisoned("acme", 1, f"p{number}") for number in range(3)]
    results = carry_out(funded, poison[0], Reserve("acme", 1, "k"), *poison[1:])
    assert names(results) == ["StopIteration", "Reservation", "StopIteration", "StopIteration"]
    assert len({id(result) for result in results}) == 4


def test_a_commit_that_the_database_refuses_breaks_the_batch_but_leaves_no_doubt(
    funded: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = funded.dialect.loaded_dbapi.IntegrityError("a deferred constraint")
    refusal.sqlstate = "23514"
    tried = fail_commit(funded, monkeypatch, happens=False, times=2, error=refusal)
    first, second = carry_out(funded, Reserve("acme", 1), Reserve("acme", 2))
    assert isinstance(first, DBAPIError)
    assert second.amount == 2
    # Both together, the first alone, the second alone.
    assert len(tried) == 3
    assert book(funded) == [(None, 2)]


def end_sessions(url: str) -> None:
    """Have the server end every session of a database but this one's own."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        )


@pytest.fixture
def funded_postgresql(postgresql_url: str) -> Iterator[Engine]:
    """As `funded`, on PostgreSQL alone, with a pooled connection that its server can end."""
    engine = create_engine(postgresql_url)
    with Session(engine) as session, session.begin():
        ledger.open_account(session, "acme")
        ledger.grant_credits(session, "acme", 100)
    yield engine
    engine.dispose()


def test_a_session_that_the_server_ended_between_batches_goes_unnoticed(
    funded_postgresql: Engine, postgresql_url: str
) -> None:
    end_sessions(postgresql_url)
    results = carry_out(funded_postgresql, Reserve("acme", 1, "k"), Reserve("acme", 2))
    assert names(results) == ["Reservation", "Reservation"]
    assert book(funded_postgresql) == [("k", 1), (None, 2)]


def test_a_session_that_the_server_ends_just_before_the_commit_leaves_only_what_has_no_key_in_doubt(
    funded_postgresql: Engine, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit_apart(monkeypatch)
    commits: list[int] = []

    def end_first(_connection: Any) -> None:
        commits.append(1)
        if len(commits) == 1:
            end_sessions(postgresql_url)

    event.listen(funded_postgresql, "commit", end_first)
    keyed, plain = carry_out(funded_postgresql, Reserve("acme", 1, "k"), Reserve("acme", 2))
    assert (keyed.amount, keyed.replayed) == (1, False)
    assert isinstance(plain, ledger.OutcomeUnknown)
    assert len(commits) == 2
    assert book(funded_postgresql) == [("k", 1)]
