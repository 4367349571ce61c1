"""Charges of runs computed again, and compared with their estimates."""
