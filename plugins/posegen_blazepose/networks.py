"""The networks of MediaPipe that come with the plugin, and LiteRT, which runs them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from posegen.errors import CheckpointError, MissingWeightsError
from posegen.weights import WeightsFile, find_weights

MAX_THREADS = 4
"""Largest number of threads of a network, as many as PyTorch uses up to it: the networks are small."""
ORIGIN = "https://pypi.org/project/mediapipe/0.10.14/"
INSTALL = "pip install ai-edge-litert (or pip install 'posegen[pose]')"


def _network(name: str, file_name: str, sha256: str, used_by: str) -> WeightsFile:
    folder = Path(__file__).with_name("networks")
    return WeightsFile(f"{name} (MediaPipe 0.10.14, comes with posegen)", file_name, ORIGIN, sha256, folder, (used_by,))


POSE_DETECTOR = _network(
    "BlazePose detector",
    "pose_detection.tflite",
    "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    "blazepose",
)
POSE_LANDMARKS = _network(
    "BlazePose full, 33 points",
    "pose_landmark_full.tflite",
    "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
    "blazepose",
)
FACE_DETECTOR = _network(
    "BlazeFace detector, full range",
    "face_detection_full_range_sparse.tflite",
    "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
    "facemesh",
)
FACE_LANDMARKS = _network(
    "Face mesh, 468 points",
    "face_landmark.tflite",
    "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
    "facemesh",
)
ALL = (POSE_DETECTOR, POSE_LANDMARKS, FACE_DETECTOR, FACE_LANDMARKS)


class Network:
    """A network of one square image, run on the CPU.

    Args:
        file: its file.

    Attributes:
        size: side of its input in pixels.

    Raises:
        MissingWeightsError: LiteRT is not installed, or the file is missing.
        CheckpointError: the file is damaged.
    """

    def __init__(self, file: WeightsFile) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise MissingWeightsError(
                f"the library ai-edge-litert, which runs {file.name}, is not installed: {INSTALL}"
            ) from error
        path = find_weights(file)
        try:
            with _quiet():
                threads = min(torch.get_num_threads(), MAX_THREADS)
                self._interpreter = Interpreter(model_path=str(path), num_threads=threads)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise CheckpointError(f"{path} cannot be loaded: {error}") from error
        (self._input,) = self._interpreter.get_input_details()
        self._outputs = self._interpreter.get_output_details()
        self.size = int(self._input["shape"][1])

    def __call__(self, image: np.ndarray, low: float = 0.0) -> list[np.ndarray]:
        """Return the outputs of the network.

        Args:
            image: uint8, *size* *size* 3, RGB.
            low: what black becomes; white becomes 1.
        """
        values = image.astype(np.float32) * ((1 - low) / 255) + low
        self._interpreter.set_tensor(self._input["index"], values[None])
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(output["index"]) for output in self._outputs]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep LiteRT, which is C++, from telling on stderr that it has loaded."""
    sys.stderr.flush()
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)
