"""Check a whole data set before training: missing, broken and doubtful files, and images in both splits."""

from .check import SPLITS, check_data
from .processes import in_processes
from .report import Report, Split, print_report, write_findings

__all__ = ["SPLITS", "Report", "Split", "check_data", "in_processes", "print_report", "write_findings"]
