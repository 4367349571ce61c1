"""Pinned prices of the shipped cards. A changed price fails `tests/golden/test_golden.py`.

After a change that is meant, `python -m tests.golden` writes the tables anew and prints the digests to pin there.
A change of a published card's prices is a new card with a new `effective_from`, not a new golden table.
"""
