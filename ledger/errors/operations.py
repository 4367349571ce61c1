"""What an operator or a later attempt mends: schema, session, roles, queue, the fate of a commit."""

from __future__ import annotations

from collections.abc import Sequence

from ledger.errors.base import Finding, LedgerError


class AuditFailed(LedgerError):
    """The audit found entries or rows that do not add up; see `findings`."""

    code = "audit_failed"
    findings: tuple[Finding, ...]

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__(
            f"The audit found {len(findings)} problem(s), first: {findings[0]}. "
            "Stop writing to the accounts named and compare them with a backup.",
            findings=tuple(findings),
        )


class CommitUnknown(LedgerError):
    """It is not known whether the commit happened: the connection was lost, or the standby may not have it."""

    code = "commit_unknown"
    status_hint = 503

    def __init__(self, why: str = "The connection was lost at the commit") -> None:
        super().__init__(
            f"{why}, so it is not known whether the operations happened. "
            "Repeat them with the same keys: what has happened is answered as before, the rest is carried out."
        )


class SchemaMismatch(LedgerError):
    """The database's ledger schema is not the one this version works with."""

    code = "schema_mismatch"
    found: str | None
    expected: str

    def __init__(self, found: str | None, expected: str) -> None:
        has = f"is at revision {found}" if found else "has no ledger tables"
        is_newer = found is not None and found > expected
        remedy = "Install the version that made it, or a later one." if is_newer else "Run `credits db upgrade`."
        super().__init__(
            f"The database {has} and this version needs {expected}. {remedy}",
            found=found,
            expected=expected,
        )


class UpgradeBlocked(LedgerError):
    """An upgrade waited for a table, or for another process that upgrades, and gave up. Nothing was changed."""

    code = "upgrade_blocked"
    status_hint = 503
    table: str | None
    holders: tuple[int, ...]

    def __init__(self, problem: str, table: str | None = None, holders: Sequence[int] = ()) -> None:
        if holders:
            numbers = ", ".join(map(str, holders))
            remedy = f"Look the process up (SELECT * FROM pg_stat_activity WHERE pid IN ({numbers})), let it end"
        else:
            remedy = "Find the process that holds it, let it end"
        super().__init__(
            f"{problem}, and gave up. Nothing was changed. {remedy}, and try again.",
            table=table,
            holders=tuple(holders),
        )


class UpgradeNotScripted(LedgerError):
    """What an upgrade of this database does cannot be printed as SQL."""

    code = "upgrade_not_scripted"
    found: str | None

    def __init__(self, why: str, found: str | None = None) -> None:
        super().__init__(
            f"The upgrade of this database cannot be printed as SQL: {why}. Run `credits db upgrade` without --sql.",
            found=found,
        )


class DistributionUnavailable(LedgerError):
    """The ledger's tables cannot be distributed over several servers here."""

    code = "distribution_unavailable"

    def __init__(self, why: str) -> None:
        super().__init__(f"The ledger's tables cannot be distributed: {why}")


class SessionUnusable(LedgerError):
    """The session given to a verb cannot keep what the ledger promises, or is no session."""

    code = "session_unusable"

    def __init__(self, problem: str) -> None:
        super().__init__(f"The session {problem}")


class EngineUnusable(LedgerError):
    """What was given as an engine is none, or one that cannot keep what the ledger promises."""

    code = "engine_unusable"

    def __init__(self, problem: str) -> None:
        super().__init__(f"The engine {problem}")


class PreparedStatementsLost(LedgerError):
    """A pooler gives transactions different server connections, where the driver's prepared statements are not."""

    code = "prepared_statements_lost"

    def __init__(self) -> None:
        super().__init__(
            "The connection goes through a pooler, such as PgBouncer, and psycopg prepares statements. In the next"
            " transaction the server connection is another one, where these statements are missing, or are others of"
            " the same name. Make the engine with `ledger.create_engine(url)`, call `ledger.prepare_engine(engine)`, or"
            ' pass `connect_args={"prepare_threshold": None}` to `create_engine` of SQLAlchemy.'
        )


class DatabaseUnsupported(LedgerError):
    """The ledger does not work with this database or this driver."""

    code = "database_unsupported"
    dialect: str
    driver: str

    def __init__(self, dialect: str, driver: str, instead: str) -> None:
        named = f"{dialect} with the driver {driver}" if driver else dialect
        super().__init__(
            f"The ledger does not work with {named}. Use a URL that begins with {instead}.",
            dialect=dialect,
            driver=driver,
        )


class AccountsHidden(LedgerError):
    """Row-level security hides accounts from a call that is about all of them."""

    code = "accounts_hidden"
    role: str

    def __init__(self, role: str) -> None:
        super().__init__(
            f"Row-level security hides accounts from the role {role!r}, so this call over all accounts would miss them."
            " Use the worker's or the read-only role of `credits db roles`, or name one account.",
            role=role,
        )


class TransactionEnded(LedgerError):
    """The transaction in which a verb answered was ended by the work itself."""

    code = "transaction_ended"

    def __init__(self) -> None:
        super().__init__(
            "The work ended its transaction by commit, rollback or close, so its answer may not be in the book. Leave"
            " that to the caller, and undo a part of the work with `session.begin_nested()`."
        )


class QueueFull(LedgerError):
    """The batcher's queue is full; this command was not queued."""

    code = "queue_full"
    status_hint = 503
    queue_max: int

    def __init__(self, queue_max: int) -> None:
        super().__init__(
            f"{queue_max} commands are waiting already, so this one was not queued. "
            "Try again a little later, with the same key if it has one.",
            queue_max=queue_max,
        )


class BatcherClosed(LedgerError):
    """The batcher is closed for good; this command was not queued."""

    code = "batcher_closed"
    status_hint = 503

    def __init__(self, why: str = "The batcher is closed") -> None:
        super().__init__(
            f"{why}, so the command was not queued. Make a new Batcher in the process that uses it, "
            "and keep it open for as long as commands come."
        )


class NotCarriedOut(LedgerError):
    """The command certainly had no effect. The reason lies outside the command, so it can be tried again."""

    code = "not_carried_out"
    status_hint = 503
    key: str | None

    def __init__(self, why: str, key: str | None = None) -> None:
        again = "Try it again" if key is None else f"Try it again with the same key {key!r}"
        super().__init__(f"{why}, so the command was certainly not carried out. {again}.", key=key)


class OutcomeUnknown(LedgerError):
    """It is not known whether the command had its effect. With a key it can be repeated safely."""

    code = "outcome_unknown"
    status_hint = 504
    key: str | None

    def __init__(self, why: str, key: str | None = None) -> None:
        again = (
            "It has no key: look for its entry in the account's statement before you repeat it."
            if key is None
            else f"Repeat it unchanged with the same key {key!r}: it takes effect once, however often it is sent."
        )
        super().__init__(f"{why}, so the command may or may not have been carried out. {again}", key=key)
