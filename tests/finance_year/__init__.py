"""A generated year of many accounts with every verb: that finance's figures tie, and that what was altered is found.

`python -m tests.finance_year --accounts 2000 --entries 1000000 --seed N` makes the book and the records of others about
it, has 500 discrepancies of ten kinds put into those, and ends with 1 when one is missed, another is found, or a sum
does not tie.
"""
