"""Preference tests: which of two images is real, or better, in the eyes of those who look at them."""

from .definition import MODES, Study, define_study
from .record import Answer, Record, read_records
from .server import StudyServer
from .session import Session
from .statistics import Tally, report_rows, tally
from .trials import Trial, make_trials

__all__ = [
    "MODES",
    "Answer",
    "Record",
    "Session",
    "Study",
    "StudyServer",
    "Tally",
    "Trial",
    "define_study",
    "make_trials",
    "read_records",
    "report_rows",
    "tally",
]
