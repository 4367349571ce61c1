"""Statements: of one account, proven as they are read; of all accounts, with totals; as files and pages.

Imports the calendar, stream and spreadsheets of finance, documents, the verbs, storage, book and model.
"""
