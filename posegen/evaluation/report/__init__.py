"""Reports of evaluations: for the terminal, and as JSON, Markdown, LaTeX and HTML files."""

from .compare import Comparison, Entry, Ranking, comparison, rankings
from .files import check_report_folder, write_report
from .rows import score_table
from .sensitivity import sensitivity_markdown, sensitivity_picture, sensitivity_table

__all__ = [
    "Comparison",
    "Entry",
    "Ranking",
    "check_report_folder",
    "comparison",
    "rankings",
    "score_table",
    "sensitivity_markdown",
    "sensitivity_picture",
    "sensitivity_table",
    "write_report",
]
