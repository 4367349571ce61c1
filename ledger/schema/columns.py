"""The parts of the ledger's tables: their own metadata, kinds of columns, checks that several tables have."""

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
"""The ledger's own metadata, apart from the host's."""


class LedgerRow(SQLModel, registry=registry(metadata=metadata)):
    """Base of the ledger's rows. `updated` are the columns that operations update; the others are written once."""

    updated: ClassVar[tuple[str, ...]] = ()


BUCKETS = ("available", "held", "consumed", "expired", "revoked", "scheduled")
BUCKET_SUM = " + ".join(BUCKETS)


def buckets_not_negative() -> CheckConstraint:
    """The check that no bucket is below 0."""
    return CheckConstraint(" AND ".join(f"{bucket} >= 0" for bucket in BUCKETS), name="buckets_not_negative")


def belongs_to_account() -> ForeignKeyConstraint:
    """The reference of a row to its account."""
    return ForeignKeyConstraint(["account_id"], ["ledger_account.account_id"])


def checked_by_sqlite(reference: ForeignKeyConstraint) -> ForeignKeyConstraint:
    """A reference of rows that every operation adds, which only SQLite checks.

    PostgreSQL would look up each row's account one by one, which is a third of the work on a busy account. There the
    rows are written in one statement with their account, whose row is locked, and triggers refuse to delete the
    account. The audit finds a row without an account on every database.
    """
    return reference.ddl_if(dialect="sqlite")


def text_column(**options: Any) -> Any:
    """A column of texts."""
    return Field(sa_type=Text, **options)


def number_column(**options: Any) -> Any:
    """A column of whole numbers of 64 bits."""
    return Field(sa_type=BigInteger, **options)


def count_column() -> Any:
    """A number that a later revision added; its default in the database is 0."""
    return Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})


def key_number_column() -> Any:
    """A number of the primary key. The ledger gives it, not the database."""
    return Field(sa_type=BigInteger, primary_key=True, sa_column_kwargs={"autoincrement": False})
