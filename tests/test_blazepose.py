"""BlazePose and the face mesh: anchors, suppression, regions and refinement by hand; people and faces in a photograph.

The photograph is the astronaut of scikit-image, public domain.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from dataclasses import replace

import cv2
import numpy as np
import posegen_blazepose.networks as networks
import pytest
from PIL import Image
from posegen_blazepose.detection import Detection, anchors, decode, suppress
from posegen_blazepose.estimators import (
    BLAZEPOSE,
    PeopleSegment,
    load_faces,
    load_people,
    load_people_tracker,
    region_of_points,
)
from posegen_blazepose.face import FaceMesh
from posegen_blazepose.pose import GRIDS, HIP_PAIR, MARGIN, NAMES, BlazePose, Person, PoseTracker, refine, unique
from posegen_blazepose.regions import Region, tiles

from posegen import plugins
from posegen.cli import main
from posegen.data import Keypoints, get_layout
from posegen.data.estimators import find_estimator, load_estimator, load_segmenter
from posegen.errors import CheckpointError, MissingWeightsError

plugins.load()
HEAD = ("nose", "left eye", "right eye", "left ear", "right ear")


# What the networks need before and after them


def test_anchors_are_the_centers_of_cells_and_as_many_as_the_network_has_boxes():
    centers = anchors(224, GRIDS)
    assert centers.shape == (2254, 2)  # 28² · 2 + 14² · 2 + 7² · 6
    assert centers[:3].tolist() == [[0.5 / 28] * 2, [0.5 / 28] * 2, [1.5 / 28, 0.5 / 28]]
    assert centers[-1].tolist() == [6.5 / 7, 6.5 / 7]


def test_boxes_are_decoded_relative_to_their_anchors():
    boxes = np.zeros((2, 8), np.float32)
    boxes[1] = [10, -20, 40, 80, 0, 30, 5, 5]  # center, size, two points, in pixels of an input of 100
    (found,) = decode(boxes, np.array([-1.0, 3.0]), np.array([[0, 0], [0.5, 0.5]]), 100, 0.5)
    assert found.score == pytest.approx(1 / (1 + np.exp(-3)))
    assert found.box == pytest.approx(np.array([[0.4, -0.1], [0.8, 0.7]]))
    assert found.points == pytest.approx(np.array([[0.5, 0.8], [0.55, 0.55]]))


def detection(score: float, x: float, width: float = 1) -> Detection:
    return Detection(score, np.array([[x, 0], [x + width, 1]]), np.array([[x, 0.5]]))


def test_overlapping_boxes_become_their_weighted_mean_and_others_stay():
    merged = suppress([detection(0.9, 0), detection(0.6, 0.5), detection(0.5, 5)])  # overlap of the first two: 1/3
    assert [one.score for one in merged] == [0.9, 0.5]
    assert merged[0].box == pytest.approx(np.array([[0.2, 0], [1.2, 1]]))
    assert merged[0].points == pytest.approx(np.array([[0.2, 0.5]]))
    assert merged[1].box == pytest.approx(np.array([[5, 0], [6, 1]]))


def test_a_box_without_area_is_suppressed_once():
    assert len(suppress([detection(0.9, 0, width=0), detection(0.8, 0, width=0)])) == 2


def test_a_region_stands_upright_along_the_person():
    lying = Region.standing(np.array([50.0, 50]), np.array([80.0, 50]), 1.25)  # the head lies to the right
    assert (lying.x, lying.y, lying.side) == (50, 50, 75)
    image = np.zeros((100, 100, 3), np.uint8)
    image[48:53, 78:83] = 255
    crop = lying.crop(image, 75)
    y, x = np.argwhere(crop[..., 0] > 128).mean(0)
    assert (x, y) == pytest.approx((37.5, 7.5), abs=1)  # above the middle
    assert lying.to_image(np.array([[0.5, 0.1]])) == pytest.approx(np.array([[80, 50]]))


def test_a_region_around_points_is_level():
    tilted = Region.around(np.array([[0.0, 0], [20, 40]]), np.array([0.0, 0]), np.array([10.0, 10]), 1.5)
    assert dataclasses.astuple(tilted) == pytest.approx((10, 20, 60, np.pi / 4))


def test_a_large_region_is_averaged_when_it_is_reduced():
    """Stripes of one pixel become gray; without averaging, they would stay black and white."""
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    inner = Region.whole(stripes).crop(stripes, 64)[4:-4, 4:-4]
    assert inner.min() > 100
    assert inner.max() < 155


@pytest.mark.parametrize("place", [(300, 280), (20, 590), (-400, -400)])
def test_a_reduced_region_is_cut_from_the_place_around_it_in_a_large_image(place):
    """A smooth image, of which every way of averaging gives the same; in its middle, over its edge, and outside."""
    y, x = np.mgrid[:600, :800]
    image = np.stack([x / 4, y / 3, (x + y) / 8], -1).astype(np.uint8)
    region = Region(*place, 200.0, 0.5)
    found = region.crop(image, 40, cv2.BORDER_REPLICATE).astype(float)
    rows, columns = np.mgrid[:40, :40]
    places = np.stack([columns, rows], -1).reshape(-1, 2) @ region.matrix(40)[:, :2].T + region.matrix(40)[:, 2]
    x, y = places.clip(0, (799, 599)).T
    true = np.stack([x / 4, y / 3, (x + y) / 8], -1).reshape(40, 40, 3)
    assert np.abs(found - true).max() < 2.5


def test_tiles_cover_the_image_and_small_ones_are_left_out():
    squares = tiles(300, 500, (1.0, 0.4), 0.25, 128)
    assert len(squares) > 10
    for y in (0, 150, 299):
        for x in (0, 250, 499):
            assert any(abs(one.x - x) <= one.side / 2 and abs(one.y - y) <= one.side / 2 for one in squares[1:])
    assert len(tiles(128, 64, (1.5, 1.0, 0.4), 0.25, 128)) == 2


def test_points_move_to_the_center_of_mass_of_a_sure_heat_map():
    heat = np.zeros((16, 16, 3))
    heat[4, 6, 0], heat[4, 7, 0] = 0.9, 0.3
    heat[4, 6, 1] = 0.4  # not sure
    points = np.array([[0.4, 0.3], [0.4, 0.3], [1.5, 0.3]])
    assert refine(points, heat) == pytest.approx(np.array([[6.25 / 16, 4 / 16], [0.4, 0.3], [1.5, 0.3]]))


# The networks


STANDING = {
    "nose": (0, 10), "eye": (4, 6), "ear": (7, 8), "mouth": (3, 14), "shoulder": (20, 35), "elbow": (32, 65),
    "wrist": (44, 92), "pinky": (46, 100), "index": (44, 101), "thumb": (42, 97), "hip": (12, 100), "knee": (16, 150),
    "ankle": (18, 195), "heel": (18, 200), "toe": (22, 204),
}  # fmt: skip
"""Points of a person of 200 pixels, arms away from the body: x to the left and to the right of the middle, y."""


def person(score: float, scale: float = 1, turn: float = 0, move: tuple[float, float] = (0, 0), seen=0.5) -> Person:
    """Return the person :data:`STANDING`, scaled and turned around the middle of the hips (0, 100), then moved."""
    parts = [next(part for part in STANDING if part in name) for name in NAMES]
    signs = [1 if name.startswith("left") else -1 for name in NAMES]
    points = np.array(
        [(sign * STANDING[part][0], STANDING[part][1] - 100) for sign, part in zip(signs, parts, strict=True)]
    )
    cos, sin = np.cos(turn), np.sin(turn)
    points = scale * points @ np.array([[cos, sin], [-sin, cos]]) + (0, 100) + np.array(move)
    region = Region(move[0], 100 + move[1], scale * 200 * MARGIN, turn)
    return Person(points, np.full(len(NAMES), seen), score, region, region, np.zeros((256, 256), np.float32))


@pytest.mark.parametrize(
    "part",
    [
        {"scale": 0.25, "turn": 2.7, "move": (33, -35)},  # an arm
        {"scale": 0.25, "turn": -2.7, "move": (-33, -35)},
        {"turn": np.pi, "scale": 0.4, "move": (0, -40)},  # upside down
        {"turn": 1.1, "scale": 0.15, "move": (0, -30), "seen": 0.9},  # something on the chest, all of it seen
    ],
)
def test_a_limb_that_is_taken_for_a_person_is_left_out(part):
    whole = person(0.9)
    assert unique([person(0.6, **part), whole]) == [whole]


@pytest.mark.parametrize(
    "other",
    [
        {"scale": 0.5, "move": (0, 50)},  # a child before a parent: all points on the parent's body
        {"scale": 0.4, "turn": np.pi / 2, "move": (45, -20)},  # a child on an arm, half beside the body
        {"scale": 0.9, "move": (45, 5)},  # somebody who is half hidden
    ],
)
def test_a_person_before_another_stays(other):
    whole, second = person(0.9), person(0.6, **other)
    assert unique([second, whole]) == [whole, second]


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return pytest.importorskip("skimage.data").astronaut()


@pytest.fixture(scope="module")
def poses() -> BlazePose:
    pytest.importorskip("ai_edge_litert")
    return BlazePose()


@pytest.fixture(scope="module")
def faces() -> FaceMesh:
    pytest.importorskip("ai_edge_litert")
    return FaceMesh()


def head(points: np.ndarray) -> np.ndarray:
    return points[[NAMES.index(name) for name in HEAD]]


WHERE = np.array([[225, 120], [243, 99], [205, 100], [267, 108], [186, 110]])  # of HEAD, read off the photograph


def test_the_astronaut_is_found(poses, astronaut):
    (person,) = poses(astronaut)
    assert head(person.points) == pytest.approx(WHERE, abs=20)
    assert person.visibility[[NAMES.index(name) for name in HEAD]].min() > 0.9


def test_a_turned_and_a_small_photograph_give_the_same_points(poses, astronaut):
    turned, small = np.rot90(astronaut, -1), np.asarray(Image.fromarray(astronaut).resize((256, 256)))
    from_turned, from_small = poses(np.ascontiguousarray(turned))[0], poses(small)[0]
    back = np.stack([from_turned.points[:, 1], 511 - from_turned.points[:, 0]], 1)
    assert head(back).mean(0) == pytest.approx(WHERE.mean(0), abs=30)
    assert head(from_small.points) * 2 == pytest.approx(WHERE, abs=24)


def test_in_a_mirror_left_and_right_are_exchanged(poses, astronaut):
    person, *_ = poses(np.ascontiguousarray(astronaut[:, ::-1]))
    mirrored = np.stack([511 - person.points[:, 0], person.points[:, 1]], 1)
    assert head(mirrored)[[0, 2, 1, 4, 3]] == pytest.approx(WHERE, abs=20)


def test_several_people_are_found_the_largest_first(poses, astronaut):
    scene = np.full((700, 1000, 3), 128, np.uint8)
    small = np.asarray(Image.fromarray(astronaut).resize((256, 256)))
    scene[440:696, 20:276] = small
    scene[100:612, 450:962] = astronaut
    large, little, *_ = poses(scene)
    assert head(large.points) == pytest.approx(WHERE + np.array([450, 100]), abs=24)
    assert head(little.points) == pytest.approx(WHERE / 2 + np.array([20, 440]), abs=24)


def test_nobody_is_found_where_nobody_is(poses, faces):
    plain = np.full((200, 300, 3), 90, np.uint8)
    assert poses(plain) == []
    assert faces(plain) == []


def test_in_a_cutout_the_person_is_looked_for_without_a_detection(poses, astronaut, monkeypatch):
    monkeypatch.setattr(poses, "detector", lambda *_: [])
    tall = np.ascontiguousarray(astronaut[:, 60:400])
    (person,) = poses(tall)
    assert head(person.points) == pytest.approx(WHERE - np.array([60, 0]), abs=30)
    assert poses(np.ascontiguousarray(tall[:340])) == []
    assert poses(np.full_like(tall, 90)) == []


def test_the_mask_shows_the_person_in_the_image(poses, astronaut):
    (person,) = poses(astronaut)
    mask = person.mask_of(512, 512)
    assert mask.shape == (512, 512)
    assert mask[110:130, 215:235].mean() > 0.9  # her face
    assert mask[20:60, 480:500].mean() < 0.1  # the corner


@pytest.mark.parametrize(("missing", "passes"), [(set(), 1), ({HIP_PAIR[0]}, 1), (set(HIP_PAIR), 2)])
def test_a_person_whose_hips_are_known_is_cut_out_by_one_pass(poses, astronaut, monkeypatch, missing, passes):
    seen = []
    suppose = poses.suppose
    monkeypatch.setattr(poses, "suppose", lambda image, region: seen.append(region) or suppose(image, region))
    (person,) = poses(astronaut)
    seen.clear()
    points = np.zeros((len(BLAZEPOSE), 2), np.float32)
    points[: len(person.points)] = person.points
    present = np.array([k < len(person.points) and k not in missing for k in range(len(BLAZEPOSE))])
    mask = PeopleSegment(poses)(astronaut, Keypoints(points, present))
    assert len(seen) == passes
    there = person.mask_of(512, 512) > 0.5
    assert ((mask > 0.5) & there).sum() / ((mask > 0.5) | there).sum() > 0.9


def test_a_person_is_cut_out_by_key_points_of_any_layout(poses, astronaut):
    """All of OpenPose's points, or those of the head and one shoulder; of two people the one with the points."""
    layout = get_layout("openpose18")
    segment = load_segmenter(layout)
    two = np.concatenate([astronaut, np.full((512, 100, 3), 255, np.uint8), astronaut], axis=1)
    (person,) = poses(astronaut)
    there = person.mask_of(512, 512) > 0.5
    points = load_estimator(layout)(astronaut)[0].keypoints
    few = replace(points, present=points.present & np.isin(layout.names, ["nose", "neck", "right shoulder"]))
    for keypoints, least in ((points, 0.95), (few, 0.8)):
        found = segment(astronaut, keypoints) > 0.5
        assert (found & there).sum() / (found | there).sum() > least
    right = segment(two, replace(points, points=points.points + np.float32([612, 0])))
    assert right.shape == (512, 1124)
    assert (right[:, :512] > 0.5).mean() < 0.01
    assert ((right[:, 612:] > 0.5) & there).sum() / there.sum() > 0.95


def test_the_region_of_points_lies_along_the_trunk():
    turned = Keypoints(np.zeros((len(BLAZEPOSE), 2)), np.zeros(len(BLAZEPOSE)))
    for name, place in (("left shoulder", (10, 20)), ("left hip", (40, 20)), ("left ankle", (90, 20))):
        index = BLAZEPOSE.names.index(name)
        turned.points[index], turned.present[index] = place, True
    region = region_of_points(turned)
    assert (region.x, region.y, region.side) == (40, 20, 2 * 50 * MARGIN)
    assert region.angle == pytest.approx(-np.pi / 2)  # the head is at the left


def test_the_tracker_follows_with_one_pass_a_frame(poses, astronaut, monkeypatch):
    frames = [np.roll(astronaut, 6 * number, axis=1) for number in range(4)]
    tracker = PoseTracker(poses)
    first = tracker(frames[0])
    monkeypatch.setattr(poses, "detector", lambda *_: pytest.fail("the detector looked at a frame in between"))
    found = [first, *(tracker(frame) for frame in frames[1:])]
    for number, people in enumerate(found):
        assert len(people) == 1
        assert head(people[0].points) == pytest.approx(WHERE + np.array([6 * number, 0]), abs=24)


def test_the_tracker_loses_who_is_gone_and_finds_who_comes(poses, astronaut):
    tracker = PoseTracker(poses)
    empty = np.full_like(astronaut, 90)
    assert [len(tracker(frame)) for frame in (astronaut, empty, empty, astronaut)] == [1, 0, 0, 1]


def test_landmarks_of_the_face_lie_on_it(faces, astronaut):
    (face,) = faces(astronaut)
    landmarks = face.landmarks
    assert landmarks.shape == (68, 2)
    assert landmarks[36:42].mean(0) == pytest.approx(WHERE[2], abs=8)  # the person's own right eye
    assert landmarks[42:48].mean(0) == pytest.approx(WHERE[1], abs=8)
    chin, mouth, brows = landmarks[8], landmarks[48:].mean(0), landmarks[17:27].mean(0)
    assert chin[1] > mouth[1] > landmarks[30, 1] > brows[1]
    assert landmarks[0, 0] < landmarks[16, 0]


# As estimators


@pytest.mark.parametrize("layout", ["openpose18", "blazepose"])
def test_blazepose_is_the_default_for_people(layout):
    assert find_estimator(get_layout(layout)).name == "blazepose"
    assert find_estimator(get_layout("ibug68")).name == "facemesh"


def test_points_of_another_layout_are_those_of_the_same_names(poses, astronaut):
    figure, *_ = load_estimator(get_layout("openpose18"))(astronaut)
    own, *_ = load_people()(astronaut)
    assert figure.keypoints.points[0] == pytest.approx(own.keypoints.points[0])
    shoulders = own.keypoints.points[[NAMES.index("left shoulder"), NAMES.index("right shoulder")]]
    assert figure.keypoints.points[1] == pytest.approx(shoulders.mean(0))
    assert len(figure.scores) == 18


def test_the_layout_of_blazepose_is_whole():
    assert len(BLAZEPOSE) == len(BLAZEPOSE.colors) == len(BLAZEPOSE.partner) == 36
    assert [BLAZEPOSE.partner[partner] for partner in BLAZEPOSE.partner] == list(range(36))
    assert {limb for pair in BLAZEPOSE.limbs for limb in pair} <= set(range(36))


def test_a_clip_is_estimated_with_the_tracker(poses, astronaut):
    estimate = load_estimator(get_layout("openpose18"), clip=True)
    assert estimate(astronaut)[0].keypoints.points[0] == pytest.approx(WHERE[0], abs=20)
    assert load_people_tracker() is not load_people_tracker()  # each clip has its own


def test_without_the_library_the_error_names_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(MissingWeightsError, match="pip install ai-edge-litert"):
        load_people()
    with pytest.raises(MissingWeightsError, match="pip install ai-edge-litert"):
        load_faces()


def test_threads_change_no_result(monkeypatch):
    pytest.importorskip("ai_edge_litert")
    image = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    found = []
    for threads in (1, 2):
        monkeypatch.setattr("torch.get_num_threads", lambda threads=threads: threads)
        found.append(networks.Network(networks.POSE_LANDMARKS)(image))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_a_damaged_network_is_refused(monkeypatch, tmp_path):
    pytest.importorskip("ai_edge_litert")
    damaged = dataclasses.replace(networks.POSE_DETECTOR, folder=tmp_path)
    (tmp_path / damaged.file_name).write_bytes(networks.POSE_DETECTOR.path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="damaged, or another file"):
        networks.Network(damaged)


def test_the_files_are_those_of_the_checksums_and_listed_with_their_origin():
    about = networks.POSE_DETECTOR.path.with_name("README.md").read_text()
    for file in networks.ALL:
        assert file.path.is_file()
        assert f"| `{file.file_name}` |" in about
        assert file.sha256 in about


# posegen keypoints


@pytest.fixture
def photographs(poses, astronaut, tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    Image.fromarray(astronaut).save(folder / "me.png")
    turned = Image.fromarray(np.ascontiguousarray(np.rot90(astronaut)))
    exif = turned.getexif()
    exif[0x0112] = 6  # to be turned clockwise to be seen
    turned.save(folder / "phone.jpg", exif=exif, quality=95)
    return folder


def run(*arguments: object) -> int:
    return main(["keypoints", *map(str, arguments)])


def test_the_command_writes_points_and_a_drawing_of_each_photograph(photographs, tmp_path, capsys):
    assert run(photographs, "--out", tmp_path / "out") == 0
    assert " found: " in capsys.readouterr().out
    for name in ("me", "phone"):
        content = json.loads((tmp_path / "out" / f"{name}.json").read_text())
        assert (content["canvas_width"], content["canvas_height"]) == (512, 512)
        person, *_ = content["people"]
        assert person["pose_keypoints_2d"][:2] == pytest.approx(WHERE[0], abs=20)
        drawn = np.asarray(Image.open(tmp_path / "out" / "drawn" / f"{name}.jpg"))
        assert drawn.shape == (512, 512, 3)


def test_its_files_are_read_by_the_other_commands(photographs, tmp_path):
    assert run(photographs / "me.png", "--out", tmp_path) == 0
    from posegen.inference.inputs import read_keypoints

    found = read_keypoints(tmp_path / "me.json", get_layout("openpose18"))
    assert found.points[0] == pytest.approx(WHERE[0], abs=20)
    assert found.frame == (512, 512)


def test_nothing_is_overwritten_unless_forced(photographs, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(photographs / "me.png", "--out", out) == 0
    before = (out / "me.json").read_bytes()
    (out / "me.json").write_bytes(b"mine")
    assert run(photographs, "--out", out) == 1
    assert "--force" in capsys.readouterr().err
    assert not (out / "phone.json").exists()
    assert run(photographs, "--out", out, "--skip-existing") == 0
    assert (out / "me.json").read_bytes() == b"mine"
    assert (out / "phone.json").exists()
    assert run(photographs, "--out", out, "--force") == 0
    assert (out / "me.json").read_bytes() == before


def test_an_output_that_cannot_be_written_is_refused(photographs, capsys):
    picture = photographs / "me.png"
    assert run(picture, "--out", picture) == 1
    assert f"{picture} is a file" in capsys.readouterr().err
    (photographs / "drawn").mkdir()
    picture = (photographs / "phone.jpg").rename(photographs / "drawn" / "phone.jpg")
    assert run(picture, "--out", photographs, "--force") == 1
    assert "is read and would be overwritten" in capsys.readouterr().err


def test_a_video_is_done_again_with_force(photographs, poses, tmp_path, capsys):
    from posegen.visualization.video import VideoWriter

    with VideoWriter(tmp_path / "dark.mp4", 10) as clip:
        clip.write(np.zeros((64, 64, 3), np.uint8))
    for more in ([], ["--force"]):
        run(tmp_path / "dark.mp4", "--out", tmp_path / "out", *more)
        assert "found in 0 of 1 frames" in capsys.readouterr().out
    run(tmp_path / "dark.mp4", "--out", tmp_path / "out")
    assert "dark exists; give --force" in capsys.readouterr().err


def test_landmarks_of_a_face_are_written_as_the_faces_plugin_reads_them(photographs, tmp_path, faces):
    assert run(photographs / "me.png", "--out", tmp_path, "--layout", "ibug68") == 0
    from posegen_faces.layouts import read_landmarks

    assert read_landmarks(tmp_path / "me.txt").points[36:42].mean(0) == pytest.approx(WHERE[2], abs=8)


def test_nobody_in_any_photograph_is_told_and_is_status_1(poses, tmp_path, capsys):
    Image.new("RGB", (300, 200)).save(tmp_path / "dark.png")
    assert run(tmp_path / "dark.png", "--out", tmp_path / "out") == 1
    assert "no figure was found in 1 of 1 files: dark.png" in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "dark.json").read_text())["people"] == []


def test_two_photographs_of_one_name_are_refused(photographs, tmp_path, capsys):
    (photographs / "me.jpg").write_bytes((photographs / "phone.jpg").read_bytes())
    assert run(photographs, "--out", tmp_path / "out") == 1
    assert "me.jpg and me.png would be written to the same file" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("given", ["missing", "empty"])
def test_an_input_without_photographs_is_an_error(given, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("none")
    assert run(tmp_path / given, "--out", tmp_path / "out") == 1
    assert given in capsys.readouterr().err


def test_a_video_gives_a_file_for_each_frame_and_a_drawn_clip(poses, astronaut, tmp_path):
    from posegen.data.video import VideoReader
    from posegen.visualization.video import VideoWriter

    with VideoWriter(tmp_path / "walk.mp4", 10) as clip:
        for number in range(3):
            clip.write(np.roll(astronaut, 8 * number, axis=1))
    assert run(tmp_path / "walk.mp4", "--out", tmp_path / "out") == 0
    files = sorted((tmp_path / "out" / "walk").iterdir())
    assert [file.name for file in files] == ["000000.json", "000001.json", "000002.json"]
    noses = [json.loads(file.read_text())["people"][0]["pose_keypoints_2d"][0] for file in files]
    assert noses[2] - noses[0] == pytest.approx(16, abs=8)
    drawn = VideoReader(tmp_path / "out" / "drawn" / "walk.mp4")
    assert (len(list(drawn)), float(drawn.fps)) == (3, 10)
    assert b"trainedAlgorithmicMedia" not in drawn.path.read_bytes()  # nothing in it is generated
    assert run(tmp_path / "walk.mp4", "--out", tmp_path / "out") == 1  # nothing is overwritten
