"""The body: shapes of adults, and skinning to a pose.

Meters; x to the person's left, y up, z to the front. The data in ``body.npz`` are MakeHuman's (CC0), made compact by
``tools/make_people3d_body.py``.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = np.ndarray
"""Numbers; float64 unless told otherwise."""
FILE = Path(__file__).with_name("body.npz")
PIECES = ("body", "eyes", "skirt")


@dataclass(frozen=True)
class BodyModel:
    """The data of all bodies. V vertices, T triangles, J joints, P points, K components.

    Args:
        center: V + J + P by 3, mean of vertices, joints and points in the rest pose.
        components: K, V + J + P, 3.
        coefficients: S K, those of S sampled adults.
        gender: S, 0 male to 1 female, of the samples.
        triangles: T 3.
        pieces: T, index into PIECES.
        joint_index, joint_weight: V 4, the joints that move a vertex.
        cloth: V, distance in meters from the skin to a smooth surface around it.
        joints, points: names.
        parents: J, index of the parent, -1 for the root.
    """

    center: Array
    components: Array
    coefficients: Array
    gender: Array
    triangles: NDArray[np.int32]
    pieces: NDArray[np.int32]
    joint_index: NDArray[np.int32]
    joint_weight: Array
    cloth: Array
    joints: tuple[str, ...]
    points: tuple[str, ...]
    parents: tuple[int, ...]

    @property
    def count(self) -> int:
        """Number of vertices."""
        return len(self.joint_index)

    @functools.cached_property
    def body_count(self) -> int:
        """Number of vertices of the piece "body"; they come first."""
        return int(self.triangles[self.pieces == 0].max()) + 1

    def split(self, shape: Array) -> tuple[Array, Array, Array]:
        """Split an array of vertices, joints and points."""
        joints = self.count + len(self.joints)
        return shape[: self.count], shape[self.count : joints], shape[joints:]


@functools.lru_cache(maxsize=1)
def body_model() -> BodyModel:
    """Read the data once per process."""
    with np.load(FILE, allow_pickle=False) as stored:
        arrays: dict[str, Any] = {name: stored[name] for name in stored.files}
    texts: dict[str, Any] = {name: tuple(arrays.pop(name).tolist()) for name in ("joints", "points", "parents")}
    whole: dict[str, Any] = {name: arrays.pop(name).astype(np.int32) for name in ("triangles", "pieces", "joint_index")}
    numbers: dict[str, Any] = {name: array.astype(np.float64) for name, array in arrays.items()}
    return BodyModel(**numbers, **whole, **texts)


@dataclass(frozen=True)
class Shape:
    """A person in the rest pose: ``vertices`` V 3, ``joints`` J 3, ``points`` P 3, and ``neutral`` J 3 3, the rotations
    that take the limbs of the rest pose straight down."""

    vertices: Array
    joints: Array
    points: Array
    neutral: Array


@dataclass(frozen=True)
class Mesh:
    """A skinned mesh in the rest pose.

    Args:
        vertices: V 3.
        joint_index, joint_weight: V 4, the joints that move a vertex.
        triangles: T 3.
        pieces: T, number of the piece that a triangle belongs to.
    """

    vertices: Array
    joint_index: NDArray[np.int32]
    joint_weight: Array
    triangles: NDArray[np.int32]
    pieces: NDArray[np.int32]


@dataclass(frozen=True)
class Pose:
    """Angles of the joints.

    Args:
        angles: J 3 in radians: a joint first turns by the second around y, the limb's own axis, then swings by the
            rotation vector (first, 0, third). All are 0 for a person who stands straight with hanging arms.
    """

    angles: Array


@dataclass(frozen=True)
class PosedBody:
    """A posed person, feet on the ground at y = 0: ``vertices`` V 3 and ``landmarks``, name to position."""

    vertices: Array
    landmarks: dict[str, Array]


def random_shape(rng: np.random.Generator, gender: float) -> Shape:
    """Draw the shape of an adult: a blend of two samples of about the same *gender*, 0 male to 1 female."""
    model = body_model()
    alike = np.flatnonzero(np.abs(model.gender - gender) < 0.25)
    first, second = model.coefficients[rng.choice(alike, 2)]
    return shape_of(first + rng.uniform(0, 0.5) * (second - first))


def shape_of(coefficients: Array) -> Shape:
    """Return the shape of coefficients K of the principal components."""
    model = body_model()
    vertices, joints, points = model.split(model.center + np.tensordot(coefficients, model.components, 1))
    return Shape(vertices, joints, points, _neutral(joints))


def body_mesh(shape: Shape) -> Mesh:
    """Return the mesh of a person without clothes beyond the model's own pieces."""
    model = body_model()
    return Mesh(shape.vertices, model.joint_index, model.joint_weight, model.triangles, model.pieces)


def _neutral(joints: Array) -> Array:
    names = body_model().joints
    rotations = np.tile(np.eye(3), (len(names), 1, 1))
    for side in ("left", "right"):
        for start, end in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle")):
            first, last = names.index(f"{side} {start}"), names.index(f"{side} {end}")
            rotations[first] = _between(joints[last] - joints[first], np.array([0.0, -1.0, 0.0]))
        rotations[names.index(f"{side} wrist")] = rotations[names.index(f"{side} elbow")]
    return rotations


def _between(start: Array, end: Array) -> Array:
    """Return the smallest rotation from one direction to another."""
    a, b = start / np.linalg.norm(start), end / np.linalg.norm(end)
    v, c = np.cross(a, b), a @ b
    cross = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return np.eye(3) + cross + cross @ cross / (1 + c)


def rotations(vectors: Array) -> Array:
    """Return the matrices … 3 3 of rotation vectors … 3 (axis times angle)."""
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(vectors, -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*x.shape, 3, 3)
    safe = np.maximum(angle, 1e-9)
    return np.eye(3) + np.sin(angle) / safe * cross + (1 - np.cos(angle)) / safe**2 * (cross @ cross)


def pose_body(shape: Shape, pose: Pose, mesh: Mesh) -> PosedBody:
    """Pose a person.

    Args:
        shape: of the person.
        pose: angles of the joints.
        mesh: the body's own mesh, or one that begins with its vertices.
    """
    model = body_model()
    moved, places = _joint_frames(shape, pose)
    shift = places - np.einsum("jab,jb->ja", moved, shape.joints)
    transforms = np.concatenate([moved, shift[:, :, None]], 2).reshape(-1, 12)  # J 12
    blended = np.einsum("vk,vkc->vc", mesh.joint_weight, transforms[mesh.joint_index]).reshape(-1, 3, 4)
    posed = np.einsum("vab,vb->va", blended[:, :, :3], mesh.vertices) + blended[:, :, 3]
    ground = np.array([0, posed[: model.body_count, 1].min(), 0])
    landmarks = {name: place - ground for name, place in zip(model.joints, places, strict=True)}
    for name, point in zip(model.points, shape.points, strict=True):
        joint = model.joints.index(f"{name.split()[0]} ankle" if name.endswith("toes") else "head")
        landmarks[name] = moved[joint] @ point + shift[joint] - ground
    return PosedBody(posed - ground, landmarks)


def place_joints(shape: Shape, pose: Pose) -> dict[str, Array]:
    """Return the positions of the joints of a pose by name, not yet on the ground."""
    return dict(zip(body_model().joints, _joint_frames(shape, pose)[1], strict=True))


def _joint_frames(shape: Shape, pose: Pose) -> tuple[Array, Array]:
    """Return rotations J 3 3 from the rest pose, and positions J 3, of the joints of a pose."""
    local = rotations(pose.angles * (1, 0, 1)) @ rotations(pose.angles * (0, 1, 0))
    frames, moved, places = np.empty_like(local), np.empty_like(local), np.empty_like(shape.joints)
    for joint, parent in enumerate(body_model().parents):
        if parent < 0:
            frames[joint], places[joint] = local[joint], shape.joints[joint]
        else:
            frames[joint] = frames[parent] @ local[joint]
            places[joint] = places[parent] + moved[parent] @ (shape.joints[joint] - shape.joints[parent])
        moved[joint] = frames[joint] @ shape.neutral[joint]
    return moved, places
