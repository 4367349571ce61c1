"""The only SQL of verbs and audit; engines and transactions.

Imports schema, rules, commands, book and model.
"""
