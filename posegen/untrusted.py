"""Checks of weight files that torch and safetensors do not make: names that are asked for, and unpacked size.

``torch.load(weights_only=True)`` executes nothing, but allows more than weights need: a ``bytearray`` of any length,
compressed entries, tensors larger than their storage, values nested without end. A file is checked before torch reads
it (:func:`check_file`), and its content afterwards (:func:`check_content`).
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
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn

from .files import RefusedError, walk

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
"""All that a weight file may ask for by name."""

MOST_PICKLE = 8 << 20
"""Maximum size in bytes of the pickle of a file, without tensors; a large model's has 100 KiB."""
MOST_DIRECTORY = 16 << 20
"""Maximum size in bytes of an archive's directory: more than 100,000 weights."""
MOST_VALUES = 250_000
"""Maximum number of values in a file, each counted as often as it is referred to."""
MOST_NESTED = 10_000
"""Maximum number of values in a nested tuple: hashing a tuple that holds itself twice at each level never ends."""

_LEGACY_PICKLES = 5  # magic number, protocol, machine, content, keys of storages
_PLAIN = (str, int, float, bool, type(None))
_MAPPINGS: tuple[type, ...] = (dict, OrderedDict, Counter)
_SEQUENCES: tuple[type, ...] = (list, tuple, torch.Size)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file once, so that the file that is read is the file that was checked.

    Raises:
        RefusedError: it is a pipe or a device, from which reading may never end.
        OSError: it cannot be opened.
    """

    def without_blocking(name: str, flags: int) -> int:  # a pipe blocks until somebody writes to it
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))

    with open(path, "rb", opener=without_blocking) as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise RefusedError("it is a pipe or a device, not a file")
        yield stream


def size_of(stream: BinaryIO) -> int:
    """Return the size of an open file in bytes."""
    return os.fstat(stream.fileno()).st_size


def check_file(stream: BinaryIO) -> None:
    """Check an open file of ``torch.save``, of any version, before torch reads it; rewind it afterwards.

    Raises:
        RefusedError: it asks for a name that is not in :data:`ALLOWED`, or would unpack to more than its size.
        Exception: it is damaged; of many types.
    """
    stream.seek(0)
    start = stream.read(512)
    stream.seek(0)
    if start.startswith(b"PK\x03\x04"):
        _check_archive(stream, size_of(stream))
    elif start[257:262] == b"ustar":
        raise RefusedError("it is a tar archive, as torch wrote them before 2017, and these are not read")
    elif not start.startswith(b"\x80"):
        raise RefusedError("damaged, or no checkpoint")
    else:
        head = io.BytesIO(stream.read(MOST_PICKLE))
        for _ in range(_LEGACY_PICKLES):
            check_pickle(head)
    stream.seek(0)


def _check_archive(stream: BinaryIO, size: int) -> None:
    """Check that torch and zipfile see the same entries, that they are not compressed, and what the pickle asks for."""
    _check_end(stream, size)
    with zipfile.ZipFile(stream) as archive:
        entries = archive.infolist()
        names = [entry.orig_filename.lower() for entry in entries]  # torch ignores the case
        if any(name.endswith("/constants.pkl") for name in names):
            raise RefusedError("it is a TorchScript program, which is code")
        for entry in entries:
            if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
                raise RefusedError(
                    f"its entry {entry.filename!r} is compressed, {entry.file_size:,} bytes in "
                    f"{entry.compress_size:,}; weights are stored uncompressed"
                )
        if sum(entry.file_size for entry in entries) > size:
            raise RefusedError(f"its entries overlap, or exceed its {size:,} bytes")
        if len(set(names)) < len(names) or any("\0" in name for name in names):
            raise RefusedError("its entries have ambiguous names")
        pickles = [entry for entry, name in zip(entries, names, strict=True) if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise RefusedError("damaged, or no checkpoint: an archive that torch did not write")
        if pickles[0].file_size > MOST_PICKLE:
            raise RefusedError(f"its pickle has {pickles[0].file_size:,} bytes, the limit is {MOST_PICKLE:,}")
        check_pickle(io.BytesIO(archive.read(pickles[0])))


def _check_end(stream: BinaryIO, size: int) -> None:
    """Check that an archive ends as torch writes it: directory, records of 64 bits if any, record of 32 bits.

    zipfile corrects the position of a directory, torch does not. Where each part ends at the start of the next, and
    the last part at the end of the file, there is nothing to correct, and both read the same directory.
    """
    tail_size = min(size, (1 << 16) + 98)  # the longest comment, such as a checkpoint's seal, and the records before it
    stream.seek(size - tail_size)
    tail = stream.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or tail_size - at < 22 or struct.unpack_from("<H", tail, at + 20)[0] != tail_size - at - 22:
        raise RefusedError("damaged: it is cut off")
    length, start = struct.unpack_from("<II", tail, at + 12)
    agrees = True
    if at >= 76 and tail[at - 20 : at - 16] == b"PK\x06\x07":  # locator of the record of 64 bits
        (located,) = struct.unpack_from("<Q", tail, at - 12)
        at -= 76
        wide_length, wide_start = struct.unpack_from("<QQ", tail, at + 40)
        agrees = tail[at : at + 4] == b"PK\x06\x06" and located == size - tail_size + at
        agrees &= length in (wide_length, 0xFFFFFFFF) and start in (wide_start, 0xFFFFFFFF)
        length, start = wide_length, wide_start
    if length > MOST_DIRECTORY:  # zipfile would read it into memory
        raise RefusedError(f"it is an archive with a directory of {length:,} bytes, the limit is {MOST_DIRECTORY:,}")
    if not agrees or start + length != size - tail_size + at:
        raise RefusedError("damaged, or with two directories: its directory is not where it should be")


def check_pickle(stream: BinaryIO) -> None:
    """Walk through a pickle without running it, and leave *stream* behind it.

    Raises:
        RefusedError: it asks for names that are not in :data:`ALLOWED`, or nests values without end.
        Exception: it is damaged.
    """
    asked: dict[str, None] = {}
    texts = ["?", "?"]  # the last two: STACK_GLOBAL takes a module and a name
    stack: list[Any] = []  # the number of values in each value
    memo: dict[Any, int] = {}
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name in ("GLOBAL", "INST"):
            asked[str(argument).replace(" ", ".")] = None
        elif opcode.name == "STACK_GLOBAL":
            asked[".".join(texts[-2:])] = None
        elif opcode.name in ("EXT1", "EXT2", "EXT4", "PERSID"):
            asked[f"{opcode.name} {argument}"] = None
        elif isinstance(argument, str):
            texts.append(argument)
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if argument is None else argument] = stack[-1]
            continue
        taken = _take(stack, opcode)
        count = 1
        if opcode.name in ("GET", "BINGET", "LONG_BINGET"):
            count = memo[argument]
        elif opcode.name == "DUP":
            count = taken[0]
        elif opcode.name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "REDUCE", "NEWOBJ"):
            count += sum(taken)
        if count > MOST_NESTED:
            raise RefusedError(f"it nests more than {MOST_NESTED:,} values in one another")
        stack += [after if after is pickletools.markobject else count for after in opcode.stack_after]
    refused = [name.replace("__builtin__", "builtins") for name in asked if name not in ALLOWED]
    if refused:
        raise RefusedError(
            f"it holds more than tensors and plain values (it asks for {', '.join(refused[:5])}), and nothing in a "
            "checkpoint is executed"
        )


def _take(stack: list[Any], opcode: pickletools.OpcodeInfo) -> list[int]:
    """Pop the values that an operation takes, those above the last mark included."""
    before = opcode.stack_before
    taken: list[int] = []
    if pickletools.markobject in before:
        while (top := stack.pop()) is not pickletools.markobject:
            taken.append(top)
        before = before[: before.index(pickletools.markobject)]
    return taken + [stack.pop() for _ in before]


def check_content(content: Any, most_bytes: int) -> None:
    """Check what torch read.

    Args:
        content: content of the file.
        most_bytes: size of the file, which its tensors cannot exceed.

    Raises:
        RefusedError: it is no tree of tensors and plain values, or unpacks to more than the file holds.
    """
    storages: dict[int, int] = {}
    for value, name in walk(content, MOST_VALUES):
        where = name or "its content"
        if type(value) in (Tensor, nn.Parameter):
            storage = _storage(value, where)
            storages[storage.data_ptr()] = storage.nbytes()
        elif type(value) in _MAPPINGS:
            for key in getattr(value, "__dict__", {}):
                if key != "_metadata":
                    raise RefusedError(f"{where} has an attribute {key!r}, which weights do not have")
            for key in dict.keys(value):
                if type(key) not in _PLAIN:
                    raise RefusedError(f"{where} has a {type(key).__name__} for a name")
        elif type(value) not in (*_SEQUENCES, *_PLAIN):
            raise RefusedError(f"{where} is a {type(value).__name__}, not a tensor or a plain value")
    if sum(storages.values()) > most_bytes:
        raise RefusedError(f"its tensors unpack to {sum(storages.values()):,} bytes, and the file has {most_bytes:,}")


def _storage(tensor: Tensor, where: str) -> torch.UntypedStorage:
    """Return the storage of a dense tensor that is no larger than it."""
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        raise RefusedError(f"{where} is not a dense tensor on the CPU")
    storage = tensor.untyped_storage()
    if tensor.numel() * tensor.element_size() > storage.nbytes():
        raise RefusedError(f"{where}, of shape {tuple(tensor.shape)}, unpacks from {storage.nbytes():,} bytes")
    return storage
