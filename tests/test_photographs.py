"""Photographs as users have them: turned by EXIF, transparent, deep, with a color profile, animated."""

import io
import warnings
from argparse import ArgumentTypeError
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageCms

from posegen.checking.check import check_image
from posegen.cli.generation import read_figure
from posegen.data import Keypoints
from posegen.data.estimators import Figure
from posegen.data.findings import ImageInfo
from posegen.data.images import (
    compose,
    read_background,
    read_image,
    read_in_frame,
    read_orientation,
    read_photograph,
    read_size,
)
from posegen.data.pose_files import PoseChoice, choose_figure
from posegen.errors import DataError
from posegen.inference import PoseInput, as_array, find_sources

ORIENTATION = 0x0112
UNDO = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""Transposition with which a camera held in another way stores the upright picture, by EXIF orientation."""


@pytest.fixture
def picture():
    """A 20×30 picture without any symmetry."""
    y, x = np.mgrid[:20, :30]
    return np.stack([x * 8, y * 12, 255 - x * 4], 2).astype(np.uint8)


def write_turned(path, picture, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image = Image.fromarray(picture)
    stored = image.transpose(UNDO[orientation]) if orientation in UNDO else image
    stored.save(path, exif=exif)
    return path


# EXIF


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", [".png", ".tiff"])
def test_a_photograph_is_upright_for_all_eight_orientations(tmp_path, picture, orientation, ending):
    path = write_turned(tmp_path / f"a{ending}", picture, orientation)
    np.testing.assert_array_equal(read_photograph(path).image, picture)
    np.testing.assert_array_equal(as_array(Image.open(path)), picture)


@pytest.mark.parametrize("orientation", [3, 6])
def test_sizes_and_images_of_data_sets_are_turned_only_when_asked(tmp_path, picture, orientation):
    path = write_turned(tmp_path / "a.png", picture, orientation)
    assert read_orientation(path) == orientation
    assert read_size(path) == (20, 30)
    np.testing.assert_array_equal(read_image(path, turned=True), picture)
    assert not np.array_equal(read_image(path), picture)


def test_a_list_tells_by_its_size_whether_it_counts_stored_pixels_or_seen_ones(tmp_path, picture):
    path = write_turned(tmp_path / "a.png", picture, 6)
    assert read_in_frame(path, None).shape == (30, 20, 3)
    assert read_in_frame(path, (30, 20)).shape == (30, 20, 3)
    np.testing.assert_array_equal(read_in_frame(path, (20, 30)), picture)
    assert read_in_frame(path, (7, 7)).shape == (30, 20, 3)


def test_the_check_names_images_of_data_sets_that_are_seen_turned(tmp_path, picture):
    path = write_turned(tmp_path / "a.png", picture, 6)
    (finding,) = check_image(ImageInfo(path, "a.png")).findings
    assert (finding.kind, finding.severity) == ("orientation", "warning")
    assert "EXIF orientation 6 is ignored" in finding.text
    assert not check_image(ImageInfo(path, "a.png", listed_size=(20, 30))).findings  # which turns it
    assert not check_image(ImageInfo(write_turned(path, picture, 1), "a.png")).findings


def test_key_points_of_a_data_sets_list_count_stored_pixels(tmp_path, picture):
    path = write_turned(tmp_path / "a.png", picture, 6)
    points = Keypoints(np.ones((1, 2)), np.ones(1))
    assert PoseInput(path, points).read_picture().shape == (20, 30, 3)
    assert PoseInput(path, replace(points, listed=True)).read_picture().shape == (30, 20, 3)


# Transparency


def cut_out(hidden):
    """Left half opaque red, right half transparent over *hidden*."""
    image = np.full((4, 6, 4), (255, 0, 0, 255), np.uint8)
    image[:, 3:] = (*hidden, 0)
    return image


def save_cut_out(path, mode, hidden=(0, 255, 0)):
    image = Image.fromarray(cut_out(hidden))
    if mode == "P":
        image = image.convert("RGB").quantize(4)
        clear = image.getpixel((5, 0))
        image.save(path, transparency=clear)
    else:
        image.convert(mode).save(path, **({"lossless": True} if path.suffix == ".webp" else {}))
    return path


@pytest.mark.parametrize(
    ("name", "mode"),
    [("a.png", "RGBA"), ("a.png", "LA"), ("a.png", "P"), ("a.webp", "RGBA"), ("a.tiff", "RGBA"), ("a.gif", "P")],
)
@pytest.mark.parametrize("hidden", [(0, 255, 0), (0, 0, 0)])
def test_what_is_hidden_under_transparency_never_shows(tmp_path, name, mode, hidden):
    path = save_cut_out(tmp_path / name, mode, hidden)
    with pytest.warns(UserWarning, match=r"transparent parts, which show the background: white \(--background"):
        white = read_photograph(path)
    assert (white.image[:, 3:] == 255).all()
    assert white.alpha[:, :3].min() == 255
    assert white.alpha[:, 3:].max() == 0
    with pytest.warns(UserWarning, match=r"background: rgb\(0, 0, 255\)"):
        blue = read_photograph(path, background=(0, 0, 255))
    assert (blue.image[:, 3:] == (0, 0, 255)).all()
    np.testing.assert_array_equal(blue.image[:, :3], white.image[:, :3])


def test_an_opaque_alpha_channel_is_no_transparency(tmp_path, picture):
    Image.fromarray(picture).convert("RGBA").save(tmp_path / "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        photograph = read_photograph(tmp_path / "a.png")
    assert photograph.alpha is None
    np.testing.assert_array_equal(photograph.image, picture)


def test_alpha_is_turned_with_its_picture(tmp_path):
    path = write_turned(tmp_path / "a.png", cut_out((0, 0, 0)), 6)
    with pytest.warns(UserWarning, match="transparent"):
        assert read_photograph(path).alpha[0].tolist() == [255] * 3 + [0] * 3


def test_half_transparent_pixels_are_mixed_with_the_background():
    image, alpha = np.full((1, 3, 3), 200, np.uint8), np.array([[0, 51, 255]], np.uint8)
    assert compose(image, alpha, (0, 100, 255))[0].tolist() == [[0, 100, 255], [40, 120, 244], [200, 200, 200]]


def test_a_background_is_a_color_or_an_image_that_covers_the_photograph(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "behind.png")
    assert read_background("white") == (255, 255, 255)
    assert read_background("#ffcc00") == (255, 204, 0)
    behind = read_background(str(tmp_path / "behind.png"))
    clear = np.zeros((20, 10), np.uint8)
    np.testing.assert_array_equal(compose(np.zeros((20, 10, 3), np.uint8), clear, behind), picture[:, 10:20])
    with pytest.raises(DataError, match="neither a color"):
        read_background("nocolor")


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 1])
def test_pixels_are_mixed_exactly_wherever_the_image_is_seen(share):
    random = np.random.default_rng(0)
    image, behind = random.integers(0, 256, (2, 30, 20, 3), np.uint8)
    alpha = (random.integers(0, 256, (30, 20)) * (random.random((30, 20)) < share)).astype(np.uint8)
    weight = alpha[..., None] / 255
    mixed = image * weight + behind * (1 - weight)
    assert np.abs(compose(image, alpha, behind) - mixed).max() <= 0.5 + 1e-9


# Depth and color


def test_deep_and_flat_pictures_keep_their_range_in_files_and_in_memory(tmp_path):
    deep = np.array([[0, 128 * 257, 65535]], np.uint16)
    given = [
        (Image.fromarray(deep), [0, 128, 255]),
        (Image.fromarray(deep.astype(np.int32)), [0, 128, 255]),
        (Image.fromarray(np.array([[0, 128, 255]], np.int32)), [0, 128, 255]),
        (Image.fromarray(np.array([[0, 255, 255]], np.uint8)).convert("1"), [0, 255, 255]),
    ]
    for image, levels in given:
        assert as_array(image)[0].tolist() == [[level] * 3 for level in levels]
        image.save(tmp_path / "a.tiff")
        assert read_photograph(tmp_path / "a.tiff").image[0, :, 0].tolist() == levels
    image = Image.fromarray(deep)
    image.save(tmp_path / "a.png", transparency=65535)
    with pytest.warns(UserWarning, match="transparent"):
        assert read_photograph(tmp_path / "a.png").alpha.tolist() == [[255, 255, 0]]


def test_floating_point_is_no_photograph():
    with pytest.raises(DataError, match="pixels of mode F that are not levels"):
        read_photograph(Image.fromarray(np.zeros((2, 2), np.float32)))


def exchanged_profile():
    """sRGB with the primaries of red and green exchanged, without that name: red numbers mean green light."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = profile.replace("sRGB".encode("utf-16-be"), "mine".encode("utf-16-be")).replace(b"sRGB", b"mine")
    return profile.replace(b"rXYZ", b"swap").replace(b"gXYZ", b"rXYZ").replace(b"swap", b"gXYZ")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_an_icc_profile_is_converted_to_srgb(tmp_path, picture, mode):
    image = Image.fromarray(picture // 64 * 64).convert(mode)
    image.save(tmp_path / "a.png", icc_profile=exchanged_profile())
    read = read_photograph(tmp_path / "a.png").image.astype(int)
    assert np.abs(read - np.asarray(image.convert("RGB"))[..., [1, 0, 2]]).max() <= 2


def test_a_damaged_profile_is_told_and_left_out(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "a.png", icc_profile=b"no profile")
    with pytest.warns(UserWarning, match="its color profile does not fit and is ignored"):
        np.testing.assert_array_equal(read_photograph(tmp_path / "a.png").image, picture)


# Formats


@pytest.mark.parametrize("ending", [".gif", ".webp", ".png", ".tiff"])
def test_of_several_frames_the_first_is_used_and_told(tmp_path, picture, ending):
    path = tmp_path / f"a{ending}"
    frames = [Image.fromarray(frame) for frame in (picture, 255 - picture)]
    frames[0].save(path, save_all=True, append_images=frames[1:], **({"lossless": True} if ending == ".webp" else {}))
    with pytest.warns(UserWarning, match="several images or frames; the first one is used"):
        read = read_photograph(path).image
    assert np.abs(read.astype(int) - picture).mean() < (40 if ending == ".gif" else 1)  # a GIF has few colors


@pytest.mark.parametrize("kind", ["AVIF", "GIF", "TIFF", "BMP", "JPEG"])
def test_formats_that_pillow_reads_are_read(tmp_path, picture, kind):
    if kind not in Image.registered_extensions().values():
        pytest.skip(f"this Pillow has no {kind}")
    path = tmp_path / f"a.{kind.lower()}"
    Image.fromarray(picture).save(path)
    assert [one.picture for one in find_sources(path, None)] == [path]
    assert read_photograph(path).image.shape == picture.shape


def test_heic_that_cannot_be_read_is_named_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    assert [one.name for one in find_sources(tmp_path, None)] == ["a"]  # not passed over in silence
    with pytest.raises(DataError, match=r"a HEIC photograph.*\n?.*pip install pillow-heif"):
        read_photograph(tmp_path / "a.heic")


def test_a_video_called_a_photograph_is_no_heic(tmp_path, monkeypatch):
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + bytes(100))
    with pytest.raises(DataError, match="not an image, or of an unknown format"):
        read_photograph(tmp_path / "a.jpg")


def test_a_pil_image_without_a_file_is_read_too(picture):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    np.testing.assert_array_equal(as_array(Image.open(io.BytesIO(buffer.getvalue()))), picture)


# Several figures


def figures(*places):
    """Figures of three points around places (x, y, size)."""
    shape = np.array([[-1, -1], [1, -1], [0, 1]])
    return [Figure(Keypoints(np.array([x, y]) + size * shape, np.ones(3)), np.ones(3)) for x, y, size in places]


@pytest.mark.parametrize(
    ("choice", "x", "told"),
    [
        (PoseChoice(), 50, "figure 2 of 3, the largest (others: 1 at 10,10, 3 at 90,10),"),
        (PoseChoice(figure=3), 90, ""),
        (PoseChoice(figure=(88.0, 12.0)), 90, ""),
        (PoseChoice(figure=(20.0, 0.0)), 10, ""),  # outside of all: the nearest
    ],
)
def test_one_of_several_figures_is_the_largest_or_chosen_by_number_or_place(choice, x, told):
    """With two points, the small one has the most points but is not the largest."""
    several = figures((10, 10, 3), (50, 10, 14), (90, 10, 5))
    several[1].keypoints.present[2] = False
    found = choose_figure(several, choice, "a.json")
    assert found.points[:, 0].mean() == pytest.approx(x)
    assert found.chosen == told


def test_a_figure_that_is_not_there_is_refused_and_one_alone_needs_no_word():
    with pytest.raises(DataError, match="has no figure 3: it shows 2, from 1"):
        choose_figure(figures((10, 10, 3), (50, 10, 8)), PoseChoice(figure=3), "a.json")
    assert choose_figure(figures((10, 10, 3)), PoseChoice(), "a.json").chosen == ""
    assert choose_figure([], PoseChoice(), "a.json") is None


def test_figures_are_named_on_the_command_line_by_number_or_place():
    assert read_figure("2") == 2
    assert read_figure("120,80.5") == (120, 80.5)
    for text in ("first", "1,2,3", "1;2"):
        with pytest.raises(ArgumentTypeError, match="neither a number, from 1, nor a place X,Y"):
            read_figure(text)
