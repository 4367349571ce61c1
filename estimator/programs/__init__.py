"""Integer programs: built with proven bounds, folded and merged. They know no rate card.

Imports the ground only (`errors`, `credits`, `sentences`).
"""
