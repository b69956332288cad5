"""Pose files that people have, of many tools: each is read as the same pose, or refused with the reason."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from posegen_people.layouts import COCO_17, OPENPOSE_18

from posegen.cli import COMMANDS, build_parser
from posegen.data import Keypoints
from posegen.data.pose_files import MIN_SCORE, PoseChoice, in_pixels, own_content
from posegen.errors import DataError
from posegen.inference import PoseInput, find_poses, find_sources, find_targets, read_clip, read_inputs, read_keypoints
from posegen.registry import STRUCTURE_ENCODERS

from .pictures import HEIGHT, WIDTH, pixels, read_points, refused, run

ENCODER = STRUCTURE_ENCODERS.build_part(dict(type="HeatmapEncoder", layout="openpose18"))
CANVAS = {"canvas_width": 256, "canvas_height": 256}
POSE = np.array(
    [[128, 42], [123, 72], [104, 69], [90, 95], [114, 97], [142, 75], [156, 97], [136, 114], [105, 121], [86, 154],
     [88, 195], [124, 125], [122, 163], [116, 209], [122, 37], [136, 39], [111, 35], [146, 41]]
)  # fmt: skip
"""OpenPose's 18 points; the neck is the middle of the shoulders, so that COCO's points give the same pose."""
LOW = 0.06


def as_coco(points: np.ndarray) -> np.ndarray:
    return points[[OPENPOSE_18.names.index(name) for name in COCO_17.names]]


def triples(points: np.ndarray, score: float = 1.0) -> list[float]:
    return np.column_stack([points, np.full(len(points), score)]).ravel().tolist()


def openpose(points: np.ndarray = POSE, score: float = 1.0) -> dict[str, Any]:
    return {"pose_keypoints_2d": triples(points, score)}


def mmpose(points: np.ndarray = POSE, score: float = 0.87) -> dict[str, Any]:
    coco = as_coco(points) if len(points) == len(POSE) else points
    return {"keypoints": coco.tolist(), "keypoint_scores": [score] * len(coco)}


def result(image: str | int = "1.png", points: np.ndarray = POSE, score: float = 0.87) -> dict[str, Any]:
    coco = as_coco(points) if len(points) == len(POSE) else points
    return {"image_id": image, "category_id": 1, "keypoints": triples(coco, score), "score": 2.9}


def more(count: int) -> np.ndarray:
    """COCO's 17 points, and others up to a count."""
    return np.vstack([as_coco(POSE), np.linspace((100, 50), (140, 90), count - 17)])


def columns() -> dict[str, list[float]]:
    x, y = as_coco(POSE).T.tolist()
    return {"x": x, "y": y, "visible": [0.9] * len(x)}


def written(folder: Path, content: Any, name: str = "pose.json") -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
    return path


FRAMES = [{"people": [openpose(POSE + k)], **CANVAS} for k in range(2)]
EDITOR = {"width": 256, "height": 256}
HALPE = np.vstack([as_coco(POSE), [[128, 20]], [POSE[1]], np.tile([[115, 123]], (7, 1))])
SAME_POSE = {
    "ComfyUI's list of one frame": [{"people": [openpose()], **CANVAS}],
    "ComfyUI's list with face and hands": [{"people": [openpose() | {"face_keypoints_2d": [1] * 210}], **CANVAS}],
    "second person null": {"people": [openpose(), {"pose_keypoints_2d": None, "face_keypoints_2d": None}]},
    "second person empty": {"people": [openpose(), {"pose_keypoints_2d": []}]},
    "second person is null itself": {"people": [None, openpose()]},
    "ComfyUI with a null person": [{"people": [{"pose_keypoints_2d": None}, openpose()], **CANVAS}],
    "AlphaPose's results": [result()],
    "COCO's results": [result(785, score=0.9)],
    "AlphaPose's results of 26 points": [result(points=HALPE)],
    "AlphaPose's results of 136 points": [result(points=np.vstack([HALPE, np.zeros((110, 2))]))],
    "AlphaPose's people by image": {"1.png": {"version": "AlphaPose v0.3", "people": [openpose()]}},
    "AlphaPose's bodies by image": {"1.png": {"version": "AlphaPose v0.2", "bodies": [{"joints": triples(POSE)}]}},
    "openpose-editor": {**EDITOR, "keypoints": [POSE.tolist()]},
    "openpose-editor, one person": {**EDITOR, "keypoints": POSE.tolist()},
    "Ultralytics' JSON": [{"name": "person", "class": 0, "confidence": 0.9, "box": {"x1": 86}, "keypoints": columns()}],
    "Ultralytics' JSON without scores": [{"keypoints": {axis: columns()[axis] for axis in "xy"}}],
    "a canvas of floats": {"people": [openpose()], "canvas_width": 256.0, "canvas_height": 256.0},
    "fractions with a canvas": {"people": [openpose(POSE / 256)], **CANVAS},
    "OpenPose's 133 points": {"people": [openpose(more(133))], **CANVAS},
    "an annotation of 133 points": {"keypoints": triples(more(133))},
    "MMPose's 17 points": [mmpose()],
    "MMPose's 26 points": [mmpose(HALPE)],
    "MMPose's 133 points": [mmpose(more(133))],
    "MMPose's nested list": [[mmpose()]],
    "MMPose's predictions": {"predictions": [[mmpose()]]},
    "MMPose's predictions of one image": {"predictions": [mmpose()]},
    "COCO-WholeBody": {
        "images": [{"id": 1, "file_name": "1.png", "width": 256, "height": 256}],
        "annotations": [
            {"id": 1, "image_id": 1, "keypoints": triples(as_coco(POSE), 2), "face_kpts": [0] * 204, "foot_kpts": []}
        ],
    },
    "posegen's own pose": own_content([Keypoints(POSE, np.ones(18))], OPENPOSE_18, (256, 256)),
}


@pytest.mark.parametrize("name", SAME_POSE)
def test_a_pose_file_is_read(tmp_path, name):
    found = read_keypoints(written(tmp_path, SAME_POSE[name]), OPENPOSE_18)
    assert found.present.all()
    np.testing.assert_allclose(found.points, POSE, atol=1e-4)
    assert found.chosen == ""


def test_bodies_of_dwpose_are_fractions_of_their_picture(tmp_path):
    bodies = {"bodies": {"candidate": (POSE / 256).tolist(), "subset": [list(range(18))]}, "hands": [], "faces": []}
    path = written(tmp_path, bodies)
    picture = np.zeros((256, 256, 3), np.uint8)
    with pytest.warns(UserWarning, match="coordinates are fractions of the picture, 0 to 1, and are multiplied"):
        (found,), _ = read_inputs([PoseInput(picture, path)], [], ENCODER)
    np.testing.assert_allclose(found.structure.points, POSE, atol=1e-4)
    bodies["bodies"]["subset"][0][4] = -1
    assert np.flatnonzero(~read_keypoints(written(tmp_path, bodies), OPENPOSE_18).present).tolist() == [4]


def test_two_people_are_counted_without_those_who_have_no_body(tmp_path):
    people = {"people": [{"pose_keypoints_2d": None}, openpose(), openpose(POSE + 1)]}
    people["people"][1]["pose_keypoints_2d"][-1] = 0
    found = read_keypoints(written(tmp_path, people), OPENPOSE_18)
    assert found.chosen == "figure 2 of 2, the largest (others: 1 at 121,122),"
    assert found.points[0].tolist() == [129, 43]


# Several frames


def test_a_picture_selects_its_rows_in_a_list_of_results(tmp_path):
    path = written(tmp_path, [result("1.png"), result("2.png", POSE + 5), result("2.png", POSE + 9, score=0.95)])
    assert read_keypoints(path, OPENPOSE_18, tmp_path / "1.png").points[0].tolist() == [128, 42]
    found = read_keypoints(path, OPENPOSE_18, tmp_path / "2.png")
    assert found.points[0].tolist() == [137, 51]  # the surer of two people
    assert found.chosen == "figure 2 of 2, the largest (others: 1 at 126,127),"
    with pytest.raises(DataError, match=r"no images called '3\.png', but of 1\.png, 2\.png"):
        read_keypoints(path, OPENPOSE_18, tmp_path / "3.png")


@pytest.mark.parametrize("image", ["000000000785.jpg", "COCO_val2014_000000000785.jpg", "785.png"])
def test_results_of_coco_number_their_pictures(tmp_path, image):
    path = written(tmp_path, [result(139, POSE + 5), result(785)])
    assert read_keypoints(path, OPENPOSE_18, tmp_path / image).points[0].tolist() == [128, 42]


def test_a_file_of_frames_asks_which_one_is_meant(tmp_path):
    path = written(tmp_path, FRAMES)
    with pytest.raises(DataError, match=r"holds 2 frames\nChoose one with --target-frame N, or .*posegen animate"):
        read_keypoints(path, OPENPOSE_18)
    assert read_keypoints(path, OPENPOSE_18, choice=PoseChoice(frame=2)).points[0].tolist() == [129, 43]
    for number in (0, 3):
        with pytest.raises(DataError, match=f"has no frame {number}: it holds 2, from 1"):
            read_keypoints(path, OPENPOSE_18, choice=PoseChoice(frame=number))


CLIPS = {
    "ComfyUI": FRAMES,
    "AlphaPose, not in order": [result("frame_10.png", POSE + 1), result("frame_9.png")],
    "AlphaPose by image": {f"{9 + k}.png": {"people": [openpose(POSE + k)]} for k in (1, 0)},
    "MMPose": {"instance_info": [{"frame_id": k, "instances": [mmpose(POSE + k)]} for k in range(2)]},
    "MMPose's predictions": {"predictions": [[mmpose(POSE + k)] for k in range(2)]},
    "posegen's own clip": own_content([Keypoints(POSE + k, np.ones(18)) for k in (0, 1)], OPENPOSE_18, (256, 256)),
}


@pytest.mark.parametrize("name", CLIPS)
def test_a_clip_in_one_file_is_read(tmp_path, name):
    first, second = read_clip(written(tmp_path, CLIPS[name]), OPENPOSE_18)
    np.testing.assert_allclose(first.points, POSE, atol=1e-4)
    np.testing.assert_allclose(second.points, POSE + 1, atol=1e-4)


def test_a_frame_that_shows_nobody_has_no_points(tmp_path):
    frames = [FRAMES[0], {"people": [], **CANVAS}, None, {"people": [{"pose_keypoints_2d": None}]}]
    found = read_clip(written(tmp_path, frames), OPENPOSE_18)
    assert [int(one.present.sum()) for one in found] == [18, 0, 0, 0]
    with pytest.raises(DataError, match="nobody in the frame"):
        read_keypoints(tmp_path / "pose.json", OPENPOSE_18, choice=PoseChoice(frame=2))


def test_all_broken_frames_are_named(tmp_path):
    frames = [FRAMES[0], {"people": [{"pose_keypoints_2d": [1, 2]}]}, {"people": [{}]}]
    with pytest.raises(DataError, match=r"\[1\]people\[0\]\.pose_keypoints_2d: 2 numbers(.|\n)*\[2\]people\[0\]"):
        read_clip(written(tmp_path, frames), OPENPOSE_18)


def test_animate_takes_a_clip_in_one_file(models, here, capsys):
    frames = [{"people": [openpose(read_points(here / f"poses/p{k}.json")[:, :2])]} for k in (1, 2, 1)]
    for frame in frames:
        frame |= {"canvas_width": WIDTH, "canvas_height": HEIGHT}
    written(here, frames, "motion.json")
    assert run("animate", models / "shared", "--reference", "a.png", "--structures", "motion.json") == 0
    assert "3 frames: a_to_motion.mp4" in capsys.readouterr().out


def test_transfer_takes_a_frame_of_a_clip(models, here, capsys, monkeypatch):
    poses = [read_points(here / f"poses/p{k}.json")[:, :2] for k in (1, 2)]
    written(here, [{"people": [openpose(pose)]} for pose in poses], "motion.json")
    for out, target in (("one.png", ["motion.json", "--target-frame", 2]), ("two.png", ["poses/p2.json"])):
        assert run("transfer", models / "shared", "a.png", *target, "--out", out) == 0
    assert np.array_equal(pixels(here / "one.png"), pixels(here / "two.png"))
    assert "holds 2 frames" in refused(capsys, monkeypatch, "transfer", models / "shared", "a.png", "motion.json")


EMPTY = {"people": []}


@pytest.mark.parametrize(
    ("missing", "frames", "words"),
    [([], 3, "the pose before is held"), (["--missing", "interpolate"], 3, "poses are interpolated"),
     (["--missing", "skip"], 2, "they are skipped")],
)  # fmt: skip
@pytest.mark.parametrize("in_one_file", [False, True])
def test_a_frame_without_anybody_does_not_stop_a_clip(models, here, capsys, missing, frames, words, in_one_file):
    poses = [{"people": [openpose(read_points(here / f"poses/p{k}.json")[:, :2])]} for k in (1, 2)]
    motion = [poses[0], EMPTY, poses[1]]
    for number, frame in enumerate(motion):
        written(here / "poses", frame, f"p{number}.json")
    structures = written(here, motion, "motion.json") if in_one_file else "poses"
    assert run("animate", models / "shared", "--reference", "a.png", "--structures", structures, *missing) == 0
    told = capsys.readouterr().out
    assert f"1 of 3 frames do not show the figure: {words} (--missing)" in told
    assert f"{frames} frames" in told


def test_a_clip_without_anybody_is_refused(models, here, capsys, monkeypatch):
    written(here, [EMPTY, EMPTY], "motion.json")
    arguments = ["animate", models / "shared", "--reference", "a.png", "--structures", "motion.json"]
    assert "no figure was found in any frame" in refused(capsys, monkeypatch, *arguments)


def test_of_several_people_in_a_clip_the_same_one_is_followed(models, here, capsys):
    large = read_points(here / "poses/p1.json")[:, :2]
    small = large / 4 + 1
    for number in range(3):
        people = [openpose(large + number / 4), openpose(small)]
        written(here, {"people": people[:: (-1) ** number]}, f"dance/{number}.json")
        written(here, {"people": people[:1]}, f"alone/{number}.json")
    for folder in ("dance", "alone"):
        assert run("animate", models / "shared", "--reference", "a.png", "--structures", folder) == 0
    assert "3 of 3 frames show several figures: number 1" in capsys.readouterr().out
    assert (here / "a_to_dance.mp4").read_bytes() == (here / "a_to_alone.mp4").read_bytes()


# Fractions


@pytest.mark.parametrize("outside", [1.11, 2.3])
def test_a_point_outside_does_not_hide_that_the_others_are_fractions(tmp_path, outside):
    points = POSE / 256
    points[4, 0] = outside
    path = written(tmp_path, {"people": [openpose(points)], **CANVAS})
    found = read_keypoints(path, OPENPOSE_18)
    assert found.points[0].tolist() == [128, 42]
    assert found.points[4, 0] == pytest.approx(256 * outside)
    with pytest.warns(UserWarning, match=r"pose\.json: coordinates are fractions of the picture, 0 to 1, and are mult"):
        read_inputs([], [PoseInput(None, path, "pose")], ENCODER)


def test_fractions_of_a_canvas_of_1_belong_to_the_picture_beside_them(tmp_path):
    path = written(tmp_path, {"people": [openpose(POSE / 256)], "canvas_width": 1, "canvas_height": 1})
    picture = np.zeros((512, 256, 3), np.uint8)
    with pytest.warns(UserWarning, match="are multiplied by its size"):
        (found,), _ = read_inputs([PoseInput(picture, path)], [], ENCODER)
    np.testing.assert_allclose(found.structure.points, POSE * [1, 2], atol=1e-4)


@pytest.mark.parametrize("canvas", [{}, {"canvas_width": 1, "canvas_height": 1}])
def test_fractions_without_a_picture_are_those_of_the_source(tmp_path, canvas):
    path = written(tmp_path, {"people": [openpose(POSE / 256)], **canvas})
    picture = np.zeros((512, 256, 3), np.uint8)
    source = PoseInput(picture, Keypoints(POSE, np.ones(len(POSE))))
    with pytest.warns(UserWarning, match="of a picture of unknown size, and are multiplied by that of the source"):
        _, (found,) = read_inputs([source], [PoseInput(None, path)], ENCODER)
    np.testing.assert_allclose(found.structure.points, POSE * [1, 2], atol=1e-4)
    assert found.structure.frame == (512, 256)


# Scores


def with_low_scores(form: str) -> Any:
    """A file in which two points, wrists, have a low score and a place far away."""
    if form == "OpenPose":
        content: Any = {"people": [openpose()]}
        values = content["people"][0]["pose_keypoints_2d"]
        values[4 * 3 : 4 * 3 + 3], values[7 * 3 : 7 * 3 + 3] = [230, 20, LOW], [20, 230, LOW]
        return content
    left, right = (COCO_17.names.index(f"{side} wrist") for side in ("left", "right"))
    if form == "MMPose":
        instance = mmpose()
        for index in (left, right):
            instance["keypoints"][index], instance["keypoint_scores"][index] = [20, 230], LOW
        return [instance]
    entry = result()
    for index in (left, right):
        entry["keypoints"][3 * index : 3 * index + 3] = [20, 230, LOW]
    return [entry] if form == "AlphaPose" else entry


@pytest.mark.parametrize("form", ["OpenPose", "MMPose", "AlphaPose", "one annotation"])
def test_points_with_a_low_score_are_missing_in_every_format(tmp_path, form):
    path = written(tmp_path, with_low_scores(form))
    assert np.flatnonzero(~read_keypoints(path, OPENPOSE_18).present).tolist() == [4, 7]
    assert read_keypoints(path, OPENPOSE_18, choice=PoseChoice(min_score=0.05)).present.all()
    note = r"pose\.json: points with a score below 0\.3 are left out, 2 of 1[78]; --min-score sets the threshold$"
    with pytest.warns(UserWarning, match=note):
        read_inputs([], [PoseInput(np.zeros((256, 256, 3), np.uint8), path)], ENCODER)


def test_low_scores_of_many_files_are_told_once(tmp_path):
    paths = [written(tmp_path, with_low_scores("OpenPose"), f"{k}.json") for k in range(3)]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        read_inputs([], [PoseInput(np.zeros((256, 256, 3), np.uint8), path) for path in paths], ENCODER)
    (message,) = [str(one.message) for one in told]
    assert message.endswith("(and in 2 other files)")


def test_a_file_whose_points_all_have_a_low_score_says_so(tmp_path):
    path = written(tmp_path, {"people": [openpose(score=0.1)]})
    with pytest.raises(DataError, match=r"every key point is missing; points with a score below 0\.3 are left out"):
        read_keypoints(path, OPENPOSE_18)


@pytest.mark.parametrize("command", ["transfer", "interpolate", "animate"])
def test_the_help_gives_the_threshold(command):
    assert f"(default: {MIN_SCORE:g}," in " ".join(build_parser(COMMANDS[command]).format_help().split())


def test_the_command_sets_the_threshold(models, here, capsys, monkeypatch):
    content = {"people": [openpose(read_points(here / "c.json")[:, :2], score=0.2)]}
    written(here, content, "low.json")
    arguments = ["transfer", models / "shared", "a.png", "low.json"]
    assert run(*arguments, "--min-score", 0.1, "--out", "low.png") == 0
    assert "score below 0.3" in refused(capsys, monkeypatch, *arguments)
    assert "must be 0 to 1, got 3" in refused(capsys, monkeypatch, *arguments, "--min-score", 3)


# Folders


@pytest.fixture
def motion(tmp_path) -> Path:
    """A folder of poses, as systems and archives leave it."""
    for name in ("01.json", "02.json", "10.json"):
        written(tmp_path, {"people": [openpose()]}, name)
    for name in (".DS_Store", "._01.json", "Thumbs.db", "desktop.ini", "README.txt"):
        (tmp_path / name).write_text("junk")
    return tmp_path


def test_junk_in_a_folder_of_poses_is_passed_over_and_named(motion):
    with pytest.warns(UserWarning, match=r"only \.json files are read .*, not README\.txt, Thumbs\.db, desktop\.ini$"):
        found = find_poses(motion)
    assert [file.name for file in found] == ["01.json", "02.json", "10.json"]
    with pytest.warns(UserWarning, match="only .json files"):
        assert [target.name for target in find_targets(motion, None)] == ["01", "02", "10"]


def test_key_points_that_are_no_json_are_found_among_junk(tmp_path):
    for name in ("1.txt", "2.txt", "README.txt", "LICENSE", "clip.mp4"):
        (tmp_path / name).write_text("x")
    with pytest.warns(UserWarning, match=r"only \.txt files"):
        assert [file.name for file in find_poses(tmp_path)] == ["1.txt", "2.txt"]


def test_drawings_that_openpose_writes_beside_its_points_are_passed_over(here):
    shutil.copy(here / "a.png", here / "poses" / "v_1_rendered.png")
    (here / "poses" / "p1.json").rename(here / "poses" / "v_1_keypoints.json")
    assert [file.name for file in find_poses(here / "poses")] == ["p2.json", "v_1_keypoints.json"]
    with pytest.warns(UserWarning, match=r"drawings of key points are passed over: v_1_rendered\.png"):
        targets = find_targets(here / "poses", None)
    assert [(target.name, target.picture) for target in targets] == [("p2", None), ("v_1", None)]
    shutil.copy(here / "a.png", here / "poses" / "v_1.png")
    with pytest.warns(UserWarning, match="drawings of key points"):
        assert [source.name for source in find_sources(here / "poses", None)] == ["v_1"]


def test_a_folder_without_key_points_says_what_it_holds(tmp_path):
    for name in ("Thumbs.db", "README.md"):
        (tmp_path / name).write_text("x")
    with (
        pytest.warns(UserWarning, match="only key-point files"),
        pytest.raises(DataError, match=r"contains no key-point file, only README\.md, Thumbs\.db"),
    ):
        find_poses(tmp_path)


@pytest.mark.parametrize(("width", "score"), [(2, ""), (3, ""), (3, " 0.9")])
def test_yolos_label_files_are_fractions_of_their_picture(tmp_path, width, score):
    points = np.column_stack([as_coco(POSE) / 256, np.full(17, 2)])
    points[COCO_17.names.index("left ear")] = 0
    row = " ".join(f"{value:g}" for value in points[:, :width].ravel())
    file = tmp_path / "pose.txt"
    file.write_text(f"0 0.5 0.5 0.3 0.7 {row}{score}\n")
    found = read_keypoints(file, OPENPOSE_18)
    assert [name for name, there in zip(OPENPOSE_18.names, found.present, strict=True) if not there] == ["left ear"]
    pixels = in_pixels(found, (256, 256)).points[found.present]
    np.testing.assert_allclose(pixels, POSE[found.present], atol=1e-2)
    file.write_text(f"0 0.5 0.5 0.3 0.7 {row.replace('0.5', 'x', 1)}\n")
    with pytest.raises(DataError, match=r"(?s)pose\.txt.*row 1: could not convert"):
        read_keypoints(file, OPENPOSE_18)


def test_columns_of_different_length_are_refused(tmp_path):
    points = {**columns(), "y": [1.0]}
    with pytest.raises(DataError, match=r"\[0\]\.keypoints has 17 x, 1 y and 17 visible"):
        read_keypoints(written(tmp_path, [{"keypoints": points}]), OPENPOSE_18)


@pytest.mark.parametrize("unknown", [float("nan"), None])
@pytest.mark.parametrize("form", ["OpenPose", "MMPose", "posegen"])
def test_a_point_of_nan_or_null_is_missing(tmp_path, form, unknown):
    content: Any = {
        "OpenPose": {"people": [openpose()]},
        "MMPose": [mmpose()],
        "posegen": own_content([Keypoints(POSE, np.ones(18))], OPENPOSE_18, (256, 256)),
    }[form]
    if form == "OpenPose":
        content["people"][0]["pose_keypoints_2d"][4 * 3] = unknown
    elif form == "MMPose":
        content[0]["keypoints"][COCO_17.names.index("right wrist")] = [unknown, unknown]
    else:
        content["points"][4] = [unknown, 12, 1]
    found = read_keypoints(written(tmp_path, content), OPENPOSE_18)
    assert np.flatnonzero(~found.present).tolist() == [OPENPOSE_18.names.index("right wrist")]


# What is in no format


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", "a woman  in red", "a text that begins 'a woman in red'"),
        ("a.jsonl", '{"x": 1}\n{"x": 2}\n', "2 lines, the first an object with 'x'"),
        ("a.yml", "pose: [1, 2]\nscore: 3", "an object with 'pose', 'score'"),
        ("a.yml", "- 1", "3 bytes"),
        ("a.json", '{"title": "IMG", "views": 3}', "an object with 'title', 'views'"),
        ("a.npy", np.zeros((18, 3), np.float32), "an array 18×3 of float32"),
        ("a.json", "[[1, 2], [3, 4]]", "a list of 2"),
        ("a.json", "{}", "an object with nothing in it"),
        ("a.json", "3", "int"),
        ("a.xml", "<", "a text that begins '<'"),
        ("a.pkl", b"\x80\x04.", "3 bytes"),
        ("a.npy", np.array([{}], object), "278 bytes"),  # pickled, and not loaded
        ("a.npy", "", "0 bytes"),
        ("a.jsonl", "[" * 100_000, "100,000 bytes"),
    ],
)
def test_a_file_that_no_plugin_reads_is_described(tmp_path, name, content, words):
    if isinstance(content, np.ndarray):
        np.save(tmp_path / name, content, allow_pickle=True)
    else:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as error:
        read_keypoints(tmp_path / name, OPENPOSE_18)
    assert f"no plugin reads openpose18 key points from this file, {words}" in str(error.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"people": {"0": openpose()}}, "OpenPose JSON, but people is an object with '0', not a list"),
        ([{"people": [openpose()]}, {"persons": []}], r"list of OpenPose frames.*, but \[1\] has no 'people'"),
        ({"images": [], "annotation": []}, "COCO JSON, but the file has no 'annotations'"),
        ([{"image_id": 1, "keypoints": "12"}], r"results list.*, but \[0\]\.keypoints is the text '12'"),
        ({"width": 9, "height": 9, "keypoints": 3}, "pose of openpose-editor, but keypoints is the value 3"),
        ({"bodies": {"candidate": []}}, "bodies of DWPose, but bodies has no 'subset'"),
    ],
)
def test_a_file_in_no_format_is_compared_with_the_closest(tmp_path, content, words):
    with pytest.raises(
        DataError, match=rf"in no format that is read; the closest is {words}(.|\n)*\nIt holds "
    ) as error:
        read_keypoints(written(tmp_path, content), OPENPOSE_18)
    assert "pose.json" in str(error.value)


def test_posegens_own_pose_is_converted_to_the_layout_of_the_model(tmp_path):
    path = written(tmp_path, own_content([Keypoints(as_coco(POSE), np.ones(17))], COCO_17, (256, 256)))
    np.testing.assert_allclose(read_keypoints(path, OPENPOSE_18).points, POSE, atol=1e-4)


@pytest.mark.parametrize(
    ("layout", "words"),
    [("ibug68", "layout 'ibug68', this model takes 'openpose18': no counterpart of nose, "), ("my17", "'my17'")],
)
def test_a_pose_of_another_layout_is_refused(tmp_path, layout, words):
    content = own_content([Keypoints(np.ones((68, 2)), np.ones(68))], OPENPOSE_18, (64, 64)) | {"layout": layout}
    with pytest.raises(DataError, match=words):
        read_keypoints(written(tmp_path, content), OPENPOSE_18)
