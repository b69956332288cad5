"""Malicious weight files are refused by everything that reads weights; nothing in them runs or exhausts memory."""

from __future__ import annotations

import ast
import functools
import io
import itertools
import json
import os
import pickle
import re
import resource
import struct
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import posegen_metrics.weights
import pytest
import torch
from posegen_metrics.inception import Inception
from posegen_metrics.lpips_distance import LPIPSDistance

import posegen
import posegen.engine.convert
from posegen.checkpoints import load_weights, read_checkpoint
from posegen.checkpoints.files import SEAL_LENGTH, write_checkpoint
from posegen.cli import main
from posegen.config import load_config
from posegen.engine import build_trainer, reproduce_step
from posegen.errors import CheckpointError
from posegen.losses.features import VGG16Features, VGG19Features
from posegen.untrusted import ALLOWED, MOST_PICKLE
from posegen.weights import read_weights

from .conftest import CONFIGS
from .test_engine import seal_file

ROOT = CONFIGS.parent


class Calls:
    """Call a function when unpickled, and set attributes of its result."""

    def __init__(self, function: Callable, *arguments: Any, state: dict[str, Any] | None = None) -> None:
        self.called = function, arguments, state

    def __reduce__(self):
        return self.called


class Kin(OrderedDict):
    """A mapping of another class, which could run anything when it is filled."""


def save(path: Path, content: Any) -> None:
    torch.save(content, path)


def save_legacy(path: Path, content: Any) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def write_archive(path: Path, entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def opcodes(*pieces: bytes) -> dict[str, bytes]:
    """Return the entries of an archive of torch whose pickle has these opcodes."""
    return {"archive/data.pkl": b"\x80\x02" + b"".join(pieces) + b".", "archive/version": b"3\n"}


# Gadgets, and the names that they ask for


def gadgets(canary: Path) -> dict[str, tuple[Any, str]]:
    touch = f"touch {canary}"
    array = np.array([Calls(os.system, touch)], dtype=object)
    hostile = Calls(torch._utils._rebuild_tensor_v2, Calls(os.system, touch), 0, (1,), (1,), False, OrderedDict())
    return {
        "os.system": (Calls(os.system, touch), "posix.system"),
        "builtins.eval": (Calls(eval, f"open({str(canary)!r}, 'w')"), "builtins.eval"),
        "getattr chain": (
            Calls(list, Calls(map, Calls(getattr, Calls(__import__, "os"), "system"), [touch])),
            "builtins.getattr",
        ),
        "functools.partial": (functools.partial(os.system, touch), "functools.partial"),
        "object array": ({"state_dict": {"weight": array}}, "_reconstruct"),
        "hostile storage": ({"weight": hostile}, "posix.system"),
        "hidden in a state dict": (
            {"state_dict": {"a": torch.zeros(1), "b": [{"c": (Calls(os.system, touch),)}]}},
            "posix",
        ),
        "a name of a weight": ({Calls(os.system, touch): torch.zeros(1)}, "posix.system"),
        "nested subclass": (OrderedDict(a=Kin(b=Kin(c=1))), "Kin"),
        "load from bytes": (Calls(torch.storage._load_from_bytes, b""), "torch.storage._load_from_bytes"),
        "a great bytearray": (Calls(bytearray, 1 << 40), "builtins.bytearray"),
        "a module": (torch.nn.Linear(1, 1), "torch.nn.modules.linear.Linear"),
    }


GADGETS = sorted(gadgets(Path("canary")))


@pytest.fixture
def canary(tmp_path: Path):
    """Yield a path where gadgets create a file, which must not exist afterwards."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists()


@pytest.mark.parametrize("kind", GADGETS)
@pytest.mark.parametrize("writer", [save, save_legacy])
def test_a_gadget_is_refused_with_its_file_and_what_it_asked_for(tmp_path, canary, kind, writer):
    content, asked = gadgets(canary)[kind]
    writer(tmp_path / "evil.pth", content)
    with pytest.raises(CheckpointError) as refused:
        read_checkpoint(tmp_path / "evil.pth")
    assert str(tmp_path / "evil.pth") in str(refused.value)
    assert re.search(rf"it asks for [^)]*{re.escape(asked)}", str(refused.value))
    assert "weights_only" not in str(refused.value)  # torch's advice is to load it unsafely


def test_the_gadgets_run_without_protection(tmp_path):
    """Otherwise the tests above would prove nothing."""
    content, _ = gadgets(tmp_path / "canary")["os.system"]
    pickle.loads(pickle.dumps(content))
    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize("protocol", range(6))
def test_a_plain_pickle_of_any_protocol_is_refused(tmp_path, canary, protocol):
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Calls(os.system, f"touch {canary}"), protocol=protocol))
    with pytest.raises(CheckpointError, match=r"posix\.system" if protocol > 1 else "no checkpoint"):
        read_checkpoint(tmp_path / "evil.pth")


@pytest.mark.parametrize(
    ("pieces", "asked"),
    [
        ((b"(S'touch x'\niposix\nsystem\n",), "posix.system"),  # INST
        ((b"(cposix\nsystem\nS'touch x'\no",), "posix.system"),  # OBJ
        ((b"\x8c\x05posix\x94\x8c\x06system\x94\x93",), "posix.system"),  # STACK_GLOBAL
        ((b"\x82\x01",), "EXT1 1"),
        ((b"cposix\nsystem\n0N",), "posix.system"),  # asked for, and thrown away
    ],
)
def test_every_opcode_that_asks_for_a_name_is_refused(tmp_path, pieces, asked):
    path = write_archive(tmp_path / "evil.pth", opcodes(*pieces))
    with pytest.raises(CheckpointError, match=asked):
        read_checkpoint(path)


def test_a_tar_as_torch_once_wrote_is_refused(tmp_path, canary):
    (tmp_path / "pickle").write_bytes(pickle.dumps(Calls(os.system, f"touch {canary}"), protocol=2))
    with tarfile.open(tmp_path / "evil.pth", "w") as tar:
        tar.add(tmp_path / "pickle", "pickle")
    with pytest.raises(CheckpointError, match=r"evil\.pth cannot be loaded: it is a tar archive"):
        read_checkpoint(tmp_path / "evil.pth")


def test_a_program_is_no_weight_file(tmp_path):
    torch.jit.save(torch.jit.trace(torch.nn.Identity(), torch.zeros(1)), tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match="it is a TorchScript program, which is code"):
        read_checkpoint(tmp_path / "evil.pth")


# Endless structures and memory bombs


def recursive() -> list:
    loop: list = []
    loop.append({"again": loop})
    return loop


def laughs(kind: type) -> Any:
    """Forty levels, each twice the one below: 2⁴⁰ values, of a few bytes in a file."""
    level: Any = kind(("ha",))
    for _ in range(40):
        level = kind((level, level))
    return level


def tensor_of(size: tuple[int, ...], stride: tuple[int, ...]) -> Any:
    """A tensor of a shape that its one number is not enough for."""
    storage = torch.zeros(1)._typed_storage()
    return Calls(torch._utils._rebuild_tensor_v2, storage, 0, size, stride, False, OrderedDict())


def wide_loop() -> list:
    """A list of many, of which each hundredth is the list again."""
    loop: list = [None] * 2_000_000
    loop[::100] = [loop] * 20_000
    return loop


def shadowed() -> Any:
    return Calls(OrderedDict, state={"items": "not a function"})


ENDLESS = {
    "recursion": (recursive, "refers to itself"),
    "lists of lists": (lambda: {"a": laughs(list)}, "unfolds to more than 250,000 values"),
    "a name of names": (lambda: {"a": [laughs(tuple)]}, "nests more than 10,000"),
    "an expanded tensor": (
        lambda: {"a": tensor_of((1 << 40,), (0,))},
        r"a, of shape \(1099511627776,\), unpacks from 4",
    ),
    "a tensor expanded within the file": (
        lambda: {"a": torch.zeros(1).expand(1000), "b": torch.zeros(2000)},
        r"a, of shape \(1000,\), unpacks from 4 bytes",
    ),
    "a wide list in itself": (wide_loop, "unfolds to more than 250,000 values"),
    "a tensor larger than its storage": (lambda: {"a": tensor_of((1 << 33,), (1,))}, "cannot be loaded"),
    "an attribute in place of a method": (shadowed, "an attribute 'items'"),
    "a class for a value": (lambda: {"a": OrderedDict}, "a is a type, not a tensor"),
    "a tuple for a name": (lambda: {(1, 2): 3}, "has a tuple for a name"),
}


@pytest.mark.parametrize("writer", [save, save_legacy])
@pytest.mark.parametrize("kind", sorted(ENDLESS))
def test_endless_content_is_refused(tmp_path, kind, writer):
    make, words = ENDLESS[kind]
    writer(tmp_path / "evil.pth", make())
    with pytest.raises(CheckpointError, match=words):
        read_checkpoint(tmp_path / "evil.pth")


UNFOLDED = 512 << 20


@functools.cache
def folded() -> bytes:
    """An archive of 2 MiB, whose one weight unfolds to half a GiB."""
    written, archive = io.BytesIO(), io.BytesIO()
    torch.save({"weight": torch.zeros(255)}, written)
    with zipfile.ZipFile(written) as file:
        described = file.read("archive/data.pkl").replace(b"K\xff", struct.pack("<ci", b"J", UNFOLDED // 4))
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        with file.open("archive/data/0", "w", force_zip64=True) as stream:
            for _ in range(UNFOLDED >> 20):
                stream.write(bytes(1 << 20))
        file.writestr("archive/data.pkl", described)
        file.writestr("archive/version", "3\n")
    return archive.getvalue()


def bomb(path: Path) -> Path:
    path.write_bytes(folded())
    assert path.stat().st_size < UNFOLDED / 200
    return path


def patch_directory(path: Path, field: int, layout: str, value: int, entry: bytes = b"/data/0") -> Path:
    """Change what the archive's directory says of an entry: the field at that offset of its record."""
    content = bytearray(path.read_bytes())
    record = content.rindex(b"PK\x01\x02", 0, content.rindex(entry))
    struct.pack_into(layout, content, record + field, value)
    path.write_bytes(content)
    return path


def plain(path: Path) -> Path:
    """An archive as torch writes it, without its padding and records of 64 bits, so that fields have their places."""
    torch.save({"a": torch.zeros(4), "b": torch.ones(4)}, path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    return write_archive(path, entries)


def many_entries(path: Path) -> Path:
    """An archive whose end says that its directory takes 4 GB less 2 bytes."""
    content = bytearray(plain(path).read_bytes())
    struct.pack_into("<I", content, len(content) - 22 + 12, 0xFFFFFFFE)
    path.write_bytes(content)
    return path


def long_pickle(path: Path) -> Path:
    return write_archive(path, opcodes(b"N0" * MOST_PICKLE))


def two_directories(path: Path) -> Path:
    """An archive whose end points at a directory, as torch reads it, that is not before it, where zipfile looks."""
    content = plain(path).read_bytes()
    size, start = struct.unpack_from("<II", content, len(content) - 10)
    directory = content[start : start + size]
    path.write_bytes(content[: start + size] + directory + content[start + size :])
    with zipfile.ZipFile(path) as archive:
        assert archive.start_dir == start + size  # corrected
    return path


ARCHIVES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "bomb": (bomb, r"archive/data/0' is compressed, 536,870,912 bytes in 2,\d{3},\d{3}"),
    "declared size": (lambda p: patch_directory(plain(p), 24, "<I", 0xFFFFFFF0), "is compressed, 4,294,967,280 bytes"),
    "declared sizes": (
        lambda p: patch_directory(patch_directory(plain(p), 24, "<I", 0xFFFFFFF0), 20, "<I", 0xFFFFFFF0),
        "overlap, or exceed",
    ),
    "overlap": (lambda p: patch_directory(plain(p), 42, "<I", 10, b"/data/1"), "overlap|damaged"),
    "directory": (many_entries, "a directory of 4,294,967,294 bytes"),
    "no pickle": (lambda p: write_archive(p, {"a": b""}), "an archive that torch did not write"),
    "two pickles": (lambda p: write_archive(p, opcodes(b"}") | {"b/data.pkl": b"N."}), "torch did not write"),
    "two directories": (two_directories, "damaged, or with two directories"),
    "names in capitals": (lambda p: write_archive(p, opcodes(b"}") | {"b/DATA.pkl": b"N."}), "torch did not write"),
    "long pickle": (long_pickle, "its pickle has 16,777,219 bytes"),
}


def header(path: Path, content: Any, data: bytes = b"", length: int | None = None) -> Path:
    """A safetensors file with that header."""
    text = json.dumps(content).encode() if not isinstance(content, bytes) else content
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def tensor(start: int, end: int, *shape: int) -> dict[str, Any]:
    return {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}


SAFETENSORS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "length": (lambda p: header(p, {}, length=1 << 60), "no safetensors"),
    "length within the file": (lambda p: header(p, {}, b" " * 100, length=90), "no safetensors"),
    "overlap": (lambda p: header(p, {"a": tensor(0, 8, 2), "b": tensor(4, 12, 2)}, bytes(12)), "no safetensors"),
    "beyond the end": (lambda p: header(p, {"a": tensor(0, 1 << 40, 1 << 38)}, bytes(8)), "no safetensors"),
    "another size": (lambda p: header(p, {"a": tensor(0, 8, 1 << 40)}, bytes(8)), "no safetensors"),
    "negative": (
        lambda p: header(p, b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', bytes(4)),
        "no safetensors",
    ),
    "deep": (lambda p: header(p, b"[" * 100_000), "no safetensors"),
    "empty": (lambda p: (p.write_bytes(b""), p)[1], "cannot be loaded"),
    "a pickle": (lambda p: (torch.save(Calls(os.system, "true"), p), p)[1], "cannot be loaded"),
}
HUNGRY = {name: (*made, "evil.pth") for name, made in ARCHIVES.items()} | {
    f"safetensors, {name}": (*made, "evil.safetensors") for name, made in SAFETENSORS.items()
}


@pytest.mark.parametrize("kind", HUNGRY)
def test_a_file_that_lies_about_its_size_is_refused(tmp_path, kind):
    make, words, name = HUNGRY[kind]
    with pytest.raises(CheckpointError, match=rf"{re.escape(name)} cannot be loaded") as refused:
        read_checkpoint(make(tmp_path / name))
    assert re.search(words, str(refused.value))


ROOM = 256 << 20


def _read_in_little_memory(paths: list[Path]) -> None:
    """In a process of its own: its status is the number of files whose refusal is another than with memory."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    expected = [_refusal(path) for path in paths]
    resource.setrlimit(resource.RLIMIT_AS, (taken + ROOM, taken + ROOM))
    os._exit(sum(_refusal(path) != words for path, words in zip(paths, expected, strict=True)))


def _refusal(path: Path) -> str:
    try:
        read_weights(path)
    except CheckpointError as error:
        return str(error)
    return "loaded"


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc")
def test_no_refusal_takes_memory(tmp_path):
    """Half a GiB or more would be unfolded, or asked for, by each; no more than 256 MiB can be had."""
    paths = []
    for number, (make, _, name) in enumerate(HUNGRY.values()):
        paths.append(make(tmp_path / f"{number}_{name}"))
    for number, (kind, writer) in enumerate(itertools.product(sorted(ENDLESS), (save, save_legacy))):
        paths.append(tmp_path / f"endless_{number}.pth")
        writer(paths[-1], ENDLESS[kind][0]())
    process = get_context("fork").Process(target=_read_in_little_memory, args=(paths,))
    process.start()
    process.join()
    assert process.exitcode == 0


@pytest.mark.parametrize("reader", [read_checkpoint, read_weights])
def test_what_is_read_is_what_was_checked(tmp_path, canary, monkeypatch, reader):
    """Another file put in its place after the check is not opened."""
    path = tmp_path / "weights.pth"
    torch.save({"weight": torch.ones(2)}, path)
    load = torch.load

    def exchanged(*arguments: Any, **options: Any) -> Any:
        os.replace(tmp_path / "evil.pth", path)
        return load(*arguments, **options)

    torch.save({"weight": torch.zeros(2)}, tmp_path / "evil.pth")
    monkeypatch.setattr(torch, "load", exchanged)
    assert reader(path)["weight"].tolist() == [1, 1]


def test_a_pipe_is_no_weight_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.pth")
    with pytest.raises(CheckpointError, match="a pipe or a device"):
        read_weights(tmp_path / "pipe.pth")


def test_weights_of_another_kind_of_numbers_are_refused(tmp_path):
    linear = torch.nn.Linear(1, 1)
    torch.save({name: value.long() for name, value in linear.state_dict().items()}, tmp_path / "whole.pth")
    with pytest.raises(CheckpointError, match=r"wrong type: weight is torch.int64"):
        load_weights(linear, tmp_path / "whole.pth")


@pytest.mark.parametrize("left", [0, 1, 3, 30, 0.3, 0.7, 0.99])
@pytest.mark.parametrize("writer", [save, save_legacy])
def test_a_file_that_is_cut_off_is_refused(tmp_path, left, writer):
    path = tmp_path / "cut.pth"
    writer(path, {"weight": torch.arange(10_000.0)})
    os.truncate(path, int(left * path.stat().st_size) if isinstance(left, float) else left)
    with pytest.raises(CheckpointError, match=r"cut\.pth cannot be loaded: damaged"):
        read_checkpoint(path)


# Harmless files are loaded


@pytest.mark.parametrize("writer", [save, save_legacy])
def test_everything_in_a_checkpoint_is_loaded(tmp_path, writer):
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.zeros(2, 2)).sum().backward()
    optimizer.step()
    kinds = (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.uint8, torch.bool)
    content = {
        "state_dict": network.state_dict(),
        "optimizer": optimizer.state_dict()["state"],
        "groups": optimizer.state_dict()["param_groups"][0]["params"],
        "parameters": dict(network.named_parameters()),
        "kinds": [torch.zeros(2, dtype=kind) for kind in kinds],
        "size": torch.zeros(2, 3).shape,
        "view": torch.arange(10.0)[2:5],
        "meta": {"text": "é", "number": 1 << 40, "none": None, "tuple": (1.5, True)},
    }
    writer(tmp_path / "good.pth", content)
    loaded = read_checkpoint(tmp_path / "good.pth")
    assert loaded.pop("meta") == content.pop("meta")
    torch.testing.assert_close(loaded, content, equal_nan=True)


def test_a_checkpoint_that_would_be_refused_is_not_written(tmp_path):
    """Otherwise a run would fail when it resumes."""
    with pytest.raises(CheckpointError, match=r"iter_1\.pth was not written, .*: loss is a float64"):
        write_checkpoint(tmp_path / "iter_1.pth", {"loss": np.float64(1)}, "0" * 32)
    assert list(tmp_path.iterdir()) == []


def test_the_list_of_allowed_names_is_short():
    """Each builds data: none takes a name, a path, or a number of bytes."""
    assert len(ALLOWED) == 17
    assert not [name for name in ALLOWED if not name.startswith(("torch.", "collections."))]


# Doors


def doors(tiny: Path, folder: Path) -> dict[str, Callable[[Path], Any]]:
    def resume(path: Path) -> None:
        seal_file(path)  # or it would not come so far
        (folder / "run").mkdir()
        (folder / "run" / "last_checkpoint").write_text(str(path))
        build_trainer(load_config(tiny), folder / "run", resume=True).train()

    return {
        "read_checkpoint": read_checkpoint,
        "load_weights": lambda path: load_weights(torch.nn.Linear(1, 1), path),
        "load_model": lambda path: posegen.load_model(tiny, path),
        "load_from": lambda path: build_trainer(load_config(tiny, {"load_from": str(path)}), folder / "run"),
        "resume": resume,
        "convert": lambda path: posegen.engine.convert.convert(load_config(tiny), path),
        "convert a discriminator": lambda path: posegen.engine.convert.read_published(path),
        "reproduce_step": reproduce_step,
        "VGG-16": lambda path: VGG16Features(weights=str(path)),
        "VGG-19": lambda path: VGG19Features(weights=str(path)),
        "LPIPS": lambda path: LPIPSDistance("alex", "0.1", weights=str(path)),
        "Inception": lambda path: Inception("legacy_pytorch", str(path)),
        "torchvision's Inception": lambda path: Inception("torchvision", str(path)),
    }


@pytest.mark.parametrize("door", sorted(doors(Path(), Path())))
def test_every_reader_refuses(tiny_config, tmp_path, canary, door):
    path = tmp_path / "evil.pth"
    torch.save({"state_dict": Calls(os.system, f"touch {canary}")}, path)
    with pytest.raises(CheckpointError, match=r"evil\.pth.*posix\.system"):
        doors(tiny_config, tmp_path)[door](path)


@pytest.mark.parametrize("command", ["test", "transfer", "convert"])
def test_every_command_refuses(tiny_config, tmp_path, canary, capsys, command):
    path, picture = tmp_path / "evil.pth", tmp_path / "a.png"
    torch.save(Calls(os.system, f"touch {canary}"), path)
    posegen.data.images.write_image(picture, np.zeros((32, 32, 3), np.uint8))
    points = tmp_path / "a.json"
    points.write_text(json.dumps({"people": [{"pose_keypoints_2d": [n for k in range(18) for n in (k, k + 5, 1)]}]}))
    arguments = {
        "test": ["test", tiny_config, path, "--work-dir", tmp_path / "out"],
        "transfer": [
            *("transfer", tiny_config, path, picture, points, "--source-keypoints", points),
            *("--out", tmp_path / "out.png"),
        ],
        "convert": ["convert", path, tmp_path / "out.pth", "--config", tiny_config],
    }[command]
    assert main([str(argument) for argument in arguments]) == 1
    assert re.search(r"error: .*evil\.pth.*posix\.system", capsys.readouterr().err)
    assert not (tmp_path / "out.pth").exists()


def test_a_checksum_does_not_make_a_file_trusted(tmp_path, canary):
    path = tmp_path / "iter_1.pth"
    torch.save(Calls(os.system, f"touch {canary}"), path)
    seal_file(path)
    assert path.read_bytes()[-SEAL_LENGTH:].startswith(b"posegen run=")
    with pytest.raises(CheckpointError, match=r"posix\.system"):
        read_checkpoint(path)


# The code


CODE = sorted(path for folder in ("posegen", "plugins", "tools") for path in (ROOT / folder).rglob("*.py"))
TORCHSCRIPT = "plugins/posegen_metrics/inception.py"
PICKLES = "posegen/testing.py"
"""Pickles what a plugin's author gives it, and reads that back: no file."""


@functools.cache
def calls(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return the names of functions that a module calls, with their constant keyword arguments."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            constants = {k.arg: k.value.value for k in node.keywords if k.arg and isinstance(k.value, ast.Constant)}
            found.append((ast.unparse(node.func), constants))
    return found


def test_every_load_of_weights_is_weights_only():
    loads = [(path.name, given) for path in CODE for name, given in calls(path) if name in ("torch.load", "load")]
    loads = [(name, given) for name, given in loads if "map_location" in given or "weights_only" in given]
    assert loads[0] == ("weights.py", {"map_location": "cpu", "weights_only": True})
    assert loads[1:] == [("make_people3d_body.py", {"weights_only": True})]  # a tool of the project


def test_nothing_else_reads_formats_that_execute():
    executing = re.compile(
        r"(c?pickle|dill|joblib|marshal|shelve)\.(loads?|Unpickler)$|torch\.(hub|package)\.|\.load_state_dict_from_url$"
    )
    found = {path.relative_to(ROOT).as_posix() for path in CODE for name, _ in calls(path) if executing.match(name)}
    assert found - {PICKLES} == {"posegen/weights.py"}  # torch.hub.get_dir: where files are looked for
    jit = {path.relative_to(ROOT).as_posix() for path in CODE for name, _ in calls(path) if "jit.load" in name}
    assert jit == {TORCHSCRIPT}
    arrays = [given for path in CODE for name, given in calls(path) if name in ("np.load", "numpy.load")]
    assert arrays
    assert all(given.get("allow_pickle") is False for given in arrays)


def test_no_archive_is_unpacked_by_the_names_of_its_members():
    unpacking = ("extract", "extractall", "unpack_archive")
    called = {name for path in CODE for name, _ in calls(path) if name.split(".")[-1] in unpacking}
    assert called <= {"metric.extract", "self.extract"}  # features of images
    readers = [path.name for path in CODE if re.search(r"^(import|from) (zip|tar)file", path.read_text(), re.MULTILINE)]
    # hed_weights.py reads one member into memory, as far as its known size; downloads.py writes archives;
    # archives.py copies members to paths that it checks, and counts their bytes; turntable.py and weights.py read
    # members of a limited size, into memory and into a file of a known name
    expected = ["archives", "downloads", "hed_weights", "real_set", "turntable", "untrusted", "weights"]
    assert sorted(readers) == [f"{name}.py" for name in expected]


@pytest.mark.parametrize("features", ["clean", "legacy_tensorflow"])
def test_torchscript_that_a_config_names_is_checked_too(tmp_path, monkeypatch, features):
    torch.jit.save(torch.jit.trace(torch.nn.Identity(), torch.zeros(1)), tmp_path / "i.pt")
    monkeypatch.setattr(torch.jit, "load", lambda *args, **kwargs: pytest.fail("it was read"))
    with pytest.raises(CheckpointError, match=r"i\.pt is damaged, or another file: it is a program"):
        Inception(features, tmp_path / "i.pt")


def test_torchscript_is_checked_before_it_is_read(tmp_path, monkeypatch):
    """clean-fid's Inception is a program: the one file that runs, and only where it is the published one."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = posegen_metrics.weights.INCEPTION_CLEAN
    assert len(file.sha256) >= 8
    file.path.parent.mkdir(parents=True)
    torch.jit.save(torch.jit.trace(torch.nn.Identity(), torch.zeros(1)), file.path)
    monkeypatch.setattr(torch.jit, "load", lambda *args, **kwargs: pytest.fail("it was read"))
    with pytest.raises(CheckpointError, match="damaged, or another file: its SHA-256 starts"):
        Inception("clean")
