"""What the ledger's tables are made of: metadata of their own, kinds of columns, and checks that several share."""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, MetaData, Text, text
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""The ledger's own metadata."""


class LedgerRow(SQLModel, registry=registry(metadata=metadata)):
    """Base of the ledger's rows. `updated` are the columns that operations update; the others are written once."""

    updated: ClassVar[tuple[str, ...]] = ()


BUCKETS = ("available", "held", "consumed", "expired", "revoked", "scheduled")
BUCKET_SUM = " + ".join(BUCKETS)


def buckets_not_negative() -> CheckConstraint:
    """No bucket may hold less than nothing."""
    return CheckConstraint(" AND ".join(f"{bucket} >= 0" for bucket in BUCKETS), name="buckets_not_negative")


def belongs_to_account() -> ForeignKeyConstraint:
    """The row's account must exist."""
    return ForeignKeyConstraint(["account_id"], ["ledger_account.account_id"])


def checked_by_sqlite(reference: ForeignKeyConstraint) -> ForeignKeyConstraint:
    """A reference of the rows that every operation adds.

    SQLite checks it. PostgreSQL would look each of them up one by one, a third of the work on a busy account. There
    the rows are written in one statement with their account, whose row is locked, triggers keep the account, and the
    audit finds a row without an account on every database.
    """
    return reference.ddl_if(dialect="sqlite")


def text_column(**options: Any) -> Any:
    """A text."""
    return Field(sa_type=Text, **options)


def number_column(**options: Any) -> Any:
    """A whole number of 64 bits."""
    return Field(sa_type=BigInteger, **options)


def count_column() -> Any:
    """A number that was not there from the first revision on, and is 0 where nothing else is said."""
    return Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})


def key_number_column() -> Any:
    """A number that is part of the primary key, and that the ledger gives."""
    return Field(sa_type=BigInteger, primary_key=True, sa_column_kwargs={"autoincrement": False})
