"""The database's tables, migrations, triggers and roles.

Imports model.
"""
