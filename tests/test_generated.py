"""What is generated says so, in the words of each format: read back by other readers than what wrote them."""

from __future__ import annotations

import re
import struct
import xml.etree.ElementTree as ET
import zlib
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
from posegen.engine.test_outputs import SaveForScoring, SaveImages
from posegen.errors import DataError
from posegen.records import PairBatch, Transfer
from posegen.visualization.video import VideoWriter

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 32, 3), dtype=np.uint8)
SOFTWARE = f"posegen {posegen.__version__}"
SAYS = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""What the IPTC calls media made by a trained model: https://cv.iptc.org/newscodes/digitalsourcetype/."""


def source_type(xmp: bytes) -> str:
    """The digital source type in a packet of XMP, by an XML parser that knows nothing of posegen."""
    root = ET.fromstring(re.sub(rb"<\?xpacket.*?\?>", b"", xmp))
    (description,) = root.iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
    assert description.get("{http://ns.adobe.com/xap/1.0/}CreatorTool") == SOFTWARE
    return description.get("{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType")


def png_chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    """Kinds and contents of a PNG's chunks (PNG specification, section 5.3)."""
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    found, place = [], 8
    while place < len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        data = content[place + 8 : place + 8 + length]
        assert zlib.crc32(kind + data) == struct.unpack_from(">I", content, place + 8 + length)[0]
        found.append((kind, data))
        place += 12 + length
    return found


def jpeg_xmp(content: bytes) -> bytes:
    """The APP1 segment of XMP (XMP specification, part 3, section 1.1.3)."""
    name = b"http://ns.adobe.com/xap/1.0/\0"
    place = content.index(name)
    marker, length = struct.unpack_from(">2sH", content, place - 4)
    assert marker == b"\xff\xe1"
    return content[place + len(name) : place - 2 + length]


def webp_chunk(content: bytes, kind: bytes) -> bytes:
    """A chunk of a RIFF file."""
    place = 12
    while content[place : place + 4] != kind:
        place += 8 + struct.unpack_from("<I", content, place + 4)[0]
        place += place % 2
    return content[place + 8 : place + 8 + struct.unpack_from("<I", content, place + 4)[0]]


def boxes(content: bytes) -> list[tuple[bytes, bytes]]:
    """Kinds and contents of the outermost boxes of an MP4 file (ISO 14496-12, section 4.2)."""
    found, place = [], 0
    while place < len(content):
        size, kind = struct.unpack_from(">I4s", content, place)
        assert size >= 8
        found.append((kind, content[place + 8 : place + size]))
        place += size
    assert place == len(content)
    return found


def test_a_png_says_so(tmp_path):
    write_generated(tmp_path / "made.png", PICTURE)
    chunks = png_chunks((tmp_path / "made.png").read_bytes())
    texts = dict(data.split(b"\0", 1) for kind, data in chunks if kind == b"tEXt")
    assert texts[b"Software"].decode() == SOFTWARE
    assert texts[b"Comment"].startswith(b"A generated picture")
    (international,) = [data for kind, data in chunks if kind == b"iTXt"]
    name, rest = international.split(b"\0", 1)
    assert name == b"XML:com.adobe.xmp"
    assert source_type(rest[4:]) == SAYS  # not compressed, and two empty texts: its language, its name there
    assert np.array_equal(cv2.imread(str(tmp_path / "made.png"))[..., ::-1], PICTURE)


@pytest.mark.parametrize("ending", [".jpg", ".jpeg", ".webp"])
def test_a_jpeg_and_a_webp_say_so(tmp_path, ending):
    path = tmp_path / f"made{ending}"
    write_generated(path, PICTURE)
    content = path.read_bytes()
    assert source_type(webp_chunk(content, b"XMP ") if ending == ".webp" else jpeg_xmp(content)) == SAYS
    with Image.open(path) as image:
        exif = image.getexif()
    assert exif[0x0131] == SOFTWARE
    assert exif[0x010E].startswith("A generated picture")
    assert cv2.imread(str(path)).shape == PICTURE.shape


@pytest.mark.parametrize("hook", [SaveImages, SaveForScoring])
def test_what_a_test_saves_says_so_and_has_the_pixels_it_has_without_that(tmp_path, hook):
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


def test_a_format_that_cannot_say_so_is_not_written(tmp_path):
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


def test_a_clip_says_so_in_xmp(clip):
    xmp_of_mp4 = bytes.fromhex("BE7ACFCB97A942E89C71999491E3AFAC")  # XMP specification, part 3, section 1.2.7.1
    (xmp,) = [data[16:] for kind, data in boxes(clip.read_bytes()) if kind == b"uuid" and data[:16] == xmp_of_mp4]
    assert source_type(xmp) == SAYS


def test_a_clip_says_so_to_players(clip):
    with av.open(str(clip)) as opened:
        assert opened.metadata["comment"].startswith("A generated clip")
        assert opened.metadata["description"] == SOFTWARE
    (movie,) = [data for kind, data in boxes(clip.read_bytes()) if kind == b"moov"]
    assert b"\xa9cmt" in movie  # the comment of iTunes' list, which players show


def test_a_clip_that_says_so_is_played_by_another_decoder(clip):
    video = cv2.VideoCapture(str(clip))
    frames = 0
    while video.read()[0]:
        frames += 1
    assert frames == 3
