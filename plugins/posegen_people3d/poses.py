"""Poses: random ones of several kinds within the limits of the joints, and motions.

Angles are in radians. Those of a left limb are given; a right one mirrors them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from .body import Array, Pose, Shape, body_model, place_joints

SIDES = ("left", "right")
TRIES = 12
"""Number of poses that are drawn before one is given up because limbs would go through each other."""


class Angles:
    """Angles of the joints by name."""

    def __init__(self) -> None:
        self.values = np.zeros((len(body_model().joints), 3))

    def add(self, joint: str, flex: float = 0.0, twist: float = 0.0, out: float = 0.0) -> None:
        """Turn a joint: *flex* bends forward, *twist* turns inward, and *out* moves away from the body's middle.

        Joints on the middle line twist to the left and lean to the right.
        """
        signs = {"left": (-1, -1, 1), "right": (-1, 1, -1)}.get(joint.split()[0], (1, 1, 1))
        self.values[body_model().joints.index(joint)] += np.multiply(signs, (flex, twist, out))

    def pose(self) -> Pose:
        """Return the pose. The collar bones take a part of what the arms are raised."""
        values, joints = self.values.copy(), body_model().joints
        for side in SIDES:
            shoulder, collar = joints.index(f"{side} shoulder"), joints.index(f"{side} collar")
            raised = max(float(np.linalg.norm(values[shoulder, [0, 2]])) - 0.6, 0.0) * 0.25
            sign = 1 if side == "left" else -1
            values[collar, 2] += sign * raised
            values[shoulder, 2] -= sign * raised
        return Pose(values)


def random_pose(rng: Generator, shape: Shape, kind: str | None = None) -> Pose:
    """Draw a pose in which no arm goes through the body.

    Args:
        rng: source of random numbers.
        shape: of the person.
        kind: one of ``KINDS``; None: a random one.
    """
    kind = kind or str(rng.choice(list(KINDS), p=[share for share, _ in KINDS.values()]))
    for _ in range(TRIES):
        angles = Angles()
        _torso(angles, rng)
        KINDS[kind][1](angles, rng)
        pose = angles.pose()
        if _is_clear(place_joints(shape, pose)):
            return pose
    angles = Angles()
    _legs_standing(angles, rng)
    for side in SIDES:
        _arm_hanging(angles, side, rng)
    return angles.pose()


def _torso(angles: Angles, rng: Generator) -> None:
    angles.add("waist", rng.normal(0.03, 0.07), rng.normal(0, 0.1), rng.normal(0, 0.05))
    angles.add("chest", rng.normal(0, 0.05), rng.normal(0, 0.1), rng.normal(0, 0.05))
    angles.add("neck", rng.normal(0.02, 0.08), rng.normal(0, 0.15), rng.normal(0, 0.05))
    angles.add("head", rng.normal(0.02, 0.1), rng.normal(0, 0.3), rng.normal(0, 0.07))


# Arms


def _arm_hanging(angles: Angles, side: str, rng: Generator) -> None:
    angles.add(f"{side} shoulder", rng.uniform(-0.2, 0.25), rng.uniform(-0.2, 0.4), rng.uniform(0.1, 0.28))
    angles.add(f"{side} elbow", rng.uniform(0.1, 0.6))


def _arm_on_hip(angles: Angles, side: str, rng: Generator) -> None:
    angles.add(f"{side} shoulder", rng.uniform(-0.35, -0.15), rng.uniform(0.8, 1.1), rng.uniform(0.6, 0.8))
    angles.add(f"{side} elbow", rng.uniform(1.4, 1.7))


def _arm_across(angles: Angles, side: str, rng: Generator) -> None:
    angles.add(f"{side} shoulder", rng.uniform(0.45, 0.75), rng.uniform(0.7, 1.0), rng.uniform(0.1, 0.3))
    angles.add(f"{side} elbow", rng.uniform(1.4, 1.8))


def _arm_front(angles: Angles, side: str, rng: Generator) -> None:
    angles.add(f"{side} shoulder", rng.uniform(0.1, 0.5), rng.uniform(-0.1, 0.5), rng.uniform(0.1, 0.4))
    angles.add(f"{side} elbow", rng.uniform(1.0, 2.1))


def _arm_reaching(angles: Angles, side: str, rng: Generator) -> None:
    angles.add(f"{side} shoulder", rng.uniform(0.9, 2.7), rng.uniform(-0.2, 0.3), rng.uniform(-0.1, 0.5))
    angles.add(f"{side} elbow", rng.uniform(0.0, 0.6))


def _arm_out(angles: Angles, side: str, rng: Generator) -> None:
    angles.add(f"{side} shoulder", rng.uniform(-0.3, 0.4), rng.uniform(-0.5, 0.5), rng.uniform(0.8, 1.6))
    angles.add(f"{side} elbow", rng.uniform(0.0, 0.8))


def _arm_waving(angles: Angles, side: str, rng: Generator) -> None:
    angles.add(f"{side} shoulder", rng.uniform(0.0, 0.4), rng.uniform(-1.3, -0.9), rng.uniform(1.1, 1.5))
    angles.add(f"{side} elbow", rng.uniform(1.0, 1.7))


def _arm_to_head(angles: Angles, side: str, rng: Generator) -> None:
    angles.add(f"{side} shoulder", rng.uniform(0.8, 1.3), rng.uniform(-0.1, 0.3), rng.uniform(0.3, 0.7))
    angles.add(f"{side} elbow", rng.uniform(2.0, 2.3))


def _arm_any(angles: Angles, side: str, rng: Generator) -> None:
    angles.add(f"{side} shoulder", rng.uniform(-0.7, 2.6), rng.uniform(-0.6, 0.8), rng.uniform(0.0, 1.6))
    angles.add(f"{side} elbow", rng.uniform(0.0, 2.2))


ARMS = (_arm_hanging, _arm_hanging, _arm_on_hip, _arm_across, _arm_front, _arm_out, _arm_waving, _arm_to_head, _arm_any)


def _random_arms(angles: Angles, rng: Generator) -> None:
    for side in SIDES:
        ARMS[rng.integers(len(ARMS))](angles, side, rng)


# Legs


def _legs_standing(angles: Angles, rng: Generator) -> None:
    for side in SIDES:
        bend = rng.uniform(0.0, 0.15)
        angles.add(f"{side} hip", bend + rng.normal(0, 0.05), rng.uniform(-0.4, 0.1), rng.uniform(0.0, 0.2))
        angles.add(f"{side} knee", -2 * bend)
        angles.add(f"{side} ankle", bend)


def _legs_crossed(angles: Angles, rng: Generator) -> None:
    front = SIDES[rng.integers(2)]
    back = SIDES[front == "left"]
    angles.add(f"{front} hip", 0.25, -0.2, rng.uniform(-0.24, -0.18))
    angles.add(f"{front} knee", -0.2)
    angles.add(f"{back} hip", -0.12, 0.0, rng.uniform(-0.12, -0.06))


def _legs_any(angles: Angles, rng: Generator) -> None:
    for side in SIDES:
        angles.add(f"{side} hip", rng.uniform(-0.3, 1.0), rng.uniform(-0.5, 0.2), rng.uniform(0.0, 0.5))
        angles.add(f"{side} knee", -rng.uniform(0.0, 1.4))
        angles.add(f"{side} ankle", rng.uniform(-0.2, 0.2))


def _standing(angles: Angles, rng: Generator) -> None:
    (_legs_crossed if rng.random() < 0.15 else _legs_standing)(angles, rng)
    _random_arms(angles, rng)


def _walking(angles: Angles, rng: Generator) -> None:
    walk(angles, rng.random(), rng.uniform(0.7, 1.3))
    if rng.random() < 0.2:
        side = SIDES[rng.integers(2)]
        angles.values[body_model().joints.index(f"{side} shoulder")] = 0
        angles.values[body_model().joints.index(f"{side} elbow")] = 0
        _arm_front(angles, side, rng)


def walk(angles: Angles, time: float, stride: float) -> None:
    """Add a moment of a walk: *time* in cycles of two steps, *stride* 1 for a usual one."""
    for side, phase in (("left", 0.0), ("right", np.pi)):
        turn = 2 * np.pi * time + phase
        swing = np.sin(turn)
        lifted = max(np.sin(turn + 1.0), 0.0) ** 2  # bent most while the leg moves forward
        angles.add(f"{side} hip", stride * (0.06 + 0.42 * swing), -0.1, 0.03)
        angles.add(f"{side} knee", -(0.08 + stride * 0.85 * lifted * (0.5 + 0.5 * np.cos(turn + 0.3))))
        angles.add(f"{side} ankle", 0.12 * np.sin(turn + 2.2))
        angles.add(f"{side} shoulder", -stride * 0.38 * swing, 0.1, 0.16)
        angles.add(f"{side} elbow", 0.25 + stride * 0.2 * max(-swing, 0))
    angles.add("waist", twist=-0.1 * stride * np.sin(2 * np.pi * time))
    angles.add("chest", twist=0.16 * stride * np.sin(2 * np.pi * time))


def _sitting(angles: Angles, rng: Generator) -> None:
    """Sit on the floor, with the feet on it."""
    raised = rng.uniform(0.0, 0.95)
    for side in SIDES:
        own = np.clip(raised + rng.normal(0, 0.08), 0, 1.1)
        angles.add(f"{side} hip", np.pi / 2 + own, rng.uniform(-0.2, 0.1), rng.uniform(0.05, 0.35))
        angles.add(f"{side} knee", -2 * own - 0.06)
        angles.add(f"{side} ankle", -0.3 + 0.4 * own)
        (_arm_front, _arm_hanging, _arm_reaching)[rng.integers(3)](angles, side, rng)
    angles.add("waist", rng.uniform(-0.1, 0.25))


def _crouching(angles: Angles, rng: Generator) -> None:
    bend = rng.uniform(1.2, 1.9)
    for side in SIDES:
        own = bend + rng.normal(0, 0.1)
        angles.add(f"{side} hip", own, rng.uniform(-0.4, 0.0), rng.uniform(0.1, 0.5))
        angles.add(f"{side} knee", -1.15 * own)
        angles.add(f"{side} ankle", 0.25 * own)
        (_arm_front, _arm_reaching)[rng.integers(2)](angles, side, rng)
    lean = rng.uniform(0.2, 0.5)
    angles.add("hips", lean)
    for side in SIDES:
        angles.add(f"{side} hip", lean)
    angles.add("waist", rng.uniform(0.1, 0.4))


def _reaching(angles: Angles, rng: Generator) -> None:
    _legs_standing(angles, rng)
    first = SIDES[rng.integers(2)]
    _arm_reaching(angles, first, rng)
    other = SIDES[first == "left"]
    (_arm_reaching if rng.random() < 0.4 else _arm_hanging)(angles, other, rng)
    angles.add("waist", rng.uniform(-0.1, 0.4), rng.normal(0, 0.2), rng.normal(0, 0.1))


def _bending(angles: Angles, rng: Generator) -> None:
    _legs_standing(angles, rng)
    bend = rng.uniform(0.4, 1.1)
    angles.add("hips", bend * 0.6)
    angles.add("waist", bend * 0.4)
    angles.add("neck", -bend * 0.3)
    for side in SIDES:
        angles.add(f"{side} hip", bend * 0.6)
        _arm_front(angles, side, rng)
        angles.add(f"{side} shoulder", bend * 0.7)


def _crossed(angles: Angles, rng: Generator) -> None:
    _legs_standing(angles, rng)
    for side in SIDES:
        _arm_across(angles, side, rng)
    angles.add(f"{SIDES[rng.integers(2)]} shoulder", 0.25)  # one forearm lies before the other


def _anything(angles: Angles, rng: Generator) -> None:
    _legs_any(angles, rng)
    for side in SIDES:
        _arm_any(angles, side, rng)
    angles.add("waist", rng.uniform(-0.2, 0.5), rng.uniform(-0.4, 0.4), rng.uniform(-0.25, 0.25))


KINDS: dict[str, tuple[float, Callable[[Angles, Generator], None]]] = {
    "stand": (0.34, _standing),
    "walk": (0.24, _walking),
    "reach": (0.1, _reaching),
    "cross": (0.06, _crossed),
    "bend": (0.05, _bending),
    "sit": (0.06, _sitting),
    "crouch": (0.05, _crouching),
    "any": (0.1, _anything),
}
"""Share and function of each kind of pose."""


def _is_clear(places: dict[str, Array]) -> bool:
    """Return whether forearms and hands stay out of torso, head and thighs."""
    middle = (places["left hip"] + places["right hip"]) / 2
    up = places["neck"] - middle
    height = np.linalg.norm(up)
    up = up / height
    left = places["left shoulder"] - places["right shoulder"]
    left = left - (left @ up) * up
    breadth = np.linalg.norm(left)
    left = left / breadth
    front = np.cross(left, up)
    for side in SIDES:
        elbow, wrist = places[f"{side} elbow"], places[f"{side} wrist"]
        for share in (0.3, 0.65, 1.0, 1.45):
            point = elbow + share * (wrist - elbow)
            along = (point - middle) @ up
            across, deep = (point - middle) @ left, (point - middle) @ front
            if -0.12 < along < height and (across / (0.46 * breadth)) ** 2 + (deep / 0.155) ** 2 < 1:
                return False
            if np.linalg.norm(point - places["head"] - 0.1 * up) < 0.125:
                return False
            for each in SIDES:
                if _distance(point, places[f"{each} hip"], places[f"{each} knee"]) < 0.1:
                    return False
    first, second = ((places[f"{side} knee"], places[f"{side} ankle"]) for side in SIDES)
    return min(_distance(first[1], *second), _distance(second[1], *first), _distance(first[0], *second)) > 0.09


def _distance(point: Array, start: Array, end: Array) -> float:
    """Return the distance of a point from a line segment."""
    way = end - start
    share = np.clip((point - start) @ way / (way @ way), 0, 1)
    return float(np.linalg.norm(point - start - share * way))


def blend(start: Pose, end: Pose, share: float) -> Pose:
    """Return the pose between two."""
    return Pose(start.angles + share * (end.angles - start.angles))
