"""A page to play with: a picture, a pose that is dragged, the result, and where each of its points comes from."""

from .explain import Level, Origin, explain_point, levels_of, recorded_kernels
from .studio import Made, Studio, Subject, neutral_pose

__all__ = [
    "Level",
    "Made",
    "Origin",
    "Studio",
    "Subject",
    "explain_point",
    "levels_of",
    "neutral_pose",
    "recorded_kernels",
]
