"""Bodies in three dimensions: rasterizing, shapes, skinning, pictures and their exact flow."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from posegen_people.layouts import OPENPOSE_18
from posegen_people3d.body import Pose, body_mesh, body_model, pose_body, random_shape, shape_of
from posegen_people3d.drawing import Drawing, exact_flow, seen
from posegen_people3d.drawing import stand as stand_at
from posegen_people3d.people3d import PARTS, People3D, People3DClips, drawn_points, random_person
from posegen_people3d.poses import random_pose
from posegen_people3d.raster import NOTHING, rasterize
from posegen_people3d.scene import FLAT, Camera
from posegen_people3d.store import POINTS, settings_text
from posegen_people3d.wardrobe import canonical, covered_by_top, covered_by_trousers, random_outfit

from posegen.cli import main
from posegen.data import KeypointLayout
from posegen.errors import ConfigError, DataError
from posegen.ops.sampling import warp
from posegen.testing import check_dataset

SQUARE = np.array([[0, 1, 2], [0, 2, 3]], np.int32)


def stand() -> Pose:
    return Pose(np.zeros((len(body_model().joints), 3)))


def draw(points, nearness, triangles, size=(32, 32), two_sided=True):
    return rasterize(
        np.array(points, float), np.array(nearness, float), triangles, size, np.full(len(triangles), two_sided)
    )


def test_triangles_that_share_an_edge_leave_no_hole_and_cover_nothing_else():
    picture = draw([[3, 3], [3, 20], [28, 25], [28, 4.5]], [1, 1, 1, 1], SQUARE)
    rows, columns = np.nonzero(picture.triangle != NOTHING)
    for column in range(3, 29):
        covered = rows[columns == column]
        assert (np.diff(covered) == 1).all()
        first, last = 3 + 1.5 * (column - 3) / 25, 20 + 5 * (column - 3) / 25
        assert (covered[0], covered[-1]) == (np.ceil(first), np.floor(last))


def test_the_nearer_triangle_hides_the_other_in_any_order():
    near, far = [[0, 0], [0, 31], [31, 31]], [[31, 0], [0, 0], [31, 31]]
    for order in (np.array([[0, 1, 2], [3, 4, 5]], np.int32), np.array([[3, 4, 5], [0, 1, 2]], np.int32)):
        picture = draw([*near, *near, *far], [1] * 3 + [0.5] * 3 + [0.5] * 3, order)
        assert (order[picture.triangle[20, 5]] == [0, 1, 2]).all()


def test_a_triangle_is_seen_from_the_front_alone_unless_it_has_two_sides():
    front, back = np.array([[0, 1, 2]], np.int32), np.array([[0, 2, 1]], np.int32)
    points = [[0, 0], [0, 31], [31, 31]]  # counterclockwise, with y up
    assert (draw(points, [1, 1, 1], front, two_sided=False).triangle == 0).any()
    assert (draw(points, [1, 1, 1], back, two_sided=False).triangle == NOTHING).all()
    assert (draw(points, [1, 1, 1], back).triangle == 0).any()


def test_weights_give_the_point_in_space_that_a_pixel_shows():
    corners = np.array([[-1.0, -1, 4], [1, -1, 2], [0.5, 1, 8]])  # a triangle that recedes
    project = lambda points: points[..., :2] / points[..., 2:] * (20, -20) + 15.5  # noqa: E731
    picture = draw(project(corners), 1 / corners[:, 2], np.array([[0, 1, 2]], np.int32))
    rows, columns = np.nonzero(picture.triangle == 0)
    assert len(rows) > 50
    points = picture.weights[rows, columns] @ corners
    np.testing.assert_allclose(project(points), np.stack([columns, rows], 1), atol=1e-4)
    np.testing.assert_allclose(1 / picture.nearness[rows, columns], points[:, 2], rtol=1e-5)


def test_what_is_outside_of_the_picture_is_clipped():
    assert (
        draw([[-50, -50], [-50, 90], [90, 90]], [1, 1, 1], np.array([[0, 1, 2]], np.int32)).triangle == 0
    ).sum() > 400
    assert (draw([[40, 40], [40, 60], [60, 60]], [1, 1, 1], np.array([[0, 1, 2]], np.int32)).triangle == NOTHING).all()


@pytest.mark.parametrize("gender", [0.0, 0.5, 1.0])
def test_shapes_are_adults(gender):
    for seed in range(20):
        shape = random_shape(np.random.default_rng(seed), gender)
        body = shape.vertices[: body_model().body_count]
        assert 1.4 < np.ptp(body[:, 1]) < 2.05


def test_the_body_is_symmetric_closed_and_faces_forward():
    model, shape = body_model(), shape_of(np.zeros(body_model().components.shape[0]))
    joint = dict(zip(model.joints, shape.joints, strict=True))
    point = dict(zip(model.points, shape.points, strict=True))
    np.testing.assert_allclose(joint["left elbow"], joint["right elbow"] * (-1, 1, 1), atol=0.01)
    assert joint["left elbow"][0] > 0.1
    assert point["nose"][2] > point["left ear"][2] + 0.05
    body = model.triangles[model.pieces == 0]
    corners = shape.vertices[body]
    volume = np.einsum("ti,ti->t", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert 0.04 < volume < 0.12  # cubic meters; negative if triangles faced inwards


def test_a_pose_moves_limbs_about_their_joints_and_stands_on_the_ground():
    model, shape = body_model(), random_shape(np.random.default_rng(1), 0.0)
    standing = pose_body(shape, stand(), body_mesh(shape))
    angles = stand().angles.copy()
    angles[model.joints.index("left shoulder")] = (-np.pi / 2, 0, 0)  # the arm to the front
    angles[model.joints.index("right hip")] = (-np.pi / 2, 0, 0)
    angles[model.joints.index("right knee")] = (np.pi / 2, 0, 0)
    posed = pose_body(shape, Pose(angles), body_mesh(shape))
    for body in (standing, posed):
        assert body.vertices[: model.body_count, 1].min() == pytest.approx(0)
        for start, end in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle")):
            length = [
                np.linalg.norm(each.landmarks[f"right {start}"] - each.landmarks[f"right {end}"])
                for each in (standing, posed)
            ]
            assert length[0] == pytest.approx(length[1])
    assert (
        standing.landmarks["left wrist"][1]
        < standing.landmarks["left elbow"][1]
        < standing.landmarks["left shoulder"][1]
    )
    assert posed.landmarks["left wrist"][2] > posed.landmarks["left shoulder"][2] + 0.4
    thigh = posed.landmarks["right knee"] - posed.landmarks["right hip"]
    np.testing.assert_allclose(thigh / np.linalg.norm(thigh), (0, 0, 1), atol=1e-6)
    shin = posed.landmarks["right ankle"] - posed.landmarks["right knee"]
    np.testing.assert_allclose(shin / np.linalg.norm(shin), (0, -1, 0), atol=1e-6)


def test_who_sits_has_hips_and_feet_on_the_floor():
    sitting = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        shape = random_shape(rng, rng.random())
        places = pose_body(shape, random_pose(rng, shape, "sit"), body_mesh(shape)).landmarks
        if places["left hip"][1] < 0.5:  # otherwise no pose was clear, and the person stands
            sitting += 1
            assert places["left hip"][1] < 0.25
            assert max(places[f"{side} ankle"][1] for side in ("left", "right")) < 0.35
            assert places["head"][1] > 0.5
    assert sitting >= 8


# Pictures and flow


def heatmaps(layout="openpose18"):
    return dict(type="HeatmapEncoder", layout=layout, sigma=2)


def pairs(length=4, size=(64, 48), seed=3, **options):
    return People3D(length, heatmaps(), size, seed, **options)


def figure_of(person, pose, heading=0.0, size=(128, 96), shift=(0, 0)):
    posed = pose_body(person.shape, pose, person.dressed.mesh)
    camera = Camera(np.array([0, 1.0, 4.5]), 0.03, size[0] * 2.1, np.array([size[1] / 2, size[0] * 0.47]), size)
    return stand_at(person, posed, heading, np.zeros(3), camera.moved(np.array(shift)), FLAT)


def test_pairs_and_clips_keep_the_contract_of_data_sets():
    check_dataset(pairs())
    check_dataset(People3DClips(3, heatmaps(), frames=3, size=(64, 48), seed=1), samples=2)


def test_the_source_moved_along_the_flow_is_the_target_where_visible():
    """Light and camera are equal. Over what is visible, 30 dB; inside of the person less: bilinear sampling blurs
    patterns, and outlines mix with the background."""
    errors = []
    for index in range(4):
        pair = People3D(4, heatmaps(), (256, 192), 11, ideal=True)[index]
        error = ((warp(pair.source[None], pair.flow[None])[0] - pair.target) / 2).square().mean(0)
        errors.append(error[pair.visible[0] == 1].mean().item())
        still = ((pair.source - pair.target) / 2).square().mean(0)[pair.visible[0] == 1].mean().item()
        assert errors[-1] < 0.5 * still
    assert -10 * np.log10(np.mean(errors)) > 30


@pytest.mark.parametrize("seed", [0, 1])
def test_visibility_agrees_with_rays_through_all_triangles(seed):
    """Arms across the body hide parts of it: each ray from the camera to the point is tested against the whole mesh."""
    rng = np.random.default_rng(seed)
    person = random_person(rng)
    source = Drawing.outline(figure_of(person, random_pose(rng, person.shape, "cross"), 0.3))
    target = Drawing.outline(figure_of(person, random_pose(rng, person.shape, "stand"), -0.2))
    flow, visible = exact_flow(source, target)
    rows, columns = np.nonzero(target.centers.triangle != NOTHING)
    chosen = rng.choice(len(rows), 250, replace=False)
    rows, columns = rows[chosen], columns[chosen]
    triangles = person.dressed.mesh.triangles
    corners = triangles[target.centers.triangle[rows, columns]]
    points = np.einsum("nk,nkc->nc", target.centers.weights[rows, columns], source.figure.vertices[corners])
    place, near = source.figure.camera.project(points)
    np.testing.assert_allclose(place, flow[:, rows, columns].T + np.stack([columns, rows], 1), atol=1e-3)
    hidden = np.array([is_hidden(point, source.figure) for point in points])
    assert 20 < hidden.sum() < 230
    shifts = [np.array([x, y]) for x in (-0.5, 0, 0.5) for y in (-0.5, 0, 0.5)]
    votes = np.mean([seen(source, place + shift, near) for shift in shifts], 0)
    clear = (votes == 0) | (votes == 1)  # no outline within half a pixel
    assert clear.mean() > 0.6
    assert (hidden != visible[rows, columns])[clear].mean() > 0.985
    assert (hidden != visible[rows, columns]).mean() > 0.9


def is_hidden(point, figure):
    """Return whether the mesh lies between a point and the camera, or the point faces away."""
    eye = figure.camera.place
    a, b, c = figure.vertices[figure.person.dressed.mesh.triangles].transpose(1, 0, 2)
    way = point - eye
    normal = np.cross(b - a, c - a)
    drawn = figure.two_sided | (normal @ way < 0)
    first, second = b - a, c - a
    across = np.cross(way, second)
    determinant = (first * across).sum(1)
    safe = np.where(np.abs(determinant) < 1e-12, 1, determinant)
    u = ((eye - a) * across).sum(1) / safe
    turned = np.cross(eye - a, first)
    v, share = (turned * way).sum(1) / safe, (second * turned).sum(1) / safe
    hit = drawn & (np.abs(determinant) > 1e-12) & (u >= 0) & (v >= 0) & (u + v <= 1) & (share > 0)
    nearest = share[hit].min() if hit.any() else 2
    return nearest < 1 - 0.015 / np.linalg.norm(way)


def test_nothing_flickers_and_nothing_has_holes():
    """In surfaces that fight for the same depth, and in cracks, single pixels differ from all their neighbors."""
    speckles = holes = covered = 0
    for seed in range(12):
        rng = np.random.default_rng([5, seed])
        person = random_person(rng)
        picture = Drawing.outline(
            figure_of(person, random_pose(rng, person.shape, "walk"), seed * np.pi / 6, (192, 128))
        )
        triangle = picture.centers.triangle
        piece = np.where(triangle == NOTHING, -1, person.dressed.mesh.pieces[triangle])
        around = [np.roll(piece, shift, (0, 1)) for shift in ((0, 1), (0, -1), (1, 0), (-1, 0))]
        alone = np.all([other != piece for other in around], 0) & np.all([other == around[0] for other in around], 0)
        covered += (piece >= 0).sum()
        holes += (alone & (piece == -1)).sum()
        speckles += (alone & (piece >= 0)).sum()
    assert covered > 20_000
    assert holes < 0.0005 * covered
    assert speckles < 0.002 * covered


def test_everybody_is_dressed():
    body = canonical()
    at = body.joints
    height = body.place[:, 1]
    middle = np.arange(len(height)) < body_model().body_count
    middle &= (body.sleeve < 0) & (height > at["left hip"][1] - 0.1) & (height < at["chest"][1] + 0.08)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        wear = random_outfit(rng, rng.random())
        place, sleeve, head = body.place[middle], body.sleeve[middle], body.head[middle]
        assert (covered_by_top(wear, place, sleeve, head) | covered_by_trousers(wear, place, sleeve)).all()


def test_key_points_are_those_of_the_person_seen_from_either_side():
    person = random_person(np.random.default_rng(2))
    for heading, left_is_right, faces in ((0.0, True, True), (np.pi, False, False)):
        points, present = drawn_points(Drawing.outline(figure_of(person, stand(), heading)))
        at = dict(zip(POINTS, points, strict=True))
        there = dict(zip(POINTS, present, strict=True))
        assert (at["left shoulder"][0] > at["right shoulder"][0]) == left_is_right
        assert at["head top"][1] < at["neck"][1] < at["left hip"][1] < at["left knee"][1] < at["left ankle"][1]
        assert there["nose"] == there["left eye"] == faces
        assert there["left hip"]


def test_layouts_of_other_points_are_taken_and_unknown_points_are_named():
    few = KeypointLayout("few", ("head top", "left wrist"), (0, 1), ((0, 1),), ((255, 0, 0), (0, 255, 0)))
    data = People3D(1, heatmaps(few), (64, 48), 0)
    assert data[0].source_structure.shape == (2, 64, 48)
    tail = KeypointLayout("tail", ("nose", "tail"), (0, 1), ((0, 1),), ((255, 0, 0), (0, 255, 0)))
    with pytest.raises(ConfigError, match=r"'tail' has points that these bodies do not have: tail\n"):
        People3D(1, heatmaps(tail), (64, 48), 0)


def test_the_ideal_camera_and_the_backgrounds_are_options(tmp_path):
    with pytest.raises(ConfigError, match="a folder without images"):
        pairs(backgrounds=str(tmp_path))
    Image.fromarray(np.full((40, 30, 3), (200, 30, 90), np.uint8)).save(tmp_path / "wall.png")
    data = pairs(12, backgrounds=str(tmp_path), ideal=True)
    colors = [data[index].source[:, 0, 0] for index in range(12)]
    red = torch.tensor([200, 30, 90]) / 127.5 - 1
    assert sum(torch.allclose(color, red, atol=0.01) for color in colors) >= 6
    assert not torch.equal(pairs()[0].source, pairs(ideal=True)[0].source)


def test_key_points_can_have_the_errors_of_an_estimator():
    structure = dict(type="HeatmapEncoder", layout="openpose18", sigma=4)
    exact = People3D(3, structure, (64, 32))
    noisy = People3D(3, structure, (64, 32), point_noise=0.02, point_dropout=0.2)
    pairs = [(a, b) for i in range(3) for a, b in zip(exact.keypoints(i), noisy.keypoints(i), strict=True)]
    lost = np.concatenate([a.present & ~b.present for a, b in pairs])
    errors = np.concatenate([(b.points - a.points)[b.present] for a, b in pairs])
    assert not any((b.present & ~a.present).any() for a, b in pairs)
    assert 0.05 < lost.mean() < 0.4
    assert 0.7 < errors.std() / (0.02 * 64) < 1.3
    assert torch.equal(noisy[1].source_structure, noisy[1].source_structure)  # the same errors each time
    assert torch.equal(noisy[1].source, exact[1].source)
    assert torch.equal(noisy[1].flow, exact[1].flow)
    with pytest.raises(ConfigError, match="point_dropout"):
        People3D(3, structure, point_dropout=1.0)


def test_people_can_stand_in_front_of_one_color():
    structure = dict(type="HeatmapEncoder", layout="openpose18", sigma=4)
    scenes = People3D(4, structure, (64, 32))
    plain = People3D(4, structure, (64, 32), plain=1)
    colors = set()
    for index in range(4):
        before, after, covered = scenes[index], plain[index], scenes.record(index)["covered"]
        assert torch.equal(before.flow, after.flow)
        outside = torch.cat([after.source[:, covered[0] == 0], after.target[:, covered[1] == 0]], 1)
        assert (outside == outside[:, :1]).all()
        for old, new, share in ((before.source, after.source, covered[0]), (before.target, after.target, covered[1])):
            assert torch.equal(old[:, share == 255], new[:, share == 255])
        assert (covered[1][before.foreground[0] == 1] > 0).mean() > 0.98
        colors.add(tuple(outside[:, 0].tolist()))
    assert len(colors) == 4
    some = People3D(40, structure, (64, 32), plain=0.5)
    assert {torch.equal(some[index].source, scenes[index].source) for index in range(4)} == {True, False}
    with pytest.raises(ConfigError, match="plain"):
        People3D(3, structure, plain=2)


def test_turns_are_in_the_range_that_was_asked_for():
    data = pairs(6, turn=(60, 90))
    turns = np.degrees([data.turn(index) for index in range(6)])
    assert ((np.abs(turns) >= 60) & (np.abs(turns) <= 90)).all()
    with pytest.raises(ConfigError, match="least, largest"):
        pairs(turn=(90, 60))


def test_parts_of_the_body_lie_where_the_key_points_are():
    data = People3D(3, heatmaps(), (128, 96), 4)
    names = list(PARTS)
    for index in range(3):
        parts, points = data.parts(index), dict(zip(OPENPOSE_18.names, data.keypoints(index)[1].points, strict=True))
        assert ((parts >= 0) == (data[index].foreground[0].numpy() == 1)).all()
        assert set(np.unique(parts)) <= {-1, *range(len(names))}
        head, torso = (np.argwhere(parts == names.index(name)).mean(0)[::-1] for name in ("head", "torso"))
        hips = (points["left hip"] + points["right hip"]) / 2
        assert np.linalg.norm(head - points["neck"]) < np.linalg.norm(head - hips)
        assert np.linalg.norm(torso - (hips + points["neck"]) / 2) < np.linalg.norm(points["neck"] - hips)


def test_a_motion_begins_and_ends_with_the_pose_of_the_source():
    data = pairs(2)
    source, _ = data.keypoints(1)
    motion = data.motion(1, 5)
    for end in (motion[0], motion[-1]):
        np.testing.assert_allclose(end.points, source.points, atol=1e-3)
        assert (end.present == source.present).all()
    assert np.abs(motion[2].points - source.points).max() > 2


# The store


def test_a_store_gives_the_pairs_that_would_be_drawn_and_is_continued(tmp_path, capsys):
    folder = tmp_path / "store"
    command = ["prepare", "people3d", str(folder), "--pairs", "66", "--size", "32x32", "--workers", "0"]
    assert main(command) == 0
    shards = sorted(path.name for path in folder.glob("*.npy"))
    assert shards == ["pairs-00000.npy", "pairs-00001.npy"]
    drawn = People3D(66, heatmaps(), (32, 32), 1)
    stored = People3D(66, heatmaps(), (32, 32), 1, store=str(folder))
    for index in (0, 63, 65):
        for field in dataclasses.fields(drawn[index]):
            first, second = getattr(drawn[index], field.name), getattr(stored[index], field.name)
            assert torch.equal(first, second) if isinstance(first, torch.Tensor) else first == second
        assert stored.turn(index) == pytest.approx(drawn.turn(index))
    with pytest.raises(IndexError):
        stored[66]
    check_dataset(stored)

    (folder / shards[1]).unlink()
    before = (folder / shards[0]).stat().st_mtime_ns
    capsys.readouterr()
    assert main(command) == 0
    assert "1 files made, 2 were there" in capsys.readouterr().out
    assert (folder / shards[0]).stat().st_mtime_ns == before
    assert stored[65].name == "person000065_a_2_person000065_b_vis"

    capsys.readouterr()
    assert main([*command, "--pairs", "128"]) == 0  # grows: both shards are there, the number of pairs is not
    assert "1 files made, 2 were there" in capsys.readouterr().out
    grown = People3D(128, heatmaps(), (32, 32), 1, store=str(folder))
    assert torch.equal(grown[127].source, People3D(128, heatmaps(), (32, 32), 1)[127].source)


def test_a_store_of_other_pairs_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"has no people3d\.json: `posegen prepare people3d"):
        pairs(store=str(tmp_path))
    settings = {"size": [64, 48], "seed": 3, "ideal": False, "turn": None, "backgrounds": None}
    (tmp_path / "people3d.json").write_text(settings_text(10, settings))
    pairs(10, store=str(tmp_path))
    with pytest.raises(ConfigError, match="10 pairs, the config asks for length=11"):
        pairs(11, store=str(tmp_path))
    with pytest.raises(ConfigError, match="seed is 3, the config has 4"):
        pairs(10, seed=4, store=str(tmp_path))
    with pytest.raises(DataError, match=r"pairs-00000\.npy: 1 problem\n  - cannot be read"):
        pairs(10, store=str(tmp_path))[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["SRC", "DST"], "people3d is drawn and reads no source: posegen prepare people3d DST"),
        (["DST", "--size", "64"], "--size is HEIGHTxWIDTH in pixels, such as 128x64; got '64'"),
        (["DST", "--size", "64x1000"], "at most 512 pixels a side"),
        (["DST", "--pairs", "0"], "--pairs must be 1 or more, got 0"),
        (["DST", "--make-pairs"], "does not support --make-pairs"),
    ],
)
def test_prepare_refuses_what_it_cannot_draw(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(["prepare", "people3d", *arguments]) != 0
    assert message in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.rglob("*.npy")) == []
