"""Commands of many callers in one transaction.

Imports storage, commands and model.
"""
