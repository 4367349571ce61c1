"""What transfers mean in money: deferred, recognised, owed. Pure.

Imports book and model.
"""
