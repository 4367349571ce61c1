"""PostgreSQL's arrays: columns of values as literals, and writes of many rows as one statement.

Imports `shapes` and `driver` of storage.
"""
