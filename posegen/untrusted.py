"""What a weight file of ``torch.save`` asks for, told before anything in it is executed, unfolded or believed.

torch's own ``weights_only`` is the second line. It allows more than weights need (a ``bytearray`` of any length, sparse
and quantized tensors, tensors larger than the file they are in), and does not always say what a file asked for.
"""

from __future__ import annotations

import io
import os
import pickletools
import stat
import struct
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor, nn

_STORAGES = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
ALLOWED = frozenset(
    {
        "collections.OrderedDict",  # a state dict
        "collections.Counter",  # milestones of a schedule
        "torch._utils._rebuild_tensor",
        "torch._utils._rebuild_tensor_v2",
        "torch._utils._rebuild_parameter",
        "torch.nn.parameter.Parameter",
        "torch.Size",
        *(f"torch.{kind}Storage" for kind in _STORAGES),
    }
)
"""All that a weight file may ask for by name, beside tensors' bytes and plain values."""

MOST_PICKLE = 8 << 20
"""Bytes that say what is in a file, beside the weights: a pickle, or safetensors' header; a large model's: 100 KiB."""
MOST_DIRECTORY = 16 << 20
"""Bytes of an archive's directory: more than 100,000 weights."""
MOST_VALUES = 250_000
"""Values in a file, each counted as often as it is referred to."""
MOST_DEEP = 100
"""Mappings and sequences in one another; people write ten."""
MOST_NESTED = 10_000
"""Values in a tuple: hashing one that refers to itself twice at each level would never end."""

_ARCHIVE, _PICKLE = b"PK\x03\x04", b"\x80"
_TAR_MARK = slice(257, 262)
_LEGACY_PICKLES = 5  # magic number, protocol, machine, content, keys of storages
_PLAIN = (str, int, float, bool, type(None))
_MAPPINGS: tuple[type, ...] = (dict, OrderedDict, Counter)
_SEQUENCES: tuple[type, ...] = (list, tuple, torch.Size)


class RefusedError(Exception):
    """A file that is not loaded; says why, without its name."""


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A file to read: opened once, so that what is read is what was checked.

    Raises:
        RefusedError: it is a folder, a pipe or a device, from which to read may never end.
        OSError: it cannot be opened.
    """

    def without_waiting(name: str, flags: int) -> int:  # for whoever would write into a pipe
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))

    with open(path, "rb", opener=without_waiting) as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise RefusedError("it is a pipe or a device, not a file")
        yield stream


def size_of(stream: BinaryIO) -> int:
    """Bytes of an open file."""
    return os.fstat(stream.fileno()).st_size


def check_file(stream: BinaryIO) -> None:
    """Look through an open file of ``torch.save``, of any age, before torch reads it; leaves it at its start.

    Raises:
        RefusedError: it asks for something by name that is not in :data:`ALLOWED`, or would
            take more memory than its size.
        Exception: it is damaged; of many kinds.
    """
    stream.seek(0)
    start = stream.read(512)
    if start.startswith(_ARCHIVE):
        _check_archive(stream, size_of(stream))
    elif start[_TAR_MARK] == b"ustar":
        raise RefusedError("it is a tar archive, as torch wrote them before 2017, and these are not read")
    elif not start.startswith(_PICKLE):
        raise RefusedError("damaged, or no checkpoint")
    else:
        stream.seek(0)
        head = io.BytesIO(stream.read(MOST_PICKLE))
        for _ in range(_LEGACY_PICKLES):
            check_pickle(head)
    stream.seek(0)


def check_safetensors(path: Path) -> None:
    """Look at the length of a safetensors file's header, which is read into memory; safetensors checks the rest itself.

    Raises:
        RefusedError: the header is longer than the file, or than any model needs.
    """
    with opened(path) as stream:
        header, size = int.from_bytes(stream.read(8), "little"), size_of(stream)
    if header > min(MOST_PICKLE, size - 8):
        raise RefusedError(
            f"it declares a header of {header:,} bytes; it has {size:,}, and the limit is {MOST_PICKLE:,}"
        )


def walk(content: Any, most: int) -> Iterator[tuple[Any, Any]]:
    """Each value of a tree of mappings and sequences, with the nearest name above it, those in a value after it.

    Whoever takes a value may refuse it before its own are looked at. They are counted before they are held: a small
    file may say one value many times, or say a list that holds itself.

    Args:
        content: the tree.
        most: values, each counted as often as it is referred to.

    Raises:
        RefusedError: there are more, or they are nested deeper than :data:`MOST_DEEP`.
    """
    left: list[tuple[Any, Any, int]] = [(content, "", 0)]
    count = 1
    while left:
        value, name, depth = left.pop()
        yield value, name
        if not isinstance(value, (dict, list, tuple)):
            continue
        count += len(value)
        if count > most or depth >= MOST_DEEP:
            raise RefusedError(
                f"it refers to itself, or unfolds to more than {most:,} values, or to more than {MOST_DEEP} in one "
                "another"
            )
        left += [(item, own, depth + 1) for item, own in _inside(value, name)]


def _inside(value: Any, name: Any) -> Iterator[tuple[Any, Any]]:
    """Values in a value with their names. A state dict's versions are an attribute of it."""
    if isinstance(value, dict):
        yield from ((item, key) for key, item in dict.items(value))
        attributes = vars(value).values() if type(value) in (OrderedDict, Counter) else ()
        yield from ((item, name) for item in attributes)
    else:
        yield from ((item, name) for item in value)


def check_content(content: Any, most_bytes: int) -> None:
    """Look through what torch read.

    Args:
        content: of the file.
        most_bytes: the file's size, which its tensors cannot exceed.

    Raises:
        RefusedError: it is no tree of tensors and plain values, or unfolds to more than is in the file.
    """
    storages: dict[int, int] = {}
    for value, name in walk(content, MOST_VALUES):
        if type(value) in (Tensor, nn.Parameter):
            storages.update(_checked_storage(value, name))
        elif type(value) in _MAPPINGS:
            _check_names(value, name)
        elif type(value) not in (*_SEQUENCES, *_PLAIN):
            raise RefusedError(f"{name or 'its content'} is a {type(value).__name__}, no tensor and no plain value")
    if sum(storages.values()) > most_bytes:
        raise RefusedError(f"its tensors unfold to {sum(storages.values()):,} bytes, and the file has {most_bytes:,}")


def _check_names(mapping: Any, name: Any) -> None:
    for key in getattr(mapping, "__dict__", {}):
        if key != "_metadata":
            raise RefusedError(
                f"{name or 'its content'} brings an attribute {key!r} of its own, which weights have not"
            )
    for key in dict.keys(mapping):
        if type(key) not in _PLAIN:
            raise RefusedError(f"{name or 'its content'} has a {type(key).__name__} for a name")


def _checked_storage(tensor: Tensor, name: Any) -> dict[int, int]:
    """The bytes of a tensor's storage by its address."""
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        raise RefusedError(f"{name or 'its content'} is no dense tensor of numbers in memory")
    storage = tensor.untyped_storage()
    if tensor.numel() * tensor.element_size() > storage.nbytes():
        raise RefusedError(
            f"{name or 'its content'}, of shape {tuple(tensor.shape)}, unfolds from {storage.nbytes():,} bytes"
        )
    return {storage.data_ptr(): storage.nbytes()}


# Archives


_END, _END_64 = 22, 76  # bytes: the last record; with 64 bits, the record and its locator before that
_SEE_64 = (0xFFFFFFFF, 0xFFFF, 0xFFFFFFFF)  # in the last record: see that of 64 bits


class _Directory(NamedTuple):
    """What an archive's last record says of its directory: bytes, entries, and where it begins."""

    size: int
    entries: int
    start: int


def _check_archive(stream: BinaryIO, size: int) -> None:
    said = _entries_said(stream, size)
    with zipfile.ZipFile(stream) as archive:
        entries = archive.infolist()
        if len(entries) != said:
            raise RefusedError(f"its directory has {len(entries)} entries, and it says {said}")
        if any(entry.filename.lower().endswith("/constants.pkl") for entry in entries):
            raise RefusedError("it is a TorchScript program, which is code")
        _check_entries(entries, size)
        pickles = [entry for entry in entries if entry.filename.lower().endswith("/data.pkl")]  # torch looks so
        if len(pickles) != 1:
            raise RefusedError("damaged, or no checkpoint: an archive that torch did not write")
        if pickles[0].file_size > MOST_PICKLE:
            raise RefusedError(
                f"it describes its content in {pickles[0].file_size:,} bytes, the limit is {MOST_PICKLE:,}"
            )
        check_pickle(io.BytesIO(archive.read(pickles[0])))


def _entries_said(stream: BinaryIO, size: int) -> int:
    """How many entries an archive says it has, where its last records say one thing to all readers.

    zipfile corrects where a directory is said to begin, torch does not. So that both see the same one, there is nothing
    to correct: each record ends where the next begins, the last with the file.
    """
    tail = min(size, (1 << 16) + _END + _END_64)  # the longest comment, and the records before it
    stream.seek(size - tail)
    end = stream.read(tail)
    at = end.rfind(b"PK\x05\x06")
    if at < 0 or at + _END > tail:
        raise RefusedError("damaged: it is cut off")
    entries, length, start, comment = struct.unpack_from("<HIIH", end, at + 10)
    narrow = wide = _Directory(length, entries, start)
    ends_at = at
    if at >= _END_64 and end[at - 20 : at - 16] == b"PK\x06\x07":
        ends_at = at - _END_64
        entries, length, start = struct.unpack_from("<QQQ", end, ends_at + 32)
        wide = _Directory(length, entries, start)
    if wide.size > MOST_DIRECTORY:  # zipfile would read it into memory
        raise RefusedError(f"it is an archive with a directory of {wide.size:,} bytes, the limit is {MOST_DIRECTORY:,}")
    whole = at + _END + comment == tail and wide.start + wide.size == size - tail + ends_at
    if narrow is not wide:
        (located,) = struct.unpack_from("<Q", end, at - 12)
        whole &= end[ends_at : ends_at + 4] == b"PK\x06\x06" and located == size - tail + ends_at
        whole &= all(short in (long, mark) for short, long, mark in zip(narrow, wide, _SEE_64, strict=True))
    if not whole:
        raise RefusedError("damaged, or with two directories: its directory is not where it is said to be")
    return wide.entries


def _check_entries(entries: list[zipfile.ZipInfo], size: int) -> None:
    """torch stores entries as they are, one after the other, in one folder."""
    end, last = 0, ""
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        name = entry.filename
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            raise RefusedError(
                f"its entry {name!r} is compressed, {entry.file_size:,} bytes in {entry.compress_size:,}; weights are "
                "stored as they are, and nothing is unfolded"
            )
        if entry.orig_filename != name:
            raise RefusedError(f"its entry {entry.orig_filename!r} has a name that ends before its end")
        if entry.is_dir() or name.startswith("/") or "\\" in name or ":" in name or ".." in name.split("/"):
            raise RefusedError(f"its entry {name!r} leads out of the archive")
        if entry.header_offset < end or name == last:
            raise RefusedError(f"its entries {last!r} and {name!r} overlap")
        end, last = entry.header_offset + 30 + len(name.encode()) + entry.file_size, name
    if end > size:
        raise RefusedError(f"its entry {last!r} ends at {end:,}, and the file has {size:,} bytes")
    if len({entry.filename.lower() for entry in entries}) < len(entries):  # torch looks for them so
        raise RefusedError("two of its entries have one name")


# Pickles


class _Value(NamedTuple):
    """Something on a pickle's stack: its text where it is one, and the values in it if it is a tuple."""

    text: str = "?"
    nested: int = 1


_ANY = _Value()
_PUT = ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE")
_GET = ("GET", "BINGET", "LONG_BINGET")
_GLOBAL = ("GLOBAL", "INST")
_UNNAMED = ("EXT1", "EXT2", "EXT4", "PERSID")
_NESTING = ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "REDUCE", "NEWOBJ")


def check_pickle(stream: BinaryIO) -> None:
    """Walk through a pickle without running it, and leave *stream* behind it.

    Raises:
        RefusedError: it asks for something that is not in :data:`ALLOWED`; all of that is named.
        Exception: it is damaged.
    """
    asked: dict[str, None] = {}
    stack: list[Any] = []
    memo: dict[Any, _Value] = {}
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name in _PUT:
            memo[len(memo) if argument is None else argument] = stack[-1]
            continue
        taken = _take(stack, opcode)
        if opcode.name in _GLOBAL:
            asked[str(argument).replace(" ", ".")] = None
        elif opcode.name == "STACK_GLOBAL":
            asked[".".join(value.text for value in taken)] = None
        elif opcode.name in _UNNAMED:
            asked[f"{opcode.name} {argument}"] = None
        given = (
            memo[argument]
            if opcode.name in _GET
            else taken[0]
            if opcode.name == "DUP"
            else _made(opcode, argument, taken)
        )
        stack += [pickletools.markobject if after is pickletools.markobject else given for after in opcode.stack_after]
        if len(stack) > MOST_VALUES or len(memo) > MOST_VALUES:
            raise RefusedError(f"it unfolds to more than {MOST_VALUES:,} values")
    refused = [name.replace("__builtin__", "builtins") for name in asked if name not in ALLOWED]
    if refused:
        raise RefusedError(
            f"it holds more than tensors and plain values (it asks for {', '.join(refused[:5])}), and nothing in a "
            "checkpoint is executed"
        )


def _take(stack: list[Any], opcode: pickletools.OpcodeInfo) -> list[_Value]:
    """Pop what an operation takes: so many values, and those down to the last mark."""
    before = opcode.stack_before
    above: list[_Value] = []
    if pickletools.markobject in before:
        while (top := stack.pop()) is not pickletools.markobject:
            above.append(top)
        before = before[: before.index(pickletools.markobject)]
    below = [stack.pop() for _ in before]
    return [*reversed(below), *reversed(above)]


def _made(opcode: pickletools.OpcodeInfo, argument: Any, taken: list[_Value]) -> _Value:
    nested = 1 + sum(value.nested for value in taken) if opcode.name in _NESTING else 1
    if nested > MOST_NESTED:
        raise RefusedError(f"it nests more than {MOST_NESTED:,} values in one another")
    if nested == 1 and not isinstance(argument, str):
        return _ANY
    return _Value(argument if isinstance(argument, str) else "?", nested)
