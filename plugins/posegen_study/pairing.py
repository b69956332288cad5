"""Pairs of images by file name, checked before a study starts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from posegen.data.images import IMAGE_ENDINGS, read_image, read_size
from posegen.data.keypoints import shown
from posegen.errors import ConfigError, DataError
from posegen.files import link_out, natural_order

from .definition import QUESTIONS, SECONDS, Study


@dataclass(frozen=True)
class StudyImages:
    """A study with its image files.

    Attributes:
        study: the definition.
        files: paths by role (``a``, ``b``, ``target``, ``source``) and name of the pair.
        notes: for the person who runs the study: files without a partner, pairs not worth showing.
    """

    study: Study
    files: dict[str, dict[str, Path]]
    notes: list[str]


def define_study(
    a: Path,
    b: Path,
    mode: str = "prefer",
    target: Path | None = None,
    source: Path | None = None,
    trials: int | None = None,
    seed: int = 0,
    seconds: float | None = None,
    question: str | None = None,
) -> StudyImages:
    """Pair the images of two folders by file stem and check that all can be read.

    Args:
        a, b, mode, target, source, seed: see :class:`Study`.
        trials: number of pairs shown to each rater (default: all).
        seconds: display time (default: 1 in mode ``"real"``, else 0: until answered).
        question: the question asked (default: depends on the mode).

    Raises:
        ConfigError: the settings contradict each other.
        DataError: a folder without images, links out of a folder, duplicate stems, no pair, unreadable images, or a
            pair without its target or source. All bad files of a kind are named at once.
    """
    seconds = SECONDS[mode] if seconds is None else seconds
    _check_settings(a, b, mode, target, source, trials, seconds)
    given = {"a": a, "b": b, "target": target, "source": source}
    folders = {role: folder for role, folder in given.items() if folder is not None}
    listed = {role: _list_images(folder) for role, folder in folders.items()}
    pairs = [name for name in listed["a"] if name in listed["b"]]
    if not pairs:
        raise DataError(a, f"no image has the same name as one in {b}", "Files pair by name: A/001.png, B/001.jpg.")
    if trials is not None and trials > len(pairs):
        raise ConfigError(f"--trials {trials} exceeds the number of pairs, {len(pairs)}")
    for role in ("target", "source"):
        missing = [f"no {role} for pair {name}" for name in pairs if name not in listed.get(role, pairs)]
        if missing:
            raise DataError(folders[role], missing, f"Give a --{role} for every pair, or none.")
    files = {role: {name: images[name] for name in pairs} for role, images in listed.items()}
    study = Study(
        mode=mode,
        question=question or QUESTIONS[mode],
        a=str(a.resolve()),
        b=str(b.resolve()),
        target=str(target.resolve()) if target else None,
        source=str(source.resolve()) if source else None,
        pairs=tuple(pairs),
        trials=trials or len(pairs),
        seed=seed,
        seconds=float(seconds),
        images=_hash_images(files, a),
    )
    return StudyImages(study, files, [*_list_unused(listed, folders), *_list_poor_pairs(files)])


def _check_settings(
    a: Path, b: Path, mode: str, target: Path | None, source: Path | None, trials: int | None, seconds: float
) -> None:
    if mode == "real" and (target or source):
        raise ConfigError("--target and --source require --mode prefer: beside a real image they would identify it")
    if a.resolve() == b.resolve():
        raise ConfigError(f"--a and --b are the same folder: {a}")
    if trials is not None and trials < 1:
        raise ConfigError(f"--trials {trials}: must be at least 1")
    if not 0 <= seconds <= 3600:
        raise ConfigError(f"--seconds {seconds:g}: must be from 0 (until answered) to 3600")


def _list_images(folder: Path) -> dict[str, Path]:
    """List the images of a flat folder by stem, in natural order."""
    if not folder.is_dir():
        raise DataError(folder, "no such folder")
    files = [path for path in _visible(folder) if path.suffix.lower() in IMAGE_ENDINGS and path.is_file()]
    if not files:
        raise DataError(folder, "contains no image", "Images must be in the folder itself, not in subfolders.")
    outside = [f"{path.name}: {problem}" for path in files if (problem := link_out(path, folder))]
    if outside:
        raise DataError(folder, outside)
    images: dict[str, Path] = {}
    duplicates = []
    for path in files:
        if path.stem in images:
            duplicates.append(f"{images[path.stem].name} and {path.name} have the same stem")
        images[path.stem] = path
    if duplicates:
        raise DataError(folder, duplicates, "Images pair by stem: keep one of each.")
    return images


def _visible(folder: Path) -> list[Path]:
    """List a folder in natural order, without hidden files."""
    return sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=natural_order)


def _hash_images(files: Mapping[str, Mapping[str, Path]], where: Path) -> str:
    """Hash names and bytes of all images with SHA-256; DataError naming every unreadable one."""
    digest, problems = hashlib.sha256(), []
    for role, images in files.items():
        for name, path in images.items():
            try:
                read_image(path)
            except DataError as error:
                problems += [f"{error.where}: {problem}" for problem in error.problems]
                continue
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{role}\0{name}\0{content}\n".encode())
    if problems:
        raise DataError(where.parent, problems)
    return digest.hexdigest()


def _list_unused(listed: Mapping[str, dict[str, Path]], folders: Mapping[str, Path]) -> list[str]:
    """List the files of both folders that no trial shows, with the reason."""
    notes = []
    for role, other in (("a", "b"), ("b", "a")):
        alone = [path for name, path in listed[role].items() if name not in listed[other]]
        notes += [f"not shown, no image of this name in {folders[other]}: {path}" for path in alone]
        rest = set(_visible(folders[role])) - set(listed[role].values())
        notes += [f"not shown, not an image file: {path}" for path in sorted(rest, key=natural_order)]
    return notes


def _list_poor_pairs(files: Mapping[str, Mapping[str, Path]]) -> list[str]:
    """Note pairs of different sizes, and pairs of identical files."""
    sizes, identical = [], []
    for name, path in files["a"].items():
        partner = files["b"][name]
        first, second = _size(path), _size(partner)
        if first != second:
            sizes.append(f"{name} ({first} and {second})")
        elif path.read_bytes() == partner.read_bytes():
            identical.append(name)
    notes = [f"{len(sizes)} pairs differ in size, which raters can see: {sizes[0]}, …"] if sizes else []
    return notes + ([f"A and B are identical files, so answers are chance: {', '.join(identical)}"] * bool(identical))


def _size(path: Path) -> str:
    return shown(read_size(path))
