"""Pairing of generated and true images, by the names of the files or by a list.

The names of results are data (:class:`NamingConvention`) that plugins bring; nothing here knows a method or a data set.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeVar

from .. import catalogue
from ..errors import ConfigError, DataError
from ..files import check_name, read_text
from .image_index import ImageIndex, find_images, without_ending
from .results import ImagePair

__all__ = ["NamingConvention", "Pairing", "find_images", "pair_images"]

HEADERS = ({"generated", "target"}, {"generated", "target", "source"}, {"from", "to"})
Key = TypeVar("Key")
LIST = "list"
"""The convention of a pairing whose list names every file."""


@dataclass(frozen=True)
class NamingConvention:
    """Pattern by which a method names its results.

    Args:
        name: name in messages.
        template: file name without its ending: literal text around ``{target}`` and optionally ``{source}``, which are
            names of images, with or without ending. With ``{target}`` alone, results are named as their targets. It is
            not a regular expression, because names of images contain separators: of ``a_2_10_2_b_2_20`` every reading
            is tried, and the one whose images exist is used.
        example: a file name that fits.
        citation: where the convention is published; "unknown, taken as ..." if nowhere.
        path_prefixes: prefixes of paths that a list of a data set writes as one word
            (``wordGROUPkindid0000000101_1front`` for ``GROUP/kind/id_00000001/01_1_front.jpg``). The prefixes of all
            conventions are used.

    Raises:
        ConfigError: the template lacks ``{target}``, or the example does not fit it.
    """

    name: str
    template: str
    example: str
    citation: str
    path_prefixes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[^{}]*(\{source\}[^{}]+)?\{target\}[^{}]*", self.template):
            raise ConfigError(
                f"naming convention {self.name!r}: the template {self.template!r} must contain {{target}} once, and "
                "may contain {source} and a separator before it"
            )
        if not self.readings(without_ending(self.example)):
            raise ConfigError(f"naming convention {self.name!r}: example {self.example!r} does not fit the template")

    def readings(self, stem: str) -> list[tuple[str, str]]:
        """Return every (source, target) that *stem*, a file name without ending, can mean.

        The source is empty if the convention does not name it. An empty list: the name does not fit.
        """
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
    """Result of :func:`pair_images`.

    Attributes:
        pairs: in natural order of the generated images, or in the order of the list.
        unmatched: files and rows without a partner, with the reason.
        convention: name of the naming convention; ``"list"`` if a list names the files.
        unused: true images without a result.
        lost_sources: sources that the names of results or the list give, without an image of that name.
    """

    pairs: list[ImagePair]
    unmatched: list[str] = field(default_factory=list)
    convention: str = ""
    unused: list[str] = field(default_factory=list)
    lost_sources: list[str] = field(default_factory=list)


def pair_images(
    generated: Path,
    target: Path,
    pairs: Path | None = None,
    conventions: Sequence[NamingConvention] | None = None,
    source: Path | None = None,
) -> Pairing:
    """Find the true image of every generated one.

    Without a list, the naming convention is the one by which most generated images find exactly one true image. A name
    is looked up among the true images by its full path below the folder, as a path written as one word, and by the
    file's own name, in this order; endings need not agree.

    Args:
        generated: folder of the generated images.
        target: folder of the true images.
        pairs: a CSV file with the columns ``generated,target`` or ``generated,target,source``, paths below the folders;
            or ``from,to``, names of source and target, whose generated image is found by a convention.
        conventions: the naming conventions to try (default: all that plugins bring).
        source: folder of the source images (default: *target*). A source named neither by the convention nor by the
            list is the image with the name of the result.

    Raises:
        DataError: a folder without images; bad rows of the list, all listed; a name shared by two images; names that
            fit no convention, or several; no pair at all.
    """
    known = catalogue.all(NamingConvention) if conventions is None else list(conventions)
    prefixes = {prefix for convention in known for prefix in convention.path_prefixes}
    made, true = ImageIndex(generated, prefixes), ImageIndex(target, prefixes)
    made.check_unique()
    folders = _Folders(made, true, true if source is None else ImageIndex(source, prefixes))
    if pairs is None:
        pairing = _pair_by_name(folders, known)
    else:
        columns, rows = _read_list(pairs)
        by_file = "generated" in columns
        pairing = _pair_by_file(folders, pairs, rows) if by_file else _pair_by_row(folders, pairs, rows, known)
    if not pairing.pairs:
        raise DataError(generated, ["no image has a partner", *pairing.unmatched])
    pairing.unmatched += [*made.left_out, *(f"true image {reason}" for reason in true.left_out)]
    used = {pair.target for pair in pairing.pairs}
    pairing.unused = [name for name, path in true.paths.items() if path not in used]
    return pairing


class _Folders(NamedTuple):
    """Images by kind."""

    generated: ImageIndex
    target: ImageIndex
    source: ImageIndex

    def lost(self, sources: Iterable[str]) -> list[str]:
        """Return the names of sources of which there is no image, or several; each once."""
        return [name for name in dict.fromkeys(sources) if name and len(self.source.find(name)) != 1]

    def pair(self, generated: str, target: str, source: str) -> ImagePair:
        """Make a pair of images by their names; *source* may be empty or missing."""
        name = without_ending(generated)
        if not source and self.source is not self.target:
            source = name
        found = self.source.find(source) if source else []
        path = self.source.paths[found[0]] if len(found) == 1 else None
        return ImagePair(name, self.generated.paths[generated], self.target.paths[target], path)


# By the names of the files


class _Match(NamedTuple):
    """A reading of a generated image's name: its source, and the true images that its target can mean."""

    source: str
    targets: list[str]


def _pair_by_name(folders: _Folders, conventions: Sequence[NamingConvention]) -> Pairing:
    made, true = folders.generated, folders.target
    matches = {
        convention.name: {name: match for name in made.paths if (match := _match(convention, name, folders))}
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
    pairs = [folders.pair(name, match.targets[0], match.source) for name, match in by_name.items()]
    missing = [name for name in made.paths if name not in by_name]
    unmatched = [f"{name}: no true image of this name (naming: {template})" for name in missing]
    return Pairing(pairs, unmatched, chosen, lost_sources=folders.lost(match.source for match in by_name.values()))


def _match(convention: NamingConvention, name: str, folders: _Folders) -> _Match | None:
    """Return the true images that a generated one can belong to; None if there are none."""
    path = PurePosixPath(without_ending(name))
    read = [
        _Match(source and str(path.parent / source), found)
        for source, target in convention.readings(path.name)
        if (found := folders.target.find(str(path.parent / target)))
    ]
    best = [match for match in read if match.source and folders.source.find(match.source)] or read
    if not best:
        return None
    return _Match(best[0].source, list(dict.fromkeys(target for match in best for target in match.targets)))


def _choose(
    where: Path, found: Mapping[str, Mapping[Key, str]], candidates: Mapping[str, Mapping[Key, Any]], what: str
) -> str:
    """Return the convention that finds most partners, the first of equal ones.

    Args:
        where: place for errors.
        found: by convention, the keys that find exactly one partner, and that partner.
        candidates: by convention, the keys that find any partner.
        what: description of the keys for errors.

    Raises:
        DataError: no convention finds anything, or the keys fit several conventions.
    """
    best = max(found, key=lambda name: (len(found[name]), len(candidates[name])), default="")
    if not best or not candidates[best]:
        tried = ", ".join(found) or "none is known"
        problem = f"none of the {what} has a partner by any naming convention ({tried})"
        raise DataError(where, problem, "Check the folders, or give a list: --pairs PAIRS.csv.")
    mixed = any(partners.keys() - candidates[best].keys() for partners in found.values())
    rivals = any(len(other) == len(found[best]) and other != found[best] for other in found.values())
    if mixed or rivals:
        counted = ", ".join(f"{name} {len(partners)}" for name, partners in found.items() if partners)
        reason = "follow several naming conventions" if mixed else "fit several naming conventions equally well"
        problem = f"the names of the {what} {reason}: {counted}"
        raise DataError(where, problem, "Put each kind into its own folder, or give a list: --pairs PAIRS.csv.")
    return best


def _refuse_ambiguous(where: Path, candidates: Mapping[str, Sequence[str]]) -> None:
    problems = [f"{name} can be {' or '.join(several)}" for name, several in candidates.items() if len(several) > 1]
    if problems:
        raise DataError(where, problems, "Give a folder with only one of them, or a list: --pairs PAIRS.csv.")


# By a list


class _Row(NamedTuple):
    """A row of a list: its line in the file, counted from 1, and its names by column."""

    line: int
    names: dict[str, str]

    def __str__(self) -> str:
        return f"row {self.line} ({', '.join(f'{column} {name}' for column, name in self.names.items())})"


def _read_list(path: Path) -> tuple[list[str], list[_Row]]:
    """Read the columns and rows of a list. DataError lists all bad rows."""
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
        if wrong:
            problems.append(f"row {line}: {wrong}")
            continue
        names = {column: name.replace("\\", "/") for column, name in zip(columns, cells, strict=True) if name}
        rows.append(_Row(line, names))
    if problems or not rows:
        raise DataError(path, problems or "the list is empty")
    return columns, rows


def _cells(line: str) -> list[str]:
    """Split a line into cells. A line is a row: no name contains a line break, so a stray quote stays in its row."""
    try:
        return next(csv.reader([line], skipinitialspace=True), [])
    except csv.Error:
        return [line]


def _problem(cells: Sequence[str], columns: Sequence[str]) -> str:
    """Describe the problem of a row; empty: none."""
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


def _pair_by_file(folders: _Folders, path: Path, rows: Sequence[_Row]) -> Pairing:
    """Pair by a list that names the generated images."""
    by_column = folders._asdict()
    pairs: dict[str, ImagePair] = {}
    lines: dict[str, int] = {}
    unmatched, problems = [], []
    for row in rows:
        found = {column: by_column[column].find(name) for column, name in row.names.items()}
        ambiguous = {column: images for column, images in found.items() if len(images) > 1}
        if ambiguous:
            problems += [f"row {row.line}: {row.names[c]} can be {' or '.join(i)}" for c, i in ambiguous.items()]
            continue
        generated, target = ("".join(found[column]) for column in ("generated", "target"))
        line = lines.setdefault(generated, row.line)
        missing = [f"no {column} image in {by_column[column].folder}" for column, images in found.items() if not images]
        if missing:
            unmatched.append(f"{row}: {', '.join(missing)}")
        elif line == row.line:
            pairs[generated] = folders.pair(generated, target, row.names.get("source", ""))
        elif generated in pairs and pairs[generated].target == folders.target.paths[target]:
            unmatched.append(f"{row}: repeats row {line}")
        else:
            problems.append(f"row {row.line}: {generated} has another target in row {line}")
    if problems:
        raise DataError(path, problems)
    unmatched += [f"{name}: not in {path}" for name in folders.generated.paths if name not in lines]
    return Pairing(list(pairs.values()), unmatched, LIST)


def _pair_by_row(
    folders: _Folders, path: Path, rows: Sequence[_Row], conventions: Sequence[NamingConvention]
) -> Pairing:
    """Pair by a list of sources and targets; generated images are found by a naming convention."""
    made, true = folders.generated, folders.target
    listed: dict[tuple[str, str], _Row] = {}
    unmatched = []
    for row in rows:
        key = true.identity(row.names["from"]), true.identity(row.names["to"])
        if key in listed:
            unmatched.append(f"{row}: repeats row {listed[key].line}")
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
    unmatched += [f"{row}: no generated image" for key, row in listed.items() if key not in own]
    unmatched += [f"{listed[key]}: no target image in {true.folder}" for key, names in targets.items() if not names]
    taken = set(own.values())
    unmatched += [f"{name}: belongs to no row of {path}" for name in made.paths if name not in taken]
    paired = {key: row for key, row in listed.items() if targets.get(key)}
    pairs = [folders.pair(own[key], targets[key][0], row.names["from"]) for key, row in paired.items()]
    return Pairing(pairs, unmatched, chosen, lost_sources=folders.lost(row.names["from"] for row in paired.values()))


def _claimed(
    convention: NamingConvention, made: ImageIndex, true: ImageIndex, listed: Mapping[tuple[str, str], _Row]
) -> dict[tuple[str, str], list[str]]:
    """Return the generated images that each pair of a list can mean.

    An image that several pairs claim belongs to none: a name without a source does not say to which.
    """
    called: dict[tuple[str, str], list[str]] = {}
    for name in made.paths:
        path = PurePosixPath(without_ending(name))
        for source, target in convention.readings(path.name):
            key = true.identity(source) if source else "", true.identity(str(path.parent / target))
            called.setdefault(key, []).append(name)
    names_source = "{source}" in convention.template
    found = {key: called.get(key if names_source else ("", key[1]), []) for key in listed}
    claims = Counter(name for names in found.values() for name in names)
    return {key: names for key, names in found.items() if names and max(claims[name] for name in names) == 1}
