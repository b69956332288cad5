"""Using a model: pictures and key points in, pictures and clips out."""

from ..data.pose_files import PoseChoice
from .cutout import as_background
from .files import find_poses, find_sources, find_targets, list_files, matching_pictures
from .inferencer import Inferencer, Result, generated_picture, mark_of
from .inputs import (
    Picture,
    PoseInput,
    Structure,
    as_array,
    as_keypoints,
    check_points,
    cut_out_opaque,
    read_clip,
    read_clip_figures,
    read_figures,
    read_inputs,
    read_keypoint_file,
    read_keypoints,
)
from .interpolation import interpolate_keypoints
from .model_source import ModelSource
from .prepare import AS_IT_FITS, Framing, describe_size, prepare_checked, prepare_subject
from .prepared import Prepared

__all__ = [
    "AS_IT_FITS",
    "Framing",
    "Inferencer",
    "ModelSource",
    "Picture",
    "PoseChoice",
    "PoseInput",
    "Prepared",
    "Result",
    "Structure",
    "as_array",
    "as_background",
    "as_keypoints",
    "check_points",
    "cut_out_opaque",
    "describe_size",
    "find_poses",
    "find_sources",
    "find_targets",
    "interpolate_keypoints",
    "list_files",
    "matching_pictures",
    "prepare_checked",
    "prepare_subject",
    "read_clip",
    "read_clip_figures",
    "read_figures",
    "read_inputs",
    "read_keypoint_file",
    "read_keypoints",
    "generated_picture",
    "mark_of",
]
