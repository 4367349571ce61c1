"""The book for other tools: journals, tables, and a feed of entries.

Imports the stream of finance, documents, storage, schema, book and model.
"""
