"""The values that a caller gives and gets: amounts, ids, moments, cycles, answers, and their checks. Pure.

May import `ledger.errors` and the public names of `estimator`.
"""
