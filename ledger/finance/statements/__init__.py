"""Statements of a period, of one account or of all, as values and as files."""
