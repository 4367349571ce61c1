"""A comparison of rate cards as one HTML file: tables, charts and their texts, which opens offline and prints.

Needs the extra `report`. Imports scenarios and below.
"""

from estimator.report.page import render_report, write_report

__all__ = ["render_report", "write_report"]
