"""What every structure encoder can do: say where things should go, and draw itself; and what a data set has."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from ..errors import ConfigError
from ..records import Pair
from .keypoints import KeypointLayout, Keypoints


@runtime_checkable
class StructureEncoder(Protocol):
    """Turns key points into the structure a network sees.

    It may have more; whoever asks for it goes on without it:

    ``uses_image``: True where it also looks at the photograph itself. Its ``encode`` takes it, uint8 H W 3 of *size*,
        as a third argument, or None where there is none. :func:`encode_structure` calls either.
    ``decode(structure)``: what ``encode`` was given, of a structure S H W: key points in pixels of the structure.
        ``posegen app`` edits examples of the test set by it, and ``posegen example`` writes their key points. Without
        it the page shows no examples, unless the data set has ``keypoints``, and there is no ``posegen example``.
    ``mirror(structure)``: the structure of the mirror image. :func:`posegen.testing.check_structure_encoder` compares
        with it; without it channels are exchanged like the points, where there is one a point, or else guessed.
    ``choices``: of an encoder of something else than key points, which then has no ``layout``: the names of the classes
        of each thing that is chosen, ``{"azimuth": ("0°", "20°", ...)}``; its ``encode`` takes a tuple of a class's
        number for each. ``posegen app`` shows a slider for each; without it, a field for JSON.
    """

    channels: int
    layout: KeypointLayout

    def encode(self, keypoints: Keypoints, size: tuple[int, int]) -> Tensor:
        """The structure, S H W, of points given in pixels of an image of *size* (H, W)."""
        ...

    def draw(self, structure: Tensor) -> np.ndarray:
        """A picture of a structure S H W: uint8, H W 3, RGB."""
        ...


@runtime_checkable
class PairDataset(Protocol):
    """What every data set of pairs has.

    It, and one of clips, may have more; whoever asks for it goes on without it:

    ``augments``: True where samples differ from draw to draw. Training then asks for ``(index, draw)``, and otherwise
        for a bare index: every round has the same samples.
    ``keypoints(index)``: an iterable of the key points of a sample, in pixels of its images: the source's and the
        target's; of a clip the reference's, then each frame's. ``posegen app`` edits examples of the test set by them;
        without it, by the encoder's ``decode``.
    ``examine(...)``: a class method, what :mod:`posegen.checking` asks for; without it ``posegen check`` reads every
        sample instead of every file.
    ``prepare(image, keypoints, size, options) -> (image, keypoints)``: a static method that ``posegen infer`` calls on
        the photographs it is given, so that the network sees them as in training; without it they are resized as a
        whole. ``image`` uint8 H W 3 of any size; ``size`` (H, W) of the image that is returned, whose pixels the
        returned points count; ``options``: the arguments that the config gives the data set.
    ``prepare_options``: the names of those that ``prepare`` looks at: they go with a model that is shared. Without it
        all go but paths.
    ``files() -> {name of a pair: (source, target)}``: where pairs show whole image files, the paths of the originals.
        ``posegen test --protocol`` scores against these, resized as the protocol says; without it, against the targets
        as the data set gives them.
    ``drawn_options``: of a data set that is drawn, and reads nothing: the names of the options that say what it draws.
        They go with a model that is shared, and ``posegen example`` draws by them; without it there are no examples.
    ``motion(index, frames)``: of a drawn one, the key points of a motion that begins and ends with the source's pose,
        in pixels of it. ``posegen example`` writes it; without it no motion is written.
    """

    structure: StructureEncoder
    """What encoded the pairs' structures: it draws them on the sheets of samples."""

    def __len__(self) -> int:
        """The number of pairs."""
        ...

    def __getitem__(self, index: int) -> Pair:
        """The pair at a number."""
        ...


def encode_structure(
    encoder: StructureEncoder, keypoints: Keypoints, size: tuple[int, int], image: np.ndarray | None
) -> Tensor:
    """The structure, S H W, by an encoder that looks at images or by one that does not.

    Args:
        encoder: of the structure.
        keypoints: in pixels of an image of *size* (H, W).
        image: that image, uint8 H W 3; None where there is none.
    """
    if getattr(encoder, "uses_image", False):
        return encoder.encode(keypoints, size, image)  # type: ignore[call-arg]
    return encoder.encode(keypoints, size)


def structure_of(dataset: Any) -> StructureEncoder:
    """The structure encoder that draws a data set's structures.

    Raises:
        ConfigError: the data set has none.
    """
    structure = getattr(dataset, "structure", None)
    if not callable(getattr(structure, "draw", None)):
        raise ConfigError(
            f"the data set {type(dataset).__name__} has no attribute 'structure' with a method 'draw': sheets of "
            "samples cannot show its structures\nGive it one (posegen.data.PairDataset says what a data set has)."
        )
    return structure  # type: ignore[return-value]
