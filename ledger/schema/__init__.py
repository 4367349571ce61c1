"""The database's tables, migrations, triggers and roles.

May import `model` and `ledger.errors`.
"""
