"""The commands of finance: statements, revenue, exports, accuracy, reconciliation, audit.

Imports the rest of `ledger.cli`, which does not import it.
"""
