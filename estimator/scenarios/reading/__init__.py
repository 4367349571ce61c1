"""Past runs from frames and files, a piece at a time.

Imports frames and below.
"""
