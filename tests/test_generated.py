"""Generated pictures and clips say that they are generated, in the metadata of each format."""

from __future__ import annotations

import re
import struct
import xml.etree.ElementTree as ET
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import posegen
from posegen.data.generated import FORMATS, write_generated
from posegen.data.images import read_image, to_uint8, write_image
from posegen.data.video import VideoReader
from posegen.engine.test_outputs import SaveForScoring, SaveImages
from posegen.errors import DataError
from posegen.inference import mark_of
from posegen.inference.cutout import Cutout
from posegen.records import PairBatch, Transfer
from posegen.visualization.video import VideoWriter

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 32, 3), dtype=np.uint8)
SOFTWARE = f"posegen {posegen.__version__}"
SAYS = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's term for media made by a trained model: https://cv.iptc.org/newscodes/digitalsourcetype/."""


def source_type(xmp: bytes) -> str:
    """Return the digital source type in a packet of XMP."""
    root = ET.fromstring(re.sub(rb"<\?xpacket.*?\?>", b"", xmp))
    (description,) = root.iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
    assert description.get("{http://ns.adobe.com/xap/1.0/}CreatorTool") == SOFTWARE
    return description.get("{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType")


def xmp_of(clip: Path) -> list[bytes]:
    """Return the packets of XMP in an MP4 file."""
    xmp_of_mp4 = bytes.fromhex("BE7ACFCB97A942E89C71999491E3AFAC")  # XMP specification, part 3, section 1.2.7.1
    return [data[16:] for kind, data in boxes(clip.read_bytes()) if kind == b"uuid" and data[:16] == xmp_of_mp4]


def boxes(content: bytes) -> list[tuple[bytes, bytes]]:
    """Return kinds and contents of the outermost boxes of an MP4 file (ISO 14496-12, section 4.2)."""
    found, place = [], 0
    while place < len(content):
        size, kind = struct.unpack_from(">I4s", content, place)
        assert size >= 8
        found.append((kind, content[place + 8 : place + size]))
        place += size
    assert place == len(content)
    return found


@pytest.mark.parametrize("ending", FORMATS)
def test_a_picture_says_that_it_is_generated(tmp_path, ending):
    path = tmp_path / f"made{ending}"
    write_generated(path, PICTURE)
    with Image.open(path) as image:
        exif = image.getexif()
        text = image.text if ending == ".png" else {"Software": exif[0x0131], "Comment": exif[0x010E]}
        assert source_type(image.info["xmp"]) == SAYS
    assert text["Software"] == SOFTWARE
    assert text["Comment"].startswith("A generated picture")
    assert cv2.imread(str(path)).shape == PICTURE.shape  # another decoder reads it
    if ending == ".png":
        assert np.array_equal(read_image(path), PICTURE)


@pytest.mark.parametrize("hook", [SaveImages, SaveForScoring])
def test_images_of_posegen_test_say_so_with_the_same_pixels(tmp_path, hook):
    pairs, out = a_batch(seed=1), a_batch(seed=2)
    hook(tmp_path).after_test_iter(None, 0, pairs, [Transfer(out.target, [], [])])
    (made,) = tmp_path.glob("*.jpg" if hook is SaveImages else "generated/*.png")
    assert SAYS.encode() in made.read_bytes()
    write_image(tmp_path / f"plain{made.suffix}", to_uint8(out.target[0]))  # JPEGs with what it loses
    np.testing.assert_array_equal(read_image(made), read_image(tmp_path / f"plain{made.suffix}"))
    for real in tmp_path.glob("[st]*/*.png"):  # source/ and target/ are photographs
        assert SAYS.encode() not in real.read_bytes()


def a_batch(seed: int) -> PairBatch:
    images = torch.rand(1, 3, 40, 32, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return PairBatch(images.flip(3), images, images, images, names=["a_2_b_vis"])


def test_a_format_without_metadata_is_not_written(tmp_path):
    with pytest.raises(DataError, match=r"made\.bmp") as refused:
        write_generated(tmp_path / "made.bmp", PICTURE)
    assert all(ending in str(refused.value) for ending in FORMATS)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with VideoWriter(path) as video:
        for _ in range(3):
            video.write(PICTURE)
    return path


def test_a_clip_says_in_xmp_that_it_is_generated(clip):
    (xmp,) = xmp_of(clip)
    assert source_type(xmp) == SAYS


def test_a_clip_tells_players_that_it_is_generated(clip):
    with av.open(str(clip)) as opened:
        assert opened.metadata["comment"].startswith("A generated clip")
        assert opened.metadata["description"] == SOFTWARE
    (movie,) = [data for kind, data in boxes(clip.read_bytes()) if kind == b"moov"]
    assert b"\xa9cmt" in movie  # the comment of iTunes' list, which players show


def test_another_decoder_plays_a_marked_clip(clip):
    video = cv2.VideoCapture(str(clip))
    frames = 0
    while video.read()[0]:
        frames += 1
    assert frames == 3


# Composites

COMPOSITE_SAYS = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
COLOR, IMAGE, FILLED = (
    Cutout(background, lambda *_: PICTURE, fills)
    for background, fills in (((0, 0, 0), False), (PICTURE, False), ((0, 0, 0), True))
)


@pytest.mark.parametrize(
    ("cutout", "resize_back", "says"),
    [
        (None, False, SAYS),
        (None, True, COMPOSITE_SAYS),  # around what the model saw the photograph stays
        (COLOR, True, SAYS),
        (IMAGE, False, COMPOSITE_SAYS),
        (FILLED, False, COMPOSITE_SAYS),
    ],
)
def test_a_result_in_which_pixels_of_a_photograph_stay_is_a_composite(tmp_path, cutout, resize_back, says):
    mark = mark_of(cutout, resize_back)
    write_generated(tmp_path / "made.jpg", PICTURE, mark=mark)
    with VideoWriter(tmp_path / "made.mp4", mark=mark) as video:
        video.write(PICTURE)
    with Image.open(tmp_path / "made.jpg") as image:
        assert source_type(image.info["xmp"]) == says
    assert [source_type(xmp) for xmp in xmp_of(tmp_path / "made.mp4")] == [says]
    with av.open(str(tmp_path / "made.mp4")) as opened:
        assert opened.metadata["comment"].startswith("A composite" if says == COMPOSITE_SAYS else "A generated")


def test_a_clip_without_a_mark_says_nothing(tmp_path):
    with VideoWriter(tmp_path / "drawn.mp4", mark=None) as video:
        video.write(PICTURE)
    assert xmp_of(tmp_path / "drawn.mp4") == []
    assert b"posegen" not in (tmp_path / "drawn.mp4").read_bytes()
    assert len(list(VideoReader(tmp_path / "drawn.mp4"))) == 1
