"""Files on disk: datasets profiled, and output that is written whole or not at all.

Imports the ground and the top level.
"""
