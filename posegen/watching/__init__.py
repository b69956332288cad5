"""What a run looks like from outside: its files, read while it trains; a view in the terminal; a page at the end."""

from .state import RunState, look
from .status import STATUS, RunStage, RunStatus, read_status, write_status

__all__ = ["STATUS", "RunStage", "RunState", "RunStatus", "look", "read_status", "write_status"]
