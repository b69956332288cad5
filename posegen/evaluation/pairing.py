"""Which generated image belongs to which true one: by the names of the files, or by a list.

How results are named is data (:class:`NamingConvention`) that plugins bring; nothing here knows a method or a data set.
"""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeVar

from .. import catalogue
from ..data.images import IMAGE_ENDINGS
from ..errors import ConfigError, DataError
from ..files import check_name, link_out, natural_order, read_text
from .results import ImagePair

OTHER_IMAGES = (".tif", ".tiff", ".gif", ".jp2", ".avif", ".heic", ".ppm", ".exr", ".npy")
TEMPORARY = (".part", ".tmp", ".temp")
HEADERS = ({"generated", "target"}, {"generated", "target", "source"}, {"from", "to"})
Key = TypeVar("Key")
LIST = "list"
"""The convention of pairs that a list names file by file."""


@dataclass(frozen=True)
class NamingConvention:
    """How the results of a method are named.

    Args:
        name: how messages call it.
        template: the file name without its ending: literal text around ``{target}`` and, where the name says it too,
            ``{source}``, which are names of images, with or without ending. ``{target}`` alone: results are called as
            their targets. Not a regular expression, because names of images hold separators themselves: of
            ``a_2_10_2_b_2_20`` every reading is tried, and the one whose images exist is taken.
        example: a file name that fits.
        citation: where it is said; "unknown, taken as ..." where nobody says.
        path_prefixes: words that lists of a data set put before a path when they write it as one word
            (``wordGROUPkindid0000000101_1front`` for ``GROUP/kind/id_00000001/01_1_front.jpg``). The search for images
            knows those of all conventions.
    """

    name: str
    template: str
    example: str
    citation: str
    path_prefixes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[^{}]*(\{source\}[^{}]+)?\{target\}[^{}]*", self.template):
            raise ConfigError(
                f"naming convention {self.name!r}: the template {self.template!r} must hold {{target}} once, and may "
                "hold {source} and a separator before it"
            )
        if not self.readings(_without_ending(self.example)):
            raise ConfigError(
                f"naming convention {self.name!r}: its example {self.example!r} does not fit its template"
            )

    def readings(self, stem: str) -> list[tuple[str, str]]:
        """Every (source, target) that *stem*, a file name without ending, can mean; the source is empty where the
        convention does not name it. None: the name does not fit."""
        before, _, rest = self.template.rpartition("{target}")
        head, _, separator = before.partition("{source}") if "{source}" in before else (before, "", "")
        inner = stem.removeprefix(head).removesuffix(rest)
        if len(inner) != len(stem) - len(head) - len(rest):
            return []
        if not separator:
            return [("", inner)] if inner else []
        splits = [k for k in range(1, len(inner) - len(separator)) if inner.startswith(separator, k)]
        return [(inner[:k], inner[k + len(separator) :]) for k in splits]


@dataclass
class Pairing:
    """What belongs together.

    Attributes:
        pairs: in natural order of the generated images, or in the order of the list.
        unmatched: what has no partner, or was left out, each with the reason.
        unused: true images without a result.
        convention: name of the naming convention that was found; ``"list"`` where a list names the files.
    """

    pairs: list[ImagePair]
    unmatched: list[str] = field(default_factory=list)
    convention: str = ""
    unused: list[str] = field(default_factory=list)


def naming_conventions() -> list[NamingConvention]:
    """Return all naming conventions that plugins bring."""
    return catalogue.all(NamingConvention)


def find_images(folder: Path) -> list[Path]:
    """All images below *folder*, in natural order of their paths.

    Left out: hidden and temporary files, files that are no images by their ending, links that lead out of the folder,
    and links to folders.

    Raises:
        DataError: no such folder, or no image in it.
    """
    return list_images(folder)[0]


def list_images(folder: Path) -> tuple[list[Path], list[str]]:
    """As :func:`find_images`, and what was left out though it looks like an image, each with the reason."""
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
        raise DataError(folder, ["holds no images", *reasons], f"Known are {', '.join(IMAGE_ENDINGS)}.")
    found.sort(key=lambda path: [natural_order(part) for part in path.relative_to(folder).parts])
    return found, left_out


def pair_images(
    generated: Path, target: Path, pairs: Path | None = None, conventions: Sequence[NamingConvention] | None = None
) -> Pairing:
    """Find the true image of every generated one.

    Without a list, the naming convention is the one by which most generated images find one true image each. A name is
    looked for among the true images by its full path below the folder, as a path written as one word, and by the file's
    own name, in this order; endings need not agree.

    Args:
        generated: folder of the generated images.
        target: folder of the true images; sources are looked for there too, and are None where they are not there.
        pairs: a CSV file with the columns ``generated,target`` or ``generated,target,source``, paths below the folders;
            or ``from,to``, names of source and target, for which the generated image is found by a convention.
        conventions: None: all that plugins bring.

    Raises:
        DataError: a folder without images; bad rows of the list, all at once; a name that two images have, naming both;
            names that fit no convention, or several, with the number of names by convention; no pair at all.
    """
    known = list(naming_conventions() if conventions is None else conventions)
    prefixes = {prefix for convention in known for prefix in convention.path_prefixes}
    made, true = _ImageIndex(generated, prefixes), _ImageIndex(target, prefixes)
    made.check_unique()
    if pairs is None:
        pairing = _pair_by_name(made, true, known)
    else:
        columns, rows = _read_list(pairs)
        by_file = "generated" in columns
        pairing = _pair_by_file(made, true, pairs, rows) if by_file else _pair_by_row(made, true, pairs, rows, known)
    if not pairing.pairs:
        raise DataError(generated, ["no image has a partner", *pairing.unmatched])
    pairing.unmatched += [*made.left_out, *(f"true image {reason}" for reason in true.left_out)]
    used = {pair.target for pair in pairing.pairs}
    pairing.unused = [name for name, path in true.paths.items() if path not in used]
    return pairing


# Images by name


class _ImageIndex:
    """The images of a folder by the names that results and lists give them."""

    def __init__(self, folder: Path, prefixes: Iterable[str]) -> None:
        self.folder = Path(folder)
        self.prefixes = sorted(prefixes, key=len, reverse=True)
        found, self.left_out = list_images(self.folder)
        self.paths = {path.relative_to(folder).as_posix(): path for path in found}
        self._by_path: dict[str, list[str]] = {}
        self._by_word: dict[str, list[str]] = {}
        self._by_own_name: dict[str, list[str]] = {}
        for relative in self.paths:
            stem = PurePosixPath(_without_ending(relative))
            self._by_path.setdefault(str(stem), []).append(relative)
            self._by_own_name.setdefault(stem.name, []).append(relative)
            below_folders = {_squeeze("".join(stem.parts[-depth:])) for depth in range(2, len(stem.parts) + 1)}
            for word in below_folders | {self._word(stem.name)} - {""}:
                self._by_word.setdefault(word, []).append(relative)

    def find(self, name: str) -> list[str]:
        """The images that *name* can mean, as paths below the folder; several where it does not say which."""
        if name in self.paths:
            return [name]
        stem = PurePosixPath(_without_ending(name))
        found = self._by_path.get(str(stem)) or self._by_word.get(self._word(stem.name))
        if found:
            return found
        # Folders that both sides name must agree: another folder's image of this name is another image.
        own = self._by_own_name.get(stem.name, [])
        return [relative for relative in own if _agree(PurePosixPath(_without_ending(relative)), stem)]

    def identity(self, name: str) -> str:
        """The image that *name* means, where there is one; else the name without ending. Two names of one image have
        the same."""
        found = self.find(name)
        return found[0] if len(found) == 1 else _without_ending(name)

    def _word(self, name: str) -> str:
        """The path that a list writes as one word after a prefix, letters and digits alone; empty: it is no such word.

        Only after a prefix: ``a/1_23`` and ``a1/2_3`` are the same word.
        """
        prefix = next((prefix for prefix in self.prefixes if name.startswith(prefix)), None)
        return "" if prefix is None else _squeeze(name[len(prefix) :])

    def check_unique(self) -> None:
        """DataError: images that differ in the ending alone, of which one must be a copy."""
        twice = [" and ".join(found) for found in self._by_path.values() if len(found) > 1]
        if twice:
            problems = [f"{both} differ in their ending alone" for both in twice]
            raise DataError(self.folder, problems, "Each result is scored once; keep one of them.")


def _squeeze(name: str) -> str:
    return re.sub(r"[\W_]+", "", name)


def _agree(one: PurePosixPath, other: PurePosixPath) -> bool:
    depth = min(len(one.parts), len(other.parts))
    return one.parts[-depth:] == other.parts[-depth:]


def _without_ending(name: str) -> str:
    """A name without the ending of an image; other dots belong to the name."""
    stem, dot, ending = name.rpartition(".")
    return stem if stem and dot + ending.lower() in IMAGE_ENDINGS else name


def _files(folder: Path, root: Path) -> Iterator[tuple[Path, str]]:
    """Files below a folder that are images by their names, each with why it is left out; empty: it is not."""
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
            yield path, f"{ending} is not scored; known are {', '.join(IMAGE_ENDINGS)}"
        elif ending in IMAGE_ENDINGS and (entry.name.startswith("~") or Path(path.stem).suffix in TEMPORARY):
            yield path, "a temporary file by its name"
        elif ending in IMAGE_ENDINGS:
            yield path, link_out(path, root) or ("" if entry.is_file() else "no file")


# By the names of the files


class _Match(NamedTuple):
    """A reading of a generated image's name: its source, and the true images that its target can mean."""

    source: str
    targets: list[str]


def _pair_by_name(made: _ImageIndex, true: _ImageIndex, conventions: Sequence[NamingConvention]) -> Pairing:
    matches = {
        convention.name: {name: match for name in made.paths if (match := _match(convention, name, true))}
        for convention in conventions
    }
    found = {
        convention: {name: match.targets[0] for name, match in by_name.items() if len(match.targets) == 1}
        for convention, by_name in matches.items()
    }
    chosen = _choose(made.folder, found, matches, f"{len(made.paths)} generated images")
    by_name = matches[chosen]
    _refuse_ambiguous(true.folder, {name: match.targets for name, match in by_name.items()})
    template = next(convention.template for convention in conventions if convention.name == chosen)
    return Pairing(
        [_pair(made, true, name, match.targets[0], match.source) for name, match in by_name.items()],
        [
            f"{name}: no true image of this name (names are taken as {template})"
            for name in made.paths
            if name not in by_name
        ],
        chosen,
    )


def _match(convention: NamingConvention, name: str, true: _ImageIndex) -> _Match | None:
    """The true images that a generated one can belong to; None: there are none."""
    path = PurePosixPath(_without_ending(name))
    read = [
        _Match(source and str(path.parent / source), found)
        for source, target in convention.readings(path.name)
        if (found := true.find(str(path.parent / target)))
    ]
    with_source = [match for match in read if match.source and true.find(match.source)]
    best = with_source or read
    if not best:
        return None
    return _Match(best[0].source, list(dict.fromkeys(target for match in best for target in match.targets)))


def _choose(
    where: Path, found: Mapping[str, Mapping[Key, str]], candidates: Mapping[str, Mapping[Key, Any]], what: str
) -> str:
    """The convention that finds most; of those that find the same the first.

    Args:
        where: for the errors.
        found: by convention, what finds exactly one partner, and which.
        candidates: by convention, what finds any.
        what: finds partners, for the errors.

    Raises:
        DataError: no convention finds anything; others find as much, or what the best one does not.
    """
    best = max(found, key=lambda name: (len(found[name]), len(candidates[name])), default="")
    if not best or not candidates[best]:
        tried = ", ".join(found) or "none is known"
        problem = f"none of the {what} has a partner by any naming convention ({tried})"
        raise DataError(where, problem, "Are these the right folders? Else give a list: --pairs PAIRS.csv.")
    mixed = any(partners.keys() - candidates[best].keys() for partners in found.values())
    rivals = any(len(other) == len(found[best]) and other != found[best] for other in found.values())
    if mixed or rivals:
        counted = ", ".join(f"{name} {len(partners)}" for name, partners in found.items() if partners)
        reason = "are of several naming conventions" if mixed else "fit several naming conventions equally well"
        problem = f"the names of the {what} {reason}: {counted}"
        raise DataError(where, problem, "Score each kind from a folder of its own, or give a list: --pairs PAIRS.csv.")
    return best


def _refuse_ambiguous(where: Path, candidates: Mapping[str, Sequence[str]]) -> None:
    problems = [f"{name} can be {' or '.join(several)}" for name, several in candidates.items() if len(several) > 1]
    if problems:
        raise DataError(where, problems, "Give the folder that holds one of them alone, or a list: --pairs PAIRS.csv.")


def _pair(made: _ImageIndex, true: _ImageIndex, generated: str, target: str, source: str) -> ImagePair:
    sources = true.find(source) if source else []
    return ImagePair(
        _without_ending(generated),
        made.paths[generated],
        true.paths[target],
        true.paths[sources[0]] if len(sources) == 1 else None,
    )


# By a list


class _Row(NamedTuple):
    """A row of a list: its line in the file, counted from 1, and its names by column."""

    line: int
    names: dict[str, str]

    def __str__(self) -> str:
        return f"row {self.line} ({', '.join(f'{column} {name}' for column, name in self.names.items())})"


def _read_list(path: Path) -> tuple[list[str], list[_Row]]:
    """The columns and rows of a list. DataError: all bad rows at once."""
    lines = [[cell.strip() for cell in _cells(line)] for line in read_text(path).splitlines()]
    columns = lines[0] if lines else []
    if set(columns) not in HEADERS or len(set(columns)) != len(columns):
        problem = f"row 1: the columns are {','.join(columns)!r}"
        raise DataError(path, problem, "They must be generated,target or generated,target,source or from,to.")
    problems, rows = [], []
    for line, cells in enumerate(lines[1:], 2):
        if not any(cells):
            continue
        wrong = _problem(cells, columns)
        problems += [f"row {line}: {wrong}"] if wrong else []
        names = {column: name.replace("\\", "/") for column, name in zip(columns, cells, strict=False) if name}
        rows += [] if wrong else [_Row(line, names)]
    if problems or not rows:
        raise DataError(path, problems or "the list is empty")
    return columns, rows


def _cells(line: str) -> list[str]:
    """The cells of a line. A line is a row: no name holds a line break, so one stray quote cannot swallow the rest."""
    try:
        return next(csv.reader([line], skipinitialspace=True), [])
    except csv.Error:
        return [line]


def _problem(cells: Sequence[str], columns: Sequence[str]) -> str:
    """What is wrong with a row; empty: nothing."""
    if len(cells) != len(columns):
        return f"{len(cells)} cells, {len(columns)} expected"
    for column, name in zip(columns, cells, strict=True):
        if not name and column == "source":
            continue
        if not name:
            return f"no {column}"
        try:
            check_name(name)
        except ValueError as error:
            return f"{column} {error}"
    return ""


def _pair_by_file(made: _ImageIndex, true: _ImageIndex, path: Path, rows: Sequence[_Row]) -> Pairing:
    """The pairs of a list that names generated images."""
    folders = {"generated": made, "target": true, "source": true}
    pairs: dict[str, ImagePair] = {}
    lines: dict[str, int] = {}
    unmatched, problems = [], []
    for row in rows:
        found = {column: folders[column].find(name) for column, name in row.names.items()}
        problems += [
            f"row {row.line}: {row.names[column]} can be {' or '.join(images)}"
            for column, images in found.items()
            if len(images) > 1
        ]
        if any(len(images) > 1 for images in found.values()):
            continue
        generated, target = ("".join(found[column]) for column in ("generated", "target"))
        line = lines.setdefault(generated, row.line)
        missing = [f"no {column} image in {folders[column].folder}" for column, images in found.items() if not images]
        if missing:
            unmatched.append(f"{row}: {', '.join(missing)}")
        elif line == row.line:
            pairs[generated] = _pair(made, true, generated, target, row.names.get("source", ""))
        elif generated in pairs and pairs[generated].target == true.paths[target]:
            unmatched.append(f"{row}: stands in row {line} already")
        else:
            problems.append(f"row {row.line}: {generated} has another target in row {line}")
    if problems:
        raise DataError(path, problems)
    unmatched += [f"{name}: not in {path}" for name in made.paths if name not in lines]
    return Pairing(list(pairs.values()), unmatched, LIST)


def _pair_by_row(
    made: _ImageIndex, true: _ImageIndex, path: Path, rows: Sequence[_Row], conventions: Sequence[NamingConvention]
) -> Pairing:
    """The pairs of a list of sources and targets, whose generated images are found by a naming convention."""
    listed: dict[tuple[str, str], _Row] = {}
    unmatched = []
    for row in rows:
        key = true.identity(row.names["from"]), true.identity(row.names["to"])
        if key in listed:
            unmatched.append(f"{row}: stands in row {listed[key].line} already")
        listed.setdefault(key, row)
    candidates = {convention.name: _claimed(convention, made, true, listed) for convention in conventions}
    found = {
        convention: {key: names[0] for key, names in by_pair.items() if len(names) == 1}
        for convention, by_pair in candidates.items()
    }
    chosen = _choose(path, found, candidates, f"{len(listed)} pairs")
    _refuse_ambiguous(made.folder, {str(listed[key]): names for key, names in candidates[chosen].items()})
    own = found[chosen]
    targets = {key: true.find(listed[key].names["to"]) for key in own}
    _refuse_ambiguous(true.folder, {str(listed[key]): names for key, names in targets.items()})
    unmatched += [f"{row}: no generated image of its own" for key, row in listed.items() if key not in own]
    unmatched += [f"{listed[key]}: no target image in {true.folder}" for key, names in targets.items() if not names]
    taken = set(own.values())
    unmatched += [f"{name}: no row of {path} is its own" for name in made.paths if name not in taken]
    pairs = [
        _pair(made, true, own[key], targets[key][0], row.names["from"])
        for key, row in listed.items()
        if targets.get(key)
    ]
    return Pairing(pairs, unmatched, chosen)


def _claimed(
    convention: NamingConvention, made: _ImageIndex, true: _ImageIndex, listed: Mapping[tuple[str, str], _Row]
) -> dict[tuple[str, str], list[str]]:
    """The generated images that each pair of a list can mean. One that several pairs claim is nobody's: a name without
    a source does not say whose it is."""
    called: dict[tuple[str, str], list[str]] = {}
    for name in made.paths:
        path = PurePosixPath(_without_ending(name))
        for source, target in convention.readings(path.name):
            key = true.identity(source) if source else "", true.identity(str(path.parent / target))
            called.setdefault(key, []).append(name)
    names_source = "{source}" in convention.template
    found = {key: called.get(key if names_source else ("", key[1]), []) for key in listed}
    claims = Counter(name for names in found.values() for name in names)
    return {key: names for key, names in found.items() if names and max(claims[name] for name in names) == 1}
