"""Inferencer: pictures and key points in many forms, one or many, give what the model gives."""

from __future__ import annotations

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
from posegen.data.images import read_image, to_tensor, to_uint8, write_image
from posegen.errors import ConfigError, DataError, InputError, PosegenError
from posegen.inference import (
    Framing,
    Inferencer,
    PoseInput,
    as_array,
    as_keypoints,
    describe_size,
    prepare_checked,
    prepare_subject,
)
from posegen.inference.cutout import filled
from posegen.ops import resize_flow
from posegen.registry import DATASETS
from posegen.visualization import flow_to_rgb, mask_to_rgb

from .conftest import CONFIGS
from .pictures import HEIGHT, WIDTH, read_points, write_pictures

DOCS = CONFIGS.parent / "docs"
LAYOUT = get_layout("openpose18")
pytestmark = pytest.mark.usefixtures("no_bfloat16")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("inference")
    write_pictures(folder)
    (folder / "b_keypoints.json").rename(folder / "b.json")
    return folder


@pytest.fixture(scope="module")
def inferencer(models) -> Inferencer:
    return Inferencer(models / "tiny.py", models / "checkpoint.pth", device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def clips(models) -> Inferencer:
    """A model of clips; its 17 key points are made of the 18 in the files."""
    return Inferencer(models / "clips", device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def result(inferencer, place):
    return inferencer.infer(place / "a.png", place / "b.json", place / "a.json")[0]


def same(first, second) -> bool:
    """Compare two results up to the rounding of key points."""
    return np.abs(first.image.astype(int) - second.image).max() <= 1 and np.allclose(first.flow, second.flow, atol=1e-2)


# Results


def test_the_result_is_the_models_output_for_a_sample_of_the_data_set(inferencer):
    pair = DATASETS.build_part(inferencer.config.test_dataloader.dataset)[0]
    source = to_uint8(pair.source)
    out = inferencer.model.transfer(to_tensor(source)[None], pair.source_structure[None], pair.target_structure[None])
    (found,) = inferencer.infer(source, pair.target_structure, pair.source_structure)
    assert np.array_equal(found.image, to_uint8(out.image[0]))


def test_a_result_has_the_models_size_and_its_flow_counts_pixels_of_it(inferencer, result, place):
    assert inferencer.size == (32, 32)
    assert (result.image.shape, result.image.dtype) == ((32, 32, 3), np.uint8)
    assert (result.warped.shape, result.warped.dtype) == ((32, 32, 3), np.uint8)
    assert result.mask.shape == (32, 32)
    assert 0 <= result.mask.min() <= result.mask.max() <= 1
    assert result.name == "a"
    _, out = inferencer.transfer([inferencer.prepare(place / "a.png", place / "b.json", place / "a.json")])
    assert out.flows[-1].shape[-1] == 16  # half as wide: the same flow has half the pixels there
    assert result.flow.shape == (2, 32, 32)
    assert result.flow.mean((1, 2)) == pytest.approx(2 * out.flows[-1][0].mean((1, 2)).numpy(), rel=1e-4, abs=1e-6)


def test_resized_back_it_has_the_sources_size_and_pixels(inferencer, place):
    """Padded to 48×48, the source is in the middle of what the model sees."""
    files, whole = (place / "a.png", place / "b.json", place / "a.json"), Framing("none")
    back = inferencer.infer(*files, resize_back=True, framing=whole)[0]
    assert back.image.shape == back.warped.shape == (HEIGHT, WIDTH, 3)
    assert back.mask.shape == back.flow.shape[1:] == (HEIGHT, WIDTH)
    _, out = inferencer.transfer([inferencer.prepare(*files, framing=whole)])
    padded = resize_flow(out.flows[-1], (48, 48))[0].numpy()
    np.testing.assert_allclose(back.flow, padded[:, :, 4:44], atol=1e-3)


@pytest.mark.parametrize("resize_back", [False, True])
def test_a_gray_photograph_stays_gray(inferencer, place, resize_back):
    source = read_image(place / "a.png")
    poses = (place / "b.json", place / "a.json")
    (colored,) = inferencer.infer(source, *poses, resize_back=resize_back)
    (made,) = inferencer.infer(np.repeat(source[..., :1], 3, axis=2), *poses, resize_back=resize_back)
    assert np.ptp(colored.image.astype(int), axis=2).max() > 0
    assert np.ptp(made.image.astype(int), axis=2).max() == 0
    assert made.image.std() > 0


def test_another_background_is_behind_the_figure_that_a_mask_cuts_out(inferencer, place, monkeypatch):
    """The mask is the left half of an image."""

    def segment(image, keypoints):
        return np.tile(np.arange(image.shape[1]) < image.shape[1] // 2, (len(image), 1)).astype(float)

    monkeypatch.setattr("posegen.inference.inputs.load_segmenter", lambda layout, name: segment)
    monkeypatch.setattr("posegen.inference.cutout.limbs_seen", lambda *given: 0)  # the mask alone
    files = place / "a.png", place / "b.json", place / "a.json"
    Image.new("RGB", (5, 5), (1, 2, 3)).save(place / "behind.png")
    for background in ("#010203", (1, 2, 3), np.full((5, 5, 3), (1, 2, 3), np.uint8), place / "behind.png"):
        (made,) = inferencer.infer(*files, background=background)
        assert (made.image[:, 16:] == (1, 2, 3)).all()
        assert (made.image[:, :16] != (1, 2, 3)).any()
    (frame,) = inferencer.animate(files[0], [files[1]], files[2], background=background)
    assert np.array_equal(frame.image, made.image)
    (made,) = inferencer.infer(*files, background="fill", resize_back=True)
    own = read_image(files[0])
    assert np.array_equal(made.image[:, 24:], own[:, 24:])  # beyond the rim of the figure, which was the left half
    assert (made.image[:, :16] != own[:, :16]).any()
    with pytest.raises(DataError, match=r"neither a color .* nor an image file"):
        inferencer.infer(*files, background="no such file")
    ready = torch.zeros(inferencer.encoder.channels, 32, 32)
    with pytest.raises(InputError, match="requires key points of the source"):
        inferencer.infer(files[0], files[1], ready, background="white")
    with pytest.raises(InputError, match="a: another background requires a target with key points"):
        inferencer.infer(files[0], ready, files[2], background="white")


def test_the_place_of_a_figure_is_filled_from_its_surroundings():
    photograph = np.full((60, 80, 3), (90, 120, 200), np.uint8)
    photograph[:, :40] = (60, 140, 70)
    without = photograph.copy()
    figure = np.zeros((60, 80))
    figure[20:50, 10:20], figure[20:50, 60:70] = 1, 1
    photograph[figure == 1] = (255, 0, 0)
    made = filled(photograph, figure)
    assert np.abs(made.astype(int) - without).max() <= 3
    assert (made[:10] == photograph[:10]).all()


def test_flow_and_mask_become_pictures(result, tmp_path):
    for given in (result.flow, result.mask, torch.zeros(3, 4, 4), result.image.astype(int)):
        with pytest.raises(InputError, match=r"a\.png: an image to write is .*\n.*flow_to_rgb makes one of a flow"):
            write_image(tmp_path / "a.png", given)
    for picture in (flow_to_rgb(result.flow), mask_to_rgb(result.mask)):
        write_image(tmp_path / "a.png", picture)
        assert (read_image(tmp_path / "a.png") == picture).all()
    assert (mask_to_rgb(result.mask) == mask_to_rgb(torch.from_numpy(result.mask)[None])).all()
    assert (flow_to_rgb(result.flow) == flow_to_rgb(torch.from_numpy(result.flow))).all()


# Clips: test_animate.py tests the frames of each kind of model


def test_a_clip_of_a_model_of_single_images_has_the_results_of_infer(inferencer, place):
    poses = [place / f"{name}.json" for name in "abc"]
    options = {"resize_back": True, "framing": Framing("none", "none")}
    single = inferencer.infer(place / "a.png", poses, place / "a.json", **options)
    clip = inferencer.animate(place / "a.png", poses, place / "a.json", batch_size=2, **options)
    for frame, true in zip(clip, single, strict=True):
        assert np.abs(frame.image.astype(int) - true.image).max() <= 1  # a batch may sum in another order
        assert np.allclose(frame.flow, true.flow, atol=1e-3)  # pixels
        assert np.abs(frame.warped.astype(int) - true.warped).max() <= 1
        assert np.allclose(frame.mask, true.mask, atol=1e-4)
        assert frame.name == "a"


@pytest.mark.parametrize(("kind", "ahead"), [("inferencer", 2), ("clips", 1)])
def test_only_a_few_frames_of_a_long_clip_are_in_memory(request, place, kind, ahead):
    """Structures of an iterator are read when they are needed, and frames are not kept."""
    model = request.getfixturevalue(kind)
    asked, kept = [], []

    def structures():
        for number in range(12):
            asked.append(number)
            yield place / "a.json"

    for made, frame in enumerate(model.animate(place / "a.png", structures(), place / "a.json", batch_size=2), 1):
        kept.append(weakref.ref(frame.image))
        assert len(asked) <= made - 1 + ahead
        assert sum(one() is not None for one in kept) <= 2  # this frame and the one before
    assert made == 12


def test_a_clip_without_structures_has_no_frames(inferencer, clips, place):
    for model in (inferencer, clips):
        assert list(model.animate(place / "a.png", [], place / "a.json")) == []


@pytest.mark.parametrize("kind", [list, tuple])
def test_all_bad_files_of_a_clip_are_named_before_any_work(inferencer, place, tmp_path, kind):
    (tmp_path / "nobody.json").write_text('{"people": []}')
    structures = kind([tmp_path / "nobody.json", place / "b.json"])
    with pytest.raises(DataError, match=r"(?s)missing\.json.*nobody\.json"):
        inferencer.animate(place / "a.png", structures, tmp_path / "missing.json")


@pytest.mark.parametrize(("number", "said"), [(1, "generated 2 frames too few"), (4, "generated more frames than")])
def test_a_model_of_clips_that_gives_another_number_of_frames_is_an_error(clips, place, number, said, monkeypatch):
    true = type(clips.model).frames

    def frames(model, reference, own, structures):
        made = list(true(model, reference, own, structures))
        return iter([*made, *made][:number])

    monkeypatch.setattr(type(clips.model), "frames", frames)
    with pytest.raises(PosegenError, match=said):
        list(clips.animate(place / "a.png", [place / "b.json"] * 3, place / "a.json"))


def test_frames_may_have_pictures_of_their_own(inferencer, result, place):
    double = read_points(place / "b.json") * (2, 2, 1)
    large = Image.new("RGB", (2 * WIDTH, 2 * HEIGHT))
    for images in (large, [large]):
        (frame,) = inferencer.animate(place / "a.png", [double], place / "a.json", structure_images=images)
        assert same(frame, result)


def test_arguments_of_a_clip_that_do_not_fit_together_are_refused(inferencer, clips, place):
    own, pose = place / "a.json", place / "b.json"
    with pytest.raises(InputError, match="must be a list with one structure for each frame"):
        inferencer.animate(place / "a.png", pose, own)
    with pytest.raises(InputError, match="2 structures, 1 structure_images"):
        inferencer.animate(place / "a.png", [pose] * 2, own, structure_images=[place / "b.png"])
    with pytest.raises(InputError, match="structures must be a list of the same length"):
        inferencer.animate(place / "a.png", iter([pose]), own, structure_images=[place / "b.png"])
    for model in (inferencer, clips):
        with pytest.raises(InputError, match="batch_size must be 1 or more"):
            model.animate(place / "a.png", [pose], own, batch_size=0)


def test_a_model_of_clips_has_no_single_images(clips, place):
    assert not clips.makes_single_images
    with pytest.raises(ConfigError, match="a model of clips, not of single images: use `posegen animate`"):
        clips.infer(place / "a.png", place / "b.json", place / "a.json")


# Inputs


def test_pictures_and_points_may_be_paths_images_or_arrays(inferencer, result, place):
    target, own = read_points(place / "b.json"), read_points(place / "a.json")
    image = Image.open(place / "a.png")
    for source, to, at in [
        (str(place / "a.png"), target, own),
        (image, target[:, :2], Keypoints(own[:, :2], own[:, 2] > 0)),
        (np.asarray(image), np.array(target.tolist()), own),
        (image.convert("RGBA"), target[None], own[None]),
        (place / "a.png", target, place / "a.json"),
    ]:
        assert same(inferencer.infer(source, to, at)[0], result)
    encoded = inferencer.prepare(place / "a.png", place / "b.json", place / "a.json")
    ready = to_uint8(encoded.source), encoded.target_structure, encoded.source_structure
    assert same(inferencer.infer(*ready)[0], result)


def test_many_pictures_are_generated_in_batches_and_in_order(inferencer, place, capsys):
    pictures = [place / "a.png", place / "b.jpg", place / "c.png"]
    own = [path.with_suffix(".json") for path in pictures]
    seen = []
    handle = inferencer.model.register_forward_pre_hook(lambda model, inputs: seen.append(len(inputs[0])))
    results = inferencer.infer(pictures, place / "b.json", own, batch_size=2)  # one target for all
    handle.remove()
    assert seen == [2, 1]
    assert [one.name for one in results] == ["a", "b", "c"]
    assert "inference" in capsys.readouterr().out
    for one, picture, points in zip(results, pictures, own, strict=True):
        alone = inferencer.infer(picture, place / "b.json", points)[0]
        assert np.abs(one.image.astype(int) - alone.image).max() <= 1
    inferencer.infer(pictures, place / "b.json", own, batch_size=2, progress=False)
    assert capsys.readouterr().out == ""  # neither for one batch nor without progress


def test_pictures_in_memory_are_named_by_their_index(inferencer, place):
    own = read_points(place / "a.json")
    assert [one.name for one in inferencer.infer([Image.open(place / "a.png")] * 2, own, own)] == ["00000", "00001"]


def test_target_points_count_pixels_of_their_own_picture(inferencer, result, place):
    """The same pose in a picture twice as large."""
    double, large = read_points(place / "b.json") * (2, 2, 1), Image.new("RGB", (2 * WIDTH, 2 * HEIGHT))
    assert same(inferencer.infer(place / "a.png", double, place / "a.json", target_images=large)[0], result)


def test_one_of_several_figures_is_chosen(inferencer, result, place):
    own = read_points(place / "a.json")
    both = np.stack([own, read_points(place / "b.json")])
    with pytest.raises(InputError, match=r"of 2 figures: choose one, subject=0…1"):
        inferencer.infer(place / "a.png", both, own)
    assert same(inferencer.infer(place / "a.png", both, own[None].repeat(2, 0), subject=1)[0], result)
    with pytest.raises(InputError, match="subject=2 is out of range"):
        inferencer.infer(place / "a.png", both, own, subject=2)


# Errors


def test_points_outside_of_the_picture_are_warned_of_and_refused_if_all_are(inferencer, place):
    own = read_points(place / "a.json")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        inferencer.infer(place / "a.png", own, own)
    far = own.copy()
    far[:3, 0] += 1000
    with pytest.warns(UserWarning, match="a, target: 3 of 18 key points lie outside of the picture, which has 40×48"):
        inferencer.infer(place / "a.png", far, own)
    with pytest.raises(InputError, match="18 of 18 key points lie outside of the picture, which has 40×48 pixels"):
        inferencer.infer(place / "a.png", np.add(own, (1000, 0, 0)), own)
    with pytest.raises(InputError, match=r"within 2 pixels of the upper left .* multiply x by its width .*40×48"):
        inferencer.infer(place / "a.png", own / (WIDTH, HEIGHT, 1), own)
    two = np.where(np.arange(18)[:, None] < 2, own / (WIDTH, HEIGHT, 1), 0)  # two may be that near
    assert inferencer.infer(place / "a.png", two, own)


def test_points_of_a_list_are_checked_in_the_frame_of_the_list():
    """DeepFashion's list counts pixels of 176×256; a point below the photograph's 200 rows may lie in the frame."""
    config = load_config(CONFIGS / "gfla_fashion.py")
    photograph = np.zeros((200, 200, 3), np.uint8)
    listed = Keypoints(np.array([[88, 250], [88, 20]]), np.ones(2), listed=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prepare_checked(config, photograph, listed, "a")
    with pytest.warns(UserWarning, match="1 of 2 key points lie outside"):
        prepare_checked(config, photograph, Keypoints(listed.points, listed.present), "a")


def test_all_bad_key_point_files_are_named_before_any_work(inferencer, place, tmp_path):
    (tmp_path / "nobody.json").write_text('{"people": []}')
    pictures = [place / "a.png", place / "none.png", place / "c.png"]
    bad = [tmp_path / "missing.json", place / "b.json", tmp_path / "nobody.json"]
    with pytest.raises(DataError, match=r"(?s)missing\.json: no such file.*nobody\.json: nobody in the file"):
        inferencer.infer(pictures, bad, place / "a.json")
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
        as_keypoints(value, LAYOUT)


@pytest.mark.parametrize("value", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), 3, None])
def test_anything_but_a_picture_is_refused(value):
    with pytest.raises(InputError, match="a picture is a path, a PIL image, or an array uint8 H W 3; got"):
        as_array(value)


def test_arguments_that_do_not_fit_together_are_refused(inferencer, place):
    with pytest.raises(InputError, match="2 sources, 3 source_structures"):
        inferencer.infer([place / "a.png"] * 2, place / "b.json", [place / "a.json"] * 3)
    with pytest.raises(InputError, match=r"a ready structure is S H W, \(18, 32, 32\); got \(18, 16, 16\)"):
        inferencer.infer(place / "a.png", torch.zeros(18, 16, 16), place / "a.json")
    with pytest.raises(InputError, match="batch_size must be 1 or more"):
        inferencer.infer(place / "a.png", place / "b.json", place / "a.json", batch_size=0)


def test_structures_other_than_key_points_are_given_as_their_encoder_takes_them(tmp_path):
    config = load_config(CONFIGS / "gfla_drawn_cars.py")
    torch.save(posegen.load_model(config).state_dict(), tmp_path / "w.pth")
    views = Inferencer(config, tmp_path / "w.pth", device="cpu")
    picture = np.random.default_rng(0).integers(0, 256, (100, 80, 3), dtype=np.uint8)
    first, second = views.infer(picture, [(1, 0), (9, 2)], (0, 0))
    assert first.image.shape == (64, 64, 3)
    assert not np.array_equal(first.image, second.image)
    with pytest.raises(ConfigError, match=r"pose\.json is a file, and ViewEncoder does not encode key points"):
        views.infer(picture, "pose.json", (0, 0))
    for nonsense in ("ab", (1, 2, 3), 5, (99, 0)):
        with pytest.raises((InputError, ConfigError)):
            views.infer(picture, nonsense, (0, 0))


# Preparation


@pytest.mark.parametrize(("name", "said"), [("gfla_fashion", "is cropped around the figure"), ("gfla_coco", "")])
def test_cropping_depends_on_the_data_set(name, said):
    """DeepFashion's pictures have 176×256 pixels before they become square; CocoPairs cuts people out by itself."""
    config, points = load_config(CONFIGS / f"{name}.py"), np.array([[100, 20], [180, 120], [140, 180]])
    source = PoseInput(np.zeros((200, 400, 3), np.uint8), Keypoints(points, np.ones(3), frame=(200, 400)))
    told = describe_size(config, LAYOUT, [source])
    assert said in told
    assert ("is " in told) == bool(said)
    portrait = PoseInput(np.zeros((512, 352, 3), np.uint8), Keypoints(2 * points, np.ones(3), frame=(512, 352)))
    assert "352×512" not in describe_size(config, LAYOUT, [portrait])


def test_points_of_a_frame_fit_a_picture_of_its_proportions_only():
    points = Keypoints(np.array([[32, 64]]), np.ones(1), frame=(128, 64))
    assert points.within((64, 32)).points.tolist() == [[16, 32]]
    assert points.within((64, 33)).frame == (64, 33)  # sides are rounded
    with pytest.raises(InputError, match="a picture of 64×128, as their file says, and this one, 64×64, has other"):
        points.within((64, 64))


def test_pictures_are_prepared_by_the_data_sets_own_code():
    """A photograph of the list's own frame: its points are scaled as the data set scales them, not as the picture."""
    config = load_config(CONFIGS / "gfla_fashion.py")
    picture = np.zeros((512, 512, 3), np.uint8)
    _, prepared = prepare_subject(config, picture, Keypoints(np.array([[88, 128]]), np.ones(1), listed=True))
    assert prepared.points[0] == pytest.approx([128, 128])


def test_the_code_in_the_documentation_runs(models, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, source in [("source.png", "a.png"), ("source.json", "a.json"), ("target.json", "b.json")]:
        (tmp_path / name).write_bytes((place / source).read_bytes())
    (tmp_path / "FOLDER").symlink_to(models / "shared")
    (tmp_path / "configs").symlink_to(CONFIGS)
    page = (DOCS / "inference.md").read_text(encoding="utf-8")
    first, pictures, third, second = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    tiny = first.replace("configs/gfla_fashion.py", str(models / "tiny.py")).replace(
        "checkpoint.pth", str(models / "checkpoint.pth")
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
