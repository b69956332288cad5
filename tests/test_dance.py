"""Dancers: the 17 points and their files, the structure, clips from files (made on the spot), drawn clips."""

from __future__ import annotations

import json
import pickle
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from posegen_dance import posegen_read_keypoints
from posegen_dance.clips import DanceClips
from posegen_dance.drawn import DancingDolls
from posegen_dance.layouts import HUMAN36M, human36m_from_openpose
from posegen_dance.structure import DanceStructureEncoder
from posegen_people.layouts import OPENPOSE_18
from posegen_people.paperdoll import PaperDolls
from posegen_people.paperdoll_render import draw, draw_all, exact_flow, exact_flows
from torch.utils.data import DataLoader

from posegen.data import HeatmapEncoder, Keypoints, get_layout
from posegen.data.images import to_uint8, write_image
from posegen.errors import ConfigError, DataError
from posegen.inference import read_keypoint_file
from posegen.models import PartFlow
from posegen.ops import warp
from posegen.records import Clip, collate_clips
from posegen.registry import DATASETS, STRUCTURE_ENCODERS

POINT = {name: k for k, name in enumerate(HUMAN36M.names)}
OPENPOSE_POINT = {name: k for k, name in enumerate(OPENPOSE_18.names)}
TENSORS = ("reference", "reference_structure", "frames", "structures")
MOTION = ("flow", "visible", "flow_previous", "visible_previous", "foreground")


@pytest.fixture
def encoder() -> DanceStructureEncoder:
    return DanceStructureEncoder(HUMAN36M)


def standing() -> Keypoints:
    """OpenPose's points of a person who stands upright and looks ahead."""
    at = {
        "nose": (30, 10), "neck": (30, 20),
        "right shoulder": (24, 20), "right elbow": (22, 30), "right wrist": (21, 38),
        "left shoulder": (36, 20), "left elbow": (38, 30), "left wrist": (39, 38), "right hip": (26, 40),
        "right knee": (26, 50), "right ankle": (26, 60), "left hip": (34, 40), "left knee": (34, 50),
        "left ankle": (34, 60), "right eye": (28, 8), "left eye": (32, 8), "right ear": (26, 9), "left ear": (34, 9),
    }  # fmt: skip
    return Keypoints(np.array([at[name] for name in OPENPOSE_18.names]), np.ones(18))


def without(keypoints: Keypoints, *names: str) -> Keypoints:
    present = keypoints.present.copy()
    present[[OPENPOSE_POINT[name] for name in names]] = False
    return Keypoints(keypoints.points, present)


def point(keypoints: Keypoints, name: str) -> list[float] | None:
    """Return the position of a point, or None if it is missing."""
    return keypoints.points[POINT[name]].tolist() if keypoints.present[POINT[name]] else None


# The 17 points


def test_the_layout_is_known_by_name_and_its_mirror_exchanges_right_and_left() -> None:
    layout = get_layout("human36m")
    assert len(layout) == 17
    assert len(layout.colors) == len(set(layout.colors)) == 17
    for k, partner in enumerate(layout.partner):
        assert layout.partner[partner] == k
        swapped = layout.names[k].replace("right", "?").replace("left", "right").replace("?", "left")
        assert layout.names[partner] == swapped
    assert {end for limb in layout.limbs for end in limb} == set(range(17))  # every point hangs on a limb
    for first, second in layout.limbs:
        mirrored = {layout.partner[first], layout.partner[second]}
        assert mirrored in [set(limb) for limb in layout.limbs]


def test_openpose_points_become_the_17() -> None:
    found = human36m_from_openpose(standing())
    assert found.present.all()
    for name in ("right hip", "left ankle", "left elbow", "right wrist", "nose"):
        assert point(found, name) == standing().points[OPENPOSE_POINT[name]].tolist()
    assert point(found, "pelvis") == [30, 40]  # between the hips
    assert point(found, "thorax") == [30, 20]  # the neck
    assert point(found, "spine") == [30, 30]  # half-way
    assert point(found, "head top") == [30, 0]  # as far above the nose as the nose is above the thorax


def test_points_derived_from_a_missing_point_are_missing() -> None:
    found = human36m_from_openpose(without(standing(), "left hip"))
    assert {name for name in POINT if point(found, name) is None} == {"left hip", "pelvis", "spine"}
    assert (found.points[~found.present] == 0).all()
    found = human36m_from_openpose(without(standing(), "neck"))
    assert point(found, "thorax") == [30, 20]  # the middle of the shoulders
    found = human36m_from_openpose(without(standing(), "neck", "right shoulder"))
    assert {name for name in POINT if point(found, name) is None} == {"thorax", "spine", "head top", "right shoulder"}


def test_the_nose_of_a_head_from_behind_is_between_the_ears() -> None:
    found = human36m_from_openpose(without(standing(), "nose", "left eye", "right eye"))
    assert point(found, "nose") == [30, 9]
    found = human36m_from_openpose(without(standing(), "nose", "left ear"))
    assert {name for name in POINT if point(found, name) is None} == {"nose", "head top"}


def test_mirroring_and_conversion_commute() -> None:
    one = human36m_from_openpose(standing().mirror(64, OPENPOSE_18))
    other = human36m_from_openpose(standing()).mirror(64, HUMAN36M)
    np.testing.assert_array_equal(one.points, other.points)


# Files of key points


def people_json(path: Path, *people: np.ndarray, **more: object) -> Path:
    """OpenPose's JSON of people, each K 3."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"people": [{"pose_keypoints_2d": p.ravel().tolist()} for p in people], **more}))
    return path


def cleaned(offset: float = 0.0) -> np.ndarray:
    """17 points (x, y, score): x = 1 + k + offset, y = 40 + k."""
    k = np.arange(17.0)
    return np.stack([1 + k + offset, 40 + k, np.ones(17)], 1)


def test_the_hook_reads_cleaned_points_and_openpose_points(tmp_path: Path) -> None:
    seventeen = cleaned(0.25)
    seventeen[3] = 0
    found = posegen_read_keypoints(people_json(tmp_path / "a.json", seventeen), HUMAN36M)
    assert found.points[5].tolist() == [6.25, 45]
    assert np.flatnonzero(~found.present).tolist() == [3]
    eighteen = np.c_[standing().points, np.ones(18)]
    found = read_keypoint_file(people_json(tmp_path / "b.json", eighteen), HUMAN36M, None)
    assert point(found, "pelvis") == [30, 40]


def test_the_hook_leaves_other_layouts_and_other_files_alone(tmp_path: Path) -> None:
    file = people_json(tmp_path / "a.json", cleaned())
    assert posegen_read_keypoints(file, OPENPOSE_18) is None
    (tmp_path / "b.json").write_text('{"x": 1}')
    assert posegen_read_keypoints(tmp_path / "b.json", HUMAN36M) is None


def test_text_is_read_with_commas_blanks_and_scores(tmp_path: Path) -> None:
    rows = [f"{k + 1},{k + 40}" for k in range(15)] + ["0 0", "5.5\t6 0"]
    (tmp_path / "a.txt").write_text("\n".join(rows) + "\n")
    found = posegen_read_keypoints(tmp_path / "a.txt", HUMAN36M)
    assert found.points[2].tolist() == [3, 42]
    assert found.present.tolist() == [True] * 15 + [False, False]  # (0, 0), and score 0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1,2\n1,x\n", "row 2: not numbers: '1,x'"),
        ("1 2 3 4\n", "row 1: 4 numbers"),
        ("1 2\n" * 16, "16 points, expected 17"),
        ("1 2\n" * 16 + "nan 3\n", r"point 17 is \(nan, 3, 1\)"),
        ("", "0 points, expected 17"),
    ],
)
def test_broken_text_is_named_with_its_row(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(DataError, match=problem) as error:
        posegen_read_keypoints(tmp_path / "a.txt", HUMAN36M)
    assert "a.txt" in str(error.value)


# Structure


def test_heat_maps_keep_the_place_between_pixels_and_missing_points_are_empty(
    encoder: DanceStructureEncoder,
) -> None:
    points = np.full((17, 2), (10.25, 20.5))
    present = np.ones(17)
    present[4] = 0
    structure = encoder.encode(Keypoints(points, present), (48, 32))
    assert structure.shape == (20, 48, 32)
    assert structure.dtype == torch.float32
    # one pixel by hand: (x, y) = (13, 18) is 2.75 right of and 2.5 above the point; 2.75² + 2.5² = 13.8125, 2σ² = 72
    assert structure[0, 18, 13].item() == pytest.approx(np.exp(-13.8125 / 72), rel=1e-5)
    rows, columns = np.mgrid[:48, :32]
    expected = np.exp(-((columns - 10.25) ** 2 + (rows - 20.5) ** 2) / 72)
    np.testing.assert_allclose(structure[16].numpy(), expected, atol=1e-6)
    assert (structure[4] == 0).all()


def test_the_skeleton_is_drawn_in_the_layouts_colors_up_to_its_peak(encoder: DanceStructureEncoder) -> None:
    keypoints = human36m_from_openpose(standing())
    drawn = encoder.encode(keypoints, (64, 64))[17:]
    assert drawn.max() == 255
    knee = POINT["right knee"]
    assert drawn[:, 50, 26].tolist() == list(HUMAN36M.colors[knee])
    thigh = drawn[:, 45, 26]  # half-way up; lines are antialiased
    assert (thigh - torch.tensor(HUMAN36M.colors[knee])).abs().max() < 30
    assert (drawn[:, :, :15] == 0).all()
    small = DanceStructureEncoder(HUMAN36M, skeleton_peak=1.0).encode(keypoints, (64, 64))
    torch.testing.assert_close(small[17:] * 255, drawn)
    assert torch.equal(small[:17], encoder.encode(keypoints, (64, 64))[:17])


def test_a_limb_with_a_missing_end_is_not_drawn(encoder: DanceStructureEncoder) -> None:
    keypoints = human36m_from_openpose(without(standing(), "right knee"))
    drawn = encoder.encode(keypoints, (64, 64))[17:]
    assert (drawn[:, 45, 26] == 0).all()  # thigh
    assert (drawn[:, 55, 26] == 0).all()  # shin
    assert (drawn[:, 60, 26] > 0).any()  # the ankle itself is there


@pytest.mark.parametrize("peak", [255.0, 1.0])
def test_a_structure_shows_its_skeleton(peak: float) -> None:
    encoder = DanceStructureEncoder(HUMAN36M, skeleton_peak=peak)
    structure = encoder.encode(human36m_from_openpose(standing()), (64, 64))
    picture = encoder.draw(structure)
    assert picture.shape == (64, 64, 3)
    assert picture.dtype == np.uint8
    assert picture[50, 26].tolist() == list(HUMAN36M.colors[POINT["right knee"]])
    np.testing.assert_allclose(picture, structure[17:].permute(1, 2, 0).numpy() * (255 / peak), atol=0.51)


def test_the_mirrored_structure_is_that_of_the_mirrored_points(encoder: DanceStructureEncoder) -> None:
    keypoints = human36m_from_openpose(without(standing(), "left wrist"))
    mirrored = encoder.encode(keypoints.mirror(64, HUMAN36M), (64, 64))
    torch.testing.assert_close(encoder.mirror(encoder.encode(keypoints, (64, 64))), mirrored)
    assert (mirrored[POINT["right wrist"]] == 0).all()


def test_missing_points_give_an_empty_structure(encoder: DanceStructureEncoder) -> None:
    assert (encoder.encode(Keypoints(np.zeros((17, 2)), np.zeros(17)), (32, 32)) == 0).all()
    far = Keypoints(np.full((17, 2), 3e9), np.ones(17))
    assert (encoder.encode(far, (32, 32)) == 0).all()


def test_the_encoder_is_built_from_a_config() -> None:
    built = STRUCTURE_ENCODERS.build_part(dict(type="DanceStructureEncoder", sigma=3, skeleton_peak=1.0))
    assert built.channels == 20
    assert built.layout == HUMAN36M
    with pytest.raises(ConfigError, match="above 0"):
        DanceStructureEncoder(HUMAN36M, sigma=0)


def test_heat_maps_of_single_images_still_truncate() -> None:
    points = Keypoints(np.full((17, 2), 9.9), np.ones(17))
    assert HeatmapEncoder(HUMAN36M, 2.0).encode(points, (16, 16))[0, 9, 9] == 1
    kept = HeatmapEncoder(HUMAN36M, 2.0, subpixel=True).encode(points, (16, 16))[0]
    assert kept[10, 10] > kept[9, 9]


# Clips from files


@lru_cache
def picture(seed: int, size: tuple[int, int] = (32, 32)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def video(
    root: Path, name: str, count: int, split: str = "train", source: str = "json", size: tuple[int, int] = (32, 32)
) -> Path:
    """A video of *count* frames, called 1, 2, ... 10, ...: pictures, masks, and points whose x tells the frame."""
    folder = root / f"{split}_256"
    for t in range(count):
        stem = f"frame{t + 1}"
        write_image(folder / "train_A" / name / f"{stem}.png", picture(t, size))
        mask = np.zeros((*size, 3), np.uint8)
        mask[: t + 1] = 255
        write_image(folder / "train_C" / name / f"{stem}.png", mask)
        if source == "openpose":
            eighteen = np.c_[standing().points * 0.5, np.ones(18)]
            people_json(folder / "train_alphapose" / name / f"{stem}.json", eighteen)
        if source == "json":
            people_json(folder / "train_video2d" / name / f"{stem}.json", cleaned(t))
        if source == "txt":
            (folder / "train_video2d" / name).mkdir(parents=True, exist_ok=True)
            text = "\n".join(f"{x} {y}" for x, y, _ in cleaned(t))
            (folder / "train_video2d" / name / f"{stem}.txt").write_text(text)
    if source == "npy":
        (folder / "train_video2d").mkdir(parents=True, exist_ok=True)
        np.save(folder / "train_video2d" / f"{name}.npy", np.stack([cleaned(t)[:, :2] for t in range(count)]))
    return root


def clips(root: Path, split: str = "train", **more: object) -> DanceClips:
    options: dict = dict(size=(32, 32), length=3) | more
    return DanceClips(root, split, DanceStructureEncoder(HUMAN36M, sigma=1.0), **options)


def frame_number(image: torch.Tensor, among: int = 30) -> int:
    """Which of the pictures of a video an image is."""
    pixels = to_uint8(image)
    found = [t for t in range(among) if np.array_equal(pixels, picture(t))]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("source", ["json", "txt", "npy"])
def test_cleaned_points_of_every_form_belong_to_their_frames(tmp_path: Path, source: str) -> None:
    clip = clips(video(tmp_path, "v", 12, "test", source), "test", length=None)[0]
    assert clip.frames.shape == (12, 3, 32, 32)
    for t in range(12):
        assert frame_number(clip.frames[t]) == t  # frame10 does not follow frame1
        expected = clips(tmp_path, "test").structure.encode(Keypoints(cleaned(t)[:, :2], np.ones(17)), (32, 32))
        torch.testing.assert_close(clip.structures[t], expected)


def test_a_test_clip_is_the_video_from_its_first_frame_which_is_the_reference(tmp_path: Path) -> None:
    video(tmp_path, "v2", 5, "test")
    video(tmp_path, "v10", 4, "test")
    data = clips(tmp_path, "test", length=None)
    assert [data[i].name for i in range(2)] == ["v2", "v10"]
    assert not data.augments
    assert torch.equal(data[1].reference, data[1].frames[0])
    assert data[0].foreground is None
    assert data[0].flow is None
    assert len(clips(tmp_path, "test", length=3)[0].frames) == 3
    assert len(clips(tmp_path, "test", length=None, limit=1)) == 1


def test_a_training_clip_is_a_random_stretch_and_an_early_reference(tmp_path: Path) -> None:
    data = clips(video(tmp_path, "v", 9, source="npy"), reference_among=4)
    assert data.augments
    firsts, references = set(), set()
    for draw_number in range(60):
        clip = data[0, draw_number]
        first = frame_number(clip.frames[0])
        assert [frame_number(frame) for frame in clip.frames] == [first, first + 1, first + 2]
        assert clip.name == "v"
        firsts.add(first)
        references.add(frame_number(clip.reference))
    assert firsts == set(range(7))  # 9 frames, 3 in a clip: 60 draws reach all 7 places (one is missed 1 time in 1400)
    assert references == set(range(4))


def test_a_training_clip_depends_on_seed_index_and_draw_only(tmp_path: Path) -> None:
    data = clips(video(tmp_path, "v", 30, source="npy"), masks=True)
    again = pickle.loads(pickle.dumps(data))
    for index in ((0, 3), (0, 8), 0):
        for field in (*TENSORS, "foreground"):
            assert torch.equal(getattr(data[index], field), getattr(again[index], field)), field
    assert torch.equal(data[0].frames, data[0, 0].frames)
    other = clips(tmp_path, seed=1, masks=True)
    assert any(not torch.equal(data[0, k].frames, other[0, k].frames) for k in range(12))


def test_image_points_and_mask_are_resized_together(tmp_path: Path) -> None:
    data = clips(video(tmp_path, "v", 3, "test", size=(64, 32)), "test", size=(32, 64), masks=True)
    clip = data[0]
    assert clip.frames.shape == (3, 3, 32, 64)
    scaled = Keypoints(cleaned(2)[:, :2] * (2, 0.5), np.ones(17))
    torch.testing.assert_close(clip.structures[2], data.structure.encode(scaled, (32, 64)))
    assert clip.foreground.shape == (3, 1, 32, 64)
    assert clip.foreground.mean((1, 2, 3)).tolist() == [0, 1 / 32, 1 / 32]  # 1, 2, 3 of 64 rows; half a row is none


def test_openpose_points_are_read_where_there_are_no_cleaned_ones(tmp_path: Path) -> None:
    video(tmp_path, "a", 3, "test", "openpose")
    video(tmp_path, "b", 3, "test", "json")
    data = clips(tmp_path, "test")
    converted = human36m_from_openpose(standing()).scale(0.5, 0.5)
    torch.testing.assert_close(data[0].structures[1], data.structure.encode(converted, (32, 32)))
    np.testing.assert_array_equal(data.videos[1].points[1], cleaned(1)[:, :2])
    with pytest.raises(DataError, match=r"no file test_256/train_video2d/a/frame1\.json"):
        clips(tmp_path, "test", keypoints="cleaned")
    with pytest.raises(DataError, match=r"no file test_256/train_alphapose/b/frame1\.json"):
        clips(tmp_path, "test", keypoints="openpose")


def test_openposes_own_file_names_are_found(tmp_path: Path) -> None:
    folder = video(tmp_path, "a", 3, "test", "openpose") / "test_256" / "train_alphapose" / "a"
    for file in folder.iterdir():
        file.rename(file.with_name(f"{file.stem}_keypoints.json"))
    assert clips(tmp_path, "test").videos[0].present.all()


def test_a_frame_without_people_has_no_points(tmp_path: Path) -> None:
    video(tmp_path, "a", 3, "test", "openpose")
    people_json(tmp_path / "test_256" / "train_alphapose" / "a" / "frame2.json")
    clip = clips(tmp_path, "test")[0]
    assert (clip.structures[1] == 0).all()
    assert (clip.structures[0] > 0).any()


def test_all_missing_and_bad_files_are_reported_at_once(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d", "short", "shorter"):
        video(tmp_path, name, {"short": 2, "shorter": 1}.get(name, 4))
    folder = tmp_path / "train_256"
    (folder / "train_video2d" / "a" / "frame3.json").unlink()
    (folder / "train_video2d" / "a" / "frame4.json").write_text('{"people": [')
    people_json(folder / "train_video2d" / "b" / "frame1.json", cleaned()[:16])
    people_json(folder / "train_video2d" / "b" / "frame2.json", cleaned() * np.inf)
    (folder / "train_C" / "c" / "frame2.png").unlink()
    np.save(folder / "train_video2d" / "d.npy", np.zeros((3, 17, 2)))
    (folder / "train_A" / "empty").mkdir()
    with pytest.raises(DataError) as error:
        clips(tmp_path, masks=True)
    text = str(error.value)
    for expected in [
        "no file train_256/train_video2d/a/frame3.json",
        "train_256/train_video2d/a/frame4.json: not JSON",
        "train_256/train_video2d/b/frame1.json: people[0].pose_keypoints_2d: 48 numbers, expected 51",
        "train_256/train_video2d/b/frame2.json: people[0].pose_keypoints_2d: point 1 is (",
        "no file train_256/train_C/c/frame2.png",
        "train_256/train_video2d/d.npy: is 3×17×2, expected 4×17×2 or ×3",
        "train_256/train_A/empty: no frame in it",
        "train_256/train_A/short: 2 frames, clips have 3",
        "train_256/train_A/shorter: 1 frames, clips have 3",
    ]:
        assert expected in text
    assert len(error.value.problems) == 9


def test_an_array_file_must_be_one(tmp_path: Path) -> None:
    root = video(tmp_path, "v", 4, source="npy")
    file = root / "train_256" / "train_video2d" / "v.npy"
    file.write_bytes(b"no array")
    with pytest.raises(DataError, match="not a NumPy array"):
        clips(root)
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="not a NumPy array"):
        clips(root)
    np.save(file, np.full((4, 17, 2), np.nan))
    with pytest.raises(DataError, match=r"v\.npy: frame 0: point 1 is \(nan, nan, 1\)"):
        clips(root)


def test_links_that_lead_out_are_refused(tmp_path: Path) -> None:
    root = video(tmp_path / "data", "v", 4)
    outside = tmp_path / "secret.png"
    write_image(outside, picture(0))
    frame = root / "train_256" / "train_A" / "v" / "frame2.png"
    frame.unlink()
    frame.symlink_to(outside)
    with pytest.raises(DataError, match=r"train_A/v/frame2\.png: a link that leads out"):
        clips(root)
    frame.unlink()
    frame.symlink_to(root / "train_256" / "train_A" / "v" / "frame1.png")
    assert len(clips(root).videos[0].images) == 4


def test_a_folder_without_videos_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train_256/train_A.*\n.*no such folder"):
        clips(tmp_path)
    (tmp_path / "train_256" / "train_A").mkdir(parents=True)
    with pytest.raises(DataError, match="no folder of a video"):
        clips(tmp_path)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (dict(split="val"), "split is 'train' or 'test'"),
        (dict(keypoints="clean"), "'cleaned', 'openpose', 'auto'; got 'clean'"),
        (dict(length=0), "length must be 1 or more, got 0"),
        (dict(reference_among=0), "reference_among must be 1 or more"),
        (dict(length=None), "training needs a length"),
        (dict(structure=HeatmapEncoder(OPENPOSE_18)), "takes key points of layout 'openpose18'"),
    ],
)
def test_invalid_options_are_refused(tmp_path: Path, options: dict, problem: str) -> None:
    settings = dict(root=tmp_path, split="train", length=2, structure=DanceStructureEncoder(HUMAN36M)) | options
    with pytest.raises(ConfigError, match=problem):
        DanceClips(**settings)


def test_a_damaged_image_is_named_on_access(tmp_path: Path) -> None:
    root = video(tmp_path, "v", 3, "test")
    (root / "test_256" / "train_A" / "v" / "frame2.png").write_bytes(b"\x89PNG")
    with pytest.raises(DataError, match=r"frame2\.png"):
        clips(root, "test")[0]
    with pytest.raises(IndexError):
        clips(root, "test")[1]


# Drawn clips


def dolls(length: int = 20, size: tuple[int, int] = (64, 64), seed: int = 0, frames: int = 4) -> DancingDolls:
    encoder = DanceStructureEncoder(HUMAN36M, sigma=1.5, skeleton_peak=1.0)
    return DancingDolls(length, encoder, frames=frames, size=size, seed=seed)


@pytest.fixture(scope="module")
def drawn() -> list[Clip]:
    data = dolls()
    return [data[k] for k in range(len(data))]


def test_a_drawn_clip_depends_on_seed_and_index_only(drawn: list[Clip]) -> None:
    data = pickle.loads(pickle.dumps(dolls()))
    for index in (7, 3, 7):
        clip = data[index]
        assert clip.name == drawn[index].name == f"dance{index:05d}"
        for field in (*TENSORS, *MOTION):
            assert torch.equal(getattr(clip, field), getattr(drawn[index], field)), field
    assert not torch.equal(dolls(seed=1)[3].frames, drawn[3].frames)


@pytest.mark.parametrize("size", [(64, 64), (96, 68), (16, 16)])
def test_drawn_clips_have_the_promised_shapes_and_ranges(size: tuple[int, int]) -> None:
    clip = dolls(size=size, frames=3)[2]
    shapes = dict(reference=(3,), reference_structure=(20,), frames=(3, 3), structures=(3, 20))
    shapes |= dict(flow=(3, 2), visible=(3, 1), flow_previous=(3, 2), visible_previous=(3, 1), foreground=(3, 1))
    for name, leading in shapes.items():
        tensor = getattr(clip, name)
        assert tensor.shape == (*leading, *size), name
        assert tensor.dtype == torch.float32
    for image in (clip.reference, clip.frames):
        assert -1 <= image.min() < image.max() <= 1
    for mask in (clip.visible, clip.visible_previous, clip.foreground):
        assert set(mask.unique().tolist()) == {0, 1}
    assert (clip.flow * (1 - clip.foreground)).abs().max() == 0  # the background stands still
    assert torch.equal(clip.flow[0], clip.flow_previous[0])
    assert torch.equal(clip.visible[0], clip.visible_previous[0])


def away_from_edges(topmost: np.ndarray, reach: int = 2) -> torch.Tensor:
    """Pixels whose whole neighborhood shows one part: 1 1 H W in {0, 1}."""
    alike = np.ones(topmost.shape, bool)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            alike &= np.roll(topmost, (dy, dx), (0, 1)) == topmost
    return torch.from_numpy(alike.astype(np.float32))[None, None]


@pytest.mark.parametrize("previous", [False, True])
def test_the_flow_leads_to_the_same_surface(previous: bool) -> None:
    # At 192 pixels a pattern's period is 13 pixels or more and its edges are one wide: away from the parts' edges,
    # bilinear samples err by a few gray levels at edges in the pattern, and by next to nothing elsewhere.
    data = dolls(size=(192, 192), frames=3)
    for index in range(4):
        clip, dance = data[index], data.dance(index)
        images = torch.cat([clip.reference[None], clip.frames])
        poses = [dance.reference, *dance.frames]
        inner = torch.cat([away_from_edges(draw(dance.parts, p.placed, dance.background).topmost) for p in poses])
        origin = [0, 1, 2] if previous else [0, 0, 0]
        flow, visible = (clip.flow_previous, clip.visible_previous) if previous else (clip.flow, clip.visible)
        sure = (visible > 0) & (clip.foreground > 0) & (inner[1:] > 0) & (warp(inner[origin], flow) > 0.99)
        assert sure.sum() > 3000  # or the comparison says nothing
        error = (warp(images[origin], flow) - clip.frames).abs().mean(1)[sure[:, 0]]
        still = (images[origin] - clip.frames).abs().mean(1)[sure[:, 0]]
        assert error.median() < 0.003  # half a pixel off: 0.007 to 0.014
        assert error.mean() < 0.016  # half a pixel off: 0.022 to 0.044
        assert still.mean() > 3 * error.mean()


def test_motion_is_small_from_frame_to_frame_and_larger_to_the_reference(drawn: list[Clip]) -> None:
    def lengths(flow: torch.Tensor, visible: torch.Tensor, clip: Clip) -> torch.Tensor:
        return flow.norm(dim=1)[((visible > 0) & (clip.foreground > 0))[:, 0]]

    near = [lengths(c.flow_previous[1:], c.visible_previous[1:], _cut(c, 1)) for c in drawn]
    far = [lengths(c.flow, c.visible, c) for c in drawn]
    assert 0.5 < torch.cat(near).mean() < 2
    assert 1.5 < torch.cat(near).quantile(0.99) < 6
    assert 2.5 < torch.cat(far).mean() < 7


def _cut(clip: Clip, first: int) -> Clip:
    return Clip(clip.reference, clip.reference_structure, clip.frames, clip.structures, clip.name,
                foreground=clip.foreground[first:])  # fmt: skip


def test_motion_is_smooth() -> None:
    # Points of one frame lie near the middle of those before and after it, nearer than those lie to each other.
    data = dolls(frames=12)
    for index in range(8):
        points = np.stack([pose.keypoints.points for pose in data.dance(index).frames])
        bend = np.linalg.norm(points[1:-1] - (points[:-2] + points[2:]) / 2, axis=-1)
        span = np.linalg.norm(points[2:] - points[:-2], axis=-1)
        assert bend.mean() < 0.25 * span.mean()
        assert bend.max() < 2.5


def test_visibility_excludes_hidden_points(drawn: list[Clip]) -> None:
    hidden = [1 - clip.visible[clip.foreground > 0].mean().item() for clip in drawn]
    hidden_before = [1 - clip.visible_previous[1:][clip.foreground[1:] > 0].mean().item() for clip in drawn]
    assert 0.01 < np.mean(hidden_before) < np.mean(hidden) < 0.2


def test_points_lie_on_the_body_and_few_are_missing(drawn: list[Clip]) -> None:
    near = total = 0
    decoder = HeatmapEncoder(HUMAN36M)
    for clip in drawn:
        body = torch.nn.functional.max_pool2d(clip.foreground, 5, 1, 2)[:, 0]
        for structure, mask in zip(clip.structures, body, strict=True):
            found = decoder.decode(structure[:17])
            for x, y in found.points[found.present].astype(int):
                near += int(mask[y, x])
                total += 1
    assert near / total > 0.97  # within 2 pixels
    assert total / (17 * 4 * len(drawn)) > 0.9


def test_a_longer_clip_of_one_seed_shows_the_same_person() -> None:
    parts = [[part.name for part in dolls(frames=n).dance(5).parts] for n in (2, 9)]
    assert parts[0] == parts[1]
    placed = [dolls(frames=n).dance(5).background for n in (2, 2)]
    np.testing.assert_array_equal(placed[0], placed[1])


def test_drawing_in_a_batch_equals_drawing_one_by_one() -> None:
    # Pairs of paper dolls have depth orders of their own; three pairs of one person make six pictures.
    data = PaperDolls(12, HeatmapEncoder(OPENPOSE_18), size=(48, 40))
    for index in range(12):
        scene = data.scene(index)
        poses = [scene.source.placed, scene.target.placed, scene.source.placed]
        together = draw_all(scene.parts, poses, scene.background)
        for placed, picture_of_pose in zip(poses, together, strict=True):
            alone = draw(scene.parts, placed, scene.background)
            for field in ("image", "topmost", "local"):
                np.testing.assert_array_equal(getattr(alone, field), getattr(picture_of_pose, field))
        sources, origins, targets = poses[:2], together[:2], together[1:]
        flows, visible = exact_flows(scene.parts, sources, origins, targets)
        for k in range(2):
            flow_alone, visible_alone = exact_flow(scene.parts, sources[k], origins[k], targets[k])
            np.testing.assert_array_equal(flow_alone, flows[k])
            np.testing.assert_array_equal(visible_alone, visible[k])


def test_clips_stack_in_workers() -> None:
    loader = DataLoader(dolls(length=4, size=(32, 32)), batch_size=2, num_workers=1, collate_fn=collate_clips)
    batch = next(iter(loader))
    assert batch.frames.shape == (2, 4, 3, 32, 32)
    assert torch.equal(batch.flow[1], dolls(length=4, size=(32, 32))[1].flow)


def test_bad_settings_are_refused_and_iteration_ends() -> None:
    with pytest.raises(ConfigError, match=r"\(height, width\), each 16 pixels"):
        dolls(size=(15, 64))
    with pytest.raises(ConfigError, match="frames=0"):
        dolls(frames=0)
    with pytest.raises(ConfigError, match="takes key points of layout 'openpose18'"):
        DancingDolls(1, HeatmapEncoder(OPENPOSE_18))
    with pytest.raises(IndexError, match="clip 20 of 20"):
        dolls()[20]


def test_both_data_sets_are_registered() -> None:
    built = DATASETS.build_part(
        dict(type="DancingDolls", length=2, structure=dict(type="DanceStructureEncoder"), frames=2, size=(32, 32))
    )
    assert built[0].structures.shape == (2, 20, 32, 32)
    assert DATASETS.get("DanceClips") is DanceClips


def test_the_parts_of_a_body_tell_most_of_a_dancers_motion() -> None:
    clip = DancingDolls(1, DanceStructureEncoder(sigma=3), frames=4, seed=3)[0]
    source = clip.reference_structure.expand_as(clip.structures)
    counts = clip.visible * clip.foreground
    error = ((PartFlow("human36m")(source, clip.structures).flow - clip.flow).norm(dim=1, keepdim=True) * counts).sum()
    assert error < 0.3 * (clip.flow.norm(dim=1, keepdim=True) * counts).sum()
