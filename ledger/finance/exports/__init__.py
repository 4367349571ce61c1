"""The book as files for other tools: journals, tables, and a feed of entries."""
