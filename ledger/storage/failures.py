"""What the error of a database says: one table of SQLSTATEs and of SQLite's names, for all who act on an error.

`Rolled back` says whether a COMMIT that is answered with the error is known to be undone. A service may answer
`later` to the failures of `UNAVAILABLE`; a batch tries again after each that no command can be blamed for. Of
READ_ONLY, a transaction is tried again on PostgreSQL, where a standby may be about to become the primary.

    kind            SQLSTATE               SQLite          rolled back        transaction      service    batch
    CONFLICT        40001, 40P01                           yes                tried again      later      tried again
    LOCKED          55P03                  BUSY, LOCKED    yes                tried again      later      tried again
    TIMED_OUT       57014                                  yes                                 later      tried again
    LOST            08, 57P01, 57P02,                      no                 tried again      later      tried again
                    57P03, none told
    COMMIT_UNKNOWN  40003                                  no                                  later      tried again
    FULL            53                     FULL            yes                                 later      tried again
    READ_ONLY       25006                  READONLY        PostgreSQL's       tried again      later      tried again
    BROKEN          others of 40, 57, 58   IOERR           PostgreSQL's                        later      tried again
    UNOPENED                               CANTOPEN        no                                  later      tried again
    ABORTED         others of 25                           yes                                            tried again
    UNTOLD          (a driver without)                     no                                             tried again
    CONSTRAINT      23                     CONSTRAINT      yes
    DAMAGED                                CORRUPT         no
    NO_DATABASE                            NOTADB          no
    REFUSED         any other              any other       PostgreSQL's
"""

from __future__ import annotations

from enum import Enum, auto

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout


class Failure(Enum):
    """A kind of failure; the module says what follows from each."""

    CONFLICT = auto()
    LOCKED = auto()
    TIMED_OUT = auto()
    LOST = auto()
    COMMIT_UNKNOWN = auto()
    FULL = auto()
    READ_ONLY = auto()
    BROKEN = auto()
    UNOPENED = auto()
    ABORTED = auto()
    DAMAGED = auto()
    NO_DATABASE = auto()
    CONSTRAINT = auto()
    UNTOLD = auto()
    REFUSED = auto()


_KINDS = {
    "40001": Failure.CONFLICT,
    "40P01": Failure.CONFLICT,
    "55P03": Failure.LOCKED,
    "57014": Failure.TIMED_OUT,
    "57P01": Failure.LOST,
    "57P02": Failure.LOST,
    "57P03": Failure.LOST,
    "40003": Failure.COMMIT_UNKNOWN,
    "25006": Failure.READ_ONLY,
    "08": Failure.LOST,
    "23": Failure.CONSTRAINT,
    "25": Failure.ABORTED,
    "40": Failure.BROKEN,
    "53": Failure.FULL,
    "57": Failure.BROKEN,
    "58": Failure.BROKEN,
    "SQLITE_BUSY": Failure.LOCKED,
    "SQLITE_LOCKED": Failure.LOCKED,
    "SQLITE_FULL": Failure.FULL,
    "SQLITE_READONLY": Failure.READ_ONLY,
    "SQLITE_IOERR": Failure.BROKEN,
    "SQLITE_CANTOPEN": Failure.UNOPENED,
    "SQLITE_CORRUPT": Failure.DAMAGED,
    "SQLITE_NOTADB": Failure.NO_DATABASE,
    "SQLITE_CONSTRAINT": Failure.CONSTRAINT,
}
_RETRYABLE = frozenset({Failure.CONFLICT, Failure.LOCKED})
_ROLLED_BACK_SQLITE = frozenset({Failure.LOCKED, Failure.FULL, Failure.CONSTRAINT})

UNAVAILABLE = frozenset(
    {
        Failure.CONFLICT,
        Failure.LOCKED,
        Failure.TIMED_OUT,
        Failure.LOST,
        Failure.COMMIT_UNKNOWN,
        Failure.FULL,
        Failure.READ_ONLY,
        Failure.BROKEN,
        Failure.UNOPENED,
    }
)
"""The database cannot be used now, whatever was asked of it."""


def code_of(error: BaseException | None) -> str | None:
    """The SQLSTATE or SQLite's name of an error that SQLAlchemy raised; None where the driver tells none."""
    original = getattr(error, "orig", None)
    code: str | None = getattr(original, "sqlstate", None) or getattr(original, "sqlite_errorname", None)
    return code


def kind_of_code(code: str) -> Failure:
    """The kind of a SQLSTATE, or of a name of SQLite's, extended or not.

    >>> kind_of_code("SQLITE_BUSY_SNAPSHOT")
    <Failure.LOCKED: 2>
    """
    general = "_".join(code.split("_")[:2]) if code.startswith("SQLITE") else code[:2]
    return _KINDS.get(code) or _KINDS.get(general, Failure.REFUSED)


def kind_of(error: BaseException | None) -> Failure:
    """The kind of any error; one that is no database's is `REFUSED`."""
    if isinstance(error, PoolTimeout):
        return Failure.FULL
    if not isinstance(error, DBAPIError):
        return Failure.REFUSED
    if error.connection_invalidated:
        return Failure.LOST
    code = code_of(error)
    if code is not None:
        return kind_of_code(code)
    if not isinstance(error, OperationalError | InterfaceError):
        return Failure.REFUSED
    # A driver that knows SQLSTATEs and gives none could not connect, or could not read what it was waiting for.
    return Failure.LOST if hasattr(error.orig, "sqlstate") else Failure.UNTOLD


def is_retryable(error: DBAPIError) -> bool:
    """True when the database rolled the transaction back, for certain, because of its neighbours."""
    code = code_of(error)
    return code is not None and kind_of_code(code) in _RETRYABLE


def is_lost(error: DBAPIError) -> bool:
    """True when the connection, or the server behind it, is gone: what was not committed before is rolled back."""
    return kind_of(error) is Failure.LOST


def is_standby(error: DBAPIError) -> bool:
    """True when PostgreSQL refused a write because the server only reads, as a standby does until it is promoted."""
    return code_of(error) == "25006"


_PREPARED_BY_DRIVER = '"_pg3_'
"""How the names of the statements begin that psycopg prepares by itself."""


def is_prepared_statement_lost(error: BaseException) -> bool:
    """True when a statement that psycopg prepared by itself is missing on the server connection, or is another one.

    A pooler has then given the transaction another server connection than the one before had. `error` is the driver's
    or SQLAlchemy's. It is undefined and certainly rolled back. The remedy is that of `PreparedStatementsLost`.
    """
    original = getattr(error, "orig", error)
    # Missing; made already, for another client; made for another client from a statement of other parameters.
    is_about_it = getattr(original, "sqlstate", None) in ("26000", "42P05", "08P01")
    return is_about_it and _PREPARED_BY_DRIVER in str(original)


def was_rolled_back(error: DBAPIError) -> bool:
    """True when the database answered a COMMIT with a refusal, so that its fate is known."""
    kind = kind_of(error)
    if kind in (Failure.LOST, Failure.COMMIT_UNKNOWN):
        return False
    has_sqlstate = getattr(error.orig, "sqlstate", None) is not None
    return has_sqlstate or kind in _ROLLED_BACK_SQLITE


def is_outage(error: BaseException) -> bool:
    """True for a failure of the database, or of the way to it, that no command of a batch can be blamed for."""
    return kind_of(error) in UNAVAILABLE | {Failure.ABORTED, Failure.UNTOLD}


def is_waiting_over(error: BaseException | None) -> bool:
    """True when a statement was ended because it waited, or ran, for as long as it may."""
    code = code_of(error)
    return code is not None and kind_of_code(code) in (Failure.LOCKED, Failure.TIMED_OUT)
