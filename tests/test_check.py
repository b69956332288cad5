"""`posegen check`: what it finds in a data set, what it says, and how it ends. All files are made up on the spot."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from rich.console import Console

from posegen.checking import Report, check_data, print_report, write_findings
from posegen.checking.check import DRAWN_SAMPLES, check_image
from posegen.cli import main
from posegen.data import PairDataset
from posegen.data.findings import Finding, ImageInfo
from posegen.data.images import write_image
from posegen.errors import ConfigError, DataError
from posegen.registry import DATASETS

from .conftest import CONFIGS

HEATMAPS = {"type": "HeatmapEncoder", "layout": "openpose18"}
HEADER = "name:keypoints_y:keypoints_x\n"
INSIDE = ([*range(10, 28)], [*range(20, 38)])  # y and x of 18 points in 128×64 pixels


def picture(seed: int, height: int = 128, width: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def names(*people: int) -> list[str]:
    """Two images of each person, called as those of Market-1501."""
    return [f"{person:04d}_c{camera}s1_000001_00.png" for person in people for camera in (1, 2)]


def market(root: Path, split: str, people=(1, 2), seed: int = 0) -> Path:
    """A sound data set: both images of each person, in both orders."""
    images = names(*people)
    for i, name in enumerate(images):
        write_image(root / split / name, picture(1000 * seed + i))
    rows = "".join(f"{name}: {INSIDE[0]}: {INSIDE[1]}\n" for name in images)
    (root / f"market-annotation-{split}.csv").write_text(HEADER + rows)
    pairs = [(images[i], images[i ^ 1]) for i in range(len(images))]
    (root / f"market-pairs-{split}.csv").write_text("from,to\n" + "".join(f"{s},{t}\n" for s, t in pairs))
    return root


def config_of(**datasets) -> dict:
    return {f"{split}_dataloader": {"dataset": dataset} for split, dataset in datasets.items()}


def pairs_config(root: Path, *splits: str, **options) -> dict:
    common = {"type": "AnnotatedPairs", "root": root, "structure": HEATMAPS, "size": (128, 64), **options}
    return config_of(**{split: {**common, "split": "train" if split == "train" else "test"} for split in splits})


def found(report: Report) -> dict[str, list[Finding]]:
    kinds: dict[str, list[Finding]] = {}
    for finding in report.findings:
        kinds.setdefault(finding.kind, []).append(finding)
    return kinds


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """A data set in which nothing is wrong: training and test have no person in common."""
    market(tmp_path / "data", "train", (1, 2), seed=1)
    return market(tmp_path / "data", "test", (3, 4), seed=2)


# What is found


def test_a_sound_data_set_has_no_findings_and_is_counted(sound):
    report = check_data(pairs_config(sound, "train", "val", "test"))
    assert report.findings == []
    split = report.splits["train"]
    assert (split.samples, split.images, split.points, split.missing_points) == (4, 4, 4 * 18, 0)


def test_all_problems_of_lists_and_images_are_found_at_once(tmp_path):
    root = market(tmp_path, "train", (1, 2, 3, 4, 5, 6, 7), seed=1)
    gone, cut, large, empty, off, far, blank, copy = (names(*range(1, 8))[i] for i in (0, 2, 4, 6, 8, 10, 12, 13))
    folder, annotations, pairs = root / "train", root / "market-annotation-train.csv", root / "market-pairs-train.csv"
    (folder / gone).unlink()
    (folder / cut).write_bytes((folder / cut).read_bytes()[:300])
    write_image(folder / large, picture(5, 140, 64))
    write_image(folder / blank, np.full((128, 64, 3), 7, np.uint8))
    write_image(folder / copy, picture(1001))  # the content of the second image
    rows = annotations.read_text().splitlines()
    missing, slightly, all_beyond = [-1] * 18, [*INSIDE[1][:-1], 66], [x + 100 for x in INSIDE[1]]
    points = {empty: (missing, missing), off: (INSIDE[0], slightly), far: (INSIDE[0], all_beyond)}
    rows = [f"{name}: {points[name][0]}: {points[name][1]}" if (name := r.split(":")[0]) in points else r for r in rows]
    annotations.write_text("\n".join([*rows, rows[2], "bad.png: [1]: [2]", ""]))
    one, other = names(1)[1], names(2)[1]
    append(pairs, f"{other},{one}\n{one},{one}\n{one},unknown.png\n{names(1)[0]},{one}\nonly one\n")

    kinds = found(check_data(pairs_config(root, "train")))

    assert [(f.row, f.file) for f in kinds["bad row"]] == [("17", str(annotations)), ("20", str(pairs))]
    assert [(f.row, f.sample) for f in kinds["duplicate row"]] == [("16", names(1)[1]), ("19", one)]
    assert [(f.row, f.sample) for f in kinds["no annotation"]] == [("18", "unknown.png")]
    assert [(f.row, f.sample) for f in kinds["same image"]] == [("17", one)]
    assert [(f.row, f.sample) for f in kinds["two persons"]] == [("16", one)]
    assert gone in kinds["missing image"][0].text
    by_image = {
        "broken image": (cut, "truncated"),
        "size": (large, "64×140 pixels; 11 of 12 images of the split have 64×128"),
        "no key points": (empty, "missing"),
        "blank image": (blank, "7"),
        "duplicate image": (copy, f"has the content of {names(1)[1]}"),
    }
    for kind, (name, words) in by_image.items():
        assert [f.sample for f in kinds[kind]] == [name], kind
        assert words in kinds[kind][0].text
    outside = {f.sample: (f.severity, f.text) for f in kinds["points outside"]}
    assert outside == {
        off: ("warning", "1 of 18 key points lie outside 64×128"),
        far: ("error", "18 of 18 key points lie outside 64×128"),  # they count pixels of something else
    }
    assert len(kinds["missing image"]) == 2  # the one taken away, and the one that no list annotates
    assert all(f.split == "train" for fs in kinds.values() for f in fs)


def test_few_key_points_are_less_than_half(tmp_path):
    root = market(tmp_path, "train", (1,))
    rows = [f"{name}: {INSIDE[0]}: {[*INSIDE[1][:there], *[-1] * (18 - there)]}\n" for name, there in
            zip(names(1), (8, 9), strict=True)]  # fmt: skip
    (root / "market-annotation-train.csv").write_text(HEADER + "".join(rows))
    report = check_data(pairs_config(root, "train"))
    assert [(f.kind, f.sample, f.text) for f in report.findings] == [
        ("few key points", names(1)[0], "8 of 18 are there")
    ]
    assert report.splits["train"].missing_points == 10 + 9


def standing(**moved: tuple[int, int]) -> tuple[list[int], list[int]]:
    """Return y and x of the 14 points of a person upright in 128×64 pixels, some of them moved to (x, y)."""
    places = {
        "head_top": (32, 4), "neck": (32, 24),
        "right_shoulder": (22, 26), "right_elbow": (18, 42), "right_wrist": (16, 58),
        "left_shoulder": (42, 26), "left_elbow": (46, 42), "left_wrist": (48, 58),
        "right_hip": (26, 62), "right_knee": (25, 90), "right_ankle": (24, 118),
        "left_hip": (38, 62), "left_knee": (39, 90), "left_ankle": (40, 118),
    } | moved  # fmt: skip
    x, y = zip(*places.values(), strict=True)
    return list(y), list(x)


def test_points_in_wrong_places_are_found_by_the_proportions_of_the_parts(tmp_path):
    rows = {
        "0001_c1s1_000001_00.png": standing(),
        "0001_c2s1_000001_00.png": standing(left_wrist=(2, 118)),  # on the right foot: 88 pixels from the elbow
        "0002_c1s1_000001_00.png": standing(left_wrist=(2, 110)),  # 81 pixels: 2.1 torsos of 38
        "0002_c2s1_000001_00.png": standing(left_wrist=(10, 100)),  # 68 pixels
    }
    root = market(tmp_path, "train", (1, 2))
    text = "".join(f"{name}: {y}: {x}\n" for name, (y, x) in rows.items())
    (root / "market-annotation-train.csv").write_text(HEADER + text)
    report = check_data(pairs_config(root, "train", structure={"type": "HeatmapEncoder", "layout": "lsp14"}), ["train"])
    assert {finding.sample: finding.text for finding in report.findings} == {
        "0001_c2s1_000001_00.png": "left forearm: 88 pixels, 2.3 times as long as torso",
        "0002_c1s1_000001_00.png": "left forearm: 81 pixels, 2.1 times as long as torso",
    }
    assert {(finding.kind, finding.severity) for finding in report.findings} == {("odd proportions", "warning")}


def test_doubles_and_tiny_images_are_found(sound):
    first, second, third, *_ = sorted((sound / "train").iterdir())
    second.write_bytes(first.read_bytes())
    write_image(third, picture(5, 30, 15))
    kinds = found(check_data(pairs_config(sound, "train"), ["train"]))
    assert [(finding.sample, finding.text) for finding in kinds["duplicate image"]] == [
        (second.name, f"has the content of {first.name}")
    ]
    assert [(finding.sample, finding.text) for finding in kinds["tiny image"]] == [(third.name, "15×30 pixels")]


def test_square_images_of_another_frame_are_reported(tmp_path):
    root = market(tmp_path, "train", (1,))
    for i, name in enumerate(names(1)):
        write_image(root / "train" / name, picture(i, 256, 256))
    framed = pairs_config(root, "train", keypoint_frame=(256, 176))
    assert [f.kind for f in check_data(framed).findings] == ["proportions"] * 2
    assert check_data(pairs_config(root, "train", keypoint_frame=(256, 176), crop_to_frame=True)).findings == []


@pytest.mark.parametrize(("said", "kinds"), [("55x80", []), ("64x64", ["proportions"]), ("0x0", ["proportions"])])
def test_images_resized_by_prepare_are_checked_by_their_original_size(tmp_path, said, kinds):
    text = PngImagePlugin.PngInfo()
    text.add_text("posegen-size-before", said)
    Image.fromarray(picture(1, 64, 64)).save(tmp_path / "a.png", pnginfo=text)
    seen = check_image(ImageInfo(tmp_path / "a.png", "a.png", proportions=(256, 176)))
    assert [finding.kind for finding in seen.findings] == kinds


def test_a_test_image_in_training_is_found_by_content(sound):
    (sound / "test" / names(3)[0]).write_bytes((sound / "train" / names(1)[0]).read_bytes())
    report = check_data(pairs_config(sound, "train", "test"))
    assert [(f.kind, f.sample, f.split) for f in report.findings] == [("leaked image", names(3)[0], "test")]
    assert names(1)[0] in report.findings[0].text


def test_a_test_identity_in_training_is_one_finding(tmp_path):
    market(tmp_path, "train", (1, 2), seed=1)
    market(tmp_path, "test", (2, 3), seed=2)
    report = check_data(pairs_config(tmp_path, "train", "test"))
    assert [(f.kind, f.severity) for f in report.findings] == [("leaked identity", "error")]
    assert "person 0002" in report.findings[0].text


def test_deepfashion_identities_are_person_and_garment(tmp_path):
    for split, view in (("train", "1front"), ("test", "2side")):
        one, other = (f"fashionMENDenimid000000800{i}_{view}.png" for i in (1, 2))
        for i, name in enumerate((one, other)):
            write_image(tmp_path / split / name, picture(len(view) * 10 + i))
        row = f": {INSIDE[0]}: {INSIDE[1]}\n"
        (tmp_path / f"fasion-annotation-{split}.csv").write_text(f"{HEADER}{one}{row}{other}{row}")
        (tmp_path / f"fasion-pairs-{split}.csv").write_text(f"from,to\n{one},{other}\n")
    report = check_data(pairs_config(tmp_path, "train", "test", prefix="fasion"))
    assert [f.kind for f in report.findings] == ["leaked identity"]
    assert "fashionMENDenimid00000080" in report.findings[0].text


def test_a_name_in_both_splits_is_a_warning(tmp_path):
    for split, seed in (("train", 1), ("test", 2)):
        market(tmp_path, split, (1,), seed=seed)
        text = (tmp_path / f"market-pairs-{split}.csv").read_text()
        for i, name in enumerate(names(1)):  # names that tell no person
            (tmp_path / split / name).rename(tmp_path / split / f"{i}.png")
            text = text.replace(name, f"{i}.png")
            rows = (tmp_path / f"market-annotation-{split}.csv").read_text().replace(name, f"{i}.png")
            (tmp_path / f"market-annotation-{split}.csv").write_text(rows)
        (tmp_path / f"market-pairs-{split}.csv").write_text(text)
    report = check_data(pairs_config(tmp_path, "train", "test"))
    assert [(f.kind, f.severity, f.sample) for f in report.findings] == [
        ("leaked name", "warning", "0.png"),
        ("leaked name", "warning", "1.png"),
    ]


def test_one_split_is_not_compared_and_a_missing_split_is_an_error(sound):
    (sound / "test" / names(3)[0]).write_bytes((sound / "train" / names(1)[0]).read_bytes())
    assert check_data(pairs_config(sound, "train", "test"), ["test"]).findings == []
    with pytest.raises(ConfigError, match="no data set for val"):
        check_data(pairs_config(sound, "train", "test"), ["val"])


def test_findings_of_val_and_test_are_listed_once(sound):
    (sound / "test" / names(3)[0]).unlink()
    report = check_data(pairs_config(sound, "val", "test"))
    assert [f.split for f in report.findings] == ["test"]
    assert report.notes == ["val: 1 finding also listed for test"]


def test_missing_lists_are_findings_and_the_other_split_is_checked(sound):
    (sound / "market-pairs-test.csv").unlink()
    (sound / "train" / names(1)[0]).unlink()
    report = check_data(pairs_config(sound, "train", "test"))
    assert {(f.split, f.kind) for f in report.findings} == {("test", "unusable"), ("train", "missing image")}


def test_workers_find_the_same_in_the_same_order(sound):
    write_image(sound / "train" / names(2)[1], picture(1, 60, 60))
    (sound / "train" / names(1)[1]).write_text("no image")
    report = check_data(pairs_config(sound, "train", "test"), workers=2)
    assert report.findings == check_data(pairs_config(sound, "train", "test")).findings
    assert len(report.findings) > 1


# Other data sets


def test_coco(tmp_path):
    for i, name in enumerate(("a.png", "b.png", "c.png")):
        write_image(tmp_path / name, picture(i, 80, 80))
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    points = [value for i in range(17) for value in (i + 10, i + 20, 2)]
    beyond = [value for i in range(17) for value in (i + 10, i + 70, 2)]  # rows 70 to 86 of 80
    entries = [(1, 1, points), (2, 2, points), (3, 3, beyond), (4, 3, points[:-1])]
    content = {
        "images": [{"id": i, "file_name": f"{name}.png"} for i, name in enumerate("abc", 1)],
        "annotations": [{"id": i, "image_id": im, "keypoints": p, "person_id": 5} for i, im, p in entries],
    }
    (tmp_path / "train.json").write_text(json.dumps(content))
    dataset = {
        "type": "CocoPairs", "annotation_file": tmp_path / "train.json", "image_root": tmp_path, "structure": HEATMAPS,
    }  # fmt: skip
    kinds = found(check_data(config_of(train=dataset)))
    assert "annotation 4" in kinds.pop("bad annotation")[0].text
    assert [f.sample for f in kinds.pop("broken image")] == ["b.png"]
    assert [f.row for f in kinds.pop("points outside")] == ["annotation 3"]
    assert not kinds
    sound = {**content, "annotations": [entry for entry in content["annotations"] if entry["id"] in (1, 3)]}
    (tmp_path / "train.json").write_text(json.dumps(sound))
    leaked = check_data(config_of(train=dataset, test=dataset))
    assert {f.kind for f in leaked.findings if f.split == "test"} >= {"leaked image", "leaked identity"}
    assert any("person 5" in f.text for f in leaked.findings)


def faces(root: Path, split: str, video: str, seed: int) -> None:
    points = "".join(f"{i + 5},{i % 30 + 5}\n" for i in range(68))
    for t in range(3):
        write_image(root / f"{split}_data" / video / f"{t}.png", picture(seed + t, 80, 80))
        (root / f"{split}_keypoints" / video).mkdir(parents=True, exist_ok=True)
        (root / f"{split}_keypoints" / video / f"{t}.txt").write_text(points)


def test_faces(tmp_path):
    for i, video in enumerate(("first", "second", "third")):
        faces(tmp_path, "train", video, 10 * i)
    faces(tmp_path, "test", "third", 50)
    write_image(tmp_path / "train_data/first/1.png", picture(1, 90, 80))
    (tmp_path / "train_keypoints/second/2.txt").unlink()
    (tmp_path / "train_data/second/0.png").write_bytes(b"")  # found though the video cannot be used
    common = {"type": "FaceClips", "root": tmp_path, "structure": {"type": "FaceStructureEncoder"}, "length": 3}
    kinds = found(check_data(config_of(train={**common, "split": "train"}, test={**common, "split": "test"})))
    assert [f.sample for f in kinds.pop("size")] == ["first/1.png"]
    assert "second/2.txt" in kinds.pop("missing or bad file")[0].text
    assert [f.sample for f in kinds.pop("broken image")] == ["second/0.png"]
    assert "video third" in kinds.pop("leaked identity")[0].text
    assert not kinds


def test_dance(tmp_path):
    folder = tmp_path / "train_256"
    for i, video in enumerate(("first", "second", "short")):
        count = 1 if video == "short" else 3
        for t in range(count):
            write_image(folder / "train_A" / video / f"{t}.png", picture(10 * i + t, 80, 80))
            write_image(folder / "train_C" / video / f"{t}.png", np.full((80, 80, 3), 255, np.uint8))
        (folder / "train_video2d").mkdir(exist_ok=True)
        points = np.random.default_rng(i).uniform(1, 79, (count, 17, 2))
        points[0] = 0 if video == "first" else points[0]  # nobody was found
        np.save(folder / "train_video2d" / f"{video}.npy", points)
    (folder / "train_C/second/1.png").unlink()
    (folder / "train_A/second/2.png").write_bytes(b"")
    dataset = {
        "type": "DanceClips", "root": tmp_path, "split": "train", "length": 2, "masks": True,
        "structure": {"type": "DanceStructureEncoder"},
    }  # fmt: skip
    kinds = found(check_data(config_of(train=dataset)))
    assert "train_C/second/1.png" in kinds.pop("missing or bad file")[0].text
    assert [f.sample for f in kinds.pop("broken image")] == ["second/2.png"]
    assert [f.sample for f in kinds.pop("no key points")] == ["first/0.png"]
    assert "short: 1 frames, clips have 2" in kinds.pop("short video")[0].text
    assert not kinds, "white masks are alike, and that is no finding"


def test_views(tmp_path):
    with h5py.File(tmp_path / "data_car.hdf5", "w") as file:
        for model in ("a", "b"):
            for azimuth in (0, 2, 4):
                group = file.create_group(f"{model}_{azimuth}_10")
                group["image"] = picture(ord(model) + azimuth, 32, 32)
                group["pose"] = np.array([azimuth, 10])
        file["b_4_10/pose"][0] = 400
    (tmp_path / "id_car_train.txt").write_text("a\nb_0_10\nb_4_10\nb_0_10\nnone_0_0\n")
    (tmp_path / "id_car_test.txt").write_text("b_2_10\nb_0_10\n")
    common = {"type": "ViewPairs", "root": tmp_path, "category": "car", "structure": {"type": "ViewEncoder"}}
    report = check_data(config_of(train={**common, "split": "train"}, test={**common, "split": "test"}))
    kinds = found(report)
    assert [(f.row, f.file) for f in kinds.pop("bad row")] == [("5", str(tmp_path / "id_car_train.txt"))]
    assert [(f.row, f.sample) for f in kinds.pop("duplicate row")] == [("4", "b_0_10")]
    assert "out of range: azimuth 400" in kinds.pop("broken image")[0].text
    assert [f.sample for f in kinds.pop("leaked image")] == ["b_0_10"]
    assert "model b" in kinds.pop("leaked identity")[0].text
    assert not kinds
    assert report.splits["train"].images == 5


def test_errors_of_the_constructor_are_findings(tmp_path):
    with h5py.File(tmp_path / "data_car.hdf5", "w") as file:
        file["a_0_10/image"], file["a_0_10/pose"] = picture(0, 32, 32), np.array([0, 10])
    (tmp_path / "id_car_train.txt").write_text("a\n")
    dataset = {
        "type": "ViewPairs", "root": tmp_path, "category": "car", "split": "train", "structure": {"type": "ViewEncoder"}
    }  # fmt: skip
    report = check_data(config_of(train=dataset))
    assert "no model has two renders" in report.findings[0].text


class Handmade(PairDataset):
    """A data set that does not list its files; two of its samples cannot be read."""

    def __init__(self, root: str = "", count: int = 40) -> None:
        self.root, self.count = root, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> int:
        if index == 3:
            raise DataError("3.png", ["truncated", "and old"])
        if index == 30:
            raise ZeroDivisionError("thirty")
        return index


@pytest.fixture
def handmade(monkeypatch):
    monkeypatch.setitem(DATASETS._module_dict, "Handmade", Handmade)


def test_a_data_set_that_lists_no_files_is_read_sample_by_sample(handmade):
    report = check_data(config_of(train={"type": "Handmade", "root": "/nowhere"}), workers=2)
    assert [(f.sample, f.text) for f in report.findings] == [
        ("3", "truncated"),
        ("3", "and old"),
        ("30", "ZeroDivisionError: thirty"),
    ]
    assert "all 40 samples were read" in report.notes[0]


def test_paths_in_nested_arguments_count_as_files(handmade):
    inside = {"type": "Handmade", "root": [{"folder": "/nowhere"}]}
    assert len(check_data(config_of(train=inside)).findings) == 3


def test_a_few_samples_of_a_drawn_data_set_are_read(handmade):
    report = check_data(config_of(train={"type": "Handmade", "count": 1_000_000}))
    assert f"nothing is read from disk; {DRAWN_SAMPLES} of 1,000,000 samples were drawn" in report.notes[0]


class Faulty(Handmade):
    """A data set with a fault at the place that *root* names."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        if root == "/constructor":
            raise KeyError("points")

    @classmethod
    def examine(cls, root):
        """Its pictures."""
        yield FaultyPicture("a.png", "a")
        if root == "/examine":
            raise PermissionError(13, "Permission denied", "list.txt")


class FaultyPicture(ImageInfo):
    """A picture that cannot be read as it should be."""

    def read(self):
        """Raises."""
        raise IndexError("no page 3")


@pytest.mark.parametrize("place", ["examine", "picture"])
def test_exceptions_of_a_plugin_are_findings(monkeypatch, sound, place):
    monkeypatch.setitem(DATASETS._module_dict, "Faulty", Faulty)
    (sound / "test" / names(3)[0]).unlink()
    test = pairs_config(sound, "test")["test_dataloader"]["dataset"]
    kinds = found(check_data(config_of(train={"type": "Faulty", "root": f"/{place}"}, test=test)))
    assert [(f.sample, f.text) for f in kinds.pop("broken image")] == [("a", "IndexError: no page 3")]
    assert kinds.pop("missing image")
    unusable = [f.text for f in kinds.pop("unusable", [])]
    assert unusable == ["PermissionError: [Errno 13] Permission denied: 'list.txt'"] * (place == "examine")
    assert not kinds


def test_exceptions_of_a_constructor_are_findings_except_config_errors(monkeypatch, sound):
    monkeypatch.setitem(DATASETS._module_dict, "Faulty", Faulty)
    monkeypatch.delattr(Faulty, "examine")
    report = check_data(config_of(train={"type": "Faulty", "root": "/constructor"}))
    assert [(f.kind, f.text) for f in report.findings] == [("unusable", "KeyError: 'points'")]
    with pytest.raises(ConfigError, match="crop_to_frame needs a keypoint_frame"):
        check_data(pairs_config(sound, "train", crop_to_frame=True))


def test_pairs_beyond_the_limit_are_not_checked(sound):
    append(sound / "market-pairs-train.csv", f"{names(1)[0]},{names(1)[0]}\n{names(1)[0]},unknown.png\n")
    assert set(found(check_data(pairs_config(sound, "train", limit=4)))) == {"no annotation"}
    assert set(found(check_data(pairs_config(sound, "train", limit=5)))) == {"no annotation", "same image"}
    with pytest.raises(DataError, match=r"row 7: image 'unknown\.png' has no key points"):
        DATASETS.build_part(pairs_config(sound, "train", limit=4)["train_dataloader"]["dataset"])


# The command


def run(root: Path, out: Path, *arguments: str) -> int:
    config = CONFIGS / "gfla_market.py"
    return main(
        ["check", str(config), "--cfg-options", f"data_root={root}", "--workers", "0", "--out", str(out), *arguments]
    )


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_command_exits_with_0_without_findings(sound, tmp_path, capsys):
    assert run(sound, tmp_path / "findings.csv") == 0
    assert "nothing found" in capsys.readouterr().out
    assert (tmp_path / "findings.csv").read_text() == "split,severity,kind,file,row,sample,text\n"


def test_errors_exit_with_1_and_all_findings_are_in_the_csv(sound, tmp_path, capsys):
    for name in names(1, 2):
        (sound / "train" / name).unlink()
    assert run(sound, tmp_path / "findings.csv") == 1
    shown = capsys.readouterr().out
    assert "missing image, train" in shown
    assert "… and 1 more" in shown  # three of four
    rows = rows_of(tmp_path / "findings.csv")
    assert [(row["split"], row["kind"], row["row"]) for row in rows] == [
        ("train", "missing image", str(row)) for row in (2, 2, 4, 4)
    ]


def test_warnings_exit_with_1_only_with_strict(sound, tmp_path):
    append(sound / "market-pairs-train.csv", f"{names(1)[0]},{names(1)[1]}\n")
    assert run(sound, tmp_path / "findings.csv") == 0
    assert run(sound, tmp_path / "strict.csv", "--strict") == 1


def test_an_existing_csv_is_kept_unless_forced(sound, tmp_path, capsys):
    (tmp_path / "findings.csv").write_text("mine")
    assert run(sound, tmp_path / "findings.csv") == 1
    assert "--force" in capsys.readouterr().err
    assert (tmp_path / "findings.csv").read_text() == "mine"
    assert run(sound, tmp_path / "findings.csv", "--force") == 0


def test_csv_cells_are_never_formulas(tmp_path):
    risky = ['=HYPERLINK("x")', "+1", "-1", "@SUM(A1)", "\tx"]
    write_findings(tmp_path / "f.csv", [Finding("k", text, sample=text) for text in [*risky, "plain = 1"]])
    rows = rows_of(tmp_path / "f.csv")
    assert [row["text"] for row in rows] == [*(f"'{text}" for text in risky), "plain = 1"]
    assert [row["sample"] for row in rows] == [row["text"] for row in rows]


def test_control_characters_in_names_are_escaped(capsys):
    report = Report([Finding("k", "\x1b]0;title\x07 [red]b[/red]", "a\nb\x1b[2J.png")])
    print_report(report, Console())
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert r"a\nb\x1b[2J.png: \x1b]0;title\x07 [red]b[/red]" in shown
