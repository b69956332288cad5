"""A page to play with: a picture, a structure that is edited, the result, and where each of its points comes from."""

from .explain import Level, Origin, explain_point, levels_of, recorded_kernels
from .gallery import Drive, Gallery, Subject
from .loading import Loaded, LoadedModel, load
from .studio import Made, Studio, check_comparable, neutral_pose

__all__ = [
    "Drive",
    "Gallery",
    "Level",
    "Loaded",
    "LoadedModel",
    "Made",
    "Origin",
    "Studio",
    "Subject",
    "check_comparable",
    "explain_point",
    "levels_of",
    "load",
    "neutral_pose",
    "recorded_kernels",
]
