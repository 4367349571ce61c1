"""What a client of the augmentation API sends, and what it gets.

Imports the ground only (`errors`, `credits`, `sentences`).
"""
