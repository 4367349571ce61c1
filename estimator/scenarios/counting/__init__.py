"""Prices of runs added up: by dimension, by step, the largest movers.

Imports `reading`, frames and below.
"""
