"""What a study asks, and of which images."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from PIL import Image

from ..data.images import IMAGE_ENDINGS, read_image
from ..errors import ConfigError, DataError
from ..files import link_out, natural_order

QUESTIONS = {"prefer": "Which image is better?", "real": "Which image is real?"}
MODES = tuple(QUESTIONS)
SECONDS = {"prefer": 0.0, "real": 1.0}
"""How long the images stand by default: in published tests for real and generated images, one second."""

FOLDERS = ("a", "b", "target", "source")


@dataclass(frozen=True)
class Study:
    """The definition of a study: the first line of its record.

    Args:
        mode: ``"prefer"``, or ``"real"``: A holds true images, B generated ones.
        question: what is asked of each pair.
        a, b: the folders compared.
        target, source: folders of the images shown beside each pair; None: not shown.
        pairs: what can be shown: each name is that of one file in every folder, without its ending.
        trials: how many of the pairs each rater sees.
        seed: of the choice of pairs, and, with the rater's name, of their order and sides.
        seconds: how long the two images stand; 0: until they are answered.
        images: SHA-256 over the names and bytes of all images, in the order of ``pairs``.
    """

    mode: str
    question: str
    a: str
    b: str
    target: str | None
    source: str | None
    pairs: tuple[str, ...]
    trials: int
    seed: int
    seconds: float
    images: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Study:
        """The study of a record's first line. TypeError, KeyError: it is none."""
        known = {each.name: data[each.name] for each in fields(cls)}
        return cls(**{**known, "pairs": tuple(known["pairs"])})

    def differences(self, other: Study) -> list[str]:
        """What differs from *other*, this study's value last; folders may move: the images' hash is compared."""
        names = [each.name for each in fields(self) if each.name not in FOLDERS]
        return [
            f"{name}: {_short(getattr(other, name))} there, {_short(getattr(self, name))} here"
            for name in names
            if getattr(self, name) != getattr(other, name)
        ]


@dataclass(frozen=True)
class Found:
    """A study, and where its images are.

    Attributes:
        study: the definition.
        files: by role (``a``, ``b``, ``target``, ``source``) and name of the pair.
        notes: what whoever runs the study should know: files without a partner, pairs that are not worth showing.
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
) -> Found:
    """Pair the images of two folders by the names of their files, endings aside, and check that all can be read.

    Args:
        trials: how many pairs each rater sees; None: all.
        seconds: None: 1 in mode ``"real"``, else 0, which is until they are answered.
        question: None: that of the mode.
        a, b, mode, target, source, seed: see :class:`Study`.

    Raises:
        ConfigError: settings that make no study.
        DataError: a folder without images, links out of it, names that are there twice, no pair, images that cannot be
            read; a pair without its target or source. All bad files of a kind are named at once.
    """
    seconds = SECONDS[mode] if seconds is None else seconds
    _check_settings(a, b, mode, target, source, trials, seconds)
    given = {"a": a, "b": b, "target": target, "source": source}
    folders = {role: folder for role, folder in given.items() if folder is not None}
    listed = {role: _images_of(folder) for role, folder in folders.items()}
    pairs = [name for name in listed["a"] if name in listed["b"]]
    if not pairs:
        raise DataError(a, f"no image has a partner of its name in {b}", "Files pair by name: A/001.png, B/001.jpg.")
    if trials is not None and trials > len(pairs):
        raise ConfigError(f"--trials {trials}: there are only {len(pairs)} pairs")
    _check_context(pairs, listed, folders)
    files = {role: {name: images[name] for name in pairs} for role, images in listed.items()}
    digest = _check_images(files, a)
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
        images=digest,
    )
    return Found(study, files, [*_not_shown(listed, folders), *_poor_pairs(files)])


def _check_settings(
    a: Path, b: Path, mode: str, target: Path | None, source: Path | None, trials: int | None, seconds: float
) -> None:
    if mode == "real" and (target or source):
        raise ConfigError("--target and --source go with --mode prefer: beside a true image they would give it away")
    if a.resolve() == b.resolve():
        raise ConfigError(f"--a and --b are one folder, {a}: there is nothing to compare")
    if trials is not None and trials < 1:
        raise ConfigError(f"--trials {trials}: at least 1")
    if not 0 <= seconds <= 3600:
        raise ConfigError(f"--seconds {seconds:g}: from 0 (until answered) to 3600")


def _images_of(folder: Path) -> dict[str, Path]:
    """The images of a flat folder by name without ending, in natural order."""
    if not folder.is_dir():
        raise DataError(folder, "no such folder")
    files = [path for path in _visible(folder) if path.suffix.lower() in IMAGE_ENDINGS and path.is_file()]
    if not files:
        raise DataError(folder, "no image in it", "Images lie in the folder itself, not in folders below it.")
    outside = [f"{path.name}: {problem}" for path in files if (problem := link_out(path, folder))]
    if outside:
        raise DataError(folder, outside)
    images: dict[str, Path] = {}
    twice = []
    for path in files:
        if path.stem in images:
            twice.append(f"{images[path.stem].name} and {path.name} have one name")
        images[path.stem] = path
    if twice:
        raise DataError(folder, twice, "Images pair by name without ending: keep one of each.")
    return images


def _visible(folder: Path) -> list[Path]:
    """What a folder holds in natural order, hidden files aside: those are the system's own."""
    return sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=natural_order)


def _check_context(pairs: Sequence[str], listed: Mapping[str, dict[str, Path]], folders: Mapping[str, Path]) -> None:
    for role in ("target", "source"):
        missing = [f"no {role} for the pair {name}" for name in pairs if name not in listed.get(role, pairs)]
        if missing:
            raise DataError(folders[role], missing, f"Every pair needs its --{role}, or none has one.")


def _check_images(files: Mapping[str, Mapping[str, Path]], where: Path) -> str:
    """SHA-256 over names and bytes of all images. DataError: some cannot be read; names all of them."""
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


def _not_shown(listed: Mapping[str, dict[str, Path]], folders: Mapping[str, Path]) -> list[str]:
    """A line for everything in the two folders that no trial shows."""
    found = []
    for role, other in (("a", "b"), ("b", "a")):
        alone = [path for name, path in listed[role].items() if name not in listed[other]]
        found += [f"not shown, because {folders[other]} has no partner of its name: {path}" for path in alone]
        rest = set(_visible(folders[role])) - set(listed[role].values())
        found += [f"not shown, because it is no image file: {path}" for path in sorted(rest, key=natural_order)]
    return found


def _poor_pairs(files: Mapping[str, Mapping[str, Path]]) -> list[str]:
    """A line on pairs that nobody can tell apart, and one on those that can be told apart by their sizes."""
    sizes, same = [], []
    for name, path in files["a"].items():
        partner = files["b"][name]
        first, second = _size(path), _size(partner)
        if first != second:
            sizes.append(f"{name} ({first} and {second})")
        elif path.read_bytes() == partner.read_bytes():
            same.append(name)
    found = [f"{len(sizes)} pairs differ in size, which can be seen: {sizes[0]}, …"] if sizes else []
    return found + ([f"A and B are one and the same file, answers are chance: {', '.join(same)}"] if same else [])


def _size(path: Path) -> str:
    with Image.open(path) as image:
        return f"{image.width}×{image.height}"


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return f"{len(value)} ({', '.join(value[:3])}{', …' if len(value) > 3 else ''})"
    text = str(value)
    return text if len(text) <= 60 else f"{text[:12]}…"
