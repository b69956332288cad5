"""Image files below a folder, and a look-up by the names that results and lists give them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from ..data.images import IMAGE_ENDINGS
from ..errors import DataError
from ..files import link_out, natural_order

OTHER_IMAGES = (".tif", ".tiff", ".gif", ".jp2", ".avif", ".heic", ".ppm", ".exr", ".npy")
TEMPORARY = (".part", ".tmp", ".temp")


def find_images(folder: Path) -> list[Path]:
    """Return all images below *folder*, in natural order of their paths.

    Hidden and temporary files, other file types, links that lead out of the folder, and links to folders are left out.

    Raises:
        DataError: the folder does not exist or has no images.
    """
    return list_images(folder)[0]


def list_images(folder: Path) -> tuple[list[Path], list[str]]:
    """Return :func:`find_images`, and the files left out that look like images, each with the reason."""
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(folder, "there is no such folder")
    found, left_out = [], []
    for path, problem in _files(folder, folder):
        if problem:
            left_out.append(f"{path.relative_to(folder)}: {problem}")
        else:
            found.append(path)
    if not found:
        reasons = [f"left out: {reason}" for reason in left_out]
        raise DataError(folder, ["holds no images", *reasons], f"Supported: {', '.join(IMAGE_ENDINGS)}.")
    found.sort(key=lambda path: [natural_order(part) for part in path.relative_to(folder).parts])
    return found, left_out


class ImageIndex:
    """Images of a folder, found by path, by a path written as one word, or by the file's own name.

    Args:
        folder: the folder.
        prefixes: of paths written as one word, see :class:`~.pairing.NamingConvention`.

    Attributes:
        paths: the images by path below the folder.
        left_out: files that look like images and are not used, with the reason.
    """

    def __init__(self, folder: Path, prefixes: Iterable[str]) -> None:
        self.folder = Path(folder)
        self.prefixes = sorted(prefixes, key=len, reverse=True)
        found, self.left_out = list_images(self.folder)
        self.paths = {path.relative_to(folder).as_posix(): path for path in found}
        self._by_path: dict[str, list[str]] = {}
        self._by_word: dict[str, list[str]] = {}
        self._by_own_name: dict[str, list[str]] = {}
        for relative in self.paths:
            stem = PurePosixPath(without_ending(relative))
            self._by_path.setdefault(str(stem), []).append(relative)
            self._by_own_name.setdefault(stem.name, []).append(relative)
            words = {_squeeze("".join(stem.parts[-depth:])) for depth in range(2, len(stem.parts) + 1)}
            for word in words | {self._word(stem.name)} - {""}:
                self._by_word.setdefault(word, []).append(relative)

    def find(self, name: str) -> list[str]:
        """Return the images that *name* can mean; several if the name is ambiguous."""
        if name in self.paths:
            return [name]
        stem = PurePosixPath(without_ending(name))
        found = self._by_path.get(str(stem)) or self._by_word.get(self._word(stem.name))
        if found:
            return found
        # Folders that both sides name must agree: the image of this name in another folder is another image.
        own = self._by_own_name.get(stem.name, [])
        return [relative for relative in own if _agree(PurePosixPath(without_ending(relative)), stem)]

    def identity(self, name: str) -> str:
        """Return the one image that *name* means, else the name without ending; equal for two names of one image."""
        found = self.find(name)
        return found[0] if len(found) == 1 else without_ending(name)

    def check_unique(self) -> None:
        """Raise DataError if two images differ only in their ending: one must be a copy."""
        twice = [" and ".join(found) for found in self._by_path.values() if len(found) > 1]
        if twice:
            problems = [f"{both} differ only in their ending" for both in twice]
            raise DataError(self.folder, problems, "Each result is scored once; keep one of them.")

    def _word(self, name: str) -> str:
        """Return the path that a list writes as one word after a prefix, letters and digits alone; empty if it is none.

        The prefix is required, because ``a/1_23`` and ``a1/2_3`` are the same word.
        """
        prefix = next((prefix for prefix in self.prefixes if name.startswith(prefix)), None)
        return "" if prefix is None else _squeeze(name[len(prefix) :])


def without_ending(name: str) -> str:
    """Remove the ending of an image from a name; other dots belong to the name."""
    stem, dot, ending = name.rpartition(".")
    return stem if stem and dot + ending.lower() in IMAGE_ENDINGS else name


def _squeeze(name: str) -> str:
    return re.sub(r"[\W_]+", "", name)


def _agree(one: PurePosixPath, other: PurePosixPath) -> bool:
    depth = min(len(one.parts), len(other.parts))
    return one.parts[-depth:] == other.parts[-depth:]


def _files(folder: Path, root: Path) -> Iterator[tuple[Path, str]]:
    """Yield files below a folder that are images by name, each with the reason it is left out (empty: it is used)."""
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise DataError(folder, f"cannot be read: {error.strerror}") from error
    for entry in entries:
        path = folder / entry.name
        ending = path.suffix.lower()
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _files(path, root)
        elif entry.is_dir():
            yield path, "a link to a folder, which is not followed"
        elif ending in OTHER_IMAGES:
            yield path, f"{ending} is not supported (supported: {', '.join(IMAGE_ENDINGS)})"
        elif ending in IMAGE_ENDINGS and (entry.name.startswith("~") or Path(path.stem).suffix in TEMPORARY):
            yield path, "a temporary file, by its name"
        elif ending in IMAGE_ENDINGS:
            yield path, link_out(path, root) or ("" if entry.is_file() else "not a regular file")
