"""Reads of very many rows through the driver: all at once, or a part at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

from sqlalchemy import Connection, text

from ledger.storage.driver import driver_cursor


def fetch_raw(connection: Connection, statement: str, values: tuple[Any, ...]) -> list[Any]:
    """The rows of a SELECT through the driver, for reads of very many rows. `{0}`, `{1}` stand for the values.

    Integers, texts and bytes need no conversion by SQLAlchemy on either database.
    """
    dialect = connection.dialect
    if dialect.name == "postgresql":
        marked = statement.format(*(["%s"] * len(values)))
        if dialect.driver == "psycopg" and not dialect.is_async:
            with driver_cursor(connection) as cursor:
                # In the binary format integers and bytes are not parsed from text: that halves the time of a read.
                return list(cursor.execute(marked, values, binary=True).fetchall())
        result = connection.exec_driver_sql(marked, values)
        rows = list(result.cursor.fetchall())
        result.close()
        return rows
    with driver_cursor(connection) as cursor:
        cursor.execute(statement.format(*(["?"] * len(values))), values)
        found: list[Any] = cursor.fetchall()
    return found


_names = count()


def stream_raw(
    connection: Connection, statement: str, values: Sequence[Any] = (), *, size: int = 5_000
) -> Iterator[Sequence[Any]]:
    """The rows of a SELECT as `fetch_raw` answers them, `size` at a time: one statement, never all rows in memory."""
    dialect = connection.dialect
    if dialect.name == "postgresql" and (dialect.driver != "psycopg" or dialect.is_async):
        options = {"stream_results": True, "yield_per": size}
        marked = statement.format(*(f":v{index}" for index in range(len(values))))
        named = {f"v{index}": value for index, value in enumerate(values)}
        with connection.execute(text(marked), named, execution_options=options) as rows:
            yield from rows.partitions()
        return
    if dialect.name == "postgresql":
        # A named cursor stays on the server, which sends only the rows that are fetched.
        mark, cursor_options, how = "%s", {"name": f"ledger_{next(_names)}"}, {"binary": True}
    else:
        mark, cursor_options, how = "?", {}, {}
    with driver_cursor(connection, **cursor_options) as cursor:
        cursor.execute(statement.format(*([mark] * len(values))), tuple(values), **how)
        while part := cursor.fetchmany(size):
            yield part
