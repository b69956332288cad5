"""A corpus of bad inputs, over every reader: good examples, spoilt by a seeded mutator in every way it knows.

Each input must end in a good load or in one of our own errors, which names the file. Not in another error, a crash, a
hang, memory above a bound, or silence: a load of what is known to be bad. So each reader goes through its inputs in a
process of its own, forked from one that has imported everything; what ends the process is a finding, and the next one
goes on behind it.

    python tests/bad_inputs.py FINDINGS.json EVERY [READER …]

goes through every EVERY-th input of each reader, and writes what came of them.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import re
import resource
import select
import shutil
import signal
import struct
import sys
import tempfile
import warnings
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import cv2
import h5py
import numpy as np
import torch
from mmengine.config import Config
from PIL import Image, ImageCms
from posegen_dance.clips import DanceClips
from posegen_dance.keypoints import read_array, read_cleaned_json, read_openpose_json, read_text
from posegen_dance.layouts import HUMAN36M
from posegen_dance.structure import DanceStructureEncoder
from posegen_faces.clips import FaceClips
from posegen_faces.layouts import read_landmarks
from posegen_faces.structure import FaceStructureEncoder
from posegen_people.annotations import parse_pairs, read_annotations
from posegen_people.layouts import OPENPOSE_18
from posegen_people.pairs import AnnotatedPairs, CocoPairs
from posegen_study.pairing import define_study
from posegen_study.record import Record, read_records
from posegen_views.structure import ViewEncoder
from posegen_views.views import ViewPairs

from posegen import plugins
from posegen.checkpoints import read_checkpoint
from posegen.checkpoints.files import write_checkpoint
from posegen.config import load_config
from posegen.data import HeatmapEncoder
from posegen.data.images import MOST_BYTES, read_image
from posegen.engine.convert import convert
from posegen.errors import DataError, PosegenError
from posegen.evaluation.pairing import NamingConvention, pair_images
from posegen.evaluation.protocol import read_protocol
from posegen.files import MOST_OF_A_FRAME, MOST_OF_A_LIST
from posegen.inference import read_keypoint_file
from posegen.models.discriminator import ResidualDiscriminator
from posegen.models.published import DOWN, SPECTRAL

SEED = 20_200_302
CONVENTIONS = [NamingConvention("same name", "{target}", "a.png", "here")]
SECONDS = 90
"""Maximum time for one input, on a busy machine."""
MEMORY = 700 << 20
"""Bytes that one input may take: the largest image that is read takes 192 MB as it is decoded, and as an array."""

ALWAYS = ("the largest that is read", "bytes from 2446 on zero, 20")
"""Cases that are gone through in every sample: what takes most memory, and what libhdf5 does not survive."""

Spoil = Callable[[Path, Path], object]
"""Spoils a file: its path in the example, and that of a folder outside of it."""


class Case(NamedTuple):
    """One bad input.

    Args:
        label: what was done; with the reader's name, the input's own.
        file: which file of the example is spoilt.
        spoil: what it holds then, or what is done to it.
        must: ``"refuse"``: to load it would be silence; ``"same"``: to load it as something else than the good example
            would; empty: it may load.
    """

    label: str
    file: str
    spoil: bytes | Spoil
    must: str = ""


@dataclass
class Reader:
    """A reader, with a good example.

    Args:
        name: of the reader.
        example: contents by path, below a folder.
        read: reads the example in a folder.
        cases: the bad inputs.
        check: raises AssertionError where a load left something out: folder, what was loaded.
    """

    name: str
    example: dict[str, bytes]
    read: Callable[[Path], Any]
    cases: list[Case]
    check: Callable[[Path, Any], None] = lambda folder, loaded: None


# Mutators


def damaged(file: str, content: bytes, rng: Random, count: int, must: str = "") -> Iterator[Case]:
    """A file cut off, with other bytes, without some, with some twice; *must*: of those cut off, and of other bytes."""
    yield Case("empty", file, b"", "refuse")
    for place in sorted({len(content) * i // count for i in range(1, count)} | {1, len(content) - 1}):
        yield Case(f"cut off at {place}", file, content[:place], must)
    for place in sorted(rng.sample(range(len(content)), min(count, len(content)))):
        value = rng.choice([0, 255, content[place] ^ 1, content[place] ^ 128])
        yield Case(f"byte {place} is {value}", file, content[:place] + bytes([value]) + content[place + 1 :], must)
    for _ in range(count // 4):
        start, length = rng.randrange(len(content)), rng.randrange(1, 64)
        piece = content[start : start + length]
        yield Case(f"bytes from {start} on twice, {length}", file, content[:start] + piece + content[start:])
        yield Case(f"bytes from {start} on gone, {length}", file, content[:start] + content[start + length :])
        zeros = content[:start] + bytes(len(piece)) + content[start + length :]
        yield Case(f"bytes from {start} on zero, {length}", file, zeros, must)
    yield Case("zeros alone", file, bytes(len(content)), "refuse")
    yield Case("noise alone", file, rng.randbytes(len(content)), "refuse")
    yield Case("zeros behind", file, content + bytes(1000))


def misplaced(file: str, inside: bool, most: int = 0, absent: str = "refuse") -> Iterator[Case]:
    """Something else in a file's place. *inside*: links out of the example are refused; *most*: larger files are;
    *absent*: what must come of no file there."""

    def linked(to: Callable[[Path, Path], object]) -> Spoil:
        def spoil(path: Path, outside: Path) -> None:
            target = to(path, outside)
            path.unlink()
            path.symlink_to(target)

        return spoil

    def replaced(by: Callable[[Path], object]) -> Spoil:
        def spoil(path: Path, outside: Path) -> None:
            path.unlink()
            by(path)

        return spoil

    def moved_out(path: Path, outside: Path) -> Path:
        return Path(shutil.copy(path, outside))

    def folder_moved_out(path: Path, outside: Path) -> None:
        shutil.move(path.parent, outside / "folder")
        path.parent.symlink_to(outside / "folder")

    def in_another_place(path: Path, outside: Path) -> None:
        path.rename(path.with_name("elsewhere"))
        path.symlink_to("elsewhere")

    yield Case("not there", file, lambda path, outside: path.unlink(), absent)
    yield Case("a folder", file, replaced(Path.mkdir), absent)
    yield Case("a pipe", file, replaced(os.mkfifo), absent)
    yield Case("a link to a device", file, linked(lambda path, outside: "/dev/zero"), absent)
    yield Case("a link to itself", file, linked(lambda path, outside: path.name), absent)
    yield Case("a link to nothing", file, linked(lambda path, outside: "nothing"), absent)
    yield Case("a link out", file, linked(moved_out), "refuse" if inside else "same")
    yield Case("a link out, relative", file, linked(lambda p, o: os.path.relpath(moved_out(p, o), p.parent)),
               "refuse" if inside else "same")  # fmt: skip
    yield Case("a link that stays inside", file, in_another_place, "same")
    if inside and "/" in file:
        yield Case("in a folder that is a link out", file, folder_moved_out, "refuse")
    if most:
        yield Case("one byte too large", file, lambda path, outside: os.truncate(path, most + 1), "refuse")


ODD_NUMBERS = ("nan", "NaN", "-1", "-0.0", "1e999", "-Infinity", "1e308", "9" * 400, "9" * 5000, "0x10", "1,5", "", "x")


def rewritten(file: str, text: str, rng: Random, count: int) -> Iterator[Case]:
    """A text with lines gone, twice, or exchanged, with other numbers, and in other encodings."""
    lines = text.splitlines(keepends=True)
    for i in rng.sample(range(len(lines)), min(len(lines), count // 4)):
        yield Case(f"line {i + 1} is gone", file, "".join(lines[:i] + lines[i + 1 :]).encode())
        yield Case(f"line {i + 1} twice", file, "".join(lines[:i] + lines[i : i + 1] + lines[i:]).encode())
        yield Case(f"line {i + 1} is blank", file, "".join([*lines[:i], " \t\n", *lines[i + 1 :]]).encode())
        swapped = [*lines[:i], *lines[i + 1 : i + 2], lines[i], *lines[i + 2 :]]
        yield Case(f"line {i + 1} a line later", file, "".join(swapped).encode())
        joined = "".join(lines[:i]) + lines[i].rstrip("\n") + "".join(lines[i + 1 :])
        yield Case(f"line {i + 1} and the next in one", file, joined.encode())
    numbers = list(re.finditer(r"-?\d+(?:\.\d+)?", text))
    for i in range(min(len(numbers), count)):
        match, odd = rng.choice(numbers), ODD_NUMBERS[i % len(ODD_NUMBERS)]
        spoilt = text[: match.start()] + odd + text[match.end() :]
        yield Case(f"{match[0]} at {match.start()} is {odd[:12]}, number {i}", file, spoilt.encode())
    marks = (
        "\0",
        "\ufeff",
        '"',
        "'",
        ",",
        ":",
        ";",
        "\t",
        "\r",
        "\x0b",
        "\x1c",
        "\u2028",
        "\x85",
        "é",
        "\U0001f600",
        "\n",
    )
    for mark in marks:
        place = rng.randrange(len(text))
        yield Case(f"{mark!r} at {place}", file, (text[:place] + mark + text[place:]).encode())
    place = rng.randrange(len(text))
    yield Case("not UTF-8", file, text[:place].encode() + b"\xff\xfe\xc3" + text[place:].encode(), "refuse")
    yield Case("UTF-16", file, text.encode("utf-16"), "refuse")
    yield Case("UTF-8 with its mark", file, text.encode("utf-8-sig"), "same")
    yield Case("DOS line ends", file, text.replace("\n", "\r\n").encode(), "same")
    yield Case("one line of a million letters", file, b"x" * 1_000_000, "refuse")
    yield Case("a million blank lines", file, b"\n" * 1_000_000, "refuse")
    yield Case("brackets, a million deep", file, b"[" * 1_000_000, "refuse")
    yield Case("another file's text", file, b"<!DOCTYPE html>\n<title>404 Not Found</title>\n", "refuse")


ODD_VALUES = (
    None, True, -1, 0, 0.5, 10**30, 10**400, float("nan"), float("inf"), "", "x", "\0", "\ud800", [], [[]], {},
    {"a": 1}, [None], ["x"] * 3,
)  # fmt: skip


def other_values(file: str, data: Any, rng: Random, count: int) -> Iterator[Case]:
    """JSON with other values at places of every kind, without some, with some twice."""
    places = list(_places(data))
    for i in range(count):
        place, value = rng.choice(places), ODD_VALUES[i % len(ODD_VALUES)]
        yield Case(
            f"{_path(place)} is {str(value)[:12]!a}, number {i}", file, _json(_with(data, place, lambda _, v=value: v))
        )
    for i, place in enumerate(rng.sample(places, min(len(places), count // 4))):
        yield Case(f"without {_path(place)}, number {i}", file, _json(_without(data, place)))
        deep = _with(data, place, lambda old: [[[[[[[[old]]]]]]]])
        yield Case(f"{_path(place)} in lists, number {i}", file, _json(deep))
        nest = _json(_with(data, place, lambda _: "NEST")).replace(
            b'"NEST"', b'{"a":' * 200_000 + b"1" + b"}" * 200_000
        )
        yield Case(f"{_path(place)} is deep, number {i}", file, nest, "refuse")
    lists = [place for place in places if isinstance(_at(data, place), list)]
    for i, place in enumerate(rng.sample(lists, min(len(lists), count // 8))):
        yield Case(f"{_path(place)} twice, number {i}", file, _json(_with(data, place, lambda old: old + old)))
        yield Case(f"{_path(place)} backwards, number {i}", file, _json(_with(data, place, lambda old: old[::-1])))
        yield Case(
            f"{_path(place)} without its last, number {i}", file, _json(_with(data, place, lambda old: old[:-1]))
        )


def _places(data: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield from _places(value, (*place, key))


def _at(data: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        data = data[key]
    return data


def _with(data: Any, place: tuple[Any, ...], change: Callable[[Any], Any]) -> Any:
    if not place:
        return change(data)
    copy = data.copy()
    copy[place[0]] = _with(data[place[0]], place[1:], change)
    return copy


def _without(data: Any, place: tuple[Any, ...]) -> Any:
    if not place:
        return None

    def less(old: Any) -> Any:
        copy = old.copy()
        del copy[place[-1]]
        return copy

    return _with(data, place[:-1], less)


def _path(place: tuple[Any, ...]) -> str:
    return ".".join(map(str, place)) or "all"


def _json(data: Any) -> bytes:
    return json.dumps(data).encode()


OUTSIDE_NAMES = (
    "../secret.png", "a/../../secret.png", "/etc/passwd", "//server/a.png", "C:/a.png", "C:a.png", "C:\\a.png",
    "\\\\server\\share\\a.png", "..\\secret.png", "a\\..\\..\\secret.png", "\\a.png", "..", "a.png\0", "\0",
)  # fmt: skip
NO_NAMES = (
    "x" * 300,
    "x/" * 3000 + "a.png",
    "é" * 200,
    "~/a.png",
    ".",
    "a.png/b.png",
    "$HOME/a.png",
    "nowhere/a.png",
)


def other_names(file: str, text: str, name: str, nowhere: str = "refuse") -> Iterator[Case]:
    """Names that lead out of the folder, or to nothing, in the place of *name*; *nowhere*: what those to nothing must
    end in."""
    for other in OUTSIDE_NAMES + NO_NAMES:
        must = "refuse" if other in OUTSIDE_NAMES else nowhere
        yield Case(f"name {other[:30]!r}", file, text.replace(name, other).encode(), must)


def in_json(names: Iterable[str], file: str, data: Any, place: tuple[Any, ...]) -> Iterator[Case]:
    """Like :func:`other_names`, inside JSON."""
    for other in (*names, "\ud800.png"):
        yield Case(
            f"{_path(place)}: name {other[:30]!a}", file, _json(_with(data, place, lambda _, o=other: o)), "refuse"
        )


# Images


def picture(seed: int = 0, size: tuple[int, int] = (64, 64)) -> np.ndarray:
    """A picture with large areas and noise, uint8 H W 3."""
    rng = np.random.default_rng(seed)
    smooth = cv2.resize(rng.integers(0, 256, (4, 4, 3), np.uint8), size[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth.astype(int) + rng.integers(-9, 9, (*size, 3)), 0, 255).astype(np.uint8)


def encoded(image: np.ndarray, kind: str, **options: Any) -> bytes:
    """An image as a file of a kind."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG, with the checksum that it must have."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(
    width: int, height: int, depth: int, color: int, pixels: bytes = b"", extra: bytes = b"", packed: bytes = b""
) -> bytes:
    """A PNG whose header says what it is told to, of pixels or of packed ones, with chunks more."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    content = png_chunk(b"IDAT", packed or zlib.compress(pixels))
    return b"\x89PNG\r\n\x1a\n" + header + extra + content + png_chunk(b"IEND", b"")


def lying_pngs(file: str) -> Iterator[Case]:
    """PNGs whose checksums are right, and whose headers are not."""
    for width, height in [(2**31 - 1, 2**31 - 1), (0, 0), (0, 64), (100_000, 100_000), (8001, 8000), (2**31, 1)]:
        yield Case(f"says {width}×{height}", file, png(width, height, 8, 2, bytes(64)), "refuse")
    for width, height in [(8000, 8000), (1000, 64)]:
        for depth, color in [(8, 2), (16, 0)]:
            spoilt = png(width, height, depth, color, bytes(64 * 193))
            yield Case(f"{width}×{height} of 64×64 pixels, {depth} bits", file, spoilt, "refuse")
    for depth, color in [(3, 2), (8, 1), (16, 3), (0, 0), (255, 255)]:
        yield Case(f"depth {depth}, color type {color}", file, png(64, 64, depth, color, bytes(64 * 193)), "refuse")
    yield Case("a palette without a palette", file, png(64, 64, 8, 3, bytes(64 * 65)))
    bomb = zlib.compress(bytes(8000 * 24001))
    yield Case(
        "text that unfolds to 192 MB", file, png(64, 64, 8, 2, bytes(64 * 193), png_chunk(b"zTXt", b"a\0\0" + bomb))
    )
    yield Case("a profile that unfolds to 192 MB", file,
               png(64, 64, 8, 2, bytes(64 * 193), png_chunk(b"iCCP", b"a\0\0" + bomb)))  # fmt: skip
    yield Case("pixels that unfold to 192 MB more", file, png(64, 64, 8, 2, packed=bomb))
    yield Case("the largest that is read", file, png(8000, 8000, 8, 2, packed=bomb))


def lying_jpegs(file: str, content: bytes) -> Iterator[Case]:
    """JPEGs whose headers say other sizes; others that are no pictures of one scan."""
    frame = next(re.finditer(rb"\xff\xc0\x00\x11\x08", content)).end()
    for height, width in [(65535, 65535), (0, 64), (64, 0), (65535, 64), (7900, 8000), (1, 1)]:
        spoilt = content[:frame] + struct.pack(">HH", height, width) + content[frame + 4 :]
        yield Case(f"says {width}×{height}", file, spoilt, "refuse" if (height, width) != (1, 1) else "")
    for count in (0, 2, 5, 255):
        yield Case(f"{count} components", file, content[: frame + 4] + bytes([count]) + content[frame + 5 :], "refuse")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    yield Case("a color profile", file, encoded(picture(), "JPEG", icc_profile=profile))
    yield Case("progressive, cut off", file, encoded(picture(), "JPEG", progressive=True)[:-900], "refuse")


def other_formats(file: str) -> Iterator[Case]:
    """Files of formats that Pillow could decode, under the name of one that is read."""
    image = picture()
    for kind in (
        "GIF",
        "TIFF",
        "PPM",
        "ICO",
        "PCX",
        "TGA",
        "SGI",
        "JPEG2000",
        "EPS",
        "PDF",
        "IM",
        "DDS",
        "QOI",
        "MSP",
        "XBM",
        "AVIF",
    ):
        saved = image if kind not in ("MSP", "XBM") else image[..., 0] > 128
        try:
            yield Case(f"a {kind}", file, encoded(saved, kind), "refuse")
        except (KeyError, OSError):  # Pillow was built without it
            continue
    yield Case("a PSD", file, b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 64, 64, 8, 3) + bytes(30_000), "refuse")
    yield Case("a FLI", file, struct.pack("<IHHHHH", 200, 0xAF11, 1, 64, 64, 8) + bytes(300), "refuse")
    yield Case("PostScript", file, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%id) (r) file\n", "refuse")
    yield Case(
        "SVG", file, b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>', "refuse"
    )


def image_reader(
    name: str, file: str, content: bytes, count: int, extra: Iterable[Case] = (), safe: str = ""
) -> Reader:
    """A reader of images; *safe*: what other bytes in it must end in, where its format has checksums."""
    rng = Random(f"{SEED} {name}")
    cut = [case._replace(must=case.must or "same") if case.label.startswith("cut") else case
           for case in damaged(file, content, rng, count, safe)]  # fmt: skip
    cases = [*cut, *misplaced(file, inside=False, most=MOST_BYTES), *extra]
    return Reader(name, {file: content}, lambda folder: read_image(folder / file), cases)


def images() -> Iterator[Reader]:
    """Readers of JPEG, PNG, WebP, BMP."""
    image = picture()
    jpeg = encoded(image, "JPEG", quality=90)
    yield image_reader("JPEG", "a.jpg", jpeg, 100, [*lying_jpegs("a.jpg", jpeg), *other_formats("a.jpg")])
    yield image_reader("JPEG, progressive", "a.jpg", encoded(image, "JPEG", progressive=True), 40)
    yield image_reader(
        "PNG", "a.png", encoded(image, "PNG"), 80, [*lying_pngs("a.png"), *other_formats("a.png")], "same"
    )
    palette = io.BytesIO()
    Image.fromarray(image).quantize(16).save(palette, "PNG")
    yield image_reader("PNG, palette", "a.png", palette.getvalue(), 40, (), "same")
    deep = image[..., 0].astype(np.uint16) * 257
    yield image_reader("PNG, 16 bits", "a.png", encoded(deep, "PNG"), 40, (), "same")
    yield image_reader("WebP", "a.webp", encoded(image, "WEBP", quality=90), 40)
    yield image_reader("BMP", "a.bmp", encoded(image[:16, :16], "BMP"), 40)


# Lists of people


def annotation_text(names: Sequence[str] = ("a.png", "b.png", "c.png")) -> str:
    """An annotation list."""
    rows = [f"{name}: {[k * 3 for k in range(18)]}: {[k * 2 + i for k in range(18)]}" for i, name in enumerate(names)]
    return "\n".join(["name:keypoints_y:keypoints_x", *rows, ""])


def lists() -> Iterator[Reader]:
    """Readers of annotation lists, pair lists, and a data set of both."""

    def all_annotated(folder: Path, loaded: Mapping[str, Any]) -> None:
        rows = [row for row in (folder / "list.csv").read_bytes().decode("utf-8-sig").splitlines()[1:] if row.strip()]
        assert {row.split(":")[0].strip().strip('"') for row in rows} <= set(loaded) | {
            name.replace('"', "") for name in loaded
        }

    def read_pairs(path: Path) -> Sequence[Any]:
        pairs, problems = parse_pairs(path)
        if problems:
            raise DataError(path, problems)
        return pairs

    def all_paired(folder: Path, loaded: Sequence[Any]) -> None:
        rows = [row for row in (folder / "list.csv").read_bytes().decode("utf-8-sig").splitlines()[1:] if row.strip()]
        assert len(loaded) == len(rows)

    text = annotation_text()
    rng = Random(f"{SEED} annotations")
    cases = [
        *damaged("list.csv", text.encode(), rng, 40),
        *rewritten("list.csv", text, rng, 40),
        *misplaced("list.csv", inside=False, most=MOST_OF_A_LIST),
        *other_names("list.csv", text, "b.png", nowhere=""),
    ]
    example = {"list.csv": text.encode()}
    yield Reader(
        "annotation list", example, lambda f: read_annotations(f / "list.csv", OPENPOSE_18), cases, all_annotated
    )

    text = "from,to\na.png,b.png\nb.png,a.png\nc.png,a.png\n"
    rng = Random(f"{SEED} pairs")
    cases = [
        *damaged("list.csv", text.encode(), rng, 30),
        *rewritten("list.csv", text, rng, 30),
        *misplaced("list.csv", inside=False, most=MOST_OF_A_LIST),
        *other_names("list.csv", text, "c.png", nowhere=""),
    ]
    yield Reader("pair list", {"list.csv": text.encode()}, lambda f: read_pairs(f / "list.csv"), cases, all_paired)

    image = encoded(picture(size=(32, 16)), "PNG")
    listed = {"market-pairs-train.csv": b"from,to\na.png,b.png\nb.png,a.png\n",
              "market-annotation-train.csv": annotation_text(("a.png", "b.png")).encode()}  # fmt: skip
    example = {**listed, "train/a.png": image, "train/b.png": image}
    rng = Random(f"{SEED} data set")
    both = {name: content.decode() for name, content in listed.items()}
    cases = [
        *itertools.chain.from_iterable(misplaced(file, True, MOST_OF_A_LIST) for file in listed),
        *misplaced("train/a.png", True, MOST_BYTES),
        *itertools.chain.from_iterable(rewritten(file, text, rng, 24) for file, text in both.items()),
        *itertools.chain.from_iterable(other_names(file, text, "b.png") for file, text in both.items()),
        *damaged("train/a.png", image, rng, 16, "same"),
    ]

    def read(folder: Path) -> Any:
        data = AnnotatedPairs(folder, "train", HeatmapEncoder(OPENPOSE_18), (32, 16))
        return [data[i].name for i in range(len(data))]

    yield Reader("annotated pairs", example, read, cases)


# JSON


def json_reader(name: str, file: str, data: Any, read: Callable[[Path], Any], count: int, most: int) -> Reader:
    """A reader of one JSON file."""
    rng, content = Random(f"{SEED} {name}"), _json(data)
    cases = [
        *damaged(file, content, rng, count // 3),
        *rewritten(file, json.dumps(data, indent=1), rng, count // 4),
        *other_values(file, data, rng, count),
        *misplaced(file, inside=False, most=most),
    ]
    return Reader(name, {file: content}, lambda folder: read(folder / file), cases)


def read_any(path: Path) -> Any:
    """Read a key-point file of any format."""
    return read_keypoint_file(path, OPENPOSE_18, None)


def one_subject() -> Iterator[Reader]:
    """Readers of one subject's points."""
    triples = [float(k) for k in range(54)]
    several = {"version": 1.3, "people": [{"pose_keypoints_2d": triples}, {"pose_keypoints_2d": triples}]}
    yield json_reader("OpenPose JSON", "a.json", several, read_any, 90, MOST_OF_A_LIST)
    mmpose = {
        "meta_info": {"keypoint_id2name": {str(k): f"point {k}" for k in range(3)}},
        "instance_info": [{"instances": [{"keypoints": [[1.0, 2.0]] * 3, "keypoint_scores": [0.9, 0.5, 0.1]}]}],
    }
    yield json_reader("MMPose JSON", "a.json", mmpose, read_any, 80, MOST_OF_A_LIST)
    one = {**coco_data(), "annotations": coco_data()["annotations"][:1], "images": coco_data()["images"][:1]}
    yield json_reader("COCO JSON, one image", "a.json", one, read_any, 80, MOST_OF_A_LIST)
    cleaned = {"people": [{"pose_keypoints_2d": [float(k + 1) for k in range(51)]}]}
    yield json_reader("cleaned JSON", "a.json", cleaned, read_cleaned_json, 60, MOST_OF_A_FRAME)
    yield json_reader("OpenPose JSON of a frame", "a.json", several, read_openpose_json, 40, MOST_OF_A_FRAME)
    landmarks = "".join(f"{k * 1.5},{k + 0.25}\n" for k in range(68))
    yield text_reader("landmarks", landmarks, read_landmarks)
    yield text_reader("points of a frame", "".join(f"{k * 1.5} {k + 0.25} 1\n" for k in range(17)), read_text)
    array = io.BytesIO()
    np.save(array, np.arange(4 * 17 * 2, dtype=np.float64).reshape(4, 17, 2))
    yield Reader(
        "points of a video",
        {"a.npy": array.getvalue()},
        lambda folder: read_array(folder / "a.npy", 4),
        [
            *damaged("a.npy", array.getvalue()[:128], Random(f"{SEED} header"), 60),
            *damaged_arrays("a.npy", array.getvalue()),
            *misplaced("a.npy", inside=False, most=MOST_OF_A_LIST),
        ],
    )


def text_reader(name: str, text: str, read: Callable[[Path], Any]) -> Reader:
    """A reader of a text of rows of numbers."""
    rng = Random(f"{SEED} {name}")
    cases = [
        *damaged("a.txt", text.encode(), rng, 40),
        *rewritten("a.txt", text, rng, 60),
        *misplaced("a.txt", inside=False, most=MOST_OF_A_FRAME),
    ]
    return Reader(name, {"a.txt": text.encode()}, lambda folder: read(folder / "a.txt"), cases)


def damaged_arrays(file: str, content: bytes) -> Iterator[Case]:
    """NumPy's files with headers that lie, and of other shapes, types and kinds."""
    for place in range(128, len(content), 64):
        yield Case(f"cut off at {place}", file, content[:place], "refuse")
    headers = {
        "shape": "(4, 17, 3)", "huge shape": "(99999999999, 17, 2)", "negative shape": "(-4, 17, 2)",
        "shape beyond numbers": f"({10**30}, 17, 2)", "deep": "(" * 90, "code": "__import__('os').system('id')",
        "no shape": "None", "unclosed": "(4, 17, 2", "string": "'''",
    }  # fmt: skip
    for name, shape in headers.items():
        header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
        told = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + content[128:]
        yield Case(f"header: {name}", file, told, "refuse")
    for dtype in ("O", "U5", "M8[s]", "c16", "bool", "V8", "f2"):
        buffer = io.BytesIO()
        np.save(buffer, np.zeros((4, 17, 2)).astype(dtype), allow_pickle=True)
        yield Case(f"of {dtype}", file, buffer.getvalue(), "refuse" if dtype != "f2" else "")
    for shape in [(4, 17), (5, 17, 2), (4, 18, 2), (4, 17, 4), (0, 17, 2), ()]:
        buffer = io.BytesIO()
        np.save(buffer, np.zeros(shape))
        yield Case(f"of shape {shape}", file, buffer.getvalue(), "refuse")
    buffer = io.BytesIO()
    np.savez(buffer, points=np.zeros((4, 17, 2)))
    yield Case("an archive", file, buffer.getvalue(), "refuse")
    yield Case("a cut-off archive", file, buffer.getvalue()[:-60], "refuse")


def coco_data() -> dict[str, Any]:
    """COCO's form: two images of one person."""
    points = [float(value) for k in range(17) for value in (5 + k % 4, 4 + k, 2)]
    person = {"category_id": 1, "keypoints": points, "bbox": [2.0, 2.0, 10.0, 24.0], "iscrowd": 0, "person_id": 7}
    return {
        "images": [{"id": 1, "file_name": "images/a.png"}, {"id": 2, "file_name": "images/b.png"}],
        "annotations": [{**person, "id": 1, "image_id": 1}, {**person, "id": 2, "image_id": 2}],
        "categories": [{"id": 1, "name": "person"}],
    }


def coco() -> Iterator[Reader]:
    """Return the reader of COCO pairs."""
    data, image = coco_data(), encoded(picture(size=(32, 16)), "PNG")
    named = {**data, "categories": [{"id": 1, "keypoints": [*(f"point {k}" for k in range(16)), "nose"]}]}
    rng, file = Random(f"{SEED} coco"), "coco.json"

    def read(folder: Path) -> Any:
        pairs = CocoPairs(folder / file, folder, HeatmapEncoder(OPENPOSE_18), (32, 16))
        return [pairs[i].name for i in range(len(pairs))]

    cases = [
        *damaged(file, _json(data), rng, 30),
        *rewritten(file, json.dumps(data, indent=1), rng, 30),
        *other_values(file, data, rng, 120),
        *(case._replace(label=f"named points: {case.label}") for case in other_values(file, named, rng, 50)),
        *in_json((*OUTSIDE_NAMES, *NO_NAMES), file, data, ("images", 1, "file_name")),
        *misplaced(file, inside=False, most=MOST_OF_A_LIST),
        *misplaced("images/a.png", inside=True, most=MOST_BYTES),
        *(
            Case(f"two {kind} of one id", file, _json(_with(data, (kind, 1, "id"), lambda _: 1)), "refuse")
            for kind in ("annotations", "images")
        ),
    ]
    yield Reader("COCO pairs", {file: _json(data), "images/a.png": image, "images/b.png": image}, read, cases)


# Clips


def clips() -> Iterator[Reader]:
    """Return the readers of clips, with other things in the place of files."""
    image = encoded(picture(size=(32, 32)), "PNG")
    rows = "".join(f"{k % 9 * 3},{k // 9 * 3}\n" for k in range(68)).encode()
    faces = {f"test_data/v/{k}.png": image for k in (1, 2)} | {f"test_keypoints/v/{k}.txt": rows for k in (1, 2)}
    folder_of_clips = [
        *misplaced("test_data/v/1.png", True, MOST_BYTES),
        *misplaced("test_keypoints/v/2.txt", True, MOST_OF_A_FRAME),
        *damaged("test_data/v/2.png", image, Random(f"{SEED} faces"), 12, "same"),
    ]

    def read_faces(folder: Path) -> Any:
        return FaceClips(folder, "test", FaceStructureEncoder(), (32, 32))[0].frames.numpy()

    yield Reader("clips of faces", faces, read_faces, folder_of_clips)

    points = _json({"people": [{"pose_keypoints_2d": [float(k + 1) for k in range(51)]}]})
    split = "test_256"
    dance = {f"{split}/{folder}/v/{k}.png": image for folder in ("train_A", "train_C") for k in (1, 2)}
    dance |= {f"{split}/train_video2d/v/{k}.json": points for k in (1, 2)}
    folder_of_clips = [
        *misplaced(f"{split}/train_A/v/1.png", True, MOST_BYTES, absent=""),  # a frame less; what is beside it is told
        *misplaced(f"{split}/train_C/v/2.png", True, MOST_BYTES),
        *misplaced(f"{split}/train_video2d/v/2.json", True, MOST_OF_A_FRAME),
    ]

    def read_dance(folder: Path) -> Any:
        return DanceClips(folder, "test", DanceStructureEncoder(HUMAN36M), (32, 32), masks=True)[0].frames.numpy()

    yield Reader("clips of dancers", dance, read_dance, folder_of_clips)


# HDF5


RENDERS = ("aa_0_0", "aa_2_10", "bb_4_0", "bb_6_20")


def hdf5_file(change: Callable[[h5py.File], object] = lambda file: None, **options: Any) -> bytes:
    """Renders of two objects, changed."""
    with tempfile.TemporaryDirectory() as folder:
        with h5py.File(Path(folder, "a.hdf5"), "w") as file:
            for seed, name in enumerate(RENDERS):
                group = file.create_group(name)
                group.create_dataset("image", data=picture(seed, (16, 16)), **options)
                group["pose"] = np.array([int(k) for k in name.split("_")[1:]])
            change(file)
        return Path(folder, "a.hdf5").read_bytes()


def replaced(part: str, value: Any, **options: Any) -> Callable[[h5py.File], None]:
    """Puts another data set in the place of a part of the first render."""

    def change(file: h5py.File) -> None:
        del file[RENDERS[0]][part]
        if value is not None:
            file[RENDERS[0]].create_dataset(part, data=value, **options)

    return change


def linked(at: str, link: Any) -> Callable[[h5py.File], None]:
    """Puts a link in the place of something."""

    def change(file: h5py.File) -> None:
        del file[at]
        file[at] = link

    return change


def huge(part: str, shape: tuple[int, ...], dtype: str, chunks: tuple[int, ...] | None) -> Callable[[h5py.File], None]:
    """Puts a data set in the place of a part that has no bytes in the file, and unfolds."""

    def change(file: h5py.File) -> None:
        del file[RENDERS[0]][part]
        file[RENDERS[0]].create_dataset(part, shape, dtype, chunks=chunks, compression="gzip" if chunks else None)

    return change


def views() -> Iterator[Reader]:
    """Return the reader of views and of its lists."""
    ids = "\n".join(RENDERS) + "\n"
    content = hdf5_file()
    example = {"data_car.hdf5": content, "id_car_test.txt": ids.encode()}
    rng = Random(f"{SEED} views")

    def read(folder: Path) -> Any:
        data = ViewPairs(folder, "car", "test", ViewEncoder(), size=(16, 16))
        return np.stack([data[i].source.numpy() for i in range(len(data))])

    first = RENDERS[0]
    image = picture(0, (16, 16))
    changes: dict[str, Callable[[h5py.File], object]] = {
        "no image": replaced("image", None), "no pose": replaced("pose", None),
        "float image": replaced("image", image / 255), "gray image": replaced("image", image[..., 0]),
        "image with alpha": replaced("image", np.dstack([image, image[..., :1]])),
        "planes first": replaced("image", image.transpose(2, 0, 1)), "image of text": replaced("image", "x"),
        "empty image": replaced("image", image[:0]), "a number for an image": replaced("image", 3),
        "no space": replaced("image", h5py.Empty("u1")), "pose of text": replaced("pose", "0 0"),
        "pose of three": replaced("pose", [0, 0, 0]), "pose of one": replaced("pose", [0]),
        "pose a number": replaced("pose", 0),
        "pose nan": replaced("pose", [np.nan, 0]), "pose inf": replaced("pose", [np.inf, 0]),
        "pose negative": replaced("pose", [-1, 0]), "pose large": replaced("pose", [36, 0]),
        "pose high": replaced("pose", [0, 90]), "pose half": replaced("pose", [0.5, 0]),
        "pose huge": replaced("pose", np.array([2**63, 0], np.uint64)),
        "pose of bools": replaced("pose", [True, False]),
        "pose empty": replaced("pose", h5py.Empty("i8")), "pose complex": replaced("pose", [1j, 0]),
        "huge image": huge("image", (100_000, 100_000, 3), "u1", (100, 100, 3)),
        "huge chunks": huge("image", (9000, 9000, 3), "u1", (9000, 9000, 3)),
        "endless pose": huge("pose", (2**40,), "i8", (1000,)),
        "a link to another file": linked(first, h5py.ExternalLink("/etc/passwd", "/")),
        "a link to nothing": linked(first, h5py.SoftLink("/nothing")),
        "a link to itself": linked(first, h5py.SoftLink(f"/{first}")),
        "a link inside": linked(first, h5py.SoftLink(f"/{RENDERS[1]}")),
        "an image that is a link out": linked(f"{first}/image", h5py.ExternalLink("/etc/passwd", "/")),
        "a pose that is a link": linked(f"{first}/pose", h5py.SoftLink(f"/{RENDERS[1]}/pose")),
        "a render that is a number": linked(first, 3),
        "an image in other files": lambda file: _external(file, first),
        "an image that is virtual": lambda file: _virtual(file, first),
        "an image that is a group": lambda file: (replaced("image", None)(file), file[first].create_group("image")),
    }  # fmt: skip
    cases = [
        *damaged("data_car.hdf5", content, rng, 100),
        *(Case(name, "data_car.hdf5", hdf5_file(change), "refuse") for name, change in changes.items()),
        Case("compressed", "data_car.hdf5", hdf5_file(compression="gzip", fletcher32=True), "same"),
        *misplaced("data_car.hdf5", inside=True),
    ]
    yield Reader("views", example, read, cases)
    packed = hdf5_file(compression="gzip", fletcher32=True)
    cases = list(damaged("data_car.hdf5", packed, rng, 60))
    yield Reader("views, compressed", {**example, "data_car.hdf5": packed}, read, cases)
    file = "id_car_test.txt"
    named = "aa_0_0 aa_2_10\nbb_4_0 bb_6_20\nbb\n"
    cases = [
        *damaged(file, ids.encode(), rng, 24), *rewritten(file, ids, rng, 24), *misplaced(file, True, MOST_OF_A_LIST),
        *other_names(file, ids, RENDERS[1]),
    ]  # fmt: skip
    yield Reader("id list", example, read, cases)
    file = "name_car_test.txt"
    cases = [
        *damaged(file, named.encode(), rng, 20),
        *rewritten(file, named, rng, 20),
        *misplaced(file, True, MOST_OF_A_LIST, absent=""),
    ]
    yield Reader("list of pairs of views", {**example, file: named.encode()}, read, cases)


def _external(file: h5py.File, name: str) -> None:
    del file[name]["image"]
    file[name].create_dataset("image", (16, 16, 3), "u1", external=[("/etc/passwd", 0, 768)])


def _virtual(file: h5py.File, name: str) -> None:
    del file[name]["image"]
    layout = h5py.VirtualLayout((16, 16, 3), "u1")
    layout[:] = h5py.VirtualSource("/etc/passwd", "image", (16, 16, 3))
    file[name].create_virtual_dataset("image", layout)


# Weights


class Trap:
    """An object that runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch /tmp/posegen_trap",)


def weights() -> Iterator[Reader]:
    """Readers of checkpoints and of published weights."""
    tensors = {"state_dict": {"a": torch.arange(64.0), "b": torch.ones(4, 4)}, "meta": {"iter": 3}}
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(Path(folder, "a.pth"), tensors, "0123456789abcdef" * 2)
        sealed = Path(folder, "a.pth").read_bytes()
    plain, old = saved(tensors), saved(tensors, _use_new_zipfile_serialization=False)
    rng = Random(f"{SEED} checkpoints")
    kinds = {
        "a checkpoint": (sealed, "same"),
        "a checkpoint without a seal": (plain, ""),
        "a checkpoint of old": (old, ""),
    }
    for name, (content, safe) in kinds.items():
        cases = [*damaged("a.pth", content, rng, 40, safe)]
        if safe:
            cases += [*misplaced("a.pth", inside=False), *odd_pickles("a.pth")]
        yield Reader(name, {"a.pth": content}, lambda folder: read_checkpoint(folder / "a.pth"), cases)

    model = ResidualDiscriminator(widths=(4,))
    state = {published_name(name): value for name, value in model.state_dict().items()}
    config = Config(dict(trainer=dict(discriminator=dict(type="ResidualDiscriminator", widths=(4,)))))
    content = saved(state)
    yield Reader(
        "converter",
        {"net_D.pth": content},
        lambda folder: convert(config, folder / "net_D.pth"),
        [*damaged("net_D.pth", content, rng, 20), *odd_states("net_D.pth", state), *odd_pickles("net_D.pth")],
    )


def saved(content: Any, **options: Any) -> bytes:
    """A file of ``torch.save``."""
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def published_name(ours: str) -> str:
    """The published name of a discriminator's weight."""
    layers = {ours: f"model.{theirs}" for theirs, ours in DOWN.items()} | {"side": "shortcut.1"}
    what = {ours: theirs for theirs, ours in SPECTRAL.items()}
    if ours.startswith("to_logits."):
        rest = ours.removeprefix("to_logits.")
        return f"conv.{what.get(rest, rest)}"
    _, index, layer, rest = ours.split(".", 3)
    block = "block0" if index == "0" else f"encoder{int(index) - 1}"
    return f"{block}.{layers[layer]}.{what.get(rest, rest)}"


def odd_pickles(file: str) -> Iterator[Case]:
    """Weight files that hold something else than weights."""
    contents = {
        "code": Trap(), "code in a state": {"state_dict": {"a": Trap()}}, "a module": torch.nn.Linear(2, 2),
        "an array": {"state_dict": {"a": np.zeros(3)}}, "a list": [torch.zeros(2)], "a tensor": torch.zeros(2),
        "a number": 3, "text": "text", "nothing": None, "a set": {"state_dict": {1, 2}},
    }  # fmt: skip
    for name, content in contents.items():
        for old in (False, True):
            spoilt = saved(content, _use_new_zipfile_serialization=not old)
            yield Case(f"{name}{', of old' if old else ''}", file, spoilt, "refuse")
    for name, content in {
        "no state": {}, "a state of numbers": {"state_dict": {"a": 1}}, "a state that is text": {"state_dict": "x"},
        "a state that is a list": {"state_dict": [torch.zeros(2)]}, "names that are numbers": {1: torch.zeros(2)},
        "a state without a name": {"state_dict": None},
    }.items():  # fmt: skip
        yield Case(name, file, saved(content))
    yield Case("a tensor that says it is huge", file, saved({"a": torch.zeros(1).expand(2**40)}))


def odd_states(file: str, state: Mapping[str, torch.Tensor]) -> Iterator[Case]:
    """States that lack a weight, have one more, or of another shape or type."""
    for name, value in state.items():
        others = {
            "gone": None,
            "longer": torch.cat([value, value]),
            "a number": 3,
            "empty": torch.zeros(0),
            "flat": value.flatten(),
        }
        for what, other in others.items():
            spoilt = OrderedDict((key, other if key == name else old) for key, old in state.items())
            if other is None:
                del spoilt[name]
            same = isinstance(other, torch.Tensor) and other.shape == value.shape
            yield Case(f"{name} is {what}", file, saved(spoilt), "" if same else "refuse")
        for dtype in (torch.bool, torch.complex64):
            yield Case(f"{name} is {dtype}", file, saved({**state, name: value.to(dtype)}))
    yield Case("one more", file, saved({**state, "conv.more": torch.zeros(2)}), "refuse")
    yield Case("a sparse one", file, saved({**state, "conv.bias": torch.zeros(1).to_sparse()}))
    yield Case("without numbers", file, saved({**state, "conv.bias": torch.empty(1, device="meta")}))


# Configs


CONFIG: dict[str, Any] = {
    "data_root": "data", "batch_size": 2, "flow_iters": 3, "full_iters": 4, "feature_weights": "random",
    "size": [32, 32],
    "structure": {"type": "HeatmapEncoder", "layout": "openpose18"},
    "train_dataloader": {"batch_size": "${batch_size}", "num_workers": 0,
                         "dataset": {"type": "PaperDolls", "size": "${size}"}},
    "trainer": {"type": "PairTrainer", "stages": [{"name": "flow", "iters": "${flow_iters}"}]},
}  # fmt: skip


def configs() -> Iterator[Reader]:
    """Readers of configs."""
    python = "\n".join(f"{name} = {value!r}" for name, value in CONFIG.items()) + "\n"
    plain = json.dumps(CONFIG, indent=1)
    lines = "".join(f"{name}: {json.dumps(value)}\n" for name, value in CONFIG.items())
    for file, text in {"a.py": python, "a.json": plain, "a.yaml": lines}.items():
        rng = Random(f"{SEED} {file}")
        cases = [
            *damaged(file, text.encode(), rng, 24),
            *rewritten(file, text, rng, 24),
            *(other_values(file, CONFIG, rng, 40) if file != "a.py" else odd_programs(file)),
            *misplaced(file, inside=False),
            *(odd_yaml(file, text) if file == "a.yaml" else ()),
        ]
        yield Reader(
            f"config {file[1:]}",
            {file: text.encode()},
            lambda folder, file=file: load_config(folder / file),
            cases,
        )


PROGRAMS = (
    "raise ValueError('x')", "import nowhere", "1 / 0", "import sys; sys.exit(3)", "def f(): return f()\nf()",
    "_base_ = 'nowhere.py'", "_base_ = 'a.py'", "_base_ = 3", "_base_ = ['a.py', 'b.py']", "x = (" * 300,
    "__import__('json').loads('[' * 100000)",
)  # fmt: skip
TAGS = (
    "!!python/object/apply:os.system ['id']", "!!python/name:os.system", "!!python/module:os", "!nothing x",
    "!!binary x",
    "!!timestamp x", "&a [*a]", "*nothing", "!!set {a}", "!!python/tuple [1, 2]", "0o8", "<<: 3", "? [a]",
)  # fmt: skip


def odd_programs(file: str) -> Iterator[Case]:
    """Python configs that do not come to their end."""
    for program in PROGRAMS:
        yield Case(f"program {program[:40]!r}", file, program.encode() + b"\n")


def odd_yaml(file: str, text: str) -> Iterator[Case]:
    """YAML that would execute something, or unfolds."""
    for tag in TAGS:
        yield Case(f"size is {tag}", file, (text + f"size: {tag}\n").encode())
    bomb = "a: &a0 [x, x]\n" + "".join(f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 12))
    yield Case("aliases that unfold to 9 ** 11 values", file, (text + bomb).encode())
    yield Case("a list that holds itself", file, (text + "work: &w\n  - *w\n").encode())


# Evaluation and study


def evaluation() -> Iterator[Reader]:
    """Readers of pairing lists, protocols and records of a study."""
    image = encoded(picture(size=(8, 8)), "PNG")
    files = {f"{folder}/{name}.png": image for folder in ("generated", "target") for name in ("a", "b")}

    def read(folder: Path) -> Any:
        pairing = pair_images(folder / "generated", folder / "target", folder / "pairs.csv", CONVENTIONS)
        return [pairing.pairs, pairing.unmatched]

    def all_told(folder: Path, loaded: list[Any]) -> None:
        rows = [
            row for row in (folder / "pairs.csv").read_bytes().decode("utf-8-sig").splitlines()[1:] if row.strip(", \t")
        ]
        assert len(loaded[0]) + sum(text.startswith("row ") for text in loaded[1]) >= len(rows)

    for header, row in {
        "generated,target": "{0}.png,{0}.png",
        "generated,target,source": "{0}.png,{0}.png,{1}.png",
    }.items():
        text = "\n".join([header, row.format("a", "b"), row.format("b", "a")]) + "\n"
        rng = Random(f"{SEED} {header}")
        cases = [
            *damaged("pairs.csv", text.encode(), rng, 30),
            *rewritten("pairs.csv", text, rng, 30),
            *misplaced("pairs.csv", inside=False, most=MOST_OF_A_LIST),
            *other_names("pairs.csv", text, "b.png", nowhere=""),
        ]
        yield Reader(f"pairing list {header}", {**files, "pairs.csv": text.encode()}, read, cases, all_told)

    protocol = {"name": "mine", "metrics": {"l1": {"type": "L1"}}, "size": [8, 8], "resize": "none", "citation": "here"}
    yield json_reader("protocol", "a.json", protocol, read_protocol, 60, MOST_OF_A_FRAME)

    with tempfile.TemporaryDirectory() as temporary:
        for name, content in files.items():
            Path(temporary, name).parent.mkdir(exist_ok=True)
            Path(temporary, name).write_bytes(content)
        found = define_study(Path(temporary, "generated"), Path(temporary, "target"))
        Record(Path(temporary, "a.jsonl"), found.study).close()
        record = Path(temporary, "a.jsonl").read_bytes()
    text = record.decode() + "".join(f'{{"undo": {k}, "rater": "r{k}"}}\n' for k in range(2))
    rng = Random(f"{SEED} record")
    cases = [
        *damaged("a.jsonl", record, rng, 30),
        *rewritten("a.jsonl", text, rng, 20),
        *other_values("a.jsonl", json.loads(record), rng, 60),
        *misplaced("a.jsonl", inside=False, most=MOST_OF_A_LIST),
    ]
    yield Reader("record of a study", {"a.jsonl": record}, lambda folder: read_records([folder / "a.jsonl"])[1:], cases)
    cases = [
        *misplaced("generated/a.png", inside=True, most=MOST_BYTES, absent=""),  # a pair less, which is told
        *damaged("target/b.png", image, rng, 20),
    ]
    given = [case for case in cases if "folder that is" not in case.label]  # whoever gives a folder chooses it
    yield Reader("study", files, lambda f: define_study(f / "generated", f / "target").study.images, given)


def readers() -> list[Reader]:
    """All readers with their inputs; the same each time."""
    return [*images(), *lists(), *one_subject(), *coco(), *clips(), *views(), *weights(), *configs(), *evaluation()]


# Going through them


def judge(reader: Reader, case: Case, folder: Path, good: str) -> tuple[str, str]:
    """Return what a reader does with an input (``loads``, ``is refused``, or a violation), and the error."""
    try:
        loaded = reader.read(folder)
    except PosegenError as error:
        named = any(name in str(error) for name in (*map(_last, reader.example), _last(case.file), _folder(case.file)))
        return ("is refused" if named else "does not name the file"), str(error)
    except BaseException as error:
        return "fails with another error", f"{type(error).__name__}: {error}"
    if case.must == "refuse":
        return "loads silently", "it must be refused"
    if case.must == "same" and digest(loaded) != good:
        return "loads silently", "it is not what the good example is"
    try:
        reader.check(folder, loaded)
    except AssertionError as error:
        return "loads silently", f"something was left out: {error}"
    return "loads", ""


def _last(file: str) -> str:
    return Path(file).name


def _folder(file: str) -> str:
    """Return the folder of a file as errors about the folder name it."""
    return "/".join(Path(file).parent.parts[-2:]) or file


def digest(loaded: Any) -> str:
    """Return a digest that is equal for equal values."""
    if isinstance(loaded, np.ndarray):
        return hashlib.sha256(repr(loaded.shape).encode() + loaded.tobytes()).hexdigest()
    return repr(loaded)


def lay_out(example: Mapping[str, bytes], work: Path) -> Path:
    """Writes an example anew, beside an empty folder that is outside of it."""
    for name in ("root", "outside"):
        shutil.rmtree(work / name, ignore_errors=True)
        (work / name).mkdir()
    (work / "outside/secret.png").write_bytes(example.get("train/a.png", b"secret"))
    for name, content in example.items():
        (work / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (work / "root" / name).write_bytes(content)
    return work / "root"


def spoil(reader: Reader, case: Case, work: Path) -> Path:
    """Write the example with one bad file."""
    folder = lay_out(reader.example, work)
    if callable(case.spoil):
        case.spoil(folder / case.file, work / "outside")
    else:
        (folder / case.file).write_bytes(case.spoil)
    return folder


def go_through(reader: Reader, cases: Sequence[tuple[int, Case]], work: Path, pipe: int) -> None:
    """In a process of its own: tell the parent, line by line, which input is next, and what came of it."""
    with open("/proc/self/statm") as file:
        address_space = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (address_space + 2 * MEMORY, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    good = digest(reader.read(lay_out(reader.example, work)))
    for number, case in cases:
        _tell(pipe, {"number": number})
        outcome, text = judge(reader, case, spoil(reader, case, work), good)
        taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
        if taken > MEMORY:
            _tell(
                pipe, {"number": number, "outcome": "takes memory", "text": f"{taken:,} bytes; {outcome}: {text[:300]}"}
            )
            return
        _tell(pipe, {"number": number, "outcome": outcome, "text": text[:3000]})


def _tell(pipe: int, what: dict[str, Any]) -> None:
    os.write(pipe, json.dumps(what).encode() + b"\n")


def findings_of(reader: Reader, every: int = 1) -> list[dict[str, Any]]:
    """Return the outcome of every n-th input, and of known bad ones; restart a process that ends behind the
    input that ended it."""
    chosen = [(i, case) for i, case in enumerate(reader.cases) if i % every == 0 or case.label in ALWAYS]
    found: list[dict[str, Any]] = []
    while len(found) < len(chosen):
        found += _one_process(reader, chosen[len(found) :])
    return [{**each, "label": reader.cases[each["number"]].label} for each in found]


def _one_process(reader: Reader, cases: Sequence[tuple[int, Case]]) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as work:
        there, here = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(there)
                _quieten(Path(work, "output"))
                go_through(reader, cases, Path(work), here)
                status = 0
            finally:
                os._exit(status)
        os.close(here)
        lines, hung = _listen(there)
        os.close(there)
        if hung:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        output = Path(work, "output").read_text(errors="replace")[-1000:]
    done = [line for line in lines if "outcome" in line]
    begun = [line["number"] for line in lines if "outcome" not in line]
    if len(begun) > len(done):
        outcome = f"takes more than {SECONDS} s" if hung else f"ends the process with status {status}"
        done.append({"number": begun[-1], "outcome": outcome, "text": output})
    if not done:
        raise RuntimeError(f"{reader.name}: the good example does not load\n{output}")
    return done


def _quieten(path: Path) -> None:
    """Redirect the output of libraries to a file, to be read if the process ends."""
    output = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.dup2(output, 1)
    os.dup2(output, 2)
    warnings.simplefilter("ignore")


def _listen(pipe: int) -> tuple[list[dict[str, Any]], bool]:
    """Read the lines of a child until it ends; return them, and whether it timed out."""
    content = b""
    while True:
        ready, _, _ = select.select([pipe], [], [], SECONDS)
        if not ready:
            return _lines(content), True
        piece = os.read(pipe, 1 << 16)
        if not piece:
            return _lines(content), False
        content += piece


def _lines(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.split(b"\n")[:-1]]


GOOD = ("loads", "is refused")


def main(path: Path, every: int, names: Sequence[str]) -> None:
    """Go through the inputs of all readers, or of those named, and write what came of each as JSON, by reader."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    plugins.load()
    chosen = [reader for reader in readers() if not names or reader.name in names]
    path.write_text(json.dumps({reader.name: findings_of(reader, every) for reader in chosen}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
