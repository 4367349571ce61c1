"""An account in memory: its state, its postings with their hashes, and the answers made from postings. Pure.

May import `model`.
"""
