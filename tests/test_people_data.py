"""People data: lists, key-point files, pairs, augmentation. All files are made up on the spot."""

import json
import logging
import pickle

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from PIL import Image
from posegen_people import posegen_read_keypoints
from posegen_people.annotations import (
    flat_name,
    openpose_json,
    parse_pairs,
    read_annotations,
    write_openpose,
)
from posegen_people.augmentation import Motion, PublishedAugmentation
from posegen_people.layouts import COCO_17, OPENPOSE_18
from posegen_people.pairs import AnnotatedPairs, CocoPairs, crop_box
from torch.utils.data import DataLoader

from posegen.checking.check import check_image
from posegen.cli import _message
from posegen.data import HeatmapEncoder, KeypointLayout, Keypoints, PairDataset
from posegen.data.images import read_image, to_uint8, write_image
from posegen.errors import ConfigError, DataError
from posegen.inference import prepare_subject, read_keypoint_file
from posegen.records import collate_pairs

HEADER = "name:keypoints_y:keypoints_x\n"
RIGHT_ELBOW, LEFT_ELBOW, NECK = 3, 6, 1
COCO_NAMES = [name.replace(" ", "_") for name in COCO_17.names]


@pytest.fixture
def encoder():
    return HeatmapEncoder(OPENPOSE_18)


def row(name, y=range(18), x=range(20, 38)):
    return f"{name}: {list(y)}: {list(x)}\n"


def picture(height=128, width=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def market(root, split="train", prefix="market", names=("a.png", "b.png"), size=(128, 64)):
    """A data set of one pair in the published form; PNG, so that pixels can be compared."""
    for i, name in enumerate(names):
        write_image(root / split / name, picture(*size, seed=i))
    (root / f"{prefix}-annotation-{split}.csv").write_text(HEADER + "".join(row(name) for name in names))
    (root / f"{prefix}-pairs-{split}.csv").write_text("from,to\n{},{}\n".format(*names))
    return root


def full_gaussian(x, y, size, sigma=6.0):
    rows, columns = np.mgrid[: size[0], : size[1]]
    return np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))


@pytest.mark.parametrize("place", [0, 1, 17, 62, 63, 63.9, -1, -0.5, -40, 64, 1000], ids=str)
def test_heat_maps_equal_the_gaussian_formula(place):
    """Maps inside the image are windows of a single one, bit for bit equal to separately computed maps."""
    encoder = HeatmapEncoder(OPENPOSE_18)
    points = np.full((18, 2), place)
    points[:9] = 5  # where all are inside, and where some are not
    columns = np.arange(64, dtype=np.float32) - np.trunc(points[:, :1]).astype(np.float32)
    expected = np.exp(-(columns**2) / (2 * 6.0**2), dtype=np.float32)
    maps = encoder.encode(Keypoints(points, np.ones(18, bool)), (64, 64)).numpy()
    assert np.array_equal(maps, expected[:, :, None] * expected[:, None, :])
    np.testing.assert_allclose(maps[17], full_gaussian(np.trunc(place), np.trunc(place), (64, 64)), atol=1e-6)


# Lists


def test_annotations_are_read_with_blanks_and_missing_points(tmp_path):
    file = tmp_path / "annotation.csv"
    file.write_text(HEADER + row("a.jpg", y=[-1, *range(17)]) + "\n" + row("b.jpg").replace(" ", ""))
    annotations = read_annotations(file, OPENPOSE_18)
    assert list(annotations) == ["a.jpg", "b.jpg"]
    assert annotations["a.jpg"].present.tolist() == [False] + [True] * 17
    assert annotations["a.jpg"].points[1].tolist() == [21, 0]
    assert annotations["b.jpg"].points[17].tolist() == [37, 17]


def test_a_byte_order_mark_and_dos_line_ends_are_read(tmp_path):
    file = tmp_path / "annotation.csv"
    file.write_bytes(("\ufeff" + HEADER + row("a.jpg")).replace("\n", "\r\n").encode())
    assert list(read_annotations(file, OPENPOSE_18)) == ["a.jpg"]


def test_all_bad_annotation_rows_are_reported_at_once_with_their_lines(tmp_path):
    eighteen = list(range(18))
    bad = [
        "only a name\n",  # row 3
        row("b.jpg", y=range(17)),
        row("c.jpg").replace("[0,", "[NaN,"),
        row("d.jpg").replace("[0,", "[Infinity,"),
        row("e.jpg").replace("[0,", '["0",'),
        row("f.jpg").replace("[0,", "[true,"),
        f"g.jpg: {eighteen}: 12\n",
        f"h.jpg: {eighteen}: __import__('os')\n",
        row("a.jpg", y=range(1, 19)),
        row("/etc/passwd.jpg"),
        row("../i.jpg"),
        row("x\\..\\i.jpg"),
        row("j.jpg").replace("[0,", "[1e400,"),
        f"k.jpg: {eighteen}: {'[' * 5000}\n",
    ]
    file = tmp_path / "annotation.csv"
    file.write_text(HEADER + row("a.jpg") + "".join(bad) + row("a.jpg"))
    with pytest.raises(DataError) as error:
        read_annotations(file, OPENPOSE_18)
    problems = error.value.problems
    assert str(file) in str(error.value)
    assert sorted(int(problem.split()[1].rstrip(":")) for problem in problems) == list(range(3, 17))
    text = "\n".join(problems)
    for expected in [
        "row 3: 1 fields, 3 expected",
        "row 4: keypoints_y has 17 numbers, 18 expected",
        "row 5: keypoints_y has nan, which is no number between ±1,000,000",
        "row 7: keypoints_y has '0', which is no number",
        "row 8: keypoints_y has True",
        "row 9: keypoints_x has '12', 18 expected",
        "row 10: keypoints_x is not a JSON list",
        "row 11: image 'a.jpg' stands in the list before",
        "row 12: '/etc/passwd.jpg' is no path below a folder",
        "row 13: '../i.jpg'",
    ]:
        assert expected in text


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "row 1: the header is ''"),
        (b"name,y,x\n", "row 1: the header is 'name,y,x', it must be 'name:keypoints_y:keypoints_x'"),
        (HEADER.encode(), "the list is empty"),
        (HEADER.encode() + b"caf\xe9.jpg: []: []\n", "row 2: not UTF-8"),
    ],
)
def test_other_files_are_refused_as_annotation_lists(tmp_path, content, problem):
    file = tmp_path / "annotation.csv"
    file.write_bytes(content)
    with pytest.raises(DataError) as error:
        read_annotations(file, OPENPOSE_18)
    assert problem in str(error.value)
    assert str(file) in str(error.value)


def test_a_missing_list_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.csv.*\n.*no such file"):
        parse_pairs(tmp_path / "nowhere.csv")


def test_pairs_are_read_in_order(tmp_path):
    file = tmp_path / "pairs.csv"
    file.write_text("from,to\na.jpg,b.jpg\n b.jpg , a.jpg\n")
    assert parse_pairs(file) == ([(2, "a.jpg", "b.jpg"), (3, "b.jpg", "a.jpg")], [])


def test_all_bad_pair_rows_are_reported_at_once_with_their_lines(tmp_path):
    file = tmp_path / "pairs.csv"
    file.write_text('from,to\na.jpg,b.jpg\na.jpg\na.jpg,\na.jpg,z.jpg\nC:\\a.jpg,b.jpg\na.jpg,"b.jpg\n,,\n')
    _, problems = parse_pairs(file, annotated={"a.jpg", "b.jpg"})
    assert [problem.partition(":")[0] for problem in sorted(problems)] == [f"row {n}" for n in (3, 4, 5, 6, 8)]
    assert any("row 5: image 'z.jpg' has no key points" in problem for problem in problems)


def test_an_empty_pair_list_is_an_error(tmp_path):
    (tmp_path / "pairs.csv").write_text("from,to\n\n")
    assert parse_pairs(tmp_path / "pairs.csv") == ([], ["row 2: the list is empty"])


def test_flat_name_matches_deepfashions_lists():
    expected = "fashionMENDenimid0000008001_1front.jpg"
    assert flat_name("img_highres/MEN/Denim/id_00000080/01_1_front.jpg") == expected
    assert flat_name("/data/x/img/MEN/Denim/id_00000080/01_1_front.jpg") == expected
    tees = flat_name("img/WOMEN/Tees_Tanks/id_00000007/02_4_full.jpg")
    assert tees == "fashionWOMENTees_Tanksid0000000702_4full.jpg"
    with pytest.raises(ValueError, match="not a path of DeepFashion"):
        flat_name("01_1_front.jpg")


# One subject's points


def write_json(path, data):
    path.write_text(json.dumps(data))
    return path


def read_keypoints(path, image=None):
    """Read OpenPose's points, wherever the file comes from."""
    return read_keypoint_file(path, OPENPOSE_18, image)


def openpose(count, score=1.0):
    return {"pose_keypoints_2d": [v for i in range(count) for v in (i, 100 + i, score)]}


def test_openpose_points_of_score_0_are_missing(tmp_path):
    person = openpose(18)
    person["pose_keypoints_2d"][2] = 0
    keypoints = read_keypoints(write_json(tmp_path / "a.json", {"people": [person]}))
    assert keypoints.present.tolist() == [False] + [True] * 17
    assert keypoints.points[17].tolist() == [17, 117]


def test_openpose_25_drops_mid_hip_and_feet(tmp_path):
    keypoints = read_keypoints(write_json(tmp_path / "a.json", {"people": [openpose(25)]}))
    assert keypoints.points[:, 0].tolist() == [*range(8), *range(9, 19)]


def test_the_person_with_most_points_is_chosen(tmp_path):
    people = [openpose(18, score=0), openpose(25, score=0.5), openpose(18, score=0.4)]
    keypoints = read_keypoints(write_json(tmp_path / "a.json", {"people": people}))
    assert keypoints.points[8].tolist() == [9, 109]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"people": []}, "nobody in the file"),
        (
            {"people": [openpose(17)]},
            r"people\[0\]\.pose_keypoints_2d: 51 numbers, expected 54 .*; so many are COCO's 17 points",
        ),
        ({"keypoints": [1] * 54}, "54 numbers, expected 51 .*; so many are OpenPose's, which are called 'pose_"),
        ({"people": [{"pose_keypoints_2d": [1] * 36}]}, "36 numbers, .*; each point is x, y and a score"),
        ({"people": [{"pose_keypoints_2d": [[1, 2, 1]] * 18}]}, "18 numbers, .*; each point .* all in one list"),
        ({"people": [{"pose_keypoints_2d": [1] * 10}]}, r"10 numbers, .* \(133 points\)$"),
        ({"people": [{}]}, "no list"),
        ({"people": [{"pose_keypoints_2d": [float("inf")] * 54}]}, "inf is no number between ±1,000,000"),
        ({"people": [{"pose_keypoints_2d": [9999999.778] * 54}]}, "9999999.778 is no number between ±1,000,000"),
        ({"people": [{"pose_keypoints_2d": ["x" * 900] * 54}]}, "'x{30,40} is no number"),
        ({"people": [openpose(18)], "canvas_width": 64}, "64 wide and None high; give whole pixels"),
        ({"people": [openpose(18)], "canvas_width": 64, "canvas_height": 1e9}, "64 wide and 1000000000.0 high"),
        ({"people": [openpose(18)], "canvas_width": 64, "canvas_height": 65537}, "at most 65,536, or neither"),
        ({"instance_info": []}, "nobody in the file"),
        ({"instance_info": [{"keypoints": [[1, 2]], "keypoint_scores": []}]}, "as many 'keypoint_scores'"),
        ({"instance_info": [{"instances": []}, {"instances": []}]}, "holds 2 frames"),
        ({"images": [{"id": 1}], "annotations": []}, "damaged key-point file: KeyError: 'file_name'"),
    ],
)
def test_broken_json_of_a_known_format_names_the_file(tmp_path, data, problem):
    file = write_json(tmp_path / "broken.json", data)
    with pytest.raises(DataError, match=problem) as error:
        read_keypoints(file)
    assert str(file) in str(error.value)


@pytest.mark.parametrize("alone", [openpose(18), openpose(25), {"keypoints": [1, 2, 2] * 17, "id": 3}])
def test_a_person_without_a_surrounding_list_is_read(tmp_path, alone):
    whole = coco_set({"image_id": 0, **alone}) if "keypoints" in alone else {"people": [alone]}
    found = read_keypoints(write_json(tmp_path / "alone.json", alone))
    true = read_keypoints(write_json(tmp_path / "whole.json", whole))
    np.testing.assert_array_equal(found.points, true.points)
    np.testing.assert_array_equal(found.present, true.present)


def test_the_image_size_in_a_file_is_returned_with_the_points(tmp_path):
    editor = {"people": [openpose(18)], "canvas_width": 64, "canvas_height": 128}
    coco = coco_set(person(), width=64, height=128)
    for name, data in (("editor.json", editor), ("coco.json", coco)):
        assert read_keypoints(write_json(tmp_path / name, data)).frame == (128, 64)
    assert read_keypoints(write_json(tmp_path / "none.json", {"people": [openpose(18)]})).frame is None
    written = write_openpose(tmp_path / "written", Keypoints(np.ones((18, 2)), np.ones(18), frame=(128, 64)))
    assert read_keypoints(written).frame == (128, 64)


def test_the_index_of_the_chosen_person_is_returned(tmp_path):
    poor, rich = mmpose_instance(0.2), mmpose_instance(0.9)
    files = [
        {"people": [openpose(18, score=0), openpose(18)]},
        coco_set(person(missing=("nose",)), person()),
        [poor, rich],
    ]
    for number, (data, others) in enumerate(zip(files, ("", " (others: 1 at 27,46)", ""), strict=True)):
        found = read_keypoints(write_json(tmp_path / f"{number}.json", data))
        assert found.chosen == f"figure 2 of 2, the largest{others},"
    assert read_keypoints(write_json(tmp_path / "one.json", [rich])).chosen == ""


def test_invalid_json_is_reported_with_its_line(tmp_path):
    (tmp_path / "a.json").write_text('{"people":\n oops}')
    with pytest.raises(DataError, match=r"not JSON: .*line 2"):
        read_keypoints(tmp_path / "a.json")


def test_written_openpose_points_round_trip_to_0_001_pixels(tmp_path):
    present = [*[True] * 17, False]
    points = np.random.default_rng(1).uniform(0, 256, (18, 2))
    file = write_openpose(tmp_path / "points.of.one", Keypoints(points, present))
    assert file == tmp_path / "points.of.one.json"
    read = read_keypoints(file)
    np.testing.assert_array_equal(read.present, present)
    np.testing.assert_allclose(read.points[:17], points[:17], rtol=0, atol=0.0005)


def test_missing_people_are_written_as_openpose_does(tmp_path):
    nobody = Keypoints(np.ones((18, 2)), [False] * 18)
    assert json.loads(openpose_json(nobody)) == {"people": []}
    with pytest.raises(DataError, match="nobody in the file"):
        read_keypoints(write_openpose(tmp_path / "nobody", nobody))


def coco_values(left=10.0, top=20.0, missing=()):
    """17 points: x = left + 2i, y = top + 3i; visibility 1 and 2 by turns."""
    points = [(left + 2 * i, top + 3 * i, 0 if name in missing else 1 + i % 2) for i, name in enumerate(COCO_NAMES)]
    return [value for point in points for value in point]


def coco_point(name, left=10.0, top=20.0):
    i = COCO_NAMES.index(name)
    return [left + 2 * i, top + 3 * i]


def coco_set(*annotations, images=("a.png",), **image):
    return {
        "images": [{"id": i, "file_name": name, **image} for i, name in enumerate(images)],
        "annotations": [{"id": i, "category_id": 1, **annotation} for i, annotation in enumerate(annotations)],
        "categories": [{"id": 1, "name": "person"}],
    }


def person(image=0, **more):
    values = coco_values(**{key: more.pop(key) for key in ("left", "top", "missing") if key in more})
    return {"image_id": image, "keypoints": values, "bbox": [8, 18, 40, 60], **more}


def test_coco_points_are_converted_and_the_neck_is_between_the_shoulders(tmp_path):
    file = write_json(tmp_path / "coco.json", coco_set(person(missing=("nose",))))
    keypoints = read_keypoints(file, tmp_path / "a.png")
    for name in ("left elbow", "right ankle", "right eye", "left ear"):
        point = keypoints.points[OPENPOSE_18.names.index(name)]
        assert point.tolist() == coco_point(name.replace(" ", "_"))
    assert not keypoints.present[0]
    middle = np.mean([coco_point("left_shoulder"), coco_point("right_shoulder")], 0)
    assert keypoints.points[NECK].tolist() == middle.tolist()


def test_the_neck_needs_both_shoulders(tmp_path):
    file = write_json(tmp_path / "coco.json", coco_set(person(missing=("left_shoulder",))))
    keypoints = read_keypoints(file)
    assert not keypoints.present[NECK]
    assert keypoints.present.sum() == 16


def test_names_of_a_coco_category_are_used(tmp_path):
    data = coco_set({"image_id": 0, "keypoints": [1, 2, 2, 3, 4, 1, 5, 6, 2], "bbox": [0, 0, 9, 9]})
    data["categories"][0]["keypoints"] = ["left_knee", "head_top", "neck"]
    keypoints = read_keypoints(write_json(tmp_path / "coco.json", data))
    assert keypoints.points[keypoints.present].tolist() == [[4, 5], [5, 6], [1, 2]]  # the first: half of the head
    assert np.flatnonzero(keypoints.present).tolist() == [0, NECK, OPENPOSE_18.names.index("left knee")]


def test_a_coco_file_of_many_images_needs_the_image(tmp_path):
    data = coco_set(person(0), person(1, left=15), images=("v1/1.png", "v2/1.png"))
    file = write_json(tmp_path / "coco.json", data)
    keypoints = read_keypoints(file, tmp_path / "v2" / "1.png")
    assert keypoints.points[0].tolist() == [15, 20]
    with pytest.raises(DataError, match=r"2 images: v1/1\.png, v2/1\.png\nSay which image is meant"):
        read_keypoints(file)
    with pytest.raises(DataError, match=r"no images called '2\.png', but of 1\.png"):
        read_keypoints(file, tmp_path / "2.png")
    with pytest.raises(DataError, match=r"2 images called '1\.png': v1/1\.png, v2/1\.png"):
        read_keypoints(file, tmp_path / "1.png")


def test_errors_name_a_few_entries_of_a_long_list(tmp_path):
    (tmp_path / "many.csv").write_text(HEADER + "".join(row(f"{k}.png") for k in range(9)))
    with pytest.raises(DataError, match=r"9 images: 0\.png, 1\.png, 2\.png, 3\.png, 4\.png, …\n"):
        read_keypoints(tmp_path / "many.csv")


def mmpose_instance(score):
    points = np.reshape(coco_values(), (17, 3))[:, :2].tolist()
    return {"keypoints": points, "keypoint_scores": [0.1] + [score] * 16}


@pytest.mark.parametrize("form", ["list", "image", "frame"])
def test_mmpose_output_is_read(tmp_path, form):
    instances = [mmpose_instance(0.2), mmpose_instance(0.9)]
    data = {
        "list": instances,
        "image": {"meta_info": {}, "instance_info": instances},
        "frame": {"instance_info": [{"frame_id": 0, "instances": instances}]},
    }[form]
    keypoints = read_keypoints(write_json(tmp_path / "a.json", data))
    assert keypoints.present.tolist() == [False] + [True] * 17
    assert keypoints.points[LEFT_ELBOW].tolist() == coco_point("left_elbow")


def test_mmposes_own_point_names_are_used(tmp_path):
    names = {str(i): name for i, name in enumerate(reversed(COCO_NAMES))}
    data = {"meta_info": {"keypoint_id2name": names}, "instance_info": [mmpose_instance(0.9)]}
    keypoints = read_keypoints(write_json(tmp_path / "a.json", data))
    assert keypoints.points[LEFT_ELBOW].tolist() == coco_point(COCO_NAMES[16 - COCO_NAMES.index("left_elbow")])


def test_the_hook_reads_annotation_lists_and_leaves_other_files_and_layouts_alone(tmp_path):
    file = tmp_path / "annotation.csv"
    file.write_text(HEADER + row("a.jpg") + row("b.jpg", y=range(1, 19)))
    assert [frame.name for frame in posegen_read_keypoints(file, OPENPOSE_18).frames] == ["a.jpg", "b.jpg"]
    assert read_keypoints(file, tmp_path / "b.jpg").points[0].tolist() == [20, 1]
    (tmp_path / "other.csv").write_text("x,y\n")
    (tmp_path / "a.txt").write_text("1,2\n")
    for other in [tmp_path / "other.csv", tmp_path / "a.txt", write_json(tmp_path / "o.json", {"x": 1})]:
        assert posegen_read_keypoints(other, OPENPOSE_18) is None
    two = KeypointLayout("two", ("left", "right"), (1, 0), (), ((0, 0, 0),) * 2)
    assert posegen_read_keypoints(file, two) is None


# Annotated pairs


def test_a_pair_is_image_structure_and_name(tmp_path, encoder):
    pair = AnnotatedPairs(market(tmp_path), "train", encoder, size=(128, 64))[0]
    assert pair.name == "a_2_b_vis"
    np.testing.assert_array_equal(to_uint8(pair.source), picture(seed=0))
    np.testing.assert_array_equal(to_uint8(pair.target), picture(seed=1))
    assert pair.source_structure.shape == (18, 128, 64)
    assert pair.flow is None
    assert len(collate_pairs([pair, pair])) == 2


def test_heat_maps_are_the_full_exponential_about_the_truncated_center(tmp_path, encoder):
    """y = 5.99 is in row 5; x = 40.3 in column 40; a missing point is an empty map."""
    root = market(tmp_path)
    text = HEADER + row("a.png", y=[5.99] * 17 + [-1], x=[40.3] * 18) + row("b.png")
    (root / "market-annotation-train.csv").write_text(text)
    structure = AnnotatedPairs(root, "train", encoder, size=(128, 64))[0].source_structure.numpy()
    for channel in structure[:17]:
        np.testing.assert_allclose(channel, full_gaussian(40, 5, (128, 64)), atol=1e-6)
    assert (structure[17] == 0).all()


def test_points_scale_from_the_frame_to_the_size_and_truncate_as_published(tmp_path, encoder):
    """Every whole column x of DeepFashion's 176 goes to column int(x / 176 · 256) of 256, as published."""
    for start in range(0, 176, 16):
        columns = np.arange(start, start + 18)
        scaled = Keypoints(np.stack([columns, columns], 1), np.ones(18)).scale(256 / 176, 1)
        expected = (columns / 176 * 256).astype(int)
        assert np.trunc(scaled.points[:, 0]).tolist() == expected.tolist()
    root = market(tmp_path, prefix="fasion", size=(512, 352))
    pair = AnnotatedPairs(root, "train", encoder, (256, 256), prefix="fasion", keypoint_frame=(256, 176))[0]
    assert encoder.decode(pair.source_structure).points[5].tolist() == [25 * 256 // 176, 5]


@pytest.mark.parametrize(("subpixel", "decoded"), [(False, (20, 0)), (True, (20.25, 0.75))])
def test_decoded_points_are_those_that_were_encoded(subpixel, decoded):
    encoder = HeatmapEncoder(OPENPOSE_18, subpixel=subpixel)
    keypoints = Keypoints(np.full((18, 2), (20.25, 0.75)), np.arange(18) != 3)
    found = encoder.decode(encoder.encode(keypoints, (32, 64)))
    assert found.present.tolist() == keypoints.present.tolist()
    np.testing.assert_allclose(found.points[found.present], np.tile(decoded, (17, 1)), atol=1e-4)


def test_without_a_frame_points_count_the_images_own_pixels(tmp_path, encoder):
    pair = AnnotatedPairs(market(tmp_path, size=(64, 40)), "train", encoder, size=(128, 80))[0]
    assert pair.source.shape == (3, 128, 80)
    assert encoder.decode(pair.source_structure).points[5].tolist() == [50, 10]


def test_the_square_download_is_cropped_to_the_published_frame(tmp_path, encoder):
    root = market(tmp_path, prefix="fasion", size=(256, 256))
    data = AnnotatedPairs(
        root, "train", encoder, (256, 176), prefix="fasion", keypoint_frame=(256, 176), crop_to_frame=True
    )
    np.testing.assert_array_equal(to_uint8(data[0].source), picture(256, 256)[:, 40:216])


def test_all_spellings_of_deepfashions_lists_are_found(tmp_path, encoder):
    for prefix in ("fasion", "fasion-resize", "fashion"):
        root = market(tmp_path / prefix, "test", prefix)
        assert len(AnnotatedPairs(root, "test", encoder, prefix="fashion")) == 1


def test_missing_lists_are_reported_with_the_tried_names(tmp_path, encoder):
    with pytest.raises(DataError) as error:
        AnnotatedPairs(tmp_path, "train", encoder, prefix="fasion")
    for name in ("fasion-pairs-train.csv", "fasion-resize-annotation-train.csv", "fashion-pairs-train.csv"):
        assert name in str(error.value)
    with pytest.raises(DataError, match=r"market-pairs-train\.csv"):
        AnnotatedPairs(tmp_path, "train", encoder, prefix="market")


def test_images_are_found_in_deepfashions_folders(tmp_path, encoder):
    flat = "fashionMENDenimid0000008001_1front.png"
    root = market(tmp_path, prefix="fasion", names=(flat, "b.png"))
    (root / "train" / flat).unlink()
    write_image(root / "img_highres" / "MEN" / "Denim" / "id_00000080" / "01_1_front.png", picture(seed=7))
    pair = AnnotatedPairs(root, "train", encoder, (128, 64), prefix="fasion")[0]
    np.testing.assert_array_equal(to_uint8(pair.source), picture(seed=7))


def test_everything_wrong_with_a_data_set_is_reported_at_once(tmp_path, encoder):
    root = market(tmp_path)
    lists = HEADER + row("a.png") + row("b.png") + row("gone.png") + row("short.png", y=range(17))
    (root / "market-annotation-train.csv").write_text(lists)
    pairs = "from,to\na.png,b.png\na.png,gone.png\ngone.png,b.png\nshort.png,nobody.png\na.png,../b.png\n"
    (root / "market-pairs-train.csv").write_text(pairs)
    with pytest.raises(DataError) as error:
        AnnotatedPairs(root, "train", encoder)
    assert error.value.problems == [
        "market-annotation-train.csv, row 5: keypoints_y has 17 numbers, 18 expected",
        "market-pairs-train.csv, row 5: image 'nobody.png' has no key points in the annotation list",
        "market-pairs-train.csv, row 6: '../b.png' is no path below a folder: it must be relative and without '..'",
        f"market-pairs-train.csv, row 3: no image 'gone.png' in {root / 'train'}",
    ]


def test_an_unreadable_image_is_named_on_access(tmp_path, encoder):
    root = market(tmp_path)
    (root / "train" / "b.png").write_bytes((root / "train" / "b.png").read_bytes()[:2000])
    data = AnnotatedPairs(root, "train", encoder)
    with pytest.raises(DataError, match=r"b\.png.*\n.*truncated"):
        data[0]


def test_limit_takes_the_first_pairs_and_needs_only_their_images(tmp_path, encoder):
    root = market(tmp_path)
    with (root / "market-pairs-train.csv").open("a") as file:
        file.write("b.png,a.png\n")
    assert len(AnnotatedPairs(root, "train", encoder)) == 2
    data = AnnotatedPairs(root, "train", encoder, limit=1)
    assert [pair.name for pair in data] == ["a_2_b_vis"]


def test_a_structure_in_another_layout_is_refused(tmp_path):
    two = KeypointLayout("two", ("left", "right"), (1, 0), (), ((0, 0, 0),) * 2)
    with pytest.raises(
        DataError, match=r"18 numbers, 2 expected, the points of 'two'; the layout of 18 points is 'openpose18'"
    ):
        AnnotatedPairs(market(tmp_path), "train", HeatmapEncoder(two))


def test_a_config_with_a_misspelt_argument_names_the_nearest(tmp_path, encoder):
    with pytest.raises(ConfigError, match="did you mean 'rotation'"):
        AnnotatedPairs(
            market(tmp_path), "train", encoder, augmentation={"type": "PublishedAugmentation", "rotatoin": 3}
        )


def test_a_damaged_image_in_a_worker_is_a_data_error(tmp_path, encoder):
    """torch rebuilds the worker's error from its text alone; the command then shows the part for the reader."""
    root = market(tmp_path, names=("a.jpg", "b.jpg"))
    (root / "train" / "b.jpg").write_bytes((root / "train" / "b.jpg").read_bytes()[:2000])
    loader = DataLoader(AnnotatedPairs(root, "train", encoder), num_workers=1, collate_fn=collate_pairs)
    with pytest.raises(DataError, match=r"Caught DataError in DataLoader worker(.|\n)*b\.jpg: 1 problem") as error:
        next(iter(loader))
    shown = _message(error.value)
    assert shown.startswith(f"{root / 'train' / 'b.jpg'}: 1 problem\n  - truncated")
    assert "Traceback" not in shown
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


# Pictures that are given to a model


def subject_config(dataset, size):
    return {"size": size, "test_dataloader": {"dataset": dataset}}


@pytest.mark.parametrize(("crop_to_frame", "size"), [(False, (512, 352)), (True, (256, 256))])
def test_transfer_prepares_images_like_annotated_pairs(tmp_path, encoder, crop_to_frame, size):
    root = market(tmp_path, "test", "fasion", size=size)
    options = {"keypoint_frame": (256, 176), "crop_to_frame": crop_to_frame, "resample": "bilinear"}
    data = AnnotatedPairs(root, "test", encoder, (256, 256), prefix="fasion", **options)
    config = subject_config({"type": "AnnotatedPairs", "root": "elsewhere", "split": "test", **options}, (256, 256))

    points = read_keypoints(root / "fasion-annotation-test.csv", root / "test" / "a.png")
    image, keypoints = prepare_subject(config, read_image(root / "test" / "a.png"), points)

    np.testing.assert_array_equal(image, to_uint8(data[0].source))
    assert torch.equal(encoder.encode(keypoints, (256, 256)), data[0].source_structure)


def test_points_from_files_count_pixels_of_the_photograph():
    """Somebody's own picture with OpenPose points, under a config whose list has a frame of its own."""
    config = subject_config({"type": "AnnotatedPairs", "keypoint_frame": (256, 176)}, (256, 256))
    photograph = picture(512, 512)
    _, keypoints = prepare_subject(config, photograph, Keypoints(np.array([[100, 40]]), np.ones(1)))
    assert keypoints.points.tolist() == [[50, 20]]


def test_transfer_crops_people_like_coco_pairs(coco_root, encoder):
    """An annotation without a box has that of its points, which is all that infer knows."""
    entry = person(0, left=30, top=40)
    del entry["bbox"]
    file = write_json(coco_root / "coco.json", coco_set(entry))
    data = CocoPairs(file, coco_root, encoder, (128, 64), padding=0.3)
    points = read_keypoints(file, coco_root / "a.png")
    config = subject_config({"type": "CocoPairs", "padding": 0.3}, (128, 64))

    image, keypoints = prepare_subject(config, read_image(coco_root / "a.png"), points)

    np.testing.assert_array_equal(image, to_uint8(data[0].source))
    assert torch.equal(encoder.encode(keypoints, (128, 64)), data[0].source_structure)
    inside = keypoints.points[keypoints.present]
    assert (inside >= 0).all()
    assert (inside < (64, 128)).all()


@pytest.mark.parametrize("config", [{"size": (64, 32)}, subject_config({"type": "PaperDolls"}, (64, 32))])
def test_transfer_resizes_whole_photographs_by_default(config):
    image, keypoints = prepare_subject(config, picture(128, 128), Keypoints(np.array([[100, 40]]), np.ones(1)))
    assert image.shape == (64, 32, 3)
    assert keypoints.points.tolist() == [[25, 20]]


def test_the_data_sets_inherit_from_pair_dataset(tmp_path, encoder):
    assert isinstance(AnnotatedPairs(market(tmp_path), "train", encoder), PairDataset)


# Augmentation


def dot(x, y, size=(128, 64)):
    """Gray with one white 5×5 square about (x, y), and the key point there."""
    image = np.full((*size, 3), 128, np.uint8)
    image[y - 2 : y + 3, x - 2 : x + 3] = 255
    return image, Keypoints(np.array([[x, y]]), np.ones(1))


def center_of_light(image):
    weight = image[:, :, 0].astype(float) - 128
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_dot_and_its_key_point_move_together(side):
    """Resampling spreads the square, so its center of light is good to about a tenth of a pixel."""
    moved = []
    for seed in range(10):
        image, keypoints = dot(20, 30)
        rng = np.random.default_rng(seed)
        image, keypoints = getattr(PublishedAugmentation(), side)(image, keypoints, rng)
        np.testing.assert_allclose(center_of_light(image), keypoints.points[0], atol=0.1)
        moved.append(np.abs(keypoints.points[0] - (20, 30)).max())
    assert max(moved) > 1


def test_augmentation_fills_with_gray():
    image = np.zeros((20, 10, 3), np.uint8)
    keypoints = Keypoints(np.zeros((1, 2)), np.ones(1))
    moved, _ = PublishedAugmentation().move(image, keypoints, Motion(0, (3, 0), 1))
    assert (moved[:, :3] == 128).all()
    assert (moved[:, 3:] == 0).all()


def test_draws_stay_in_range_and_the_target_moves_less():
    augmentation = PublishedAugmentation()
    draws = [augmentation.draw(np.random.default_rng(seed)) for seed in range(200)]
    angles, scales = [abs(d.angle) for d in draws], [d.scale for d in draws]
    assert 4.5 < max(angles) <= 5
    assert 0.95 <= min(scales) < 0.96 < 1.04 < max(scales) <= 1.05
    assert 4.5 < max(abs(v) for d in draws for v in d.shift) <= 5
    image, keypoints = dot(32, 64)
    center = np.array([31.5, 63.5])
    for seed in range(20):
        _, moved = augmentation.target(image, keypoints, np.random.default_rng(seed))
        # half of the shift, and a fifth of the angle on a point 0.7 pixels from the center
        assert np.abs(moved.points[0] - center - 0.5).max() < 2.5 + 0.05


def test_draws_differ_and_are_reproducible(tmp_path, encoder):
    data = AnnotatedPairs(market(tmp_path), "train", encoder, (128, 64), augmentation=PublishedAugmentation())
    assert torch.equal(data[0].source, data[0, 0].source)
    assert torch.equal(data[0, 3].target, data[0, 3].target)
    assert not torch.equal(data[0, 3].source, data[0, 4].source)
    other = AnnotatedPairs(tmp_path, "train", encoder, (128, 64), augmentation=PublishedAugmentation(), seed=1)
    assert not torch.equal(data[0].source, other[0].source)
    assert torch.equal(data[-1].source, data[0].source)
    with pytest.raises(IndexError):
        data[1]


def test_data_sets_can_be_pickled(tmp_path, encoder):
    data = AnnotatedPairs(market(tmp_path), "train", encoder, (128, 64), augmentation={"type": "PublishedAugmentation"})
    copy = pickle.loads(pickle.dumps(data))
    assert torch.equal(copy[0, 2].source, data[0, 2].source)


# COCO


@pytest.fixture
def coco_root(tmp_path):
    write_image(tmp_path / "a.png", picture(100, 80, seed=0))
    write_image(tmp_path / "b.png", picture(100, 80, seed=1))
    return tmp_path


def coco_pairs(root, data, encoder, **options):
    return CocoPairs(write_json(root / "coco.json", data), root, encoder, size=(128, 64), **options)


def test_two_annotations_of_one_person_are_pairs_in_both_orders(coco_root, encoder, capsys):
    people = [person(0, person_id=5), person(1, person_id=5), person(1, person_id=6)]
    data = coco_pairs(coco_root, coco_set(*people, images=("a.png", "b.png")), encoder)
    assert [pair.name for pair in data] == ["a_0_2_b_1_vis", "b_1_2_a_0_vis"]
    assert data.skipped == {"no other picture of the person": 1}
    assert "loading annotations" not in capsys.readouterr().out  # pycocotools is kept quiet


def test_track_ids_are_unique_within_a_video_only(coco_root, encoder):
    people = [person(0, track_id=0), person(1, track_id=0)]
    images = ("a.png", "b.png")
    assert len(coco_pairs(coco_root, coco_set(*people, images=images, vid_id="v"), encoder)) == 2
    data = coco_set(*people, images=images)
    data["images"][1]["vid_id"] = "other"
    with pytest.raises(DataError, match="no pair of pictures of one person"):
        coco_pairs(coco_root, data, encoder)


def test_without_identities_the_mirror_image_is_the_target(coco_root, encoder):
    """The target's heat maps are the mirrored ones, left and right exchanged (up to truncation)."""
    data = coco_pairs(coco_root, coco_set(person(0)), encoder)
    pair = data[0]
    assert pair.name == "a_0_2_a_mirror_vis"
    assert torch.equal(pair.target, pair.source.flip(-1))
    source, target = (encoder.decode(s).points for s in (pair.source_structure, pair.target_structure))
    assert abs(target[LEFT_ELBOW] - (63 - source[RIGHT_ELBOW][0], source[RIGHT_ELBOW][1])).max() <= 1
    assert abs(target[NECK] - (63 - source[NECK][0], source[NECK][1])).max() <= 1
    assert abs(source[LEFT_ELBOW] - source[RIGHT_ELBOW]).max() > 1
    pickle.loads(pickle.dumps(data))[0]


def test_the_crop_has_the_target_proportions_and_gray_borders(coco_root, encoder):
    assert crop_box((10, 20, 20, 40), (100, 100), (64, 32), padding=0.15) == (7, 14, 33, 66)
    assert crop_box((10, 20, 40, 20), (100, 100), (50, 50), padding=0.0) == (10, 10, 50, 50)
    assert crop_box((-1e9, -1e9, 2e9, 2e9), (100, 80), (100, 80), padding=0.0) == (0, 0, 80, 100)
    crop = coco_pairs(coco_root, coco_set(person(0, bbox=[0, 0, 80, 20])), encoder, padding=0.0)[0].source
    # 80×20 becomes 80×160 about row 10: rows −70 to 90, of which 0 to 90 show the image, at 0.8 of their size
    assert (to_uint8(crop)[:55] == 128).all()
    assert to_uint8(crop)[60:].std() > 20


def test_a_photograph_is_turned_by_exif_where_its_size_in_the_file_says_so(coco_root, encoder):
    exif = Image.Exif()
    exif[0x0112] = 8
    upright = Image.fromarray(picture(100, 80))
    upright.transpose(Image.Transpose.ROTATE_270).save(coco_root / "a.png", exif=exif)
    (coco_root / "plain").mkdir()
    upright.save(coco_root / "plain" / "a.png")
    sizes = {"width": 80, "height": 100}
    turned = coco_pairs(coco_root, coco_set(person(0), **sizes), encoder)
    plain = coco_pairs(coco_root / "plain", coco_set(person(0), **sizes), encoder)
    np.testing.assert_array_equal(turned[0].source, plain[0].source)
    stored = coco_pairs(coco_root, coco_set(person(0), width=100, height=80), encoder)
    assert not np.array_equal(stored[0].source, plain[0].source)
    examined = CocoPairs.examine(coco_root / "coco.json", coco_root, encoder)
    assert [finding.kind for info in examined for finding in check_image(info).findings] == ["orientation"]


def test_points_move_with_the_crop(coco_root, encoder):
    """The box 8..48 × 0..80 has the proportions 1:2 already: points move by (8, 0) and grow by 1.6."""
    entry = person(0, bbox=[8, 0, 40, 80], left=10, top=20)
    pair = coco_pairs(coco_root, coco_set(entry), encoder, padding=0.0)[0]
    x, y = coco_point("left_elbow")
    expected = [int((x - 8) * 1.6), int(y * 1.6)]
    assert encoder.decode(pair.source_structure).points[LEFT_ELBOW].tolist() == expected


def test_unusable_annotations_are_counted(coco_root, encoder):
    people = [
        person(0),
        person(0, missing=COCO_NAMES[:10]),
        person(0, iscrowd=1),
        {"image_id": 0, "bbox": [0, 0, 9, 9]},
    ]
    data = coco_pairs(coco_root, coco_set(*people), encoder, min_keypoints=8)
    assert len(data) == 1
    assert data.skipped == {"fewer than 8 key points": 2, "a crowd": 1}


def test_unused_annotations_are_logged(coco_root, encoder, caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        people = [person(0), person(0, iscrowd=1), *[person(0, missing=COCO_NAMES[:10])] * 2]
        coco_pairs(coco_root, coco_set(*people), encoder, min_keypoints=8)
        coco_pairs(coco_root, coco_set(person(0)), encoder)
    finally:
        logger.removeHandler(caplog.handler)
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.INFO, "coco.json: 1 pair; left out: 1 annotation: a crowd, 2 annotations: fewer than 8 key points"),
        (logging.INFO, "coco.json: 1 pair"),
    ]


def test_all_bad_annotations_and_missing_images_are_reported_at_once(coco_root, encoder):
    short = {**person(0), "keypoints": [1] * 48}
    people = [person(0), short, person(1), person(2), person(7), person(0, bbox=[0, 0, float("nan"), 2])]
    data = coco_set(*people, images=("a.png", "gone.png", "/etc/x.png"))
    with pytest.raises(DataError) as error:
        coco_pairs(coco_root, data, encoder)
    text = str(error.value)
    assert "coco.json: 5 problems" in text
    for expected in [
        "annotation 1: 48 numbers, expected 51",
        "annotation 3: '/etc/x.png' is no path below a folder",
        "annotation 4: image 7 is not among the images",
        "annotation 5: bbox [0, 0, nan, 2] is not finite",
        "no file 'gone.png'",
    ]:
        assert expected in text


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "not JSON"),
        ("[]", "not COCO's form"),
        ("{}", "needs 'images' and 'annotations'"),
        ('{"images": [], "annotations": [{}]}', "not COCO's form: KeyError"),
        ('{"images": [], "annotations": []}', "no pair of pictures"),
    ],
)
def test_other_files_are_refused_as_coco(tmp_path, encoder, content, problem):
    (tmp_path / "coco.json").write_text(content)
    with pytest.raises(DataError, match=problem) as error:
        CocoPairs(tmp_path / "coco.json", tmp_path, encoder)
    assert "coco.json" in str(error.value)


def test_a_missing_coco_file_is_named(tmp_path, encoder):
    with pytest.raises(DataError, match=r"nowhere\.json.*\n.*no such file"):
        CocoPairs(tmp_path / "nowhere.json", tmp_path, encoder)
