"""What errors of databases say: real ones of SQLite and PostgreSQL, and a table of those hard to provoke."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import Connection, Engine, NullPool, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, ProgrammingError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ledger.storage import failures
from ledger.storage.failures import Failure, kind_of, kind_of_code
from tests.drivers import create_engine


def error_of(engine: Engine, *statements: str) -> SQLAlchemyError:
    """The error that the last of some statements of one connection fails with."""
    with pytest.raises(SQLAlchemyError) as raised, engine.connect() as connection:
        run(connection, *statements)
    return raised.value


def run(connection: Connection, *statements: str) -> None:
    """Carry statements out."""
    for statement in statements:
        connection.execute(text(statement))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A SQLite file with a table of one row."""
    path = tmp_path / "book.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (n integer PRIMARY KEY, name text)")
        connection.execute("INSERT INTO t VALUES (1, 'one')")
    connection.close()
    return path


def sqlite_locked(file: Path) -> SQLAlchemyError:
    """The error of a writer whose file another one holds."""
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    engine = sqlalchemy.create_engine(f"sqlite:///{file}", poolclass=NullPool, connect_args={"timeout": 0})
    try:
        return error_of(engine, "INSERT INTO t VALUES (2, 'two')")
    finally:
        other.close()


def sqlite_failing(*statements: str) -> Callable[[Path], SQLAlchemyError]:
    """What statements on the file fail with."""
    return lambda file: error_of(sqlalchemy.create_engine(f"sqlite:///{file}", poolclass=NullPool), *statements)


def sqlite_overwritten(file: Path) -> SQLAlchemyError:
    """The error of a file that is no database."""
    file.write_bytes(b"no database" * 500)
    return sqlite_failing("SELECT * FROM t")(file)


def sqlite_without_folder(file: Path) -> SQLAlchemyError:
    """The error of a file in a folder that does not exist."""
    return sqlite_failing("SELECT 1")(file.parent / "none" / "book.sqlite")


@pytest.mark.parametrize(
    ("provoke", "kind"),
    [
        (sqlite_locked, Failure.LOCKED),
        (sqlite_failing("PRAGMA max_page_count = 2", "INSERT INTO t VALUES (2, zeroblob(90000))"), Failure.FULL),
        (sqlite_failing("PRAGMA query_only = ON", "INSERT INTO t VALUES (2, 'two')"), Failure.READ_ONLY),
        (sqlite_without_folder, Failure.UNOPENED),
        (sqlite_overwritten, Failure.NO_DATABASE),
        (sqlite_failing("INSERT INTO t VALUES (1, 'one')"), Failure.CONSTRAINT),
        (sqlite_failing("SELECT * FROM nothing"), Failure.REFUSED),
    ],
)
def test_an_error_of_sqlite_is_of_its_kind(
    file: Path, provoke: Callable[[Path], SQLAlchemyError], kind: Failure
) -> None:
    assert kind_of(provoke(file)) is kind


@pytest.fixture
def server(postgresql_url: str) -> Iterator[Engine]:
    """A PostgreSQL with a table of one row."""
    engine = create_engine(postgresql_url, poolclass=NullPool)
    with engine.begin() as connection:
        run(connection, "CREATE TABLE t (n integer PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    yield engine
    engine.dispose()


def postgresql_failing(*statements: str) -> Callable[[Engine], SQLAlchemyError]:
    """What statements on the server fail with."""
    return lambda server: error_of(server, *statements)


def postgresql_locked(server: Engine) -> SQLAlchemyError:
    """The error of a statement that does not wait for a row that another transaction holds."""
    with server.connect() as other:
        run(other, "SELECT * FROM t FOR UPDATE")
        return error_of(server, "SELECT * FROM t FOR UPDATE NOWAIT")


def postgresql_overtaken(server: Engine) -> SQLAlchemyError:
    """The error of a snapshot whose row another transaction has changed."""
    with server.connect() as late:
        run(late, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SELECT * FROM t")
        with server.begin() as other:
            run(other, "UPDATE t SET n = 2")
        with pytest.raises(SQLAlchemyError) as raised:
            run(late, "UPDATE t SET n = 3")
    return raised.value


def postgresql_ended(server: Engine) -> SQLAlchemyError:
    """The error of a session that ends itself."""
    return error_of(server, "SELECT pg_terminate_backend(pg_backend_pid())")


def postgresql_aborted(server: Engine) -> SQLAlchemyError:
    """The error of a statement after one that failed."""
    with server.connect() as connection:
        with pytest.raises(SQLAlchemyError):
            run(connection, "SELECT * FROM nothing")
        with pytest.raises(SQLAlchemyError) as raised:
            run(connection, "SELECT 1")
    return raised.value


def postgresql_unreachable(server: Engine) -> SQLAlchemyError:
    """The error of a server that does not run."""
    return error_of(create_engine(server.url.set(host="127.0.0.1", port=1)), "SELECT 1")


@pytest.mark.parametrize(
    ("provoke", "kind"),
    [
        (postgresql_overtaken, Failure.CONFLICT),
        (postgresql_locked, Failure.LOCKED),
        (postgresql_failing("SET statement_timeout = 1", "SELECT pg_sleep(1)"), Failure.TIMED_OUT),
        (postgresql_ended, Failure.LOST),
        (postgresql_unreachable, Failure.LOST),
        (postgresql_failing("SET TRANSACTION READ ONLY", "INSERT INTO t VALUES (2)"), Failure.READ_ONLY),
        (postgresql_aborted, Failure.ABORTED),
        (postgresql_failing("INSERT INTO t VALUES (1)"), Failure.CONSTRAINT),
        (postgresql_failing("SELECT * FROM nothing"), Failure.REFUSED),
        (postgresql_failing("SELECT pg_read_file('/nothing')"), Failure.BROKEN),
    ],
)
def test_an_error_of_postgresql_is_of_its_kind(
    server: Engine, provoke: Callable[[Engine], SQLAlchemyError], kind: Failure
) -> None:
    assert kind_of(provoke(server)) is kind


@pytest.mark.parametrize(
    ("statements", "is_the_drivers"),
    [
        (('DEALLOCATE "_pg3_1f"',), True),
        (('PREPARE "_pg3_0" AS SELECT 1', 'PREPARE "_pg3_0" AS SELECT 2'), True),
        (("DEALLOCATE mine",), False),
        (("PREPARE mine AS SELECT 1", "PREPARE mine AS SELECT 2"), False),
        (('SELECT "_pg3_0"',), False),
    ],
)
def test_a_statement_that_is_missing_or_made_twice_is_the_drivers_by_its_name(
    server: Engine, statements: tuple[str, ...], is_the_drivers: bool
) -> None:
    error = error_of(server, *statements)
    assert failures.is_prepared_statement_lost(error) is is_the_drivers
    assert failures.is_prepared_statement_lost(error.orig) is is_the_drivers  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("40P01", Failure.CONFLICT),
        ("40002", Failure.BROKEN),
        ("57P04", Failure.BROKEN),
        ("53300", Failure.FULL),
        ("SQLITE_BUSY_SNAPSHOT", Failure.LOCKED),
        ("SQLITE_IOERR_FSYNC", Failure.BROKEN),
        ("SQLITE_CORRUPT_INDEX", Failure.DAMAGED),
        ("SQLITE_ERROR", Failure.REFUSED),
    ],
)
def test_a_code_is_of_the_kind_of_itself_or_of_its_class(code: str, kind: Failure) -> None:
    assert kind_of_code(code) is kind


@pytest.mark.parametrize(
    ("code", "is_over"), [("57014", True), ("55P03", True), ("40001", False), ("SQLITE_BUSY", True)]
)
def test_waiting_is_over_when_a_lock_was_not_to_be_had_or_the_time_ran_out(code: str, is_over: bool) -> None:
    field = "sqlite_errorname" if code.startswith("SQLITE") else "sqlstate"
    assert failures.is_waiting_over(failure(**{field: code})) == is_over
    assert not failures.is_waiting_over(None)


def failure(
    kind: type[DBAPIError] = OperationalError, *, invalidated: bool = False, **fields: str | None
) -> DBAPIError:
    """A driver's error as SQLAlchemy raises it."""
    original = Exception("refused")
    for name, value in fields.items():
        setattr(original, name, value)
    return kind("SELECT", {}, original, connection_invalidated=invalidated)


@pytest.mark.parametrize(
    ("error", "blames_the_database", "rolls_back"),
    [
        (failure(sqlstate="40P01"), True, True),  # a deadlock
        (failure(sqlstate="55P03"), True, True),  # a lock that is not to be had
        (failure(sqlstate="53100"), True, True),  # a full disk
        (failure(sqlstate="25006"), True, True),  # a server that only reads
        (failure(sqlstate="40003"), True, False),  # completion unknown
        (failure(sqlstate="08006"), True, False),  # a broken connection
        (failure(sqlstate="57P01"), True, False),  # a server that shuts down
        (failure(sqlstate="57P01", invalidated=True), True, False),
        (failure(ProgrammingError, sqlstate="23505", invalidated=True), True, False),
        (failure(), True, False),  # no server to be reached
        (failure(InterfaceError), True, False),
        (failure(sqlstate="54000"), False, True),  # a value too large for an index
        (failure(ProgrammingError, sqlstate="42P01"), False, True),
        (failure(ProgrammingError), False, False),
        (failure(sqlite_errorname="SQLITE_BUSY"), True, True),
        (failure(sqlite_errorname="SQLITE_FULL"), True, True),
        (failure(sqlite_errorname="SQLITE_IOERR_FSYNC"), True, False),
        (failure(sqlite_errorname="SQLITE_CONSTRAINT_CHECK"), False, True),
        (failure(sqlite_errorname="SQLITE_ERROR"), False, False),
        (PoolTimeout("no connection is free"), True, False),
        (RuntimeError("a bug"), False, False),
    ],
)
def test_what_an_error_says_about_the_database_and_about_a_commit(
    error: Exception, blames_the_database: bool, rolls_back: bool
) -> None:
    assert failures.is_outage(error) == blames_the_database
    assert (isinstance(error, DBAPIError) and failures.was_rolled_back(error)) == rolls_back
