"""Data sets of people in three dimensions: pairs and clips, drawn from a seed, with exact flow and visibility."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from posegen.data import ClipDataset, Keypoints, PairDataset
from posegen.data.datasets import check_drawing
from posegen.data.images import compose
from posegen.errors import ConfigError
from posegen.records import Clip, Pair
from posegen.registry import DATASETS, STRUCTURE_ENCODERS

from .body import Array, Pose, body_model, pose_body, random_shape
from .drawing import Drawing, Figure, Person, draw, exact_flow, seen, stand, turned
from .poses import Angles, blend, random_pose, walk
from .raster import NOTHING
from .scene import (
    FLAT,
    IDEAL,
    Camera,
    Light,
    Sensor,
    find_photographs,
    frame,
    random_background,
    random_light,
    random_sensor,
    take,
)
from .store import FLOW_STEPS, POINTS, PairStore, record_type
from .wardrobe import Dressed, dress, random_outfit

SMALLEST, LARGEST = 32, 512
"""Smallest and largest side of a picture in pixels; flow is stored in 16 bits."""
STREAM = {"pairs": 0, "clips": 1, "background": 2, "sensor": 3, "points": 4, "plain": 5}
"""Streams of random numbers that are independent of each other."""
FACE = tuple(name for name in POINTS if name.split()[-1] in ("nose", "eye", "ear"))
PARTS = {
    "head": ("head", "neck"),
    "torso": ("hips", "waist", "chest", "collar"),
    "upper arms": ("shoulder",),
    "forearms and hands": ("elbow", "wrist"),
    "thighs": ("hip",),
    "shins and feet": ("knee", "ankle"),
}
"""Parts of the body, with the joints that move them."""
FACE_TOLERANCE = 0.05
"""Meters that hair may lie before a point of the face that still counts as seen."""


@dataclass(frozen=True)
class PairScene:
    """Everything a pair is drawn from: two figures of one person, the ``background`` H W 3, the two ``sensors``, and
    the ``turn`` in radians from source to target."""

    source: Figure
    target: Figure
    background: Array
    sensors: tuple[Sensor, Sensor]
    turn: float


@DATASETS.register_module()
class People3D(PairDataset):
    """Pairs of pictures of one synthetic person, in two poses and turned, with exact flow and visibility.

    Bodies of adults of all shapes, dressed and lit, in front of drawn scenes or of photographs. The same arguments and
    index give the same pair; data sets of different seeds share no person. The camera stands still between the two
    pictures; in half of the pairs they differ in exposure, white balance, sharpness and noise. A key point is missing
    outside of the picture, and in the face where the head or a limb hides it.

    Args:
        length: number of pairs.
        structure: the structure encoder, as a config or built; its layout may have any of the points in
            ``posegen_people3d.store.POINTS``.
        size: (height, width) of the pictures in pixels, 32 to 512.
        seed: 0 or more.
        ideal: True: the same light from everywhere, no shadow, no noise: what differs between source and target
            differs by the flow alone.
        turn: (least, largest) angle in degrees, 0 to 180, by which people turn from source to target, to either side.
            Default: many small turns, and all others.
        backgrounds: folder of photographs that are used as backgrounds in four of five pairs. Default: none.
        store: folder that ``posegen prepare people3d`` wrote; pairs are read from there instead of drawn.
        point_noise: standard deviation of an error of each coordinate of a key point, as a share of the picture's
            height: for training, as estimators find points. 0: exact points.
        point_dropout: probability of a key point to be missing, and of all points of a face at once, 0 to below 1; for
            training.
        plain: share of the pairs whose person stands in front of one color, as figures do that are cut out of a
            photograph; for training. In half of them it is the mean color of the source's background.

    Raises:
        ConfigError: a size, length, share or seed out of range, an encoder of another layout, a folder without
            photographs, or a store with other or fewer pairs.
    """

    drawn_options = ("length", "seed")

    def __init__(
        self,
        length: int,
        structure: Any,
        size: tuple[int, int] = (128, 64),
        seed: int = 0,
        ideal: bool = False,
        turn: tuple[float, float] | None = None,
        backgrounds: str | None = None,
        store: str | None = None,
        point_noise: float = 0.0,
        point_dropout: float = 0.0,
        plain: float = 0.0,
    ) -> None:
        self.size = check_drawing("People3D", size, SMALLEST, seed, length=length)
        if max(self.size) > LARGEST:
            raise ConfigError(f"People3D: pictures have at most {LARGEST} pixels a side, got {size[0]}x{size[1]}")
        self.length, self.seed, self.ideal, self.backgrounds = length, seed, ideal, backgrounds
        if turn is not None and not (len(turn) == 2 and 0 <= turn[0] <= turn[1] <= 180):
            raise ConfigError(f"People3D: turn is (least, largest) angle in degrees, 0 to 180; got {turn}")
        self.turns = None if turn is None else (float(turn[0]), float(turn[1]))
        if not (0 <= point_noise <= 1 and 0 <= point_dropout < 1 and 0 <= plain <= 1):
            raise ConfigError(
                "People3D: point_noise and plain are 0 to 1, and point_dropout 0 to below 1; got "
                f"{point_noise}, {plain} and {point_dropout}"
            )
        self.point_noise, self.point_dropout, self.plain = point_noise, point_dropout, plain
        self.structure = STRUCTURE_ENCODERS.build_part(structure)
        check_layout(self.structure, type(self).__name__)
        self.photographs = find_photographs(backgrounds)
        self._drawn: tuple[int, Any] | None = None  # the last pair, whose key points may be asked for as well
        self.store = None if store is None else PairStore(Path(store))
        if self.store is not None:
            self.store.require(self.length, self.settings())

    def settings(self) -> dict[str, Any]:
        """Return what determines the pairs besides their number."""
        return {
            "size": list(self.size),
            "seed": self.seed,
            "ideal": self.ideal,
            "turn": self.turns and list(self.turns),
            "backgrounds": self.backgrounds,
        }

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Pair:
        record = self.record(index)
        source, target = (self.structure.encode(points, self.size) for points in self._points(record, index))
        images = self._images(record, index)
        return Pair(
            source=image_tensor(images[0]),
            source_structure=source,
            target=image_tensor(images[1]),
            target_structure=target,
            name=f"person{index:06d}_a_2_person{index:06d}_b_vis",
            flow=torch.from_numpy(record["flow"].astype(np.float32) / FLOW_STEPS),
            visible=_mask(record["visible"]),
            foreground=_mask(record["foreground"]),
        )

    def record(self, index: int) -> Any:
        """Return a pair as it is stored; see :func:`~posegen_people3d.store.record_type`."""
        if not 0 <= index < self.length:
            raise IndexError(f"pair {index} of {self.length}")
        if self.store is not None:
            return self.store[index]
        if self._drawn is None or self._drawn[0] != index:
            self._drawn = index, self.draw(index)
        return self._drawn[1]

    def draw(self, index: int) -> Any:
        """Draw a pair."""
        scene = self.scene(index)
        drawings = draw(scene.source, scene.background), draw(scene.target, scene.background)
        flow, visible = exact_flow(*drawings)
        record = np.zeros((), record_type(self.size))
        noise = np.random.default_rng([self.seed, index, STREAM["sensor"]])
        for k, (name, drawing, sensor) in enumerate(zip(("source", "target"), drawings, scene.sensors, strict=True)):
            record[name] = take(drawing.image, sensor, noise)
            record["covered"][k] = np.rint(drawing.covered * 255)
            record["points"][k], record["present"][k] = drawn_points(drawing)
        record["flow"] = np.clip(np.rint(flow * FLOW_STEPS), -32768, 32767)
        record["visible"], record["foreground"] = visible, drawings[1].centers.triangle != NOTHING
        record["turn"] = scene.turn
        return record[()]

    def _images(self, record: np.void, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return source and target of a record, uint8 H W 3, in front of one color where this data set wants it."""
        source, target, (in_source, in_target) = record["source"], record["target"], record["covered"]
        rng = np.random.default_rng([self.seed, index, STREAM["plain"]])
        if rng.random() >= self.plain:
            return source, target
        color = rng.integers(256, size=3) if rng.random() < 0.5 else source[in_source == 0].reshape(-1, 3).mean(0)
        red, green, blue = np.nan_to_num(color).astype(int).tolist()
        return compose(source, in_source, (red, green, blue)), compose(target, in_target, (red, green, blue))

    def keypoints(self, index: int) -> list[Keypoints]:
        """Return the key points of source and target."""
        return self._points(self.record(index), index)

    def _points(self, record: np.void, index: int) -> list[Keypoints]:
        """Return the key points of source and target in a record, with the errors of this data set."""
        rng = np.random.default_rng([self.seed, index, STREAM["points"]])
        points = record["points"] + self.point_noise * self.size[0] * rng.standard_normal(record["points"].shape)
        present = record["present"] & (rng.random(record["present"].shape) >= self.point_dropout)
        present[:, np.isin(POINTS, FACE)] &= rng.random((2, 1)) >= self.point_dropout
        return [chosen_points(points[k], present[k], self.structure) for k in (0, 1)]

    def turn(self, index: int) -> float:
        """Return the angle in radians by which the person turns from source to target, -π to π."""
        return float(self.scene(index).turn if self.store is None else self.store[index]["turn"])

    def parts(self, index: int) -> np.ndarray:
        """Return which of ``PARTS`` each pixel of the target shows, H W; -1: the background."""
        drawing = Drawing.outline(self.scene(index).target)
        dressed = drawing.figure.person.dressed
        triangle = drawing.centers.triangle
        return np.where(triangle == NOTHING, -1, body_parts(dressed)[dressed.mesh.triangles[triangle, 0]])

    def scene(self, index: int) -> PairScene:
        """Return everything that pair *index* is drawn from."""
        rng = np.random.default_rng([self.seed, index, STREAM["pairs"]])
        person = random_person(rng)
        headings = _random_headings(rng, self.turns)
        poses = random_pose(rng, person.shape), random_pose(rng, person.shape)
        places = np.zeros(3), rng.normal(0, 1, 3) * (0.08, 0, 0.15)
        figures, background = self._stand(rng, person, poses, headings, places, index)
        turn = float((headings[1] - headings[0] + np.pi) % (2 * np.pi) - np.pi)
        return PairScene(figures[0], figures[1], background, self._sensors(rng), turn)

    def _stand(
        self,
        rng: Generator,
        person: Person,
        poses: Sequence[Pose],
        headings: Sequence[float],
        places: Sequence[Array],
        index: int,
    ) -> tuple[list[Figure], Array]:
        """Return a person's figures in one scene, and its background."""
        light = random_light(rng)
        scenery = np.random.default_rng([self.seed, index, STREAM["background"]])
        return place_figures(
            rng, scenery, person, poses, headings, places, self.size, FLAT if self.ideal else light, self.photographs
        )

    def _sensors(self, rng: Generator) -> tuple[Sensor, Sensor]:
        if self.ideal:
            return IDEAL, IDEAL
        first, second = random_sensor(rng, self.size[0]), random_sensor(rng, self.size[0])
        return (first, second) if rng.random() < 0.5 else (first, first)

    def motion(self, index: int, frames: int) -> list[Keypoints]:
        """Return key points of a motion of the person of pair *index*: to the target's pose and back, turning with it.

        They count pixels of the source.

        Args:
            index: of the pair.
            frames: how many, 2 or more; the first and the last are the source's own pose.
        """
        rng = np.random.default_rng([self.seed, index, STREAM["pairs"]])
        person = random_person(rng)
        headings = _random_headings(rng, self.turns)
        start, end = random_pose(rng, person.shape), random_pose(rng, person.shape)
        camera = self.scene(index).source.camera
        result = []
        for share in (1 - np.cos(np.linspace(0, 2 * np.pi, frames))) / 2:
            posed = pose_body(person.shape, blend(start, end, share), person.dressed.mesh)
            heading = headings[0] + share * (headings[1] - headings[0])
            figure = stand(person, posed, heading, np.zeros(3), camera, FLAT)
            points, present = drawn_points(Drawing.outline(figure))
            result.append(chosen_points(points, present, self.structure))
        return result


@DATASETS.register_module()
class People3DClips(ClipDataset):
    """Clips of one synthetic person who walks or moves and turns, with exact flow, visibility and foreground.

    The same arguments and index give the same clip. The reference is 1 to 20 frames before the first frame; one camera
    takes all of it.

    Args:
        length: number of clips.
        structure: as in :class:`People3D`.
        frames: number of frames of a clip.
        size: (height, width) of the pictures in pixels, 32 or more.
        seed: 0 or more.
        backgrounds: as in :class:`People3D`.

    Raises:
        ConfigError: a size, length, seed or number of frames out of range, an encoder of another layout, or a folder
            without photographs.
    """

    def __init__(
        self,
        length: int,
        structure: Any,
        frames: int = 6,
        size: tuple[int, int] = (128, 64),
        seed: int = 0,
        backgrounds: str | None = None,
    ) -> None:
        self.size = check_drawing("People3DClips", size, SMALLEST, seed, length=length, frames=frames)
        self.length, self.count, self.seed = length, frames, seed
        self.structure = STRUCTURE_ENCODERS.build_part(structure)
        check_layout(self.structure, type(self).__name__)
        self.photographs = find_photographs(backgrounds)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Clip:
        if not 0 <= index < self.length:
            raise IndexError(f"clip {index} of {self.length}")
        rng = np.random.default_rng([self.seed, index, STREAM["clips"]])
        person = random_person(rng)
        times = np.array([0, *(rng.integers(1, 21) + np.arange(self.count))])
        poses, headings = _random_motion(rng, person, times)
        scenery = np.random.default_rng([self.seed, index, STREAM["clips"], STREAM["background"]])
        places = [np.zeros(3)] * len(times)
        figures, background = place_figures(
            rng, scenery, person, poses, headings, places, self.size, random_light(rng), self.photographs
        )
        sensor = random_sensor(rng, self.size[0])
        drawings = [draw(figure, background) for figure in figures]
        images = torch.stack([image_tensor(take(drawing.image, sensor, rng)) for drawing in drawings])
        structures = torch.stack([self._structure(drawing) for drawing in drawings])
        flow, visible = _flows([drawings[0]] * self.count, drawings[1:])
        flow_previous, visible_previous = _flows(drawings[:-1], drawings[1:])
        return Clip(
            reference=images[0],
            reference_structure=structures[0],
            frames=images[1:],
            structures=structures[1:],
            name=f"person{index:06d}",
            flow=flow,
            visible=visible,
            flow_previous=flow_previous,
            visible_previous=visible_previous,
            foreground=torch.stack([_mask(drawing.centers.triangle != NOTHING) for drawing in drawings[1:]]),
        )

    def _structure(self, drawing: Drawing) -> Tensor:
        return self.structure.encode(chosen_points(*drawn_points(drawing), self.structure), self.size)


def _flows(sources: Sequence[Drawing], targets: Sequence[Drawing]) -> tuple[Tensor, Tensor]:
    """Return flow T 2 H W and visibility T 1 H W."""
    flows = [exact_flow(source, target) for source, target in zip(sources, targets, strict=True)]
    flow = torch.from_numpy(np.stack([each for each, _ in flows]).astype(np.float32))
    return flow, torch.stack([_mask(visible) for _, visible in flows])


def random_person(rng: Generator) -> Person:
    """Draw a dressed person."""
    gender = float(rng.random())
    shape, wear = random_shape(rng, gender), random_outfit(rng, gender)
    return Person(shape, wear, dress(shape, wear))


def place_figures(
    rng: Generator,
    scenery: Generator,
    person: Person,
    poses: Sequence[Pose],
    headings: Sequence[float],
    places: Sequence[Array],
    size: tuple[int, int],
    light: Light,
    photographs: Sequence[Path],
) -> tuple[list[Figure], Array]:
    """Return figures of a person before one camera, and the background H W 3 behind them."""
    bodies = [pose_body(person.shape, pose, person.dressed.mesh) for pose in poses]
    extents = [
        body.vertices @ turned(heading).T + place for body, heading, place in zip(bodies, headings, places, strict=True)
    ]
    camera: Camera = frame(extents, size, rng)
    figures = [
        stand(person, body, heading, place, camera, light)
        for body, heading, place in zip(bodies, headings, places, strict=True)
    ]
    return figures, random_background(scenery, camera, photographs)


def _random_headings(rng: Generator, turns: tuple[float, float] | None = None) -> tuple[float, float]:
    """Draw the headings of source and target: many sources face the camera.

    Args:
        rng: source of random numbers.
        turns: least and largest turn in degrees; None: turns of all sizes, many of them small.
    """
    first = rng.normal(0, 0.5) if rng.random() < 0.55 else rng.uniform(-np.pi, np.pi)
    turn = (rng.normal(0, 0.15), rng.uniform(-np.pi / 2, np.pi / 2), rng.uniform(-np.pi, np.pi))[
        rng.choice(3, p=[0.3, 0.35, 0.35])
    ]
    if turns is not None:
        turn = np.radians(rng.uniform(*turns)) * rng.choice((-1, 1))
    return float(first), float(first + turn)


def _random_motion(rng: Generator, person: Person, times: np.ndarray) -> tuple[list[Pose], list[float]]:
    """Draw poses and headings at *times* in frames: a walk, or a motion between random poses."""
    first, last = _random_headings(rng)
    length = rng.uniform(24, 60)
    headings = [float(first + (last - first) * min(time / length, 1.0)) for time in times]
    if rng.random() < 0.5:
        phase, cycle, stride = rng.random(), rng.uniform(18, 32), rng.uniform(0.7, 1.2)
        poses = []
        for time in times:
            angles = Angles()
            walk(angles, phase + time / cycle, stride)
            poses.append(angles.pose())
        return poses, headings
    step = rng.uniform(10, 18)
    keys = [random_pose(rng, person.shape) for _ in range(int(times[-1] / step) + 2)]
    poses = []
    for time in times:
        number, share = divmod(time / step, 1)
        poses.append(blend(keys[int(number)], keys[int(number) + 1], (1 - np.cos(np.pi * share)) / 2))
    return poses, headings


def body_parts(dressed: Dressed) -> np.ndarray:
    """Return the number of the part in ``PARTS`` that each vertex belongs to."""
    owner = {joint: number for number, joints in enumerate(PARTS.values()) for joint in joints}
    of_joint = np.array([owner[joint.split()[-1]] for joint in body_model().joints])
    mesh = dressed.mesh
    strongest = np.take_along_axis(mesh.joint_index, mesh.joint_weight.argmax(1)[:, None], 1)[:, 0]
    return of_joint[strongest]


# Key points


def check_layout(structure: Any, dataset: str) -> None:
    """Raise ConfigError if an encoder's layout has points that bodies in 3D do not have."""
    if structure.layout is None:
        raise ConfigError(f"{dataset} has key points, but the structure encoder {type(structure).__name__} takes none")
    unknown = [name for name in structure.layout.names if name not in POINTS]
    if unknown:
        raise ConfigError(
            f"{dataset}: the layout {structure.layout.name!r} has points that these bodies do not have: "
            f"{', '.join(unknown)}\nThey have: {', '.join(POINTS)}"
        )


def drawn_points(drawing: Drawing) -> tuple[Array, Array]:
    """Return the points P 2 of ``POINTS`` in pixels, and P bool, which of them are present."""
    figure = drawing.figure
    place = _named_points(figure.landmarks)
    points, near = figure.camera.project(np.stack([place[name] for name in POINTS]))
    height, width = figure.camera.size
    present = np.all((points >= 0) & (points <= (width - 1, height - 1)), axis=1)
    face = np.isin(POINTS, FACE)
    present[face] &= seen(drawing, points[face], near[face], FACE_TOLERANCE)
    return points, present


def _named_points(landmarks: dict[str, Array]) -> dict[str, Array]:
    def middle(joint: str) -> Array:
        return (landmarks[f"left {joint}"] + landmarks[f"right {joint}"]) / 2

    toes = {f"{side} big toe": landmarks[f"{side} toes"] for side in ("left", "right")}
    return {**landmarks, **toes, "neck": middle("shoulder"), "mid hip": middle("hip")}


def chosen_points(points: Array, present: Array, structure: Any) -> Keypoints:
    """Return the key points of an encoder's layout."""
    index = [POINTS.index(name) for name in structure.layout.names]
    return Keypoints(points[index], np.asarray(present, bool)[index])


# Tensors


def image_tensor(image: np.ndarray) -> Tensor:
    """Convert an image, uint8 H W 3, to one of the records, 3 H W in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)).astype(np.float32) / 127.5 - 1)


def _mask(mask: np.ndarray) -> Tensor:
    return torch.from_numpy(mask[None].astype(np.float32))
