"""The stream of the whole book."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import ledger
from ledger.book.buckets import BUCKETS
from ledger.finance import stream_book
from ledger.model.moments import to_moment
from tests.ledger.conftest import later
from tests.ledger.finance.conftest import AWKWARD


def test_the_stream_is_every_accounts_statement_in_order(book: Engine) -> None:
    with Session(book) as session:
        streamed = list(stream_book(session))
        assert len({entry.account_id for entry in streamed}) == len(AWKWARD) + 1
        for name in {entry.account_id for entry in streamed}:
            own = [entry for entry in streamed if entry.account_id == name]
            assert own == list(stream_book(session, account_id=name))
            assert [entry.sequence for entry in own] == list(range(1, len(own) + 1))
            for entry, shown in zip(own, ledger.get_statement(session, name).entries, strict=False):
                assert (entry.kind, entry.key, len(entry.moves)) == (shown.kind, shown.key, len(shown.transfers))
                assert entry.balances[1] == shown.balance.available * 10**6


def test_moves_add_up_to_balances(book: Engine) -> None:
    with Session(book) as session:
        before: dict[str, dict[str, int]] = {}
        for entry in stream_book(session):
            balances = before.setdefault(entry.account_id, dict.fromkeys(BUCKETS, 0))
            for move in entry.moves:
                balances[move.source] -= move.amount
                balances[move.target] += move.amount
            assert [-balances["issued"], *[balances[name] for name in BUCKETS[1:]]] == list(entry.balances)


def test_entries_without_transfers_are_in_the_stream(book: Engine) -> None:
    with Session(book) as session:
        kinds = {entry.kind for entry in stream_book(session, account_id="acme") if not entry.moves}
        count = session.execute(text("SELECT count(*) FROM ledger_entry")).scalar_one()
        assert {"limit", "extend"} <= kinds
        assert len(list(stream_book(session))) == count


def test_an_account_that_is_not_there_is_not_found(book: Engine) -> None:
    with Session(book) as session, pytest.raises(ledger.AccountNotFound):
        list(stream_book(session, account_id="nobody"))


def test_the_book_as_of_a_moment_has_what_had_taken_effect(months: Engine) -> None:
    with Session(months) as session:
        moment = later(days=32)
        found = list(stream_book(session, at=moment))
        assert found == [entry for entry in stream_book(session) if entry.at <= to_moment(moment)]
        assert {entry.account_id for entry in stream_book(session, account_id="acme", at=moment)} == {"acme"}
        for entry in {entry.account_id: entry for entry in found}.values():
            then = ledger.get_balance(session, entry.account_id, at=moment)
            assert entry.balances == tuple(int(getattr(then, bucket) * 10**6) for bucket in BUCKETS)
