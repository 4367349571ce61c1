"""Tables that are spread over several servers lie beside one another by account; elsewhere that is refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

import ledger
from ledger.schema.distributed import distributed_tables
from ledger.schema.distribution import COLUMN, ORDER
from ledger.schema.revisions import HEAD, VERSION_TABLE
from ledger.schema.tables import metadata
from ledger.schema.waiting import tables_within
from tests.ledger.schema.earlier import described


@pytest.fixture
def coordinator(postgresql_url: str) -> Iterator[Engine]:
    """An engine on the coordinator, whose tables are distributed."""
    engine = ledger.create_engine(postgresql_url)
    yield engine
    engine.dispose()


def undistribute(engine: Engine, *tables: str) -> None:
    """Bring tables back to the coordinator, with all that refer to them."""
    with engine.begin() as connection:
        for table in tables:
            connection.execute(
                text("SELECT undistribute_table(:table, cascade_via_foreign_keys => true)"), {"table": table}
            )


def test_no_table_refers_to_one_that_is_distributed_after_it() -> None:
    assert set(ORDER) == set(metadata.tables)
    for table in metadata.tables.values():
        for reference in table.foreign_key_constraints:
            assert ORDER.index(reference.referred_table.name) < ORDER.index(table.name)


def test_a_database_of_one_server_is_refused_and_left_as_it_is(empty: Engine) -> None:
    ledger.upgrade(empty)
    before = described(empty)
    why = "is one file" if empty.dialect.name == "sqlite" else "has no extension citus"
    with pytest.raises(ledger.DistributionUnavailable, match=why):
        ledger.distribute(empty)
    with empty.connect() as connection, pytest.raises(ledger.DistributionUnavailable, match=why):
        ledger.distribute(connection)
    assert described(empty) == before


@pytest.mark.distributed
def test_every_table_is_distributed_by_account_beside_the_accounts(coordinator: Engine) -> None:
    with coordinator.connect() as connection:
        assert distributed_tables(connection) == dict.fromkeys(metadata.tables, (COLUMN, True))
        local = "SELECT count(*) FROM pg_dist_partition WHERE logicalrelid = to_regclass(:table)"
        assert connection.execute(text(local), {"table": VERSION_TABLE}).scalar_one() == 0
    report = ledger.check_database(coordinator)
    assert (report.distributed, report.missing, report.triggers_missing) == (tuple(sorted(ORDER)), (), None)


@pytest.mark.distributed
def test_tables_are_distributed_in_order_and_only_once(coordinator: Engine) -> None:
    undistribute(coordinator, "ledger_account", "ledger_entry", "ledger_transfer", "ledger_reservation")
    assert any("distributes them" in hint for hint in ledger.check_database(coordinator).hints)
    before = described(coordinator)
    assert ledger.distribute(coordinator) == list(ORDER)
    assert ledger.distribute(coordinator) == []
    assert ledger.upgrade(coordinator) == HEAD
    assert described(coordinator) == before


@pytest.mark.distributed
def test_a_table_that_was_left_out_is_found_and_distributed(coordinator: Engine) -> None:
    undistribute(coordinator, "ledger_entry")
    missing = ledger.check_database(coordinator).missing
    assert ["not distributed by account_id beside ledger_account: ledger_entry. Run" in said for said in missing] == [
        True
    ]
    assert ledger.distribute(coordinator) == ["ledger_entry"]
    assert ledger.check_database(coordinator).missing == ()


@pytest.mark.distributed
def test_tables_with_triggers_are_refused_and_say_how_to_go_on(coordinator: Engine) -> None:
    undistribute(coordinator, "ledger_account", "ledger_entry", "ledger_transfer", "ledger_reservation")
    ledger.upgrade(coordinator)
    with pytest.raises(ledger.DistributionUnavailable, match=r"`credits db upgrade --no-triggers`"):
        ledger.distribute(coordinator)
    ledger.upgrade(coordinator, triggers=False)
    assert ledger.distribute(coordinator) == list(ORDER)


@pytest.mark.distributed
def test_a_table_that_is_distributed_otherwise_is_refused(coordinator: Engine) -> None:
    undistribute(coordinator, "ledger_entry")
    with coordinator.begin() as connection:
        connection.execute(
            text("SELECT create_distributed_table('ledger_entry', 'account_id', colocate_with => 'none')")
        )
    with pytest.raises(ledger.DistributionUnavailable, match="ledger_entry is distributed otherwise"):
        ledger.distribute(coordinator)
    assert ["ledger_entry. Run" in said for said in ledger.check_database(coordinator).missing] == [True]


@pytest.mark.distributed
def test_triggers_that_are_asked_for_are_refused_by_the_server(coordinator: Engine) -> None:
    with pytest.raises(DBAPIError, match="triggers are not supported on distributed tables"):
        ledger.upgrade(coordinator, triggers=True)
    assert ledger.upgrade_sql(coordinator).startswith("-- Nothing to do")


@pytest.mark.distributed
def test_an_upgrade_gives_up_a_table_that_is_in_use_on_another_server(coordinator: Engine) -> None:
    """By a transaction that the coordinator knows nothing of."""
    where = "SELECT shardid, nodeport FROM citus_shards WHERE table_name = 'ledger_entry'::regclass LIMIT 1"
    with coordinator.connect() as connection:
        shard, port = connection.execute(text(where)).one()
    worker = ledger.create_engine(coordinator.url.set(port=port))
    with worker.connect() as reader, coordinator.connect() as connection:
        reader.execute(text("SET citus.override_table_visibility = off"))
        reader.execute(text(f"SELECT count(*) FROM ledger_entry_{shard}"))
        # An upgrade that hangs is one that failed.
        connection.execute(text("SET LOCAL statement_timeout = '20s'"))
        connection.execute(text("SET LOCAL lock_timeout = '7s'"))
        with (
            pytest.raises(ledger.UpgradeBlocked, match="waited 200ms"),
            tables_within(connection, timedelta(milliseconds=200)),
        ):
            connection.execute(text("ALTER TABLE ledger_entry ADD COLUMN later bigint"))
        assert connection.execute(text("SHOW lock_timeout")).scalar_one() == "7s"
        assert connection.execute(text("SHOW citus.propagate_set_commands")).scalar_one() == "none"
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
    worker.dispose()


@pytest.mark.distributed
def test_row_level_security_and_distribution_exclude_one_another(coordinator: Engine) -> None:
    """Said before anything is distributed, and by the check of a database that has both."""
    with coordinator.begin() as connection:
        connection.execute(text("ALTER TABLE ledger_card ENABLE ROW LEVEL SECURITY"))
    missing = ledger.check_database(coordinator).missing
    assert any("Row-level security is on, and distributed tables have none" in each for each in missing)
    undistribute(coordinator, "ledger_account", "ledger_entry", "ledger_transfer", "ledger_reservation")
    with pytest.raises(ledger.DistributionUnavailable, match="row-level security is on"):
        ledger.distribute(coordinator)
