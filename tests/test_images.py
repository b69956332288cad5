"""Images between files, arrays and tensors."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from posegen.data.images import read_image, resize_image, to_tensor, to_uint8, write_image
from posegen.errors import DataError
from posegen.files import written_whole


@pytest.fixture
def picture():
    """A smooth 20×30 picture: JPEG keeps it to a few gray levels."""
    y, x = np.mgrid[:20, :30]
    return np.stack([x * 8, y * 12, 255 - x * 4], 2).astype(np.uint8)


def jpeg_bytes(picture, **options):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def test_png_comes_back_exactly_and_in_rgb(tmp_path, picture):
    write_image(tmp_path / "new" / "folder" / "a.png", picture)
    np.testing.assert_array_equal(read_image(tmp_path / "new" / "folder" / "a.png"), picture)


def test_jpeg_comes_back_nearly_and_higher_quality_is_nearer(tmp_path, picture):
    errors = []
    for quality in (30, 95):
        write_image(tmp_path / "a.jpg", picture, quality=quality)
        errors.append(np.abs(read_image(tmp_path / "a.jpg").astype(int) - picture).mean())
    assert errors[1] < 3 < errors[0]


def test_writing_leaves_no_temporary_file(tmp_path, picture):
    write_image(tmp_path / "a.jpg", picture)
    with pytest.raises(TypeError):
        write_image(tmp_path / "b.jpg", picture.astype(np.complex64))
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]


@pytest.mark.parametrize("to_disk", [True, False])
def test_what_is_written_whole_is_on_the_disk_before_it_has_its_name_and_its_name_after(tmp_path, monkeypatch, to_disk):
    events, replace = [], os.replace

    def flush(descriptor):
        name = Path(f"/proc/self/fd/{descriptor}").resolve().name
        events.append(("flushed", "file" if name.endswith(".part") else name))

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(os, "replace", lambda part, path: (events.append(("renamed", path.name)), replace(part, path)))
    with written_whole(tmp_path / "folder" / "a.csv", to_disk=to_disk) as temporary:
        temporary.write_text("1")
    flushed = [("flushed", "file"), ("renamed", "a.csv"), ("flushed", "folder")]
    assert events == (flushed if to_disk else [("renamed", "a.csv")])


def test_an_ending_that_names_no_format_is_refused(tmp_path, picture):
    with pytest.raises(DataError, match=r"cannot write images of type '\.xyz'"):
        write_image(tmp_path / "a.xyz", picture)


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "CMYK"])
def test_every_color_mode_becomes_rgb(tmp_path, picture, mode):
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    Image.fromarray(picture).convert(mode).save(path)
    image = read_image(path)
    assert image.shape == (20, 30, 3)
    assert image.dtype == np.uint8


def test_gray_of_16_bits_keeps_its_range(tmp_path):
    levels = np.array([[0, 128 * 257, 255 * 257]], np.uint16)
    Image.fromarray(levels).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png")[0, :, 0].tolist() == [0, 128, 255]


def test_exif_orientation_is_ignored_because_annotations_count_stored_pixels(tmp_path, picture):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    (tmp_path / "a.jpg").write_bytes(jpeg_bytes(picture, exif=exif))
    assert read_image(tmp_path / "a.jpg").shape == (20, 30, 3)


def test_bad_files_are_named_with_what_is_wrong(tmp_path, picture):
    (tmp_path / "text.jpg").write_text("not an image")
    (tmp_path / "cut.jpg").write_bytes(jpeg_bytes(picture)[:-50])
    (tmp_path / "head.jpg").write_bytes(jpeg_bytes(picture)[:200])
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder.jpg").mkdir()
    expected = {
        "missing.jpg": "no such file",
        "text.jpg": "not an image",
        "empty.jpg": "not an image",
        "cut.jpg": "truncated or damaged",
        "head.jpg": "truncated or damaged",
        "folder.jpg": "cannot be read",
    }
    for name, problem in expected.items():
        with pytest.raises(DataError, match=problem) as error:
            read_image(tmp_path / name)
        assert name in str(error.value)


def test_a_huge_image_is_refused_from_its_header(tmp_path):
    """The file has a header of 9000×9000 pixels and no data: decoding it would fail in another way."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 9_000, 9_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT")
    with pytest.raises(DataError, match=r"too large: 9000×9000 pixels, the limit is 64,000,000"):
        read_image(tmp_path / "bomb.png")


def test_the_pixel_limit_is_an_argument(tmp_path, picture):
    write_image(tmp_path / "a.png", picture)
    assert read_image(tmp_path / "a.png", most_pixels=600).shape == (20, 30, 3)
    with pytest.raises(DataError, match="too large"):
        read_image(tmp_path / "a.png", most_pixels=599)


def test_tensor_range_is_minus_one_to_one_and_every_level_comes_back():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    tensor = to_tensor(levels)
    assert tensor.shape == (3, 16, 16)
    assert tensor.dtype == torch.float32
    assert (tensor.min(), tensor.max()) == (-1, 1)
    np.testing.assert_array_equal(to_uint8(tensor), levels)


def test_to_uint8_rounds_and_clamps():
    tensor = torch.tensor([-5.0, 5.0, 99.6 / 127.5 - 1]).expand(3, 1, 3)
    assert to_uint8(tensor)[0, :, 0].tolist() == [0, 255, 100]


def test_a_wrong_shape_is_refused(picture):
    with pytest.raises(ValueError, match="uint8, H W 3"):
        to_tensor(picture.astype(np.float32))
    with pytest.raises(ValueError, match="3 H W"):
        to_uint8(torch.zeros(1, 3, 4, 4))


def test_resizing_is_pillows_bicubic(picture):
    expected = Image.fromarray(picture).resize((16, 8), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(resize_image(picture, (8, 16)), expected)
