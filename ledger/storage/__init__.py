"""The SQL that reads and writes a book, and the engines and transactions it runs in.

May import `schema`, `rules`, `commands`, `book`, `model` and `ledger.errors`.
"""
