"""The program of a rate card as the text of one SQL statement.

Imports columns and below; never `frames`.
"""
