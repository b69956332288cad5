"""The nodes: load a model, find poses, transfer, animate.

ComfyUI's ``IMAGE`` is a float tensor B H W 3 in [0, 1], its ``MASK`` a float tensor B H W in [0, 1].
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import comfy.utils
import folder_paths
import numpy as np
import torch

from posegen import Inferencer
from posegen.data import KeypointLayout, Keypoints, get_layout
from posegen.data.estimators import load_estimator
from posegen.errors import InputError
from posegen.inference import Framing, Result
from posegen.inference.driving import fill
from posegen.inference.framing import CROP
from posegen.inference.retarget import RETARGET
from posegen.sharing import CONFIG, shared_models

from .poses import as_frame, largest, people_of

CATEGORY = "posegen"
MODEL, IMAGE, MASK, POSE = "POSEGEN_MODEL", "IMAGE", "MASK", "POSE_KEYPOINT"
SIZES = ("of the image", "of the model")
FOLDER = "posegen"
"""Folder of shared models below ComfyUI's ``models``."""


def model_folders() -> dict[str, Path | str]:
    """Return the shared models by name: those of installed plugins, and the folders in ``models/posegen``."""
    own = sorted(Path(folder_paths.models_dir, FOLDER).glob(f"*/{CONFIG}"))
    return {**{name: name for name in shared_models()}, **{path.parent.name: path.parent for path in own}}


class PosegenLoadModel:
    """Load a shared model. Nothing in its folder is executed."""

    CATEGORY, FUNCTION = CATEGORY, "load"
    RETURN_TYPES, RETURN_NAMES = (MODEL,), ("model",)
    DESCRIPTION = f"Load a model that comes with posegen, or a folder of `posegen share` in models/{FOLDER}."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """Return the inputs."""
        return {"required": {"model": (list(model_folders()),), "device": (["auto", "cpu"],)}}

    def load(self, model: str, device: str) -> tuple[Inferencer]:
        """Load the model of a name."""
        return (Inferencer(model_folders()[model], device=device),)


class PosegenFindPose:
    """Find the people in images with the estimator that comes with posegen."""

    CATEGORY, FUNCTION = CATEGORY, "find"
    RETURN_TYPES, RETURN_NAMES = (POSE,), ("pose",)
    DESCRIPTION = "Find people's key points. Needs pip install posegen[pose]; downloads nothing."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """Return the inputs."""
        return {"required": {"image": (IMAGE,)}}

    def find(self, image: torch.Tensor) -> tuple[list[dict[str, Any]]]:
        """Return one dictionary for each image."""
        estimate = load_estimator(get_layout("openpose18"))
        return ([as_frame(estimate(picture), picture) for picture in as_pictures(image)],)


class PosegenTransfer:
    """Move the person of an image into a pose; batches go together item by item, a single item with each."""

    CATEGORY, FUNCTION = CATEGORY, "transfer"
    RETURN_TYPES, RETURN_NAMES = (IMAGE, MASK, IMAGE), ("image", "kept", "warped")
    DESCRIPTION = "Move the person of an image into a pose. kept: 1 is warped from the image, 0 is generated."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """Return the inputs."""
        return inputs_with("image", "pose")

    def transfer(
        self,
        model: Inferencer,
        image: torch.Tensor,
        pose: list[dict[str, Any]],
        size: str,
        retarget: str,
        crop: str,
        image_pose: list[dict[str, Any]] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the generated images, the masks, and the warped images."""
        layout = layout_of(model)
        own = PosegenFindPose().find(image)[0] if image_pose is None else image_pose
        pictures, count = as_pictures(image), max(len(image), len(pose))
        results = model.infer(
            repeated("image", pictures, count),
            [largest(frame, layout) for frame in repeated("pose", pose, count)],
            [largest(frame, layout) for frame in repeated("image_pose", own, count)],
            progress=False,
            resize_back=size == SIZES[0],
            framing=Framing(crop, retarget),
        )
        return as_images(results), as_masks(results), as_tensor([warped_of(result) for result in results])


class PosegenAnimate:
    """Move the person of an image through a sequence of poses."""

    CATEGORY, FUNCTION = CATEGORY, "animate"
    RETURN_TYPES, RETURN_NAMES = (IMAGE,), ("frames",)
    DESCRIPTION = (
        "Move the person of an image through poses, one a frame. Frames without a person hold the pose before."
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """Return the inputs."""
        return inputs_with("image", "motion")

    def animate(
        self,
        model: Inferencer,
        image: torch.Tensor,
        motion: list[dict[str, Any]],
        size: str,
        retarget: str,
        crop: str,
        image_pose: list[dict[str, Any]] | None = None,
    ) -> tuple[torch.Tensor]:
        """Return the frames as a batch."""
        if len(image) != 1:
            raise InputError(f"image must be one image, got a batch of {len(image)}")
        layout = layout_of(model)
        own = PosegenFindPose().find(image)[0] if image_pose is None else image_pose
        (picture,) = as_pictures(image)
        framing = Framing(crop, retarget)
        poses, reference = poses_of(motion, layout), largest(own[0], layout)
        frames = model.animate(picture, poses, reference, resize_back=size == SIZES[0], framing=framing)
        return (as_images(list(tracked(frames, len(poses)))),)


def inputs_with(image: str, pose: str) -> dict[str, Any]:
    """Return the inputs that both nodes share; *image* and *pose* are names."""
    return {
        "required": {
            "model": (MODEL,),
            image: (IMAGE,),
            pose: (POSE,),
            "size": (list(SIZES), {"tooltip": "of the image: results are put back into it at full resolution"}),
            "retarget": (list(RETARGET), {"tooltip": "fit of the pose to the person: size, or length of each limb"}),
            "crop": (list(CROP), {"tooltip": "part of the image that the model sees"}),
        },
        "optional": {
            "image_pose": (POSE, {"tooltip": f"pose of the person in {image}; not connected: it is estimated"}),
        },
    }


def layout_of(model: Inferencer) -> KeypointLayout:
    """Return the layout of a model's key points. InputError: it takes another structure, such as an angle of view."""
    if model.encoder.layout is None:
        raise InputError(f"this model takes no key points, but {type(model.encoder).__name__}'s structure")
    return model.encoder.layout


def poses_of(motion: Sequence[dict[str, Any]], layout: KeypointLayout) -> list[Keypoints]:
    """Return the largest person of each frame; frames without one hold the pose before."""
    people = [people_of(frame, layout) for frame in motion]
    return [pose for pose in fill([one[0] if one else None for one in people], "hold", layout) if pose is not None]


def tracked(frames: Iterable[Result], count: int) -> Iterable[Result]:
    """Yield frames, and show their number in ComfyUI's progress bar, at which it can interrupt them."""
    bar = comfy.utils.ProgressBar(count)
    for frame in frames:
        bar.update(1)
        yield frame


def repeated(name: str, items: Sequence[Any], count: int) -> list[Any]:
    """Return *count* items, of which there are as many, or one. InputError: another number."""
    if len(items) not in (1, count):
        raise InputError(f"{name} has {len(items)} items; expected 1 or {count}")
    return list(items) * (count // len(items))


def as_pictures(image: torch.Tensor) -> list[np.ndarray]:
    """Return the images of a batch as uint8 H W 3."""
    return [np.rint(255 * one[..., :3].clamp(0, 1).cpu().numpy()).astype(np.uint8) for one in image]


def as_tensor(pictures: Sequence[np.ndarray]) -> torch.Tensor:
    """Return pictures uint8 H W 3 as an ``IMAGE``."""
    return torch.from_numpy(np.stack(pictures)).float() / 255


def as_images(results: Sequence[Result]) -> torch.Tensor:
    """Return the generated pictures as an ``IMAGE``."""
    return as_tensor([result.image for result in results])


def as_masks(results: Sequence[Result]) -> torch.Tensor:
    """Return the masks as a ``MASK``; ones for a model that has none."""
    masks = [np.ones(one.image.shape[:2], np.float32) if one.mask is None else one.mask for one in results]
    return torch.from_numpy(np.stack(masks))


def warped_of(result: Result) -> np.ndarray:
    """Return the warped source; the generated picture of a model that has no flow."""
    return result.image if result.warped is None else result.warped


NODES = {
    "PosegenLoadModel": (PosegenLoadModel, "Posegen: load model"),
    "PosegenFindPose": (PosegenFindPose, "Posegen: find pose"),
    "PosegenTransfer": (PosegenTransfer, "Posegen: transfer pose"),
    "PosegenAnimate": (PosegenAnimate, "Posegen: animate"),
}
NODE_CLASS_MAPPINGS = {name: node for name, (node, _) in NODES.items()}
NODE_DISPLAY_NAME_MAPPINGS = {name: title for name, (_, title) in NODES.items()}
