"""An account in memory: its state, its postings, their hashes, and the answers read from them. Pure.

Imports model.
"""
