"""Prepare downloads for the loaders: one function for each data set, and the helpers these functions share."""

from .estimate import check_estimator, estimate_keypoints
from .images import changes_pixels, copy_image, cut_middle, stored_name
from .preparation import Preparation, get_preparation, preparations, prepare
from .report import Problem, Result, print_result
from .workspace import PrepareOptions, SourceFile, Task, Workspace, split_of_video

__all__ = [
    "Preparation",
    "PrepareOptions",
    "Problem",
    "Result",
    "SourceFile",
    "Task",
    "Workspace",
    "changes_pixels",
    "check_estimator",
    "copy_image",
    "cut_middle",
    "estimate_keypoints",
    "get_preparation",
    "preparations",
    "prepare",
    "print_result",
    "split_of_video",
    "stored_name",
]
