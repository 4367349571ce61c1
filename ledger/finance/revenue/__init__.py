"""Revenue by grant and period, and the closing of periods.

Imports the calendar and stream of finance, documents, auditing, accounting, storage, schema, book and model.
"""
