"""Outside records: the mapping of a file, its reader, and the scratch database that it is read into.

Imports the calendar of finance, the verbs and model; the rest of reconciliation imports it.
"""
