"""From what people download to what the loaders read: a plugin plans it, file by file, and this room carries it out."""

from .carry_out import prepare
from .estimate import check_estimator, estimate_keypoints
from .plan import (
    Copy,
    CopyImage,
    LeftOut,
    Plan,
    Preparation,
    Step,
    Wishes,
    Write,
    changes_pixels,
    cut_middle,
    get_preparation,
    preparations,
    stored_name,
)
from .report import Problem, Result, print_result
from .sources import Member, Sources

__all__ = [
    "Copy",
    "CopyImage",
    "LeftOut",
    "Member",
    "Plan",
    "Preparation",
    "Problem",
    "Result",
    "Sources",
    "Step",
    "Wishes",
    "Write",
    "changes_pixels",
    "check_estimator",
    "cut_middle",
    "estimate_keypoints",
    "get_preparation",
    "preparations",
    "prepare",
    "print_result",
    "stored_name",
]
