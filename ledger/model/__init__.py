"""Values, ids, moments, cycles and the checks of what a caller gives. Pure.

Imports errors and estimator's public names.
"""
