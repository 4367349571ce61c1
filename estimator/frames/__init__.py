"""The program of a rate card over the columns of a table of past runs.

Imports columns and below; never `sql`.
"""
