"""The proof: every figure of the book computed again from its entries.

Imports storage, accounting, book and model.
"""
