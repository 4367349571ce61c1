"""Where in an account's journal a moment lies."""

from __future__ import annotations

from sqlalchemy import Connection, text


def sequence_before(connection: Connection, account_id: str, moment: int, last: int | None = None) -> int:
    """The sequence of the last entry that took effect before a moment, among entries up to `last`; 0 for none.

    An account's time never goes back, so its entries are in order of time, and the primary key finds the place in a
    few steps: no index has to be kept, and no entry is scanned.
    """
    values = {"account_id": account_id, "moment": moment, "last": last}
    return int(connection.execute(_PLACE, values).scalar_one())


# `low` took effect before the moment, `high` did not (or is one beyond the last). Each step is two rows: the first
# names an entry between them to look at, the second has looked. Of three steps one halves what lies between; the
# others look where the moment would lie if time passed evenly from entry to entry, once a little before, once a little
# after. So few pages of a long journal are read, and one of any rhythm takes three times the steps of halving at most.
# It is a guess where to look: that it goes through a float does no harm.
_HALFWAY = "(low + high) / 2"
_EVENLY = "low + CAST((high - low) * (CAST(:moment - low_at AS double precision) / (high_at - low_at)) AS bigint)"
_ASIDE = "(high - low) / 64 * (1 - turn / 2 % 3 * 2)"
_GUESS = (
    f"CASE WHEN turn / 2 % 3 = 2 OR high_at <= low_at OR :moment > high_at THEN {_HALFWAY}"
    f" ELSE {_EVENLY} - {_ASIDE} END"
)
_BETWEEN = f"CASE WHEN {_GUESS} <= low THEN low + 1 WHEN {_GUESS} >= high THEN high - 1 ELSE {_GUESS} END"
_IS_BEFORE = "e.at < :moment"
_IS_AFTER = "probe IS NOT NULL AND (e.at IS NULL OR e.at >= :moment)"
_PLACE = text(
    "WITH RECURSIVE place(low, low_at, high, high_at, probe, turn) AS ("
    " SELECT CAST(0 AS bigint), opened_at, 1 + coalesce(CAST(:last AS bigint), sequence), at, CAST(NULL AS bigint), 0"
    " FROM ledger_account WHERE account_id = :account_id UNION ALL SELECT"
    f" CASE WHEN {_IS_BEFORE} THEN probe ELSE low END, CASE WHEN {_IS_BEFORE} THEN e.at ELSE low_at END,"
    f" CASE WHEN {_IS_AFTER} THEN probe ELSE high END,"
    f" CASE WHEN {_IS_AFTER} THEN coalesce(e.at, high_at) ELSE high_at END,"
    f" CASE WHEN probe IS NULL THEN {_BETWEEN} END, turn + 1"
    " FROM place LEFT JOIN ledger_entry e ON e.account_id = :account_id AND e.sequence = probe"
    " WHERE high - low > 1) SELECT low FROM place WHERE high - low <= 1"
)
