"""`posegen prepare`: from archives to what the loaders read. All files are made up on the spot."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import stat
import struct
import tarfile
import time
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from posegen_faces.layouts import read_landmarks
from posegen_people import preparing
from posegen_people.annotations import read_annotations
from posegen_people.layouts import OPENPOSE_18
from posegen_people.pairs import AnnotatedPairs

from posegen import plugins
from posegen.checking import check_data
from posegen.cli import main
from posegen.config import load_config
from posegen.data import Keypoints
from posegen.data.estimators import Figure, StructureEstimator
from posegen.data.images import read_image
from posegen.errors import ConfigError, DataError, PosegenError
from posegen.evaluation.images import prepare_target
from posegen.evaluation.protocol import get_protocol
from posegen.hookspecs import hookimpl
from posegen.preparing import (
    Preparation,
    PrepareOptions,
    Result,
    Task,
    Workspace,
    archives,
    copy_image,
    get_preparation,
    prepare,
)
from posegen.preparing.workspace import STATE
from posegen.visualization.video import VideoWriter

from .conftest import CONFIGS

Y, X = [*range(10, 28)], [*range(20, 38)]  # of 18 points, in any of the images made here


def image(seed: int, height: int, width: int, kind: str = "JPEG") -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def annotation_list(names: list[str]) -> bytes:
    return ("name:keypoints_y:keypoints_x\n" + "".join(f"{name}: {Y}: {X}\n" for name in names)).encode()


def pair_list(names: list[str]) -> bytes:
    """Both orders of each two images that follow each other."""
    rows = [f"{a},{b}\n{b},{a}\n" for a, b in zip(names[::2], names[1::2], strict=True)]
    return ("from,to\n" + "".join(rows)).encode()


def zipped(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, files: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def laid_out(root: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def market_names(*people: int) -> list[str]:
    return [f"{person:04d}_c{camera}s1_000001_00.jpg" for person in people for camera in (1, 2)]


MARKET = {"train": market_names(2, 7), "test": market_names(3, 9)}


def market_images() -> dict[str, bytes]:
    """Write files as in Market-1501's ZIP, with README, distractors, and files that Windows leaves in folders."""
    top = "Market-1501-v15.09.15"
    found = {
        f"{top}/bounding_box_{split}/{name}": image(hash_of(split, name), 128, 64)
        for split, names in MARKET.items()
        for name in names
    }
    junk = {f"{top}/bounding_box_test/-1_c1s1_000401_03.jpg": image(1, 128, 64), f"{top}/readme.txt": b"read me"}
    return {**found, **junk, f"{top}/bounding_box_train/Thumbs.db": b"?"}


def market_lists() -> dict[str, bytes]:
    lists = {}
    for split, names in MARKET.items():
        lists[f"market-annotation-{split}.csv"] = annotation_list(names)
        lists[f"market-pairs-{split}.csv"] = pair_list(names)
    return lists


def hash_of(*words: str) -> int:
    return zlib.crc32(" ".join(words).encode())


FASHION = {"train": ("WOMEN", "Dresses", "id_00000002"), "test": ("MEN", "Denim", "id_00000080")}
VIEWS_OF_IT = ("02_1_front", "02_3_back")


def fashion_names(split: str) -> list[str]:
    group, kind, who = FASHION[split]
    return [
        f"fashion{group}{kind}{who.replace('_', '')}{view[:3]}{view[3:].replace('_', '')}.jpg" for view in VIEWS_OF_IT
    ]


def fashion_images(tree: str, height: int, width: int) -> dict[str, bytes]:
    return {
        f"In-shop/Img/{tree}/{'/'.join(FASHION[split])}/{view}.jpg": image(hash_of(split, view), height, width)
        for split in FASHION
        for view in VIEWS_OF_IT
    }


def fashion_lists(prefix: str = "fasion-resize") -> dict[str, bytes]:
    lists = {}
    for split in FASHION:
        lists[f"{prefix}-annotation-{split}.csv"] = annotation_list(fashion_names(split))
        lists[f"{prefix}-pairs-{split}.csv"] = pair_list(fashion_names(split))
        lists[f"{split}.lst"] = "".join(f"{name}\n" for name in fashion_names(split)).encode()
    return lists


def face_files(size: int = 64, frames: int = 3) -> dict[str, bytes]:
    rng = np.random.default_rng(7)
    found = {}
    for split in ("train", "test"):
        for number in range(frames):
            points = rng.uniform(10, size - 10, (68, 2))
            found[f"faces/{split}_data/{split}1/{number:06d}.jpg"] = image(hash_of(split, str(number)), size, size)
            found[f"faces/{split}_keypoints/{split}1/{number:06d}.txt"] = "".join(
                f"{x:.2f},{y:.2f}\n" for x, y in points
            ).encode()
    return found


def dance_files(size: int = 64, frames: int = 3) -> dict[str, bytes]:
    points = [value for x, y in zip(X, Y, strict=True) for value in (x, y, 0.9)]
    found = {}
    for split in ("train", "test"):
        for number in range(frames):
            for part in ("train_A", "train_C"):
                seed = hash_of(split, part, str(number))
                found[f"iper/{split}_256/{part}/{split}1/{number}.png"] = image(seed, size, size, "PNG")
            found[f"iper/{split}_256/train_alphapose/{split}1/{number}_keypoints.json"] = json.dumps(
                {"people": [{"pose_keypoints_2d": points}]}
            ).encode()
    return found


def view_files(category: str = "car") -> dict[str, bytes]:
    file = io.BytesIO()
    ids: dict[str, list[str]] = {"train": [], "test": []}
    with h5py.File(file, "w") as renders:
        for split, models in (("train", ("m1", "m2")), ("test", ("m3",))):
            for model in models:
                for azimuth in (0, 4):
                    group = renders.create_group(f"{model}_{azimuth}_10")
                    rng = np.random.default_rng(hash_of(model, str(azimuth)))
                    group["image"] = rng.integers(0, 256, (32, 32, 3), np.uint8)
                    group["pose"] = np.array([azimuth, 10])
                    ids[split].append(f"{model}_{azimuth}_10")
    lists = {f"id_{category}_{split}.txt": "\n".join(names).encode() for split, names in ids.items()}
    return {f"data_{category}.hdf5": file.getvalue(), **lists}


@pytest.fixture
def market(tmp_path: Path) -> Path:
    """Return the files of a user: the ZIP, and the lists beside it."""
    folder = laid_out(tmp_path / "downloads", market_lists())
    zipped(folder / "Market-1501-v15.09.15.zip", market_images())
    return folder


def done(name: str, source: Path, folder: Path, *more: Path, **options) -> Result:
    given = {key: options.pop(key) for key in ("protocol", "make_pairs", "estimator") if key in options}
    return prepare(get_preparation(name), [source, *more], folder, PrepareOptions(**given), **options)


def tree(folder: Path, everything: bool = False) -> dict[str, bytes]:
    """All files of a folder but what the preparation keeps for itself."""
    files = (path for path in folder.rglob("*") if path.is_file())
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
    return found if everything else {name: content for name, content in found.items() if not name.startswith(STATE)}


def config_errors(config: str, folder: Path, **options) -> int:
    loaded = load_config(CONFIGS / config, {"data_root": str(folder), **options})
    return check_data(loaded).count("error")


# The five


def test_market_is_split_and_the_published_config_reads_it(market, tmp_path, capsys):
    folder = tmp_path / "market"
    assert main(["prepare", "market", str(market), str(folder), "--workers", "0"]) == 0
    for split, names in MARKET.items():
        assert sorted(os.listdir(folder / split)) == names
        stored = market_images()[f"Market-1501-v15.09.15/bounding_box_{split}/{names[0]}"]
        assert (folder / split / names[0]).read_bytes() == stored  # as it is, for no protocol is asked for
    assert (folder / "market-pairs-train.csv").read_bytes() == market_lists()["market-pairs-train.csv"]
    out = str(tmp_path / "findings.csv")
    check = ["check", str(CONFIGS / "gfla_market.py"), "--workers", "0", "--out", out]
    assert main([*check, "--cfg-options", f"data_root={folder}"]) == 0
    assert "0 problems in the source; the check of the result found 0 errors, 0 warnings" in capsys.readouterr().out


def test_unused_files_are_reported_by_reason(market, tmp_path):
    result = done("market", market, tmp_path / "market")
    reasons = {reason: sorted(Path(name).name for name in names) for reason, (_, names) in result.left_out.items()}
    assert reasons == {
        "no list names it": ["-1_c1s1_000401_03.jpg"],
        "not part of this data set": ["Thumbs.db", "readme.txt"],
    }


def test_fashion_of_high_resolution_gets_the_lists_names_and_stays_as_it_is(tmp_path, capsys):
    source = laid_out(tmp_path / "downloads", fashion_lists())
    zipped(source / "img_highres.zip", fashion_images("img_highres", 110, 75))
    folder = tmp_path / "fashion"
    assert main(["prepare", "deepfashion", str(source), str(folder), "--workers", "0"]) == 0
    assert sorted(os.listdir(folder / "test")) == [
        "fashionMENDenimid0000008002_1front.jpg",
        "fashionMENDenimid0000008002_3back.jpg",
    ]
    check = ["check", str(CONFIGS / "gfla_fashion.py"), "--workers", "0", "--out", str(tmp_path / "findings.csv")]
    assert main([*check, "--cfg-options", f"data_root={folder}"]) == 0


def test_fashion_under_a_protocol_has_the_pixels_that_the_protocol_scores(tmp_path):
    protocol = get_protocol("gfla-fashion")  # 256×256, Pillow bicubic
    source = laid_out(tmp_path / "downloads", fashion_images("img_highres", 220, 150) | fashion_lists())
    result = done("deepfashion", source, tmp_path / "fashion", protocol=protocol)
    assert (result.errors, result.warnings) == (0, 0)  # squeezed, and known to be
    name = fashion_names("test")[0].replace(".jpg", ".png")
    original = source / "In-shop/Img/img_highres" / "/".join(FASHION["test"]) / f"{VIEWS_OF_IT[0]}.jpg"
    prepared = tmp_path / "fashion" / "test" / name
    assert read_image(prepared).shape == (256, 256, 3)
    np.testing.assert_array_equal(prepare_target(prepared, protocol), prepare_target(original, protocol))
    assert name in (tmp_path / "fashion" / "fasion-resize-pairs-test.csv").read_text()
    assert config_errors("gfla_fashion.py", tmp_path / "fashion") == 0


def test_square_originals_are_still_reported_after_resizing(tmp_path):
    """Under the lists' names nobody knows whether they were squeezed, or show more than the frame of 176×256."""
    squares = {
        f"{split}/{name}": image(hash_of(split, name), 200, 200) for split in FASHION for name in fashion_names(split)
    }
    source = laid_out(tmp_path / "downloads", squares | fashion_lists())
    result = done("deepfashion", source, tmp_path / "fashion", protocol=get_protocol("gfla-fashion"))
    findings = [finding for report in result.checks for finding in report.findings]
    assert [finding.kind for finding in findings] == ["proportions"] * len(squares)


def test_two_images_that_become_one_name_are_a_problem_and_the_rest_is_made(tmp_path):
    twice = fashion_names("train")[0].replace(".jpg", ".png")  # stored as PNG, the JPEG beside it is called so too
    files = fashion_images("img_highres", 110, 75) | fashion_lists("fasion")
    place = f"In-shop/Img/img_highres/{'/'.join(FASHION['train'])}/{VIEWS_OF_IT[0]}"
    files[f"{place}.png"] = image(5, 110, 75, "PNG")
    files["fasion-annotation-train.csv"] += f"{twice}: {Y}: {X}\n".encode()
    files["fasion-pairs-train.csv"] += f"{twice},{fashion_names('train')[1]}\n".encode()
    protocol = get_protocol("gfla-fashion")
    folder = tmp_path / "fashion"
    source = laid_out(tmp_path / "downloads", files)
    result = done("deepfashion", source, folder, protocol=protocol)
    assert [(problem.file, problem.text) for problem in result.problems] == [
        (f"{place}.jpg", f"would become train/{twice}, as {place}.png does, which is taken; give it another name")
    ]
    assert not any(place in name for _, names in result.left_out.values() for name in names)
    assert len(tree(folder)) == 4 + 4 + 3  # images, lists, reports
    scored = [prepare_target(path, protocol) for path in (folder / "train" / twice, source / f"{place}.png")]
    np.testing.assert_array_equal(*scored)
    # no pair of the one shows the other: the lists still name what is not there, and the loader says so
    findings = [finding for report in result.checks for finding in report.findings if finding.severity == "error"]
    assert {finding.kind for finding in findings} == {"missing image"}
    assert {finding.text.split("'")[1] for finding in findings} == {fashion_names("train")[0]}


def test_fashion_of_256_pixels_is_cut_to_the_frame_that_the_key_points_count(tmp_path):
    source = laid_out(tmp_path / "downloads", fashion_images("img", 256, 256) | fashion_lists("fasion"))
    result = done("deepfashion", source, tmp_path / "fashion")
    assert (result.errors, result.warnings) == (0, 0)  # no "proportions"
    name = fashion_names("train")[0].replace(".jpg", ".png")
    original = read_image(source / "In-shop/Img/img" / "/".join(FASHION["train"]) / f"{VIEWS_OF_IT[0]}.jpg")
    np.testing.assert_array_equal(read_image(tmp_path / "fashion" / "train" / name), original[:, 40:216])
    assert config_errors("gfla_fashion.py", tmp_path / "fashion") == 0


def test_faces_of_a_compressed_tar_are_read_by_the_published_config(tmp_path):
    source = tarred(tmp_path / "faces.tar.gz", face_files())
    result = done("faces", source, tmp_path / "faces")
    assert not result.errors
    assert {k: v for k, v in tree(tmp_path / "faces").items() if "/" in k} == {
        name.removeprefix("faces/"): content for name, content in face_files().items()
    }
    short = {"train_frames": 2, "val_dataloader.dataset.length": 2, "test_dataloader.dataset.length": 2}
    assert config_errors("gfla_faces.py", tmp_path / "faces", **short) == 0
    assert not (tmp_path / "faces" / STATE / "unpacked").exists()


def test_landmarks_are_scaled_with_the_frames_that_a_protocol_resizes(tmp_path):
    source = laid_out(tmp_path / "source", face_files(size=64))
    done("faces", source, tmp_path / "faces", protocol=get_protocol("gfla-fashion"))
    before = np.loadtxt(source / "faces/train_keypoints/train1/000000.txt", delimiter=",")
    after = np.loadtxt(tmp_path / "faces/train_keypoints/train1/000000.txt", delimiter=",")
    assert read_image(tmp_path / "faces/train_data/train1/000000.png").shape == (256, 256, 3)
    np.testing.assert_allclose(after, before * 4, atol=1e-3)  # 256 / 64


def test_dance_of_a_tar_is_read_by_the_published_config_with_its_masks(tmp_path):
    source = tarred(tmp_path / "iper.tar", dance_files())
    result = done("dance", source, tmp_path / "dance")
    assert not result.errors
    assert (tmp_path / "dance/train_256/train_alphapose/train1/2.json").is_file()  # OpenPose's name, made plain
    short = {"train_frames": 2, "val_dataloader.dataset.length": 2, "test_dataloader.dataset.length": 2}
    assert config_errors("gfla_dance_iper.py", tmp_path / "dance", **short) == 0


def test_cleaned_points_of_a_whole_video_come_with_it(tmp_path):
    files = {name: content for name, content in dance_files().items() if "train_alphapose" not in name}
    array = io.BytesIO()
    np.save(array, np.full((3, 17, 2), 20.0))
    for split in ("train", "test"):
        files[f"iper/{split}_256/train_video2d/{split}1.npy"] = array.getvalue()
    result = done("dance", laid_out(tmp_path / "source", files), tmp_path / "dance")
    assert not result.errors
    assert (tmp_path / "dance/test_256/train_video2d/test1.npy").is_file()


def test_views_of_both_kinds_are_read_by_the_published_configs(tmp_path):
    source = laid_out(tmp_path / "downloads", {f"chairs/{n}": c for n, c in view_files("chair").items()})
    zipped(source / "cars.zip", view_files("car"))
    result = done("views", source, tmp_path / "views")
    assert not result.errors
    for category in ("car", "chair"):
        assert config_errors(f"gfla_views_{category}.py", tmp_path / "views") == 0


# Lists


def test_lists_that_lie_elsewhere_are_given_by_hand(tmp_path, capsys):
    source = zipped(tmp_path / "market.zip", market_images())
    folder = tmp_path / "market"
    assert main(["prepare", "market", str(source), str(folder), "--workers", "0"]) == 1
    said = capsys.readouterr().err
    assert f"{source}: 2 problems\n  - there is no market-annotation-train.csv, the key points" in said
    lists = [str(path) for path in laid_out(tmp_path / "elsewhere", market_lists()).iterdir()]
    assert main(["prepare", "market", str(source), str(folder), "--workers", "0", "--keypoints", *lists]) == 0


def test_a_list_of_another_name_is_known_by_its_header(tmp_path):
    lists = {name.replace("market-", "my_"): content for name, content in market_lists().items()}
    source = laid_out(tmp_path / "downloads", market_images() | lists)
    assert not done("market", source, tmp_path / "market").errors


def test_pairs_are_made_where_they_are_asked_for_and_said_to_be_others(tmp_path):
    lists = {name: content for name, content in market_lists().items() if "pairs" not in name}
    source = laid_out(tmp_path / "downloads", market_images() | lists)
    with pytest.raises(DataError, match=r"no market-pairs-train\.csv(.|\n)*--make-pairs"):
        done("market", source, tmp_path / "market")
    result = done("market", source, tmp_path / "market", make_pairs=True)
    assert not result.errors
    rows = (tmp_path / "market" / "market-pairs-test.csv").read_text().split()
    assert set(rows) == set(market_lists()["market-pairs-test.csv"].decode().split())  # each person's two, both ways
    assert any("not the published ones" in note for note in result.notes)


POINTS_14 = ([*range(10, 24)], [*range(20, 34)])


def test_lists_of_14_points_beside_the_archive_are_found_and_said(tmp_path):
    queries = {f"Market-1501-v15.09.15/query/{name}": image(9, 128, 64) for name in ("0003_c5s1_000001_00.jpg",)}
    archive = zipped(tmp_path / "Market-1501.zip", {**market_images(), **queries})
    junk = ["-1_c1s1_000401_03.jpg", "0000_c1s1_000001_00.jpg"]
    for split, names in {"train": MARKET["train"], "test": [*MARKET["test"], "0003_c5s1_000001_00.jpg", *junk]}.items():
        rows = [f"{name}: {POINTS_14[0]}: {POINTS_14[1]}\n" for name in names]
        (tmp_path / f"market-points14-{split}.csv").write_text("name:keypoints_y:keypoints_x\n" + "".join(rows))
    (tmp_path / "other.csv").write_text("a,b\n")
    result = done("market", archive, tmp_path / "made")
    assert not result.errors
    assert any("market-pairs-test.csv was made: 8 pairs" in note for note in result.notes)
    assert any("structure.layout='lsp14'" in note for note in result.notes)
    assert sorted(path.name for path in (tmp_path / "made/test").iterdir()) == sorted(
        [*MARKET["test"], "0003_c5s1_000001_00.jpg"]
    )
    structure = {"type": "HeatmapEncoder", "layout": "lsp14"}
    pairs = AnnotatedPairs(tmp_path / "made", "test", structure, (128, 64))
    assert len(pairs) == 3 * 2 + 2 * 1  # ordered pairs of the three images of person 3 and of the two of person 9
    assert pairs[0].source_structure.shape == (14, 128, 64)


def test_lists_of_different_layouts_are_refused(tmp_path):
    lists = market_lists()
    lists["market-annotation-test.csv"] = (
        f"name:keypoints_y:keypoints_x\na.jpg: {POINTS_14[0]}: {POINTS_14[1]}\n".encode()
    )
    source = laid_out(tmp_path / "download", {**market_images(), **lists})
    with pytest.raises(DataError, match=r"(?s)test.*: 14 points .*lsp14.*train.*: 18 points .*openpose18.*one layout"):
        done("market", source, tmp_path / "made")


def test_drawn_test_pairs_are_a_seeded_sample_in_random_order(tmp_path, monkeypatch):
    names = [f"{person:04d}_c{camera}s1_000001_00.jpg" for person in range(1, 40) for camera in range(1, 7)]
    rows = [f"{name}: {Y}: {X}\n" for name in names]
    images = {f"bounding_box_test/{name}": image(hash_of(name), 8, 4) for name in names}
    lists = {"market-annotation-test.csv": ("name:keypoints_y:keypoints_x\n" + "".join(rows)).encode()}
    monkeypatch.setattr(preparing, "TEST_PAIRS", 100)
    source = laid_out(tmp_path / "download", {**images, **lists})
    made = [done("market", source, tmp_path / folder, make_pairs=True) and tmp_path / folder for folder in "ab"]
    first, second = [(folder / "market-pairs-test.csv").read_text() for folder in made]
    assert first == second
    pairs = [row.split(",") for row in first.splitlines()[1:]]
    assert len(pairs) == len({tuple(pair) for pair in pairs}) == 100
    assert all(source[:4] == target[:4] and source != target for source, target in pairs)
    assert len({source[:4] for source, _ in pairs[:20]}) > 10


def test_unsupported_options_are_an_error(tmp_path):
    with pytest.raises(ConfigError, match="'views' does not support --make-pairs"):
        done("views", tmp_path, tmp_path / "views", make_pairs=True)


class Eyes:
    """Finds all points along the diagonal of an image, and nobody in one that begins black."""

    @hookimpl
    def posegen_catalogue(self):
        def estimate(pixels: np.ndarray) -> list[Figure]:
            height, width = pixels.shape[:2]
            places = np.linspace(0.1, 0.9, 18)[:, None] * (width, height)
            return [] if not pixels[0, 0].any() else [Figure(Keypoints(places, [True] * 18), np.ones(18))]

        return [StructureEstimator("eyes", "openpose18", lambda: estimate)]


@pytest.fixture
def eyes():
    with plugins.temporary():
        plugins.add(Eyes(), "eyes")
        yield "eyes"


def black(height: int, width: int) -> bytes:
    file = io.BytesIO()
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[height // 2 :] = 200  # not blank: that would be a finding
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


def test_an_estimator_finds_the_key_points_of_market_where_no_list_has_them(eyes, tmp_path):
    files = market_images()
    nobody = MARKET["train"][0]
    files[f"Market-1501-v15.09.15/bounding_box_train/{nobody}"] = black(128, 64)
    source = zipped(tmp_path / "market.zip", files)
    folder = tmp_path / "market"
    result = done("market", source, folder, estimator=eyes, make_pairs=True)
    assert not result.errors
    annotations = read_annotations(folder / "market-annotation-train.csv", OPENPOSE_18)
    assert list(annotations) == MARKET["train"]
    assert not annotations[nobody].present.any()
    np.testing.assert_allclose(annotations[MARKET["train"][1]].points[[0, 17]], [[6, 13], [58, 115]])  # 0.1, 0.9
    assert nobody not in (folder / "market-pairs-train.csv").read_text()
    assert any("nobody was found in 1" in note for note in result.notes)
    before = tree(folder)
    again = done("market", source, folder, estimator=eyes, make_pairs=True)
    assert again.made == 0
    assert tree(folder) == before


def test_key_points_of_market_are_read_from_a_file_of_each_image(eyes, tmp_path):
    """Files beside the images or elsewhere, of any format and name; of several people the largest."""
    first, second, third = MARKET["train"][:3]
    places = np.column_stack([np.linspace(6, 58, 18), np.linspace(13, 115, 18), np.ones(18)])
    small = (places * (0.1, 0.1, 1)).ravel().tolist()
    openpose = {"people": [{"pose_keypoints_2d": small}, {"pose_keypoints_2d": places.ravel().tolist()}]}
    halved = {"people": [{"pose_keypoints_2d": (places * (0.5, 0.5, 1)).ravel().tolist()}]}
    points = {
        f"{first[:-4]}.json": json.dumps(openpose).encode(),
        f"{second}.json": json.dumps(halved | {"canvas_width": 32, "canvas_height": 64}).encode(),
        f"{third[:-4]}_keypoints.json": b'{"people": []}',
    }
    source, folder = zipped(tmp_path / "market.zip", market_images()), laid_out(tmp_path / "points", points)
    result = done("market", source, tmp_path / "market", folder, make_pairs=True)
    annotations = read_annotations(tmp_path / "market" / "market-annotation-train.csv", OPENPOSE_18)
    assert list(annotations) == [first, second, third]
    for name in (first, second):
        np.testing.assert_allclose(annotations[name].points, places[:, :2].round(), atol=1)
    assert not annotations[third].present.any()
    rest = len(MARKET["train"]) - 3
    notes = "\n".join(result.notes)
    assert "train: the key points of 3 images are from a file of each, not the published ones" in notes
    assert f"train: {rest} images have no file of key points, and are in no list" in notes
    assert "there is no test split" in notes
    result = done("market", source, tmp_path / "both", folder, make_pairs=True, estimator=eyes)
    assert f"of 3 images are from a file of each and of {rest} images are from 'eyes'" in "\n".join(result.notes)


def test_points_of_an_image_that_is_cut_count_pixels_of_its_frame(tmp_path):
    """256×256 becomes its middle 176 columns."""
    (tmp_path / "image.jpg").write_bytes(image(1, 256, 256))
    points = np.column_stack([np.arange(100, 118), np.arange(18), np.ones(18)])
    (tmp_path / "image.json").write_text(json.dumps({"people": [{"pose_keypoints_2d": points.ravel().tolist()}]}))
    files = [tmp_path / "image.jpg", tmp_path / "image.json"]
    preparing.read_image_points(files, [tmp_path / "made.json"], (256, 176), (256, 176))
    made = json.loads((tmp_path / "made.json").read_text())["people"][0]["pose_keypoints_2d"]
    np.testing.assert_allclose(np.reshape(made, (18, 3)), points - (40, 0, 0))


@pytest.mark.parametrize(("download", "height", "width"), [("img", 256, 256), ("img_highres", 220, 150)])
def test_estimated_points_of_fashion_count_the_frame_of_176_by_256(download, height, width, eyes, tmp_path):
    lists = {name: content for name, content in fashion_lists("fasion").items() if "annotation" not in name}
    source = laid_out(tmp_path / "downloads", fashion_images(download, height, width) | lists)
    protocol = get_protocol("gfla-fashion")
    result = done("deepfashion", source, tmp_path / "fashion", protocol=protocol, estimator=eyes)
    assert not result.errors
    annotations = read_annotations(tmp_path / "fashion" / "fasion-annotation-test.csv", OPENPOSE_18)
    assert list(annotations) == [name.replace(".jpg", ".png") for name in fashion_names("test")]
    np.testing.assert_allclose(next(iter(annotations.values())).points[[0, 17]], [[18, 26], [158, 230]])  # 0.1, 0.9


def test_an_estimator_finds_dancers_where_no_file_has_their_points(eyes, tmp_path):
    files = {name: content for name, content in dance_files().items() if "train1/0_key" not in name}
    result = done("dance", laid_out(tmp_path / "source", files), tmp_path / "dance", estimator=eyes)
    assert not result.errors
    there = sorted(path.name for path in (tmp_path / "dance/train_256/train_alphapose/train1").iterdir())
    assert there == ["0.json", "1.json", "2.json"]
    assert "the key points of 1 frames are from 'eyes'" in result.notes


def videos(folder: Path, frames: int = 3) -> Path:
    """Write a video for training, and one in a folder of its own for the test."""
    rng = np.random.default_rng(0)
    for name in ("one.mp4", "test/two.mp4"):
        with VideoWriter(folder / name, 10) as video:
            for _ in range(frames):
                video.write(rng.integers(100, 256, (64, 48, 3), np.uint8))
    return folder


def test_videos_of_dancers_become_frames_with_their_points(eyes, tmp_path):
    result = done("dance", videos(tmp_path / "source"), tmp_path / "dance", estimator=eyes)
    assert not result.errors
    assert any("the key points of 6 frames are from 'eyes'" in note for note in result.notes)
    for split, video in (("train", "one"), ("test", "two")):
        for part, ending in (("train_A", ".jpg"), ("train_alphapose", ".json")):
            there = sorted(path.name for path in (tmp_path / "dance" / f"{split}_256" / part / video).iterdir())
            assert there == [f"{number:06d}{ending}" for number in range(3)]
    assert not list(tmp_path.rglob(".prepare/unpacked"))
    again = done("dance", tmp_path / "source", tmp_path / "dance", estimator=eyes)
    assert again.made == 0


def test_a_dry_run_counts_the_frames_of_videos(eyes, tmp_path):
    result = done("dance", videos(tmp_path / "source"), tmp_path / "dance", estimator=eyes, dry_run=True)
    assert any("train: 1 videos, 3 frames" in note for note in result.notes)
    assert not (tmp_path / "dance").exists()


def test_a_video_that_is_none_is_named_and_the_others_done(eyes, tmp_path):
    source = videos(tmp_path / "source")
    (source / "torn.mp4").write_bytes(b"torn")
    result = done("dance", source, tmp_path / "dance", estimator=eyes)
    assert [problem.file for problem in result.problems] == ["torn.mp4"]
    assert (tmp_path / "dance/train_256/train_A/one").is_dir()


class Landmarks:
    """Finds 68 landmarks around the middle of an image."""

    @hookimpl
    def posegen_catalogue(self):
        def estimate(pixels: np.ndarray) -> list[Figure]:
            return [
                Figure(
                    Keypoints(np.tile((24.0, 32.0), (68, 1)) + np.arange(68)[:, None] / 10, [True] * 68), np.ones(68)
                )
            ]

        return [StructureEstimator("landmarks", "ibug68", lambda: estimate)]


def test_videos_of_faces_become_frames_with_their_landmarks(tmp_path):
    source = videos(tmp_path / "source")
    with plugins.temporary():
        plugins.add(Landmarks(), "landmarks")
        result = done("faces", source, tmp_path / "faces", estimator="landmarks")
    assert not result.errors
    points = read_landmarks(tmp_path / "faces/test_keypoints/two/000002.txt").points
    np.testing.assert_allclose(points[[0, 67]], [[24, 32], [30.7, 38.7]], atol=1e-3)
    with pytest.raises(DataError, match=r"(?s)no landmarks.*--estimator NAME \(.*facemesh"):
        done("faces", source, tmp_path / "others")


def test_videos_of_dancers_without_points_are_refused_naming_the_estimators(tmp_path):
    with pytest.raises(DataError, match=r"(?s)none of 6 frames has key points.*--estimator NAME \(.*blazepose"):
        done("dance", videos(tmp_path / "source"), tmp_path / "dance")


def test_landmarks_of_other_frames_are_none(tmp_path):
    files = face_files()
    moved = {name.replace("000000.txt", "elsewhere.txt"): content for name, content in files.items()}
    only = {name: content for name, content in moved.items() if name.endswith(("000000.jpg", "elsewhere.txt"))}
    with pytest.raises(DataError, match=r"none of .* frames has landmarks"):
        done("faces", zipped(tmp_path / "faces.zip", only), tmp_path / "faces")


def test_an_unknown_estimator_is_an_error_before_any_work(tmp_path):
    source = zipped(tmp_path / "market.zip", market_images())
    with pytest.raises(ConfigError, match="no estimator called 'ears'"):
        done("market", source, tmp_path / "market", estimator="ears", make_pairs=True)


# What is wrong with a source


def test_damaged_images_are_named_and_the_others_done(market, tmp_path, capsys):
    files = market_images()
    spoilt = next(name for name in files if name.endswith(MARKET["train"][0]))
    zipped(market / "Market-1501-v15.09.15.zip", {**files, spoilt: files[spoilt][:900]})
    folder = tmp_path / "market"
    assert main(["prepare", "market", str(market), str(folder), "--workers", "0"]) == 1
    assert sorted(os.listdir(folder / "train")) == MARKET["train"][1:]
    report = json.loads((folder / "report.json").read_text())
    (problem,) = report["problems"]
    assert problem["file"] == f"Market-1501-v15.09.15.zip: {spoilt}"
    assert "truncated or damaged image" in problem["text"]
    assert problem["file"] in (folder / "report.txt").read_text()
    zipped(market / "Market-1501-v15.09.15.zip", files)  # mended: the rest is not done again
    assert main(["prepare", "market", str(market), str(folder), "--workers", "0"]) == 0
    assert sorted(os.listdir(folder / "train")) == MARKET["train"]


def test_a_frame_and_its_landmarks_come_both_or_not_at_all(tmp_path):
    files = face_files()
    files["faces/train_data/train1/000000.jpg"] = b"no image"
    files["faces/train_keypoints/train1/000001.txt"] = b"1,2\n"
    del files["faces/test_keypoints/test1/000000.txt"]
    result = done("faces", laid_out(tmp_path / "source", files), tmp_path / "faces")
    assert len(result.problems) == result.errors == 3  # and the loader has none
    assert os.listdir(tmp_path / "faces/train_data/train1") == ["000002.jpg"]
    assert os.listdir(tmp_path / "faces/train_keypoints/train1") == ["000002.txt"]


def test_an_encrypted_archive_says_what_to_do(tmp_path, capsys):
    path = zipped(tmp_path / "img_highres.zip", fashion_images("img_highres", 110, 75))
    content = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flags' first bit, in both headers of each file
        for match in re.finditer(re.escape(mark), bytes(content)):
            content[match.start() + place] |= 1
    path.write_bytes(content)
    assert main(["prepare", "deepfashion", str(path), str(tmp_path / "fashion")]) == 1
    said = capsys.readouterr().err
    assert "img_highres.zip: 1 problem\n  - is encrypted: 4 of its 4 files need a password" in said
    assert "unpack the archive yourself" in said
    # beside what was unpacked from it, it does no harm, and is told of
    source = laid_out(tmp_path / "downloads", fashion_images("img_highres", 110, 75) | fashion_lists())
    shutil.move(path, source / path.name)
    result = done("deepfashion", source, tmp_path / "fashion")
    assert not result.errors
    assert any("is encrypted" in reason for reason in result.left_out)


@pytest.mark.parametrize("name", ["../evil.jpg", "/tmp/evil.jpg", "a/../../evil.jpg", "..\\evil.jpg"])
@pytest.mark.parametrize("pack", [zipped, tarred], ids=["zip", "tar"])
def test_an_archive_with_names_that_lead_out_is_refused(name, pack, market, tmp_path):
    path = pack(tmp_path / f"hostile.{'zip' if pack is zipped else 'tar'}", {**market_images(), name: b"x"})
    with pytest.raises(DataError, match="is no path below a folder"):
        done("market", path, tmp_path / "market", market)
    assert not list(tmp_path.rglob("evil*"))


def test_links_in_archives_and_folders_are_not_followed(market, tmp_path):
    secret = laid_out(tmp_path / "elsewhere", {"secret.jpg": image(5, 128, 64)})
    names = [entry.removeprefix("Market-1501-v15.09.15/") for entry in market_images()]
    (market / "bounding_box_test").mkdir()
    (market / "bounding_box_test" / "0003_c1s1_000001_00.jpg").symlink_to(secret / "secret.jpg")
    with tarfile.open(market / "links.tar", "w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
            entry = tarfile.TarInfo(f"bounding_box_test/{kind.decode()}.jpg")
            entry.type, entry.linkname = kind, str(secret / "secret.jpg")
            archive.addfile(entry)
    with zipfile.ZipFile(market / "links.zip", "w") as archive:
        entry = zipfile.ZipInfo("bounding_box_test/0009_c1s1_000001_00.jpg")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, str(secret / "secret.jpg"))
    result = done("market", market, tmp_path / "market")
    assert not result.errors, names
    stored = (secret / "secret.jpg").read_bytes()
    assert stored not in tree(tmp_path / "market", everything=True).values()
    assert sum(count for reason, (count, _) in result.left_out.items() if "link" in reason) == 5


def bomb(path: Path) -> Path:
    return zipped(path, {"bounding_box_train/0002_c1s1_000001_00.jpg": bytes(20 << 20)})  # 20 MB of zeros in 20 KB


def overlapping(path: Path) -> Path:
    """A thousand names for one file of 100 KB that is stored once."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", np.random.default_rng(0).bytes(100_000))
        entry = archive.infolist()[0]
        for number in range(1000):
            other = zipfile.ZipInfo(f"b{number}")
            for each in ("CRC", "compress_size", "file_size", "header_offset", "compress_type"):
                setattr(other, each, getattr(entry, each))
            archive.filelist.append(other)
        archive._didModify = True
    return path


def compressed_bomb(path: Path) -> Path:
    return tarred(path, {"train/x.jpg": bytes(20 << 20)})


@pytest.mark.parametrize(
    ("name", "make"),
    [("a.zip", bomb), ("b.zip", overlapping), ("c.tar.gz", compressed_bomb)],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_archive_bombs_are_refused(name, make, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "ALWAYS_UNPACKED", 1 << 20)  # so that a small bomb serves
    path = make(tmp_path / name)
    with pytest.raises(DataError, match="unpacks to more than"):
        done("market", path, tmp_path / "market")
    assert sum(len(content) for content in tree(tmp_path / "market", everything=True).values()) < 10_000


def test_a_huge_tar_header_is_refused(tmp_path):
    header = tarfile.TarInfo("long")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1 << 30
    path = tmp_path / "a.tar"
    with open(path, "wb") as file:
        file.write(header.tobuf(tarfile.GNU_FORMAT))
        file.truncate(2 << 30)  # a hole: no bytes on the disk
    with pytest.raises(DataError, match="a header of 1,073,"):
        done("market", path, tmp_path / "market")


def test_a_huge_zip_directory_is_refused(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, 1 << 30, 0, 0))
    with pytest.raises(DataError, match="a directory of 1,073,741,824 bytes"):
        done("market", path, tmp_path / "market")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
def test_a_truncated_archive_is_named(name, share, tmp_path):
    pack = zipped if name.endswith("zip") else tarred
    path = pack(tmp_path / name, market_images())
    content = path.read_bytes().rstrip(b"\0")
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=re.escape(name)):
        done("market", path, tmp_path / "market", laid_out(tmp_path / "lists", market_lists()))


def test_a_member_that_is_damaged_in_its_archive_is_named(market, tmp_path):
    path = market / "Market-1501-v15.09.15.zip"
    content = bytearray(path.read_bytes())
    place = content.find(MARKET["test"][1].encode()) + 500  # within its data
    content[place] ^= 255
    path.write_bytes(content)
    result = done("market", market, tmp_path / "market")
    broken, missing = result.problems
    assert broken.file.endswith(MARKET["test"][1])
    assert "cannot be unpacked" in broken.text
    assert missing.file == MARKET["test"][1]  # a pair needs it


# The folder


def test_a_folder_that_holds_other_things_is_not_touched(market, tmp_path):
    folder = laid_out(tmp_path / "mine", {"novel.txt": b"Call me"})
    with pytest.raises(DataError, match=r"holds other files: novel\.txt"):
        done("market", market, folder)
    assert tree(folder, everything=True) == {"novel.txt": b"Call me"}
    assert not done("market", market, folder, force=True).errors
    assert (folder / "novel.txt").read_bytes() == b"Call me"


def test_a_link_in_the_folder_is_not_written_through(market, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder = tmp_path / "market"
    (folder / STATE).mkdir(parents=True)
    (folder / "train").symlink_to(elsewhere)
    result = done("market", market, folder, force=True)
    assert len([problem for problem in result.problems if "leads out of" in problem.text]) == len(MARKET["train"])
    assert os.listdir(elsewhere) == []


def test_the_result_does_not_go_into_its_own_source(market):
    with pytest.raises(DataError, match="folder of its own"):
        done("market", market, market / "prepared")


def test_other_options_for_a_folder_need_force(tmp_path):
    source = laid_out(tmp_path / "downloads", fashion_images("img_highres", 110, 75) | fashion_lists())
    folder = tmp_path / "fashion"
    done("deepfashion", source, folder)
    protocol = get_protocol("gfla-fashion")
    with pytest.raises(DataError, match=r"protocol: prepared with None, asked for gfla-fashion \(\w{12}\)"):
        done("deepfashion", source, folder, protocol=protocol)
    result = done("deepfashion", source, folder, protocol=protocol, force=True)
    assert result.made == 8  # four images, four lists
    assert any(note.startswith("4 files were not made by this run, and stay: ") for note in result.notes)


def test_existing_files_stay_if_a_part_of_the_source_is_missing(tmp_path):
    source = laid_out(tmp_path / "downloads", market_images() | market_lists())
    folder = tmp_path / "market"
    done("market", source, folder)
    before = tree(folder / "train")
    shutil.move(source / "Market-1501-v15.09.15" / "bounding_box_train", tmp_path / "unmounted")
    result = done("market", source, folder)
    assert len(result.problems) == len(MARKET["train"])
    assert "is not in the source; the pairs of the train split need it" in result.problems[0].text
    assert tree(folder / "train") == before


def test_a_tar_header_that_points_backwards_is_refused(tmp_path):
    archive = tarred(tmp_path / "a.tar", {"a.jpg": b"", "b.jpg": b""})
    content = bytearray(archive.read_bytes())
    back = tarfile.TarInfo("b.jpg")
    back.size = -512
    content[512:1024] = back.tobuf(tarfile.GNU_FORMAT)
    archive.write_bytes(content)
    with pytest.raises(DataError, match="points backwards"):
        done("market", archive, tmp_path / "market")


def test_market_is_not_resized_under_lists_that_count_its_pixels(market, tmp_path):
    with pytest.raises(DataError, match="'gfla-fashion' resizes images"):
        done("market", market, tmp_path / "market", protocol=get_protocol("gfla-fashion"))
    assert not (tmp_path / "market" / "train").exists()


def test_a_failed_run_keeps_the_settings_of_the_last_one(market, tmp_path):
    folder, empty = tmp_path / "market", tmp_path / "empty"
    empty.mkdir()
    done("market", market, folder)
    with pytest.raises(DataError):
        done("market", empty, folder, force=True)
    assert done("market", market, folder).made == 0


def test_an_unrelated_list_that_is_no_text_is_left_out(market, tmp_path):
    (market / "notes_train.csv").write_bytes("caf\xe9;1\n".encode("latin-1"))
    assert not done("market", market, tmp_path / "market").errors


def test_a_dry_run_writes_nothing_and_says_what_it_would_do(market, tmp_path, capsys):
    folder = tmp_path / "market"
    assert main(["prepare", "market", str(market), str(folder), "--dry-run"]) == 0
    assert not folder.exists()
    assert re.search(r"│ train +│ 4 ", capsys.readouterr().out)


# Again


def test_existing_files_are_not_made_again(market, tmp_path):
    folder = tmp_path / "market"
    first = done("market", market, folder, workers=2)
    before = {path: path.stat().st_mtime_ns for path in folder.glob("t*/*")}
    again = done("market", market, folder)
    assert (first.made, first.kept, again.made, again.kept) == (12, 0, 0, 12)
    assert {path: path.stat().st_mtime_ns for path in folder.glob("t*/*")} == before


def test_two_runs_at_once_do_not_share_a_folder(market, tmp_path, monkeypatch):
    from filelock import FileLock

    monkeypatch.setattr("posegen.preparing.preparation.PATIENCE", 0)
    folder = tmp_path / "market"
    done("market", market, folder)
    with FileLock(folder / STATE / "lock"), pytest.raises(PosegenError, match="another run is preparing it"):
        done("market", market, folder)


# The command, and anybody's plugin


def test_the_list_names_what_plugins_bring_with_an_example(capsys):
    assert main(["prepare", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    names = [line.split()[0] for line in lines]
    assert names == ["dance", "deepfashion", "faces", "market", "people3d", "views"]
    for name, line in zip(names, lines, strict=True):
        assert f"posegen prepare {name} {'data' if name == 'people3d' else 'downloads'}/" in line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["marke", "a", "b"], "no preparation is called 'marke'; did you mean 'market'?"),
        (["market"], "missing arguments: NAME SRC DST"),
        (["market", "no/such", "b"], "no such file"),
        (["market", "a", "b", "--workers", "-1"], "--workers must be 0 or more"),
        (["market", "a", "b", "--protocol", "gfla-marke"], "did you mean 'gfla-market'?"),
    ],
)
def test_a_wrong_command_line_says_what_is_wrong(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["prepare", *words]) == 1
    assert said in capsys.readouterr().err


def copy(sources, targets) -> None:
    shutil.copyfile(sources[0], targets[0])


class Letters:
    @hookimpl
    def posegen_catalogue(self):
        def prepare_letters(workspace: Workspace) -> None:
            texts = [file for file in workspace.files if file.ending == ".txt"]
            workspace.make(Task((text,), (f"train/{text.parts[-1]}",), copy) for text in texts)
            workspace.write("n", ["1"])

        return [Preparation("letters", "letters", prepare_letters)]


def test_a_plugin_brings_a_preparation_and_two_files_of_one_name_are_a_problem(tmp_path):
    source = laid_out(tmp_path / "source", {"a/b.txt": b"x", "c/b.txt": b"y", "d.txt": b"z", "e.doc": b"y"})
    with plugins.temporary():
        plugins.add(Letters(), "letters")
        result = done("letters", source, tmp_path / "out")
    made = {name: content for name, content in tree(tmp_path / "out").items() if "." not in name or "/" in name}
    assert made == {"train/b.txt": b"x", "train/d.txt": b"z", "n": b"1\n"}
    assert result.left_out == {"not part of this data set": (1, ["e.doc"])}
    text = "would become train/b.txt, as a/b.txt does, which is taken; give it another name"
    assert [(problem.file, problem.text) for problem in result.problems] == [("c/b.txt", text)]
    assert f"c/b.txt: {text}" in (tmp_path / "out/report.txt").read_text()


def test_an_interrupted_run_is_continued(market, tmp_path):
    folder = tmp_path / "market"
    done("market", market, folder)
    whole = tree(folder)
    (folder / "train" / MARKET["train"][0]).unlink()  # not made yet
    (folder / "train" / f".{'0' * 32}.part").write_bytes(b"half")  # a file that was being written
    (folder / STATE / "unpacked").mkdir()
    result = done("market", market, folder)
    assert (result.made, result.kept) == (1, 11)
    assert tree(folder) == whole


def test_a_source_that_changed_is_prepared_again(tmp_path):
    source = laid_out(tmp_path / "source", face_files())
    done("faces", source, tmp_path / "faces")
    changed = source / "faces/train_data/train1/000000.jpg"
    changed.write_bytes(image(99, 64, 64))
    os.utime(changed, (time.time() + 10,) * 2)
    assert done("faces", source, tmp_path / "faces").made == 2  # the frame and its landmarks
    assert (tmp_path / "faces/train_data/train1/000000.jpg").read_bytes() == changed.read_bytes()


def test_a_protocol_that_does_not_resize_finds_images_of_another_size(tmp_path):
    (tmp_path / "a.jpg").write_bytes(image(1, 64, 64))
    with pytest.raises(DataError) as raised:
        copy_image([tmp_path / "a.jpg"], [tmp_path / "b.jpg"], protocol=get_protocol("gfla-market"))
    assert raised.value.problems == ["64×64 pixels; protocol 'gfla-market' has 64×128, and does not resize"]
