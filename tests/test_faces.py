"""Faces: landmark files, structure, clips from files, drawn clips and the exactness of their flow."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from posegen_faces import posegen_read_keypoints
from posegen_faces.clips import FaceClips
from posegen_faces.drawn import DrawnFaces, landmarks
from posegen_faces.drawn_render import BACKGROUND, build_parts, draw
from posegen_faces.layouts import IBUG_68, read_landmarks
from posegen_faces.matches import SHARES, matches
from posegen_faces.structure import CURVES, PARTS, FaceStructureEncoder

from posegen.data import HeatmapEncoder, KeypointLayout, Keypoints, StructureEncoder, get_layout
from posegen.data.images import to_uint8, write_image
from posegen.errors import ConfigError, DataError, InputError
from posegen.ops.sampling import warp
from posegen.records import Clip
from posegen.registry import DATASETS, STRUCTURE_ENCODERS

SIZE = (64, 64)
OTHER_LAYOUT = KeypointLayout("hand", ("thumb", "finger"), (0, 1), ((0, 1),), ((255, 0, 0), (0, 255, 0)))


def face_points(size: int = 64) -> np.ndarray:
    """A plain face, symmetric about the column size / 2 − 0.5, 68 2, in pixels."""
    points = np.zeros((68, 2))
    angle = np.linspace(np.pi, 0, 17)
    points[:17] = np.stack([0.36 * np.cos(angle), 0.36 * np.sin(angle)], 1)  # jaw: half a circle, ends level
    brow = np.stack([np.linspace(-0.27, -0.1, 5), [-0.1, -0.13, -0.14, -0.13, -0.1]], 1)
    points[17:22], points[22:27] = brow, brow[::-1] * (-1, 1)
    points[27:31] = np.stack([np.zeros(4), np.linspace(-0.05, 0.1, 4)], 1)
    points[31:36] = np.stack([np.linspace(-0.06, 0.06, 5), [0.13, 0.14, 0.15, 0.14, 0.13]], 1)
    eye = np.array([(-0.22, -0.03), (-0.19, -0.06), (-0.14, -0.06), (-0.1, -0.03), (-0.14, -0.01), (-0.19, -0.01)])
    points[36:42] = eye
    points[42:48] = eye[[3, 2, 1, 0, 5, 4]] * (-1, 1)
    around = np.deg2rad(np.arange(180, -180, -30))
    points[48:60] = np.stack([0.13 * np.cos(around), 0.23 - 0.06 * np.sin(around)], 1)
    around = np.deg2rad(np.arange(180, -180, -45))
    points[60:68] = np.stack([0.09 * np.cos(around), 0.23 - 0.03 * np.sin(around)], 1)
    return points * size + size / 2 - 0.5


def face(size: int = 64, missing: tuple[int, ...] = ()) -> Keypoints:
    present = np.ones(68, bool)
    present[list(missing)] = False
    return Keypoints(face_points(size), present)


def rows(points: np.ndarray) -> str:
    return "".join(f"{x:.2f},{y:.2f}\n" for x, y in points)


def encoder(**options) -> FaceStructureEncoder:
    return FaceStructureEncoder(IBUG_68, **options)


# The layout and its files


def test_the_plugin_brings_the_layout_and_its_parts():
    assert get_layout("ibug68") is IBUG_68
    assert STRUCTURE_ENCODERS.get("FaceStructureEncoder") is FaceStructureEncoder
    assert DATASETS.get("FaceClips") is FaceClips
    assert DATASETS.get("DrawnFaces") is DrawnFaces
    assert isinstance(encoder(), StructureEncoder)


def test_the_layout_has_68_points_with_names_partners_and_colors():
    assert len(IBUG_68) == len(set(IBUG_68.names)) == len(IBUG_68.partner) == len(IBUG_68.colors) == 68
    assert IBUG_68.names[0] == "jaw 1"
    assert IBUG_68.names[36] == "right eye 1"
    assert IBUG_68.names[67] == "inner lip 8"
    assert {point for limb in IBUG_68.limbs for point in limb} == set(range(68))


def test_a_partners_partner_is_the_point_itself_and_lies_in_the_mirrored_group():
    for point, partner in enumerate(IBUG_68.partner):
        assert IBUG_68.partner[partner] == point
        group, mirrored = (IBUG_68.names[k].rsplit(" ", 1)[0] for k in (point, partner))
        assert mirrored == {"right": group.replace("right", "left"), "left": group.replace("left", "right")}.get(
            group.split()[0], group
        )


def test_a_symmetric_face_is_its_own_mirror_image():
    mirrored = face().mirror(64, IBUG_68)
    assert np.allclose(mirrored.points, face().points, atol=1e-4)
    limbs = {frozenset(limb) for limb in IBUG_68.limbs}
    assert {frozenset(IBUG_68.partner[point] for point in limb) for limb in limbs} == limbs


def test_landmarks_are_read_from_a_text_file_and_nothing_else(tmp_path):
    file = tmp_path / "000001.txt"
    file.write_text(rows(face_points()) + "\n\n")
    found = posegen_read_keypoints(file, IBUG_68, None)
    assert np.allclose(found.points, face_points(), atol=0.006)  # two decimals are written
    assert found.present.all()
    assert posegen_read_keypoints(file, OTHER_LAYOUT, None) is None
    assert posegen_read_keypoints(tmp_path / "000001.json", IBUG_68, None) is None


def test_a_byte_order_mark_dos_line_ends_and_points_outside_are_read(tmp_path):
    file = tmp_path / "a.TXT"
    points = face_points() - np.array([40, 0])
    file.write_bytes(("\ufeff" + rows(points)).replace("\n", "\r\n").encode())
    assert posegen_read_keypoints(file, IBUG_68, None).points[0, 0] == pytest.approx(points[0, 0], abs=0.006)


def test_all_bad_rows_are_reported_at_once_with_their_lines(tmp_path):
    lines = rows(face_points()).splitlines()
    bad = {2: "nan,3", 5: "1;2", 9: "1,2,3", 17: "inf,2", 30: "", 44: "x,y", 68: "1e9,2"}
    for number, text in bad.items():
        lines[number - 1] = text
    file = tmp_path / "a.txt"
    file.write_text("\n".join([*lines, "4,4"]))
    with pytest.raises(DataError) as error:
        read_landmarks(file)
    assert [problem.split(":")[0] for problem in error.value.problems[:-1]] == [f"row {number}" for number in bad]
    assert error.value.problems[-1] == "69 rows, 68 expected"
    assert str(file) in str(error.value)
    assert "'nan,3'" in str(error.value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"", "0 rows, 68 expected"), (b"1,2\n" * 67, "67 rows, 68 expected"), (b"\xff\xfe1,2", "not UTF-8 text")],
)
def test_a_file_of_another_kind_is_refused(tmp_path, content, problem):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(DataError, match=problem):
        read_landmarks(tmp_path / "a.txt")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nothing\.txt"):
        read_landmarks(tmp_path / "nothing.txt")


# Structure

JAW, RIGHT_BROW, NOSE_BASE, INNER_LIP_TOP = 1, 2, 5, 13  # channels of distance maps


def test_the_structure_has_16_channels_in_their_ranges():
    structure = encoder().encode(face(), SIZE)
    assert len(CURVES) == 14
    assert structure.shape == (16, *SIZE)
    assert structure.dtype == torch.float32
    assert set(structure[0].unique().tolist()) == {0, 1}
    assert structure[1:15].min() == 0
    assert structure[1:15].max() < 128 / 3 / 255  # no L1 distance at 64×64 is larger than 126
    assert set(structure[15].unique().tolist()) == set(range(7))


def test_a_distance_map_counts_steps_to_its_curve_by_hand():
    # The right brow, laid flat on row 20 between columns 10 and 18; nothing else moves with it.
    points = face_points()
    points[17:22] = [(10, 20), (12, 20), (14, 20), (16, 20), (18, 20)]
    distances = encoder().encode(Keypoints(points, np.ones(68)), SIZE)[RIGHT_BROW] * 255 * 3
    assert distances[20, 10:19].abs().max() == 0
    assert distances[20, 9].item() == pytest.approx(1)
    assert distances[26, 14].item() == pytest.approx(6)
    assert distances[17, 22].item() == pytest.approx(3 + 4)  # L1: three up and four to the right
    assert distances[63, 63].item() == pytest.approx(43 + 45)


def test_the_divisor_makes_distances_of_another_size_alike():
    large = encoder().encode(face(256), (256, 256))[NOSE_BASE, 10, 10]
    small = encoder(divisor=0.75).encode(face(64), SIZE)[NOSE_BASE, 2, 2]
    assert small.item() == pytest.approx(large.item(), abs=0.02)


def test_distances_beyond_255_are_clipped():
    assert encoder(divisor=0.01).encode(face(), SIZE)[JAW].max() == 1


def test_the_face_is_closed_over_the_forehead_two_thirds_as_high_as_the_jaw_is_deep():
    labels = encoder().encode(face(96), (96, 96))[15].numpy()
    row, _ = np.nonzero(labels)
    jaw = face_points(96)[:17]
    level, depth = jaw[0, 1], jaw[8, 1] - jaw[0, 1]
    assert row.max() == pytest.approx(jaw[8, 1], abs=1)
    assert row.min() == pytest.approx(level - depth * 2 / 3, abs=1)


@pytest.mark.parametrize(
    ("label", "inside"), [(1, 8), (3, 33), (5, 57), (6, 62)], ids=["face", "nose", "mouth", "tongue"]
)
def test_parts_are_labeled(label, inside):
    points = face_points(128)
    x, y = np.rint(points[inside]).astype(int)
    offset = {6: 4}.get(label, -3)  # into the part
    assert encoder().encode(face(128), (128, 128))[15, y + offset, x] == label


def test_both_eyes_and_both_brows_share_a_label():
    labels = encoder().encode(face(128), (128, 128))[15]
    for group, label in ((range(36, 42), 4), (range(42, 48), 4), (range(17, 22), 2), (range(22, 27), 2)):
        x, y = np.rint(face_points(128)[list(group)].mean(0)).astype(int)
        assert labels[y, x] == label
    assert [part.label for part in PARTS] == [1, 2, 2, 3, 4, 4, 5, 6]


def test_curves_go_through_their_points_in_the_edge_map():
    edges = encoder().encode(face(128), (128, 128))[0]
    for x, y in np.rint(np.delete(face_points(128), [28, 29, 30], 0)).astype(int):
        assert edges[y, x] == 1
    assert edges.mean() < 0.1  # lines, no areas


def test_a_group_of_three_points_is_a_smooth_curve():
    points = face_points(128)
    points[17:20] = [(20, 40), (40, 20), (60, 40)]  # a parabola; a polyline would pass (30, 30)
    points[20:22] = [(62, 40), (64, 40)]
    distance = encoder().encode(Keypoints(points, np.ones(68)), (128, 128))[RIGHT_BROW] * 255 * 3
    assert distance[25, 30] <= 1
    assert distance[30, 30] >= 3


def test_curves_with_a_missing_point_are_left_out():
    whole, without = encoder().encode(face(), SIZE), encoder().encode(face(missing=(62,)), SIZE)
    assert (without[INNER_LIP_TOP] == 1).all()
    assert torch.equal(without[JAW], whole[JAW])
    assert 6 not in without[15]
    nobody = encoder().encode(Keypoints(np.full((68, 2), np.nan), np.zeros(68)), SIZE)
    assert (nobody[1:15] == 1).all()
    assert (nobody[[0, 15]] == 0).all()


def test_edges_of_the_image_are_seen_outside_the_face_only():
    image = np.zeros((*SIZE, 3), np.uint8)
    image[:, :4] = 255  # an edge at column 3 or 4, outside
    image[:, 40:] = 255  # an edge through the face
    plain, seen = (encoder().encode(face(), SIZE, image=i) for i in (None, image))
    added = seen[0] - plain[0]
    assert added[:, 3:5].sum() >= 60
    assert (added * (plain[15] > 0)).sum() == 0
    assert (added >= 0).all()
    assert torch.equal(seen[1:], plain[1:])
    assert torch.equal(encoder(image_edges=False).encode(face(), SIZE, image=image), plain)


def test_points_far_outside_make_no_error():
    points = face_points()
    points[:17] += 1e5
    assert (encoder().encode(Keypoints(points, np.ones(68)), SIZE)[JAW] == 1).all()


def test_a_structure_draws_itself():
    picture = encoder().draw(encoder().encode(face(), SIZE))
    assert picture.shape == (*SIZE, 3)
    assert picture.dtype == np.uint8
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 8  # seven labels and the edges


def test_wrong_input_of_the_encoder_is_refused():
    with pytest.raises(InputError, match="17 points, 68 expected"):
        encoder().encode(Keypoints(np.zeros((17, 2)), np.ones(17)), SIZE)
    with pytest.raises(InputError, match="uint8"):
        encoder().encode(face(), SIZE, image=np.zeros((32, 64, 3), np.uint8))
    with pytest.raises(ConfigError, match="'ibug68', not 'hand'"):
        FaceStructureEncoder(OTHER_LAYOUT)
    with pytest.raises(ConfigError, match="divisor"):
        encoder(divisor=0)


# Clips from files


def write_frame(root: Path, video: str, frame: str, level: int, split: str = "train", size: int = 64) -> None:
    """A gray frame whose level says which it is, and its landmarks, moved right by the level's tenth."""
    write_image(root / f"{split}_data" / video / f"{frame}.png", np.full((size, size, 3), level, np.uint8))
    file = root / f"{split}_keypoints" / video / f"{frame}.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(rows(face_points(size) + np.array([level / 10, 0])))


def write_videos(root: Path, split: str = "train", lengths: tuple[int, ...] = (8, 5)) -> Path:
    """Videos "v1", "v2", ... with frames 8, 9, 10, ... whose levels are 10, 20, 30, ..."""
    for number, length in enumerate(lengths, 1):
        for k in range(length):
            write_frame(root, f"v{number}", str(8 + k), 10 * (k + 1), split)
    return root


def clips(root: Path, split: str = "train", **options) -> FaceClips:
    options = {"size": (32, 32), "length": 3 if split == "train" else None, **options}
    return FaceClips(root, split, encoder(), **options)


def levels(clip: Clip) -> list[int]:
    return [int(to_uint8(frame)[0, 0, 0]) for frame in clip.frames]


def test_a_test_video_is_one_clip_in_the_order_of_its_numbers(tmp_path):
    data = clips(write_videos(tmp_path, "test"), "test")
    assert len(data) == 2
    assert not data.augments
    clip = data[0]
    assert clip.name == "v1"
    assert levels(clip) == [10, 20, 30, 40, 50, 60, 70, 80]  # by text, 10 would come before 8
    assert torch.equal(clip.reference, clip.frames[0])
    assert clip.frames.shape == (8, 3, 32, 32)
    assert clip.structures.shape == (8, 16, 32, 32)
    assert clip.flow is None
    assert clip.foreground is None


def test_training_draws_consecutive_frames_and_any_reference(tmp_path):
    data = clips(write_videos(tmp_path))
    assert data.augments
    starts, references = set(), set()
    for draw_number in range(60):
        clip = data[0, draw_number]
        shown = levels(clip)
        assert np.diff(shown).tolist() == [10, 10]
        starts.add(shown[0])
        references.add(int(to_uint8(clip.reference)[0, 0, 0]))
    assert starts == {10, 20, 30, 40, 50, 60}
    assert references == {10, 20, 30, 40, 50, 60, 70, 80}


def test_points_are_scaled_with_the_image(tmp_path):
    write_frame(tmp_path, "v", "1", 100, "test", size=64)
    clip = clips(tmp_path, "test")[0]
    expected = Keypoints((face_points(64) + np.array([10, 0])).round(2) / 2, np.ones(68))
    image = np.full((32, 32, 3), 100, np.uint8)
    assert torch.equal(clip.reference_structure, encoder().encode(expected, (32, 32), image))


def test_the_structure_sees_the_image_unless_it_does_not_look_at_images(tmp_path):
    write_frame(tmp_path, "v", "1", 100, "test")
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, :6] = 255
    write_image(tmp_path / "test_data" / "v" / "1.png", image)
    seen = FaceClips(tmp_path, "test", encoder(), SIZE)[0].structures[0, 0]
    unseen = FaceClips(tmp_path, "test", encoder(image_edges=False), SIZE)[0].structures[0, 0]
    assert (seen - unseen).sum() >= 60
    assert FaceClips(tmp_path, "test", HeatmapEncoder(IBUG_68), SIZE)[0].structures.shape[1] == 68


def test_landmarks_of_two_frames_are_matches_of_their_clip(tmp_path):
    # Frames 8, 9, ... have their points 1, 2, ... tenths of a pixel to the right, of 64; here at half the size.
    clip = clips(write_videos(tmp_path, "test"), "test", length=3)[0]
    points = torch.from_numpy(face_points().astype(np.float32)) / 2
    assert clip.matches.shape == clip.matches_previous.shape == (3, len(SHARES), 4)
    for t, (frame, previous) in enumerate(zip((1, 2, 3), (1, 1, 2), strict=True)):
        right = torch.tensor([0.5, 0.0])
        torch.testing.assert_close(clip.matches[t, :68, :2], points + frame * right, atol=0.01, rtol=0)
        torch.testing.assert_close(clip.matches[t, :68, 2:], points + right, atol=0.01, rtol=0)
        torch.testing.assert_close(clip.matches_previous[t, :68, 2:], points + previous * right, atol=0.01, rtol=0)


def test_all_matched_points_move_with_landmarks_that_move_as_a_whole():
    points = face_points()[None]
    moved = 1.2 * points @ np.array([[0.9, 0.3], [-0.3, 0.9]]) + (4, -7)
    both = matches(points, moved).double().numpy()[0]
    np.testing.assert_allclose(
        both[:, 2:], 1.2 * both[:, :2] @ np.array([[0.9, 0.3], [-0.3, 0.9]]) + (4, -7), atol=1e-4
    )
    low, high = both[:, :2].min(0), both[:, :2].max(0)
    assert low[1] < face_points()[:, 1].min() - 8  # above the brows: forehead and crown, of a face 64 pixels wide
    assert (high - low < 64).all()


def test_everything_missing_or_bad_is_reported_at_once(tmp_path):
    write_videos(tmp_path, lengths=(4, 4, 4, 2))
    (tmp_path / "train_data/v1/9.png").unlink()
    (tmp_path / "train_keypoints/v2/10.txt").unlink()
    (tmp_path / "train_keypoints/v3/8.txt").write_text("1,2\nx\n")
    write_image(tmp_path / "train_data/v3/11.jpg", np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "train_keypoints/v5").mkdir()
    with pytest.raises(DataError) as error:
        clips(tmp_path)
    text = str(error.value)
    for expected in (
        "train_keypoints/v1/9.txt: no frame of this name",
        "no file train_keypoints/v2/10.txt",
        "train_keypoints/v3/8.txt, row 2: 'x'",
        "train_keypoints/v3/8.txt: 2 rows, 68 expected",
        "train_data/v3: several images of the frames 11",
        "train_data/v4: 2 frames, clips have 3",
        "train_keypoints/v5: no folder train_data/v5",
    ):
        assert expected in text


def test_folders_that_are_not_there_are_named(tmp_path):
    with pytest.raises(DataError, match=r"train_data.*\n.*no such folder"):
        clips(tmp_path)
    (tmp_path / "train_data").mkdir()
    with pytest.raises(DataError, match="no folder of a video"):
        clips(tmp_path)


def test_an_encoder_of_other_points_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="takes key points of layout 'hand'"):
        FaceClips(tmp_path, "train", HeatmapEncoder(OTHER_LAYOUT), length=1)


# Drawn faces


def drawn(length: int = 8, **options) -> DrawnFaces:
    return DrawnFaces(length, encoder(divisor=0.75), **options)


@pytest.fixture(scope="module")
def faces() -> list[Clip]:
    data = drawn()
    return [data[k] for k in range(len(data))]


def subject(clip: Clip, previous: bool = False) -> torch.Tensor:
    """Return masks T H W of the face in each frame where the same point is visible in the origin."""
    visible = clip.visible_previous if previous else clip.visible
    return (visible * clip.foreground)[:, 0] > 0


def origins(clip: Clip, previous: bool) -> torch.Tensor:
    if previous:
        return torch.cat([clip.reference[None], clip.frames[:-1]])
    return clip.reference.expand_as(clip.frames)


@pytest.mark.parametrize(("size", "frames"), [((64, 64), 6), ((32, 48), 1), ((96, 64), 2)])
def test_drawn_clips_have_the_promised_shapes_and_ranges(size, frames):
    clip = drawn(size=size, frames=frames)[2]
    for name, channels in [
        ("frames", 3), ("structures", 16), ("flow", 2), ("visible", 1), ("flow_previous", 2), ("visible_previous", 1),
        ("foreground", 1),
    ]:  # fmt: skip
        tensor = getattr(clip, name)
        assert tensor.shape == (frames, channels, *size), name
        assert tensor.dtype == torch.float32
    assert clip.reference.shape == (3, *size)
    assert clip.reference_structure.shape == (16, *size)
    assert -1 <= clip.frames.min() < clip.frames.max() <= 1
    for mask in (clip.visible, clip.visible_previous, clip.foreground):
        assert set(mask.unique().tolist()) == {0, 1}
    assert 0.2 < clip.foreground.mean() < 0.8
    assert (clip.flow * (1 - clip.foreground)).abs().max() == 0
    assert clip.name == "face00002"


def test_a_drawn_clip_depends_on_seed_and_index_only(faces):
    data = pickle.loads(pickle.dumps(drawn()))
    for index in (5, 1, 5):
        again = data[index]
        for name in ("reference", "frames", "structures", "flow", "visible", "flow_previous", "visible_previous"):
            assert torch.equal(getattr(again, name), getattr(faces[index], name)), name
    assert not torch.equal(drawn(seed=1)[0].frames, faces[0].frames)


def test_the_first_frames_previous_frame_is_the_reference(faces):
    for clip in faces:
        assert torch.equal(clip.flow[0], clip.flow_previous[0])
        assert torch.equal(clip.visible[0], clip.visible_previous[0])


def test_the_motion_is_real(faces):
    moved = [clip.flow.norm(dim=1)[subject(clip)].mean().item() for clip in faces]
    stepped = [clip.flow_previous.norm(dim=1)[1:][subject(clip, previous=True)[1:]].mean().item() for clip in faces]
    assert np.mean(moved) > 3.5
    assert 0.5 < np.mean(stepped) < np.mean(moved)


def test_hidden_surface_exists_and_most_is_visible(faces):
    shares = [(clip.visible * clip.foreground).sum().item() / clip.foreground.sum().item() for clip in faces]
    assert 0.65 < np.mean(shares) < 0.97


@pytest.mark.parametrize("previous", [False, True], ids=["reference", "previous"])
def test_warping_along_the_exact_flow_gives_the_frame(faces, previous):
    # At 64 pixels much of a face lies within a pixel of an edge between parts, where bilinear samples mix both.
    errors, still = [], []
    for clip in faces:
        flow = clip.flow_previous if previous else clip.flow
        there = subject(clip, previous)
        origin = origins(clip, previous)
        errors.append((warp(origin, flow) - clip.frames).abs().mean(1)[there].mean().item())
        still.append((origin - clip.frames).abs().mean(1)[there].mean().item())
    assert np.mean(errors) < 0.06  # of 2
    assert np.mean(still) > 3 * np.mean(errors)


def test_away_from_edges_the_flow_leads_to_the_same_color():
    # At 192 pixels, within parts: bilinear sampling of smooth colors errs by about a gray level (1 / 127.5).
    data = drawn(size=(192, 192), frames=2)
    for index in range(3):
        clip, (look, pose, background) = data[index], data.scene(index)
        topmost = torch.from_numpy(draw(look, build_parts(look), pose, background).topmost)
        inner = away_from_edges(topmost, 2)
        origin = inner[:1].float()[None].expand(2, 3, -1, -1)
        sure = subject(clip) & inner[1:] & (warp(origin, clip.flow)[:, 0] > 0.99)
        assert sure.sum() > 10000  # or the comparison says nothing
        error = (warp(origins(clip, False), clip.flow) - clip.frames).abs().mean(1)[sure]
        assert error.median() < 0.01
        assert error.mean() < 0.015


def away_from_edges(topmost: torch.Tensor, reach: int) -> torch.Tensor:
    """Pixels T H W whose whole neighborhood shows one part."""
    planes = topmost.float()[:, None]
    pooled = torch.nn.functional.max_pool2d(torch.cat([planes, -planes], 1), 2 * reach + 1, 1, reach)
    return pooled[:, 0] == -pooled[:, 1]


def test_visibility_agrees_with_a_finely_drawn_reference():
    # Brute force: the reference drawn 6 times as fine, looked up where the flow leads: it must show about the same
    # point of the same part. Only pixels that land within a tenth of a pixel of another part's edge, or so close to the
    # horizon that a sixth of a pixel is a long way, may differ.
    fine = 6
    data = drawn(4, frames=1)
    agreed = counted = 0
    for index in range(4):
        clip, (look, pose, background) = data[index], data.scene(index)
        parts = build_parts(look)
        picture = draw(look, parts, pose, background)
        frame, points = picture.topmost[1], picture.local[:, 1]
        shift = (fine - 1) / 2  # the center of the first pixel stays at its place
        large = pose._replace(x=pose.x * fine + shift, y=pose.y * fine + shift, scale=pose.scale * fine)
        wall = np.zeros((64 * fine, 64 * fine, 3), np.float32)
        finely = draw(look, parts, large.pick(slice(1)), wall)
        row, column = np.nonzero(frame != BACKGROUND)
        x = column + clip.flow[0, 0].numpy()[row, column]
        y = row + clip.flow[0, 1].numpy()[row, column]
        within = (x >= 0) & (x <= 63) & (y >= 0) & (y <= 63)
        fine_x, fine_y = (np.clip(np.rint(c * fine + shift), 0, 64 * fine - 1).astype(int) for c in (x, y))
        apart = np.abs(finely.local[:, 0, fine_y, fine_x] - points[:, row, column]).max(0)
        expected = within & (finely.topmost[0, fine_y, fine_x] == frame[row, column]) & (apart < 0.1)
        agreed += (expected == (clip.visible[0, 0].numpy()[row, column] > 0)).sum()
        counted += len(row)
    assert agreed / counted > 0.97


def test_the_background_is_visible_where_the_reference_shows_it():
    data = drawn(2, frames=2)
    for index in range(2):
        clip, (look, pose, background) = data[index], data.scene(index)
        shown = draw(look, build_parts(look), pose, background).topmost[0] == BACKGROUND
        behind = clip.foreground[:, 0].numpy() == 0
        assert (shown == (clip.visible[:, 0].numpy() > 0))[behind].all()
        # the wall stands still: where the reference shows it too, away from hair and skin, it is the same
        away = away_from_edges(torch.from_numpy(~shown[None]).float() + clip.foreground[:, 0], 1)
        same = away & (clip.foreground[:, 0] == 0) & torch.from_numpy(shown)
        assert (clip.frames - clip.reference).abs().amax(1)[same].max() < 1e-6


def test_a_landmark_of_the_surface_moves_with_the_flow():
    # The tip of the nose and the corners of the eyes: at a frame's landmark, the flow leads to the reference's.
    data = drawn(6, frames=1, size=(128, 128))
    compared = 0
    for index in range(6):
        clip, (look, pose, _) = data[index], data.scene(index)
        reference, frame = landmarks(look, pose)
        for k in (30, 36, 39, 42, 45):
            x, y = np.rint(frame[k]).astype(int)
            if clip.visible[0, 0, y, x] and clip.foreground[0, 0, y, x] and not look.glasses:
                led = frame[k] + clip.flow[0, :, y, x].numpy()
                assert np.abs(led - reference[k]).max() < 3  # a blinking lid's skin slides under its corner
                compared += 1
    assert compared > 10


@pytest.mark.parametrize("previous", [False, True], ids=["reference", "previous"])
def test_matches_lead_where_the_exact_flow_leads(faces, previous):
    # Where the point is visible. Landmarks do it to a fraction of a pixel; points in between are of a generic head.
    apart, still = [], []
    for clip in faces:
        points, sources = (clip.matches_previous if previous else clip.matches).split(2, dim=-1)
        flow = clip.flow_previous if previous else clip.flow
        for t in range(len(points)):
            x, y = points[t].round().long().clamp(0, 63).T
            seen = subject(clip, previous)[t, y, x]
            exact, matched = flow[t, :, y, x].T[seen], (sources - points)[t][seen]
            apart.append((exact - matched).norm(dim=1))
            still.append(exact.norm(dim=1))
    errors, motion = torch.cat(apart), torch.cat(still)
    assert len(errors) > 0.7 * len(faces) * 6 * len(SHARES)
    assert errors.median() < 0.5
    assert errors.mean() < 0.2 * motion.mean()


def test_landmarks_lie_on_the_face_in_the_order_of_the_layout():
    data = drawn(12)
    for index in range(12):
        clip, (look, pose, _) = data[index], data.scene(index)
        points = landmarks(look, pose)[1:]
        on = torch.nn.functional.max_pool2d(clip.foreground, 3, 1, 1)[:, 0].numpy()
        for frame, places in zip(on, np.clip(np.rint(points).astype(int), 0, 63), strict=True):
            assert frame[places[:, 1], places[:, 0]].mean() > 0.97
        assert (points[:, 0, 0] < points[:, 16, 0]).all()  # the face's right is at the viewer's left
        assert (points[:, 8, 1] > points[:, 57, 1]).all()  # chin below lips
        assert (points[:, 57, 1] >= points[:, 51, 1]).all()
        assert (points[:, 33, 1] > points[:, 27, 1]).all()
        assert (points[:, 37:39, 1].mean(1) > points[:, 17:22, 1].mean(1)).all()  # eyes below brows


def test_faces_talk_blink_and_turn():
    data = drawn(40)
    mouths, eyes, yaws = [], [], []
    for index in range(40):
        pose = data.scene(index)[1]
        mouths.append(np.ptp(pose.mouth))
        eyes.append(pose.eyes.min())
        yaws.append(np.ptp(pose.yaw))
    assert np.mean(mouths) > 0.4
    assert 0.2 < np.mean(np.array(eyes) < 0.3) < 0.9  # some blink within these frames
    assert np.mean(yaws) > 0.25


def test_no_two_faces_look_alike():
    data = drawn(24, frames=1)
    drawn_clips = [data[k] for k in range(24)]
    colors = torch.stack([clip.frames[0][:, clip.foreground[0, 0] > 0].mean(1) for clip in drawn_clips])
    distance = torch.cdist(colors, colors)[~torch.eye(24, dtype=torch.bool)]
    assert distance.mean() > 0.3
    assert (distance < 0.02).float().mean() < 0.02
    assert len({data.scene(k)[0].haircut for k in range(24)}) >= 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (31, 64)}, r"\(height, width\), each 32 pixels or more"),
        ({"length": 0}, "length and frames must be 1 or more"),
        ({"frames": 0}, "length and frames must be 1 or more"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_bad_settings_of_drawn_faces_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        drawn(**options)


def test_drawn_faces_end_and_take_configs():
    data = DrawnFaces(2, {"type": "FaceStructureEncoder", "divisor": 0.75}, frames=1)
    assert data.structure.divisor == 0.75
    assert sum(1 for _ in data) == 2
    with pytest.raises(IndexError, match="clip 2 of 2"):
        data[2]
    with pytest.raises(ConfigError, match="takes key points of layout 'hand'"):
        DrawnFaces(1, HeatmapEncoder(OTHER_LAYOUT))
