"""What runs cost: estimates beside charges, and every charge computed again.

Imports the calendar and stream of finance, documents, model and estimator's public names.
"""
