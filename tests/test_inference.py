"""Inference in Python: pictures and key points as people have them, one or many, give what the model gives."""

from __future__ import annotations

import json
import re
import warnings
import weakref
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

import posegen
from posegen.config import load_config
from posegen.data import Keypoints, get_layout
from posegen.data.images import read_image, to_uint8, write_image
from posegen.errors import ConfigError, DataError, InputError, PosegenError
from posegen.inference import (
    Inferencer,
    as_array,
    as_keypoints,
    oddity_of,
    prepare_checked,
    prepare_subject,
    read_keypoints,
    stretch_of,
)
from posegen.registry import DATASETS
from posegen.visualization import flow_to_rgb, mask_to_rgb

from .conftest import CONFIGS, write_tiny

DOCS = CONFIGS.parent / "docs"
HEIGHT, WIDTH = 48, 40  # of the pictures; the model's are 32×32


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with the tiny config, weights, three pictures and their key points."""
    folder = tmp_path_factory.mktemp("inference")
    torch.manual_seed(0)
    model = posegen.load_model(write_tiny(folder))
    torch.save(model.state_dict(), folder / "checkpoint.pth")
    model.save_pretrained(folder / "shared")
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)).save(folder / f"{name}.png")
        write_points(folder / f"{name}.json", points(rng))
    return folder


def points(rng: np.random.Generator) -> np.ndarray:
    return np.column_stack([rng.uniform(0, WIDTH - 1, 18), rng.uniform(0, HEIGHT - 1, 18), np.ones(18)])


def write_points(path: Path, *subjects: np.ndarray) -> None:
    path.write_text(json.dumps({"people": [{"pose_keypoints_2d": one.ravel().tolist()} for one in subjects]}))


@pytest.fixture(scope="module")
def inferencer(place) -> Inferencer:
    return Inferencer(place / "tiny.py", place / "checkpoint.pth", device="cpu")


@pytest.fixture(scope="module")
def result(inferencer, place):
    return inferencer.infer(place / "a.png", place / "b.json", place / "a.json")[0]


@pytest.fixture(scope="module")
def clips(place) -> Inferencer:
    """Of a model of clips; its data set's 17 points are made of the 18 in the files."""
    narrow = {"size": [32, 32], "model.flow_estimator.max_width": 64, "model.renderer.max_width": 64}
    posegen.load_model(load_config(CONFIGS / "gfla_dancing_dolls.py", narrow)).save_pretrained(place / "clips")
    return Inferencer(place / "clips", device="cpu")


def read(path: Path) -> np.ndarray:
    return np.array(json.loads(path.read_text())["people"][0]["pose_keypoints_2d"]).reshape(18, 3)


def same(first, second) -> bool:
    return np.array_equal(first.image, second.image) and np.array_equal(first.flow, second.flow)


# What comes out


def test_the_result_is_what_the_model_makes_of_a_sample_of_the_data_set(inferencer):
    dataset = DATASETS.build_part(inferencer.config.test_dataloader.dataset)
    pair = dataset[0]
    given = to_uint8(pair.source), pair.target_structure, pair.source_structure
    out = inferencer.model.transfer(pair.source[None], pair.source_structure[None], pair.target_structure[None])
    found = inferencer.infer(*given)[0]
    assert np.abs(found.image.astype(int) - to_uint8(out.image[0])).max() <= 1  # the source was rounded to 8 bits


def test_a_result_has_everything_at_the_models_size(result, inferencer):
    assert inferencer.size == (32, 32)
    assert (result.image.shape, result.image.dtype) == ((32, 32, 3), np.uint8)
    assert result.flow.shape == (2, 32, 32)
    assert result.mask.shape == (32, 32)
    assert 0 <= result.mask.min() <= result.mask.max() <= 1
    assert (result.warped.shape, result.warped.dtype) == ((32, 32, 3), np.uint8)
    assert result.name == "a"


def test_the_flow_counts_pixels_of_the_image(inferencer, result, place):
    """Its finest level is half as wide as the image: the same flow has half the pixels there."""
    prepared = inferencer.prepare(place / "a.png", place / "b.json", place / "a.json")
    _, out = inferencer.transfer([prepared])
    assert out.flows[-1].shape[-1] == 16
    assert result.flow.mean((1, 2)) == pytest.approx(2 * out.flows[-1][0].mean((1, 2)).numpy(), rel=1e-4, abs=1e-6)


def test_resized_back_it_has_the_sources_size_and_its_pixels(inferencer, result, place):
    back = inferencer.infer(place / "a.png", place / "b.json", place / "a.json", resize_back=True)[0]
    assert back.image.shape == back.warped.shape == (HEIGHT, WIDTH, 3)
    assert back.mask.shape == back.flow.shape[1:] == (HEIGHT, WIDTH)
    wider, higher = back.flow.mean((1, 2)) / result.flow.mean((1, 2))
    assert (wider, higher) == pytest.approx((WIDTH / 32, HEIGHT / 32), rel=0.05)


def test_a_shared_folder_gives_the_same(place, result):
    assert same(
        Inferencer(place / "shared", device="cpu").infer(place / "a.png", place / "b.json", place / "a.json")[0], result
    )


# Clips: what each kind of model makes of a row of poses is in test_transfer.py


def test_a_clip_of_a_model_of_single_images_has_what_infer_makes_of_each_pose(inferencer, place):
    poses = [place / f"{name}.json" for name in "abc"]
    single = inferencer.infer(place / "a.png", poses, place / "a.json", resize_back=True)
    clip = inferencer.animate(place / "a.png", poses, place / "a.json", batch_size=2, resize_back=True)
    for frame, true in zip(clip, single, strict=True):
        assert np.abs(frame.image.astype(int) - true.image).max() <= 1  # a batch may sum in another order
        assert np.allclose(frame.flow, true.flow, atol=1e-3)  # pixels
        assert np.abs(frame.warped.astype(int) - true.warped).max() <= 1
        assert np.allclose(frame.mask, true.mask, atol=1e-4)
        assert frame.name == "a"


@pytest.mark.parametrize(("kind", "ahead"), [("single images", 2), ("clips", 1)])
def test_of_a_long_clip_a_few_frames_are_kept_at_a_time(inferencer, clips, place, kind, ahead):
    """Structures that come one after the other are asked for when their turn comes; frames are let go."""
    model = inferencer if kind == "single images" else clips
    own, asked, kept = place / "a.json", [], weakref.WeakSet()

    def structures():
        for number in range(12):
            asked.append(number)
            yield own

    clip = model.frames(model.prepare_clip(place / "a.png", structures(), own), batch_size=2)
    for made, (one, frame) in enumerate(clip, 1):
        kept |= {one.target_structure, frame.image}
        assert len(asked) <= made - 1 + ahead
        assert len(kept) <= 2 * 2  # this frame and the one before
    assert made == 12


def test_a_clip_without_frames_is_none(inferencer, clips, place):
    for model in (inferencer, clips):
        assert list(model.animate(place / "a.png", [], place / "a.json")) == []


def test_all_bad_files_of_a_clip_are_told_of_before_any_work(inferencer, place, tmp_path):
    (tmp_path / "nobody.json").write_text('{"people": []}')
    with pytest.raises(DataError) as told:
        inferencer.animate(place / "a.png", [tmp_path / "nobody.json", place / "b.json"], tmp_path / "missing.json")
    assert "nobody.json" in str(told.value)
    assert "missing.json" in str(told.value)


def test_a_tuple_of_files_is_a_list_of_them(inferencer, place, tmp_path):
    with pytest.raises(DataError, match="missing"):
        inferencer.animate(place / "a.png", (place / "b.json", tmp_path / "missing.json"), place / "a.json")


@pytest.mark.parametrize(("number", "said"), [(1, "gave 2 frames fewer"), (4, "gave more frames than structures")])
def test_a_model_of_clips_that_gives_another_number_of_frames_is_wrong(clips, place, number, said, monkeypatch):
    true = type(clips.model).frames

    def frames(model, reference, own, structures):
        made = list(true(model, reference, own, structures))
        return iter([*made, *made][:number])

    monkeypatch.setattr(type(clips.model), "frames", frames)
    with pytest.raises(PosegenError, match=said):
        list(clips.animate(place / "a.png", [place / "b.json"] * 3, place / "a.json"))


def test_frames_may_have_pictures_of_their_own(inferencer, result, place):
    double = read(place / "b.json") * (2, 2, 1)
    large = Image.new("RGB", (2 * WIDTH, 2 * HEIGHT))
    for images in (large, [large]):
        (frame,) = inferencer.animate(place / "a.png", [double], place / "a.json", structure_images=images)
        assert same(frame, result)


def test_rows_of_a_clip_that_do_not_fit_are_refused(inferencer, clips, place):
    own, pose = place / "a.json", place / "b.json"
    with pytest.raises(InputError, match="give a list, of one where there is one frame"):
        inferencer.animate(place / "a.png", pose, own)
    with pytest.raises(InputError, match="2 structures, 1 structure_images"):
        inferencer.animate(place / "a.png", [pose] * 2, own, structure_images=[place / "b.png"])
    with pytest.raises(InputError, match="structures must be one, too"):
        inferencer.animate(place / "a.png", iter([pose]), own, structure_images=[place / "b.png"])
    for model in (inferencer, clips):
        with pytest.raises(InputError, match="batch_size must be 1 or more"):
            model.animate(place / "a.png", [pose], own, batch_size=0)


def test_a_model_of_clips_has_no_single_images(clips, place):
    assert not clips.makes_single_images
    with pytest.raises(ConfigError, match="a model of clips, not of single images: use `posegen animate`"):
        clips.infer(place / "a.png", place / "b.json", place / "a.json")


# What goes in


def test_pictures_and_points_may_be_paths_images_or_arrays(inferencer, result, place):
    target, own = read(place / "b.json"), read(place / "a.json")
    encoded = inferencer.prepare(place / "a.png", place / "b.json", place / "a.json")
    image = Image.open(place / "a.png")
    for source, to, at in [
        (str(place / "a.png"), target, own),
        (image, target[:, :2], Keypoints(own[:, :2], own[:, 2] > 0)),
        (np.asarray(image), target.tolist(), own),
        (image.convert("RGBA"), target[None], own[None]),
        (place / "a.png", target, place / "a.json"),
    ]:
        to = np.array(to)  # a list is many
        assert same(inferencer.infer(source, to, at)[0], result)
    small = to_uint8(encoded.source)
    assert same(inferencer.infer(small, encoded.target_structure, encoded.source_structure)[0], result)


def test_many_are_made_in_batches_and_in_order(inferencer, place):
    pictures = [place / f"{name}.png" for name in "abc"]
    own = [path.with_suffix(".json") for path in pictures]
    target = place / "b.json"  # one for all
    seen = []
    handle = inferencer.model.register_forward_pre_hook(lambda model, inputs: seen.append(len(inputs[0])))
    results = inferencer.infer(pictures, target, own, batch_size=2, progress=False)
    handle.remove()
    assert seen == [2, 1]
    assert [one.name for one in results] == ["a", "b", "c"]
    for one, picture, points_file in zip(results, pictures, own, strict=True):
        alone = inferencer.infer(picture, target, points_file)[0]
        assert np.abs(one.image.astype(int) - alone.image).max() <= 1


def test_images_in_memory_are_called_by_their_number(inferencer, place):
    image = Image.open(place / "a.png")
    own = read(place / "a.json")
    assert [one.name for one in inferencer.infer([image] * 2, own, own)] == ["00000", "00001"]


def test_target_points_count_pixels_of_their_own_picture(inferencer, place):
    """A picture of twice the size, with points of twice the coordinates, is the same pose."""
    own, double = read(place / "a.json"), read(place / "b.json") * (2, 2, 1)
    large = Image.new("RGB", (2 * WIDTH, 2 * HEIGHT))
    found = inferencer.infer(place / "a.png", double, own, target_images=large)[0]
    assert same(found, inferencer.infer(place / "a.png", place / "b.json", own)[0])


def test_a_progress_bar_is_shown_for_many_batches_only(inferencer, place, capsys):
    own = read(place / "a.json")
    image = Image.open(place / "a.png")
    inferencer.infer(image, own, own)
    inferencer.infer([image] * 2, own, own, batch_size=1, progress=False)
    assert capsys.readouterr().out == ""
    inferencer.infer([image] * 2, own, own, batch_size=1)
    assert "inference" in capsys.readouterr().out


# What is wrong is said


def test_points_outside_of_the_picture_are_warned_of(inferencer, place):
    own = read(place / "a.json")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        inferencer.infer(place / "a.png", own, own)
    far = own.copy()
    far[:3, 0] += 1000
    with pytest.warns(UserWarning, match="a, target: 3 of 18 key points lie outside of the picture, which has 40×48"):
        inferencer.infer(place / "a.png", far, own)


def test_points_that_all_lie_outside_or_in_the_corner_are_refused(inferencer, place):
    own = read(place / "a.json")
    with pytest.raises(InputError, match="18 of 18 key points lie outside of the picture, which has 40×48 pixels"):
        inferencer.infer(place / "a.png", np.add(own, (1000, 0, 0)), own)
    with pytest.raises(InputError, match=r"within 2 pixels of the upper left; .* multiply x by its width .*40×48"):
        inferencer.infer(place / "a.png", own / (WIDTH, HEIGHT, 1), own)
    two = np.where(np.arange(18)[:, None] < 2, own / (WIDTH, HEIGHT, 1), 0)  # two may be so near
    assert inferencer.infer(place / "a.png", two, own)


def test_the_frame_of_a_list_is_looked_at_and_not_the_photograph():
    """DeepFashion's list counts pixels of 176×256; a point below the photograph's 200 rows may lie in the frame."""
    config = load_config(CONFIGS / "gfla_fashion.py")
    photograph = np.zeros((200, 200, 3), np.uint8)
    listed = Keypoints(np.array([[88, 250], [88, 20]]), np.ones(2), listed=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prepare_checked(config, photograph, listed, "a")
    with pytest.warns(UserWarning, match="1 of 2 key points lie outside"):
        prepare_checked(config, photograph, Keypoints(listed.points, listed.present), "a")


def test_of_several_subjects_one_is_chosen(inferencer, result, place):
    own = read(place / "a.json")
    both = np.stack([own, read(place / "b.json")])
    with pytest.raises(InputError, match=r"of 2 subjects: say which is meant, subject=0…1"):
        inferencer.infer(place / "a.png", both, own)
    assert same(inferencer.infer(place / "a.png", both, own[None].repeat(2, 0), subject=1)[0], result)
    with pytest.raises(InputError, match="there is no subject 2"):
        inferencer.infer(place / "a.png", both, own, subject=2)


def test_all_bad_key_point_files_are_told_of_before_any_work(inferencer, place, tmp_path):
    (tmp_path / "nobody.json").write_text('{"people": []}')
    pictures = [place / "a.png", place / "none.png", place / "c.png"]
    bad = [tmp_path / "missing.json", place / "b.json", tmp_path / "nobody.json"]
    with pytest.raises(DataError) as told:
        inferencer.infer(pictures, bad, place / "a.json")
    assert re.search(r"missing\.json: there is no such file", str(told.value))
    assert re.search(r"nobody\.json: nobody in the file", str(told.value))
    with pytest.raises(DataError, match=r"none\.png"):
        inferencer.infer(place / "none.png", place / "b.json", place / "a.json")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.zeros((17, 3)), r"are 18×2 or 18×3, got \(17, 3\)"),
        (np.zeros((18, 4)), r"got \(18, 4\)"),
        (np.full((18, 2), np.nan), "every key point is missing"),
        (np.zeros((18, 3)), "every key point is missing"),
        ({"x": 1}, "key points are numbers"),
    ],
)
def test_points_of_another_shape_are_refused(value, words):
    with pytest.raises(InputError, match=words):
        as_keypoints(value, get_layout("openpose18"))


@pytest.mark.parametrize("value", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), 3, None])
def test_what_is_no_picture_is_refused(value):
    with pytest.raises(InputError, match="a picture is a path, a PIL image, or an array uint8 H W 3; got"):
        as_array(value)


def test_what_does_not_fit_together_is_refused(inferencer, place):
    with pytest.raises(InputError, match="2 sources, 3 source_structures"):
        inferencer.infer([place / "a.png"] * 2, place / "b.json", [place / "a.json"] * 3)
    with pytest.raises(InputError, match=r"a ready structure is S H W, \(18, 32, 32\); got \(18, 16, 16\)"):
        inferencer.infer(place / "a.png", torch.zeros(18, 16, 16), place / "a.json")
    with pytest.raises(InputError, match="batch_size must be 1 or more"):
        inferencer.infer(place / "a.png", place / "b.json", place / "a.json", batch_size=0)


def test_a_config_needs_its_checkpoint(place):
    with pytest.raises(ConfigError, match="needs the checkpoint"):
        Inferencer(place / "tiny.py")
    with pytest.raises(ConfigError, match="needs the checkpoint"):
        Inferencer(load_config(place / "tiny.py"))


# Structures without key points


@pytest.fixture(scope="module")
def views(tmp_path_factory) -> Inferencer:
    folder = tmp_path_factory.mktemp("views")
    config = load_config(CONFIGS / "gfla_drawn_cars.py")
    torch.save(posegen.load_model(config).state_dict(), folder / "w.pth")
    return Inferencer(config, folder / "w.pth", device="cpu")


def test_views_are_given_as_their_encoder_takes_them(views):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (100, 80, 3), dtype=np.uint8)
    first, second = views.infer(picture, [(1, 0), (9, 2)], (0, 0))
    assert first.image.shape == (64, 64, 3)
    assert not np.array_equal(first.image, second.image)
    with pytest.raises(ConfigError, match=r"pose\.json is a file, and ViewEncoder makes no structure of key points"):
        views.infer(picture, "pose.json", (0, 0))
    for nonsense in ("ab", (1, 2, 3), 5, (99, 0)):
        with pytest.raises((InputError, ConfigError)):
            views.infer(picture, nonsense, (0, 0))


# One way


@pytest.mark.parametrize(("name", "stretch"), [("gfla_fashion", 1 / 2), ("gfla_coco", 1)])
def test_it_is_known_how_far_a_picture_is_stretched(name, stretch):
    """To a square as a whole; a data set that cuts people out keeps their proportions."""
    config = load_config(CONFIGS / f"{name}.py")
    points = np.array([[100, 20], [180, 120], [140, 180]])
    found = Keypoints(points, np.ones(3), frame=(200, 400))
    assert stretch_of(config, found) == pytest.approx(stretch, rel=0.02)
    assert stretch_of(config, Keypoints(points, np.ones(3))) == 1
    assert stretch_of(config, Keypoints(points * (1, 0), np.ones(3), frame=(200, 400))) == 1


def test_shares_are_shares_however_large_the_picture_is():
    """A frame of their own makes pixels of them only after they were looked at."""
    shares = Keypoints(np.linspace((0.1, 0.1), (0.9, 0.9), 18), np.ones(18), frame=(64, 64))
    with pytest.raises(InputError, match=r"shares of the picture.+64×64"):
        oddity_of(shares, (640, 640))


def test_points_of_a_frame_go_to_a_picture_that_shows_the_same_and_to_no_other():
    points = Keypoints(np.array([[32, 64]]), np.ones(1), frame=(128, 64))
    assert points.within((64, 32)).points.tolist() == [[16, 32]]
    assert points.within((64, 33)).frame == (64, 33)  # sides are rounded
    with pytest.raises(InputError, match="a picture of 64×128, as their file says, and this one, 64×64, has other"):
        points.within((64, 64))


def test_a_file_that_no_plugin_reads_is_told_with_what_it_holds(inferencer, tmp_path):
    for name, text, words in [
        ("a.json", "[[1, 2], [3, 4]]", "from this file, a list of 2\n"),
        ("b.json", '{"pose": 1, "id": 2}', "from this file, an object with 'pose', 'id'\n"),
        ("c.json", "{}", "an object with nothing in it\n"),
        ("d.json", "3", "from this file, int\n"),
        ("e.xml", "<", "from this file\n"),
    ]:
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match=rf"{words}docs/formats\.md shows what is read"):
            read_keypoints(tmp_path / name, inferencer.encoder, None)


def test_flow_and_mask_become_pictures_and_are_none(result, tmp_path):
    for given in (result.flow, result.mask, torch.zeros(3, 4, 4), result.image.astype(int)):
        with pytest.raises(InputError, match=r"a\.png: an image to write is .*\n.*flow_to_rgb makes one of a flow"):
            write_image(tmp_path / "a.png", given)
    for picture in (flow_to_rgb(result.flow), mask_to_rgb(result.mask)):
        write_image(tmp_path / "a.png", picture)
        assert (read_image(tmp_path / "a.png") == picture).all()
    assert (mask_to_rgb(result.mask) == mask_to_rgb(torch.from_numpy(result.mask)[None])).all()
    assert (flow_to_rgb(result.flow) == flow_to_rgb(torch.from_numpy(result.flow))).all()


def test_pictures_are_prepared_by_the_data_sets_own_code():
    """A photograph of the list's own frame: its points are scaled as the data set scales them, not as the picture."""
    config = load_config(CONFIGS / "gfla_fashion.py")
    picture = np.zeros((512, 512, 3), np.uint8)
    _, prepared = prepare_subject(config, picture, Keypoints(np.array([[88, 128]]), np.ones(1), listed=True))
    assert prepared.points[0] == pytest.approx([128, 128])


def test_the_code_of_the_page_runs(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, source in [("source.png", "a.png"), ("source.json", "a.json"), ("target.json", "b.json")]:
        (tmp_path / name).write_bytes((place / source).read_bytes())
    (tmp_path / "FOLDER").symlink_to(place / "shared")
    (tmp_path / "configs").symlink_to(CONFIGS)
    page = (DOCS / "inference.md").read_text(encoding="utf-8")
    first, pictures, third, second = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len([line for line in first.splitlines() if line]) <= 10
    tiny = first.replace("configs/gfla_fashion.py", str(place / "tiny.py")).replace(
        "checkpoint.pth", str(place / "checkpoint.pth")
    )
    names: dict[str, object] = {}
    exec(compile(tiny, "inference.md", "exec"), names)
    assert Image.open(tmp_path / "moved.png").size == (64, 32)
    exec(compile(pictures, "inference.md", "exec"), names)
    assert Image.open(tmp_path / "flow.png").size == Image.open(tmp_path / "mask.png").size == (32, 32)
    assert Image.open(tmp_path / "explained.png").size > (5 * 32, 32)
    exec(compile(second, "inference.md", "exec"), {})
    exec(compile(third, "inference.md", "exec"), names)
    with av.open(str(tmp_path / "moved.mp4")) as clip:
        assert [(frame.height, frame.width) for frame in clip.decode(video=0)] == [(HEIGHT, WIDTH)] * 3
