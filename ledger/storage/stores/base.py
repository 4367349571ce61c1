"""What a store is: it makes the statements of its database, and sends them by its driver."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

from sqlalchemy import Connection

from ledger.schema.databases import Capabilities
from ledger.storage.shapes import RowShape, Write
from ledger.storage.stores.selects import Key, Select


class Request(NamedTuple):
    """A statement and its values. With `is_each` it is carried out for each of `values`, and its rows are put together.

    `is_planned_anew`: its plan depends on how many values it has, so none is kept. `has_rows`: it may answer rows.
    """

    sql: str
    values: Sequence[Any] = ()
    is_each: bool = False
    is_planned_anew: bool = False
    has_rows: bool = True


@dataclass(slots=True)
class Store(ABC):
    """The statements of one connection; `can` says what its database can do."""

    can: Capabilities

    sql_of_hex: ClassVar[str]
    """SQL of bytes as a hexadecimal text; `{}` stands for the column."""

    @staticmethod
    @abstractmethod
    def sql_of_json(column: str, path: Sequence[str]) -> str:
        """SQL of the text at a path in a column of JSON."""

    def select(self, select: Select, keys: Sequence[Key], extras: Sequence[Any] = ()) -> Request | None:
        """The request of a `Select` for some keys; None without keys.

        One statement for all keys, or one for each key where the `Select` says so, or its rows are locked.
        """
        if not keys:
            return None
        is_locking = bool(select.lock) and self.can.locks_rows
        if len(keys) > 1 and not (select.is_each or is_locking):
            return self.select_many(select, keys, extras)
        sql = sql_of_one(select, is_locking)
        if len(keys) == 1:
            return Request(sql, (*extras, *keys[0]))
        return Request(sql, [(*extras, *key) for key in keys], is_each=True)

    @abstractmethod
    def select_many(self, select: Select, keys: Sequence[Key], extras: Sequence[Any]) -> Request:
        """The request of a `Select` for several keys at once."""

    @abstractmethod
    def lock_database(self, connection: Connection) -> None:
        """Keep every other writer out before the first read, where a database has no locks of rows."""

    @abstractmethod
    def writes(self, writes: Sequence[Write]) -> list[Request]:
        """The requests of writes that have rows, at most one for each."""

    @abstractmethod
    def run(self, connection: Connection, requests: Sequence[Request]) -> list[list[tuple[Any, ...]]]:
        """The rows of each request, carried out in order: in one round trip where the driver has pipelines."""

    def has_ended(self, connection: Connection) -> bool:
        """Whether SQL, past SQLAlchemy, has ended the transaction that the library began; False where nobody knows."""
        return False

    def commit_request(self, connection: Connection) -> Request | None:
        """The request that commits the transaction, to be sent with its last writes; None where SQLAlchemy must."""
        return None

    def commit_warnings(self, connection: Connection) -> list[str]:
        """A list for the warnings that the server will give of the commit to come; empty where none are heard."""
        return []

    @abstractmethod
    def stream(
        self, connection: Connection, sql: str, values: Sequence[Any], size: int
    ) -> Iterator[Sequence[tuple[Any, ...]]]:
        """The rows of a SELECT, `size` at a time."""


@lru_cache(maxsize=64)
def sql_of_one(select: Select, is_locking: bool) -> str:
    """The statement of a `Select` for one key."""
    return f"{select.sql_of_one} {select.lock}" if is_locking else select.sql_of_one


@lru_cache(maxsize=128)
def write_of_row(shape: RowShape, is_update: bool, mark: str) -> str:
    """The statement that writes one row of a shape, whose values are `mark` and their number: `$1`, `$2`."""
    places = {name: f"{mark}{number}" for number, name in enumerate(shape.columns, 1)}
    if not is_update:
        return f"INSERT INTO {shape.table} ({', '.join(places)}) VALUES ({', '.join(places.values())})"
    changes = ", ".join(f"{name} = {place}" for name, place in places.items() if name not in shape.key)
    return f"UPDATE {shape.table} SET {changes} WHERE {' AND '.join(f'{name} = {places[name]}' for name in shape.key)}"
