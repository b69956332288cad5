"""A whole data set, looked at before anything trains on it: what is missing, broken, doubtful, or in both splits."""

from .check import check_data, in_processes
from .findings import Finding, Picture, Subject, as_findings
from .report import Report, Split, print_report, write_findings

__all__ = [
    "Finding",
    "Picture",
    "Report",
    "Split",
    "Subject",
    "as_findings",
    "check_data",
    "in_processes",
    "print_report",
    "write_findings",
]
