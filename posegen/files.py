"""Reading of untrusted files with limits on paths and sizes, and atomic writes.

Everything that reads files of a data set uses these functions, so that the same files are refused everywhere.
"""

from __future__ import annotations

import functools
import json
import os
import re
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath
from typing import Any

import yaml

from .errors import ConfigError, DataError

MOST_OF_A_LIST = 512 << 20
"""Maximum size in bytes of a list. The largest published ones are 240 MB of JSON; 100,000 rows take 30 MB."""
MOST_OF_A_FRAME = 4 << 20
"""Maximum size in bytes of a file about one image, or of a config."""


DATA_SUFFIXES = (".json", ".yaml", ".yml")
"""Suffixes of files that :func:`read_plain` reads."""
MOST_VALUES = 100_000
"""Maximum number of values in plain data, each counted as often as it is referred to."""


def printable(text: str) -> str:
    """Escape characters that a terminal would interpret, such as those in names of files."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


@functools.lru_cache(1 << 16)  # a list of pairs names an image many times
def check_name(name: str) -> None:
    """Raise ValueError for a file name in a list that could lead out of its folder, on any operating system."""
    path = PureWindowsPath(name)  # splits at both kinds of slash
    if not name or "\0" in name or path.root or path.drive or ".." in path.parts:
        raise ValueError(f"{name!r} is no path below a folder: it must be relative and without '..'")


def link_out(path: str | Path, root: str | Path) -> str:
    """Describe the problem if a symbolic link leads a path out of a folder; return an empty string if none does.

    Args:
        path: path below *root*, which need not exist.
        root: folder of the data set; it may be a link itself.
    """
    real, real_root = os.path.realpath(path), os.path.realpath(root)
    if real == real_root or real.startswith(os.path.join(real_root, "")):
        return ""
    return f"a link that leads out of {root}, to {real}, is not followed; replace the link by the file"


def find_file(root: str | Path, name: str) -> Path:
    """Return the path of a file that a list names, below a folder.

    Raises:
        ValueError: the name, or a link, leads out of the folder, or there is no such file.
    """
    check_name(name)
    path = Path(root, name)
    if not os.path.isfile(path):  # unlike Path.is_file, False for a name that is too long for the system
        raise ValueError(f"no file {name!r} in {root}")
    if problem := link_out(path, root):
        raise ValueError(f"{name!r} is {problem}")
    return path


def check_file(path: str | Path, most: int) -> None:
    """Raise DataError for a file that is missing, not a regular file, or larger than *most* bytes.

    Reading from a pipe or a device may never end.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError as error:
        raise DataError(path, "no such file") from error
    except (OSError, ValueError) as error:  # ValueError: a path that no system has
        raise DataError(path, f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    _check_status(path, status, most)


def _check_status(path: str | Path, status: os.stat_result, most: int) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise DataError(path, "cannot be read: it is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise DataError(path, "cannot be read: it is a pipe or a device, not a file")
    if status.st_size > most:
        raise DataError(path, f"too large: {status.st_size:,} bytes, the limit is {most:,}")


def read_bytes(path: str | Path, most: int) -> bytes:
    """Read a file of at most *most* bytes; of a file that grows meanwhile, the content when it was opened.

    Raises:
        DataError: as :func:`check_file`, or it cannot be read.
    """
    check_file(path, most)  # before opening it: opening a device may have effects
    try:
        with open(path, "rb", opener=_open_without_blocking) as file:
            status = os.fstat(file.fileno())
            _check_status(path, status, most)  # it may be another file by now
            return file.read(status.st_size)
    except OSError as error:
        raise DataError(path, f"cannot be read: {error.strerror or error}") from error


def _open_without_blocking(path: str, flags: int) -> int:
    """Open a pipe at once, even if nobody writes to it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_text(path: str | Path, most: int = MOST_OF_A_LIST) -> str:
    """Read a UTF-8 file; drop a byte order mark.

    Args:
        path: path of the file.
        most: maximum size in bytes; a larger file is refused before it is read.

    Raises:
        DataError: it cannot be read, is too large, or not UTF-8 (with the row).
    """
    content = read_bytes(path, most)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        raise DataError(path, f"row {row}: not UTF-8 text ({error.reason})") from error


def read_json(path: str | Path, most: int = MOST_OF_A_LIST) -> Any:
    """Read a JSON file.

    Args:
        path: path of the file.
        most: maximum size in bytes; a larger file is refused before it is read.

    Raises:
        DataError: it cannot be read, is too large, not UTF-8, nested too deep, or not JSON (with line and column).
    """
    text = read_text(path, most)
    try:
        return json.loads(text)
    except RecursionError as error:
        raise DataError(path, "not JSON: nested too deep") from error
    except json.JSONDecodeError as error:
        before, found = text[: error.pos].rstrip(), text[error.pos : error.pos + 20].split("\n")[0]
        comma = "; remove the comma before it" if before.endswith(",") and found[:1] in ("]", "}") else ""
        where = f"line {error.lineno}, column {error.colno}"
        raise DataError(path, f"not JSON: {where}: {error.msg}, at {found!r}{comma}") from error
    except ValueError as error:  # a number of thousands of digits
        raise DataError(path, f"not JSON: {error}") from error


class RefusedError(Exception):
    """A file that is not loaded, with the reason; without the name of the file."""


MOST_DEEP = 100
"""Maximum depth of nested mappings and sequences."""


def walk(content: Any, most: int) -> Iterator[tuple[Any, Any]]:
    """Yield each value of a tree of mappings and sequences with the nearest name above it, parents first.

    Values are counted before they are visited: a small file may refer to one value many times, or hold itself.

    Args:
        content: the tree.
        most: maximum number of values, each counted as often as it is referred to.

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
                f"it refers to itself, or unfolds to more than {most:,} values, or nests more than {MOST_DEEP}"
            )
        if isinstance(value, dict):
            left += [(item, key, depth + 1) for key, item in dict.items(value)]
            left += [(item, name, depth + 1) for item in getattr(value, "__dict__", {}).values()]  # versions of modules
        else:
            left += [(item, name, depth + 1) for item in value]


class _PlainLoader(yaml.SafeLoader):
    """YAML's safe loader without anything that expands before it can be counted, and with the tuples of mmengine."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(None, None, "'<<' is not read: use _base_", key.start_mark)
            if not isinstance(key, yaml.ScalarNode):  # hashing nested tuples may never end
                raise yaml.constructor.ConstructorError(None, None, "a name is text or a number", key.start_mark)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        if len(node.value) > 100:  # digits of base 60 take quadratic time
            raise yaml.constructor.ConstructorError(None, None, "a number of more than 100 digits", node.start_mark)
        return super().construct_yaml_int(node)


_PlainLoader.add_constructor("tag:yaml.org,2002:int", _PlainLoader.construct_yaml_int)
_PlainLoader.add_constructor(
    "tag:yaml.org,2002:python/tuple",
    lambda loader, node: tuple(loader.construct_sequence(node)),  # type: ignore[arg-type]
)


def read_plain(path: Path, most: int = MOST_OF_A_FRAME) -> tuple[dict[str, Any], str]:
    """Read names with values from a JSON or YAML file, executing nothing; return them, and the text.

    Raises:
        ConfigError: the file cannot be read, is larger than *most* bytes, holds something else than names with values,
            or expands to more than :data:`MOST_VALUES` values.
    """
    try:
        text = read_text(path, most)
        content = json.loads(text) if path.suffix == ".json" else yaml.load(text, _PlainLoader)
    except DataError as error:
        raise ConfigError(str(error)) from error
    # PyYAML raises the last three
    except (ValueError, RecursionError, yaml.YAMLError, AttributeError, ArithmeticError, TypeError) as error:
        raise ConfigError(f"{path} cannot be read as plain data: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise ConfigError(f"{path} holds no names with values, but {type(content).__name__}")
    values(content, path)
    return content, text


def values(content: Any, path: Path) -> list[Any]:
    """Return all values in plain data that was read from a file; raise ConfigError if there are too many."""
    try:
        return [value for value, _ in walk(content, MOST_VALUES)]
    except RefusedError as error:
        raise ConfigError(f"{path}: {error}") from error


def natural_order(path: Path | str) -> list[tuple[int, int, str]]:
    """Return a sort key that orders numbers in names by value: ``2.png`` before ``10.png``."""
    parts = re.split(r"([0-9]+)", Path(path).name)
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts if part]


@contextmanager
def written_whole(path: str | Path, to_disk: bool = True) -> Iterator[Path]:
    """Write a file atomically: yield a temporary path beside *path*, and rename it to *path* at the end.

    An error leaves the old file as it was. Parent folders are created.

    Args:
        path: path of the file.
        to_disk: wait until the file is on disk, so that it survives a power failure; takes about 20 ms. False: for many
            files that can be made again.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        yield temporary
        if to_disk:
            flush_file(temporary)
        os.replace(temporary, path)
        if to_disk:
            flush_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def flush_file(path: Path) -> None:
    """Wait until the content of a file is on disk."""
    with path.open("rb+") as file:  # Windows flushes only writable files
        os.fsync(file.fileno())


def flush_folder(path: Path) -> None:
    """Wait until the entries of a folder are on disk; do nothing on Windows, which cannot open folders."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
