"""Key-point layouts of people: data sets and files of any of them, and conversions between them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from posegen_faces.layouts import IBUG_68
from posegen_people import posegen_write_keypoints
from posegen_people.annotations import read_annotations
from posegen_people.body_mask import BodyMask
from posegen_people.layouts import BODY_25, COCO_17, LAYOUTS, LSP_14, OPENPOSE_18, WHOLE_BODY_133
from posegen_people.limb_flow import LimbFlow
from posegen_people.pairs import AnnotatedPairs, CocoPairs

from posegen.checking import check_data
from posegen.data import HeatmapEncoder, Keypoints, convert_keypoints
from posegen.data.images import write_image
from posegen.data.keypoints import select_keypoints
from posegen.errors import ConfigError, DataError, InputError
from posegen.inference import read_keypoint_file
from posegen.losses import FeatureCache, LossInputs
from posegen.models.priors import PartFlow
from posegen.records import Transfer, collate_pairs
from posegen.registry import DATASETS

SIZE = (64, 32)
STANDING = {
    "head top": (16, 3), "nose": (16, 8), "neck": (16, 13), "right eye": (15, 7), "left eye": (17, 7),
    "right ear": (14, 7), "left ear": (18, 7), "mid hip": (16, 32),
    "right shoulder": (11, 14), "right elbow": (9, 22), "right wrist": (8, 29),
    "left shoulder": (21, 14), "left elbow": (23, 22), "left wrist": (24, 29),
    "right hip": (13, 32), "right knee": (12, 44), "right ankle": (12, 56),
    "left hip": (19, 32), "left knee": (20, 44), "left ankle": (20, 56),
}  # fmt: skip
"""A person upright, seen from the front, in an image of 32×64."""


def standing(layout, missing=(), shift=0):
    points = [STANDING.get(name, (0, 0)) for name in layout.names]
    present = [name in STANDING and name not in missing for name in layout.names]
    return Keypoints(np.add(points, (shift, 0)), present)


def annotated(root, layout, split="train", names=("0001_c1s1_1.png", "0001_c2s1_1.png")):
    """A data set of one pair whose list has the points of a layout."""
    rows = ["name:keypoints_y:keypoints_x"]
    for shift, name in enumerate(names):
        write_image(root / split / name, np.random.default_rng(shift).integers(0, 256, (*SIZE, 3), np.uint8))
        points = standing(layout, shift=shift).points.astype(int)
        rows.append(f"{name}: {points[:, 1].tolist()}: {points[:, 0].tolist()}")
    (root / f"market-annotation-{split}.csv").write_text("\n".join(rows))
    (root / f"market-pairs-{split}.csv").write_text("from,to\n{},{}\n".format(*names))
    return root


def config(root, layout, **options):
    structure = {"type": "HeatmapEncoder", "layout": layout.name, "sigma": 2}
    return {
        "type": "AnnotatedPairs",
        "root": str(root),
        "split": "train",
        "structure": structure,
        "size": SIZE,
        **options,
    }


# The layouts


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_partners_are_mutual_and_exchange_left_and_right(layout):
    for name, partner in zip(layout.names, layout.partner, strict=True):
        other = layout.names[partner]
        assert layout.partner[partner] == layout.names.index(name)
        if not name.startswith("face"):
            swapped = {"left": "right", "right": "left"}
            assert other == " ".join(swapped.get(word, word) for word in name.split())


def test_layouts_have_the_published_numbers_of_points():
    assert {layout.name: len(layout) for layout in LAYOUTS} == {
        "openpose18": 18,
        "body25": 25,
        "coco17": 17,
        "lsp14": 14,
        "wholebody133": 133,
    }


def test_the_landmarks_of_a_whole_body_are_mirrored_like_those_of_faces():
    first = WHOLE_BODY_133.names.index("face 0")
    assert tuple(partner - first for partner in WHOLE_BODY_133.partner[first : first + 68]) == IBUG_68.partner


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_every_layout_has_the_parts_of_a_body_and_gives_a_prior(layout):
    assert [part.name for part in layout.parts] == [part.name for part in OPENPOSE_18.parts]
    encoder = HeatmapEncoder(layout, sigma=2)
    source, target = (encoder.encode(standing(layout, shift=shift), SIZE)[None] for shift in (3, 0))
    flow = PartFlow(layout)(source, target).flow[0, :, 24, 16]  # on the torso
    assert torch.allclose(flow, torch.tensor([3.0, 0.0]), atol=0.1)


# Conversion


@pytest.mark.parametrize("layout", [BODY_25, COCO_17, WHOLE_BODY_133], ids=lambda layout: layout.name)
def test_points_are_converted_by_name(layout):
    found = convert_keypoints(standing(layout), layout.names, OPENPOSE_18)
    expected = standing(OPENPOSE_18)
    assert found.present.all()
    away = np.abs(found.points - expected.points).max(1)
    assert dict(zip(OPENPOSE_18.names, away.tolist(), strict=True)) == {
        name: 0 if name != "neck" or layout is BODY_25 else 1 for name in OPENPOSE_18.names
    }  # the middle of the shoulders lies a pixel below the neck


def test_a_mean_needs_all_its_points():
    found = convert_keypoints(standing(COCO_17, missing=["left shoulder"]), COCO_17.names, OPENPOSE_18)
    assert [name for name, present in zip(OPENPOSE_18.names, found.present, strict=True) if not present] == [
        "neck",
        "left shoulder",
    ]


def test_a_conversion_keeps_the_rest_of_the_record():
    points = standing(BODY_25)
    points.frame, points.chosen, points.listed = (64, 32), "2 of 3", True
    found = convert_keypoints(points, BODY_25.names, COCO_17)
    assert (found.frame, found.chosen, found.listed) == ((64, 32), "2 of 3", True)


@pytest.mark.parametrize(
    ("own", "layout", "lacking"),
    [
        (OPENPOSE_18, LSP_14, "head top"),
        (LSP_14, COCO_17, "left eye, right eye, left ear, right ear"),
        (COCO_17, BODY_25, "left big toe, left small toe, left heel, right big toe, right small toe, right heel"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_points_without_a_counterpart_are_named(own, layout, lacking):
    with pytest.raises(InputError, match=f"no counterpart of {lacking}, which the layout '{layout.name}' needs"):
        convert_keypoints(standing(own), own.names, layout)


def test_points_and_names_must_be_as_many():
    with pytest.raises(ValueError, match="shorter"):
        convert_keypoints(standing(COCO_17), OPENPOSE_18.names, OPENPOSE_18)


# Data sets


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_lists_have_the_points_of_the_structures_layout(layout, tmp_path):
    pairs = DATASETS.build_part(config(annotated(tmp_path, layout), layout, foreground={"type": "BodyMask"}))
    pair = pairs[0]
    assert pair.source_structure.shape == (len(layout), *SIZE)
    assert pair.source_structure[layout.names.index("left knee"), 44, 20] == 1
    assert pair.target_structure[layout.names.index("left knee"), 44, 21] == 1
    assert pair.foreground.shape == (1, *SIZE)
    assert pair.foreground[0, 24, 17] == 1
    assert pair.foreground[0, :, 31].sum() == 0


def test_the_layout_of_a_list_goes_through_the_check(tmp_path):
    root = annotated(tmp_path, LSP_14)
    report = check_data({"train_dataloader": {"dataset": config(root, LSP_14)}})
    assert report.findings == []
    assert report.splits["train"].points == 2 * 14


def test_a_list_of_another_layout_is_one_problem_that_names_the_layout(tmp_path):
    root = annotated(tmp_path, LSP_14)
    with pytest.raises(DataError) as error:
        AnnotatedPairs(root, "train", HeatmapEncoder(OPENPOSE_18), SIZE)
    expected = "row 2: keypoints_y has 14 numbers, 18 expected, the points of 'openpose18'"
    assert error.value.problems == [f"{expected}; the layout of 14 points is 'lsp14'"]
    (tmp_path / "odd.csv").write_text("name:keypoints_y:keypoints_x\na.png: [1, 2]: [1, 2]\n")
    with pytest.raises(
        DataError, match=r"no layout of people has 2 points\n.*Layouts: openpose18 \(18\), body25 \(25\)"
    ):
        read_annotations(tmp_path / "odd.csv", LSP_14)


def test_a_list_of_a_named_layout_is_converted_and_what_it_lacks_is_missing(tmp_path):
    root = annotated(tmp_path, LSP_14)
    dataset = {**config(root, OPENPOSE_18, foreground={"type": "BodyMask"}), "listed": "lsp14"}
    pair = DATASETS.build_part(dataset)[0]
    assert pair.source_structure.shape == (18, *SIZE)
    assert pair.source_structure[OPENPOSE_18.names.index("left knee"), 44, 20] == 1
    found = pair.source_structure.amax((1, 2)) > 0
    face = ("left eye", "right eye", "left ear", "right ear")
    assert [name for name, there in zip(OPENPOSE_18.names, found, strict=True) if not there] == [
        name for name in OPENPOSE_18.names if name in face
    ]
    report = check_data({"train_dataloader": {"dataset": dataset}})
    assert report.findings == []
    assert report.splits["train"].points == 2 * 14  # as listed


@pytest.mark.parametrize(("names", "nose"), [(LSP_14.names, [10, 20]), ((*LSP_14.names, "nose"), None)])
def test_the_middle_of_the_head_stands_in_for_a_nose_that_the_other_layout_does_not_have(names, nose):
    points = np.zeros((len(names), 2))
    points[names.index("neck")], points[names.index("head top")] = [12, 30], [8, 10]
    found = select_keypoints(Keypoints(points, [name != "nose" for name in names]), names, OPENPOSE_18)
    assert found.present[0] == (nose is not None)
    assert nose is None or found.points[0].tolist() == nose


def test_a_foreground_of_another_layout_and_a_structure_without_points_are_refused(tmp_path):
    root = annotated(tmp_path, LSP_14)
    mask = BodyMask(OPENPOSE_18)
    with pytest.raises(ConfigError, match=r"layout 'lsp14', but the structure encoder BodyMask takes .* 'openpose18'"):
        AnnotatedPairs(root, "train", HeatmapEncoder(LSP_14), SIZE, foreground=mask)
    with pytest.raises(ConfigError, match="has key points, and the structure encoder ViewEncoder takes none"):
        AnnotatedPairs(root, "train", {"type": "ViewEncoder"}, SIZE)


def coco_file(root, names=None):
    """COCO's form with two images of one person."""
    points = standing(COCO_17).points.tolist()
    people = [{"id": k, "image_id": k, "category_id": 1, "person_id": 5} for k in range(2)]
    for person in people:
        person["keypoints"] = [value for point in points[: len(names or points)] for value in (*point, 2)]
        write_image(root / f"{person['id']}.png", np.zeros((*SIZE, 3), np.uint8))
    images = [{"id": k, "file_name": f"{k}.png"} for k in range(2)]
    category = {"id": 1, "name": "person", **({"keypoints": names} if names else {})}
    file = root / "people.json"
    file.write_text(json.dumps({"images": images, "annotations": people, "categories": [category]}))
    return file


def test_coco_points_are_converted_to_the_structures_layout(tmp_path):
    file = coco_file(tmp_path)
    for layout in (COCO_17, OPENPOSE_18):
        pairs = CocoPairs(file, tmp_path, HeatmapEncoder(layout), SIZE)
        assert pairs[0].source_structure.shape == (len(layout), *SIZE)
        assert pairs[0].source_structure.flatten(1).amax(1).min() == 1


def test_coco_points_that_a_layout_needs_are_named_once(tmp_path):
    with pytest.raises(DataError) as error:
        CocoPairs(coco_file(tmp_path), tmp_path, HeatmapEncoder(LSP_14), SIZE)
    assert error.value.problems == [
        "the points of layout 'coco17' have no counterpart of head top, which 'lsp14' needs"
    ]
    assert "can be converted to: openpose18, coco17." in str(error.value)


def test_a_category_with_points_of_its_own_leaves_the_others_missing(tmp_path):
    names = [
        "head_top",
        "neck",
        *(f"{side}_{joint}" for side in ("left", "right") for joint in ("hip", "knee", "ankle")),
    ]
    pairs = CocoPairs(coco_file(tmp_path, names), tmp_path, HeatmapEncoder(LSP_14), SIZE)
    known = pairs.people[0].keypoints.present
    assert {name for name, present in zip(LSP_14.names, known, strict=True) if present} == {
        name.replace("_", " ") for name in names
    }


# Files of one picture


def openpose_file(folder, layout, key="people"):
    triples = np.column_stack([standing(layout).points, standing(layout).present]).ravel().tolist()
    file = folder / f"{layout.name}.json"
    file.write_text(json.dumps({key: [{"pose_keypoints_2d": triples}]}))
    return file


def test_a_pose_file_is_converted_to_the_layout_of_the_model(tmp_path):
    for own in (OPENPOSE_18, BODY_25):
        found = read_keypoint_file(openpose_file(tmp_path, own), COCO_17, None)
        np.testing.assert_array_equal(found.points, standing(COCO_17).points)
    with pytest.raises(
        DataError, match="the points of layout 'body25' have no counterpart of head top, which 'lsp14' needs"
    ):
        read_keypoint_file(openpose_file(tmp_path, BODY_25), LSP_14, None)


def test_the_133_points_of_mmpose_are_reduced(tmp_path):
    whole = standing(WHOLE_BODY_133)
    instance = {"keypoints": whole.points.tolist(), "keypoint_scores": np.where(whole.present, 0.9, 0.1).tolist()}
    (tmp_path / "whole.json").write_text(json.dumps([instance]))
    found = read_keypoint_file(tmp_path / "whole.json", COCO_17, None)
    np.testing.assert_array_equal(found.points, standing(COCO_17).points)
    assert found.present.all()


def test_a_row_of_a_list_is_read_in_the_layout_of_the_model(tmp_path):
    root = annotated(tmp_path, LSP_14)
    found = read_keypoint_file(root / "market-annotation-train.csv", LSP_14, Path("0001_c2s1_1.png"))
    np.testing.assert_array_equal(found.points, standing(LSP_14, shift=1).points)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_points_of_any_layout_are_written_and_read_again(layout, tmp_path):
    points = standing(layout, missing=["left wrist"])
    points.frame = SIZE
    file = posegen_write_keypoints(tmp_path / "pose", points, layout)
    found = read_keypoint_file(file, layout, None)
    np.testing.assert_array_equal(found.present, points.present)
    np.testing.assert_array_equal(found.points[found.present], points.points[points.present])
    assert found.frame == SIZE


# The loss


def step(batch, flow):
    return LossInputs(batch, Transfer(torch.empty(0), [flow], []), FeatureCache(lambda image, layers: {}, {}, []))


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_limb_flow_is_0_where_the_flow_moves_as_the_limbs_do(layout, tmp_path):
    batch = collate_pairs([AnnotatedPairs(annotated(tmp_path, layout), "train", HeatmapEncoder(layout), SIZE)[0]])
    rest = torch.zeros(1, 2, *SIZE)
    moved = rest - torch.tensor([1.0, 0.0])[:, None, None]  # the target is the source moved by a pixel to the right
    assert LimbFlow(layout)(step(batch, moved)) < 1e-3
    assert LimbFlow(layout)(step(batch, rest)) == pytest.approx(1, abs=0.1)


def test_limb_flow_refuses_a_structure_of_fewer_points(tmp_path):
    batch = collate_pairs([AnnotatedPairs(annotated(tmp_path, LSP_14), "train", HeatmapEncoder(LSP_14), SIZE)[0]])
    with pytest.raises(ConfigError, match="18 key points of layout 'openpose18', and the structures have 14 channels"):
        LimbFlow("openpose18")(step(batch, torch.zeros(1, 2, *SIZE)))
