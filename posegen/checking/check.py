"""The check: every split of a config, its pictures in several processes, and what two splits have in common."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from torch.utils.data import DataLoader, Dataset

from ..data import Keypoints, require_dataset
from ..errors import ConfigError, DataError, PosegenError
from ..registry import DATASETS, check_arguments
from .findings import Finding, Picture, Subject, as_findings, size_before
from .report import Report, Split

SPLITS = ("train", "val", "test")
DRAWN_SAMPLES = 16
"""How many samples are read of a data set that names no files: enough to see that it draws."""
TOLERANCE = 1.0
"""Pixels that a point may lie outside its image: lists are rounded."""
FEW = 0.5
"""An image with a smaller part of its points has few."""
MOST_STRETCHED = 1.05
"""How much an image's proportions may differ: originals of 750×1101 are taken as 176×256."""


@dataclasses.dataclass(frozen=True)
class Look:
    """What one look at a picture gave: its (H, W), the SHA-256 of what is stored (both None where it cannot be read),
    and what is wrong with it."""

    size: tuple[int, int] | None
    digest: str | None
    findings: list[Finding]


def check_data(
    config: Mapping[str, Any], splits: Sequence[str] = SPLITS, workers: int = 0, show_progress: bool = False
) -> Report:
    """Read every list and every image of a config's data sets, and say all that is wrong with them.

    Memory grows with the number of images, not with their pixels.

    Args:
        config: as :func:`posegen.config.load_config` gives it.
        splits: which of ``train``, ``val``, ``test``. What the test has in common with training is looked for where
            both are among them. What ``val`` and ``test`` have both is listed under ``test`` alone.
        workers: processes that open images; 0: this one.
        show_progress: a bar on stderr.

    Raises:
        ConfigError: the config has none of these splits, or cannot be built whatever the files are.
    """
    report = Report()
    looked = {}
    for split, dataset in _datasets(config, splits).items():
        looked[split] = _check_split(split, dataset, report, partial(in_processes, workers=workers, show=show_progress))
    for split in looked:
        if split != "train" and "train" in looked:
            report.add(split, _leakage(looked["train"], looked[split]))
    report.list_once("val", "test")
    return report


def _datasets(config: Mapping[str, Any], splits: Sequence[str]) -> dict[str, Any]:
    """The data set, or its config, of each split that there is."""
    found = {split: (config.get(f"{split}_dataloader") or {}).get("dataset") for split in splits}
    found = {split: dataset for split, dataset in found.items() if dataset is not None}
    if not found:
        raise ConfigError(f"the config has no data set for {', '.join(splits)}: nothing to check")
    return found


# One split


def _check_split(split: str, dataset: Any, report: Report, run: Callable) -> list[tuple[Picture, Look]]:
    """Look at everything of a split; what each picture gave."""
    part, arguments = _part(dataset)
    summary = report.splits[split] = Split(part.__name__)
    named = None
    with _what_it_raises(split, report):
        named = part.examine(**arguments) if isinstance(dataset, Mapping) else None
    if named is None:
        built = _build(split, dataset, report)
        if built is not None:
            _read_samples(split, built, arguments, report, run)
        return []
    pictures = _examine(split, named, report)
    looks = list(run(look, pictures, f"{split}: images"))
    looked = list(zip(pictures, looks, strict=True))
    report.add(split, (finding for _, found in looked for finding in found.findings))
    report.add(split, _odd_sizes(looked))
    report.add(split, _repeated(looked))
    known = [s.keypoints for picture in pictures for s in picture.subjects if s.keypoints is not None]
    summary.images = len(pictures)
    summary.points = sum(map(len, known))
    summary.missing_points = summary.points - sum(int(keypoints.present.sum()) for keypoints in known)
    if not any(finding.split == split and finding.severity == "error" for finding in report.findings):
        # What can be built can train: the constructor, and a sample, see what lists and images do not show.
        built = _build(split, dataset, report)
        if built is not None:
            report.add(split, _try_sample(built, 0))
    return looked


def _part(dataset: Any) -> tuple[Any, dict[str, Any]]:
    """The class of a data set's config and the arguments; those of a data set that is built are not known."""
    if not isinstance(dataset, Mapping):
        return type(require_dataset(dataset)), {}
    arguments = {key: value for key, value in dataset.items() if key not in ("type", "_scope_")}
    kind = dataset.get("type")
    part = require_dataset(kind if isinstance(kind, type) else DATASETS.get(str(kind)))
    check_arguments(part, arguments, where=f"dataset {kind}")
    return part, arguments


def _examine(split: str, named: Iterable[Finding | Picture], report: Report) -> list[Picture]:
    """The pictures that a data set names; its findings go to the report."""
    pictures = []
    with _what_it_raises(split, report):
        for found in named:
            if isinstance(found, Picture):
                pictures.append(found)
            else:
                report.add(split, [found])
    return pictures


def _build(split: str, dataset: Any, report: Report) -> Any:
    """The data set, or None where its files do not allow it."""
    with _what_it_raises(split, report):
        built = DATASETS.build_part(dataset)
        report.splits[split].samples = len(built)
        return built
    return None


@contextmanager
def _what_it_raises(split: str, report: Report) -> Iterator[None]:
    """What a data set raises goes to the report, but for what no files could mend: a ConfigError."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        report.add(split, _of_error("unusable", error))


def _read_samples(split: str, dataset: Any, arguments: Mapping[str, Any], report: Report, run: Callable) -> None:
    kind, count = type(dataset).__name__, len(dataset)
    numbers: Sequence[int] = range(count)
    if not _names_files(arguments):
        numbers = range(0, count, max(1, -(-count // DRAWN_SAMPLES)))
        report.notes.append(
            f"{split}: {kind} names no files: nothing to read on disk; {len(numbers)} of {count:,} samples were drawn"
        )
    else:
        report.notes.append(f"{split}: {kind} does not say which files it has; all {count:,} samples were read")
    for findings in run(partial(_try_sample, dataset), numbers, f"{split}: samples"):
        report.add(split, findings)


def _names_files(value: Any) -> bool:
    """Whether arguments have a path among them, or what looks like one."""
    if isinstance(value, Mapping):
        return any(map(_names_files, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_names_files, value))
    path = str(value) if isinstance(value, (str, Path)) else ""
    return bool(path) and ("/" in path or os.sep in path or os.path.exists(path))


def _try_sample(dataset: Any, number: int) -> list[Finding]:
    """What reading a sample raises."""
    try:
        dataset[number]
    except Exception as error:
        return [dataclasses.replace(finding, sample=str(number)) for finding in _of_error("sample", error)]
    return []


def _of_error(kind: str, error: Exception) -> list[Finding]:
    """An error as findings. A data set may be anybody's, so that may be anything."""
    if not isinstance(error, DataError):
        return [Finding(kind, f"{type(error).__name__}: {error}")]
    if not error.problems:
        return [Finding(kind, error.where)]
    return as_findings(kind, error.where, error.problems)


# Pictures


def look(picture: Picture) -> Look:
    """Open a picture, and see whether it, its size and its points can be right."""
    try:
        image, digest = picture.read()
    except DataError as error:
        text = "; ".join(error.problems) or error.where
        kind = "missing image" if text.endswith("no such file") else "broken image"
        return Look(None, None, [Finding(kind, text, str(picture.file), sample=picture.name)])
    except Exception as error:  # of a picture that reads itself
        text = f"{type(error).__name__}: {error}"
        return Look(None, None, [Finding("broken image", text, str(picture.file), sample=picture.name)])
    size = (image.shape[0], image.shape[1])
    findings = [*_wrong_proportions(picture, size)]
    if not picture.is_mask and image.min() == image.max():
        findings.append(_warning("blank image", f"every pixel is {image.flat[0]}", picture))
    for subject in picture.subjects:
        findings += _wrong_points(picture, subject, picture.frame or size)
    return Look(size, digest, findings)


def _warning(kind: str, text: str, picture: Picture, subject: Subject | None = None) -> Finding:
    file, row = (subject.file or str(picture.file), subject.row) if subject else (str(picture.file), "")
    return Finding(kind, text, file, row, picture.name, "warning")


def _wrong_proportions(picture: Picture, size: tuple[int, int]) -> Iterator[Finding]:
    """Of the image, or, where it was squeezed on purpose, as it was before."""
    if picture.proportions is None or _fits(size, picture.proportions):
        return
    before = size_before(picture.file)
    if before is None or not _fits(before, picture.proportions):
        text = f"{_written(size)} pixels, and should have the proportions of {_written(picture.proportions)}"
        yield _warning("proportions", text, picture)


def _fits(size: tuple[int, int], proportions: tuple[int, int]) -> bool:
    stretched = size[1] / size[0] * proportions[0] / proportions[1]
    return max(stretched, 1 / stretched) <= MOST_STRETCHED


def _wrong_points(picture: Picture, subject: Subject, frame: tuple[int, int]) -> Iterator[Finding]:
    if subject.keypoints is None:
        return
    present = int(subject.keypoints.present.sum())
    if not present:
        yield _warning("no key points", "all its key points are missing", picture, subject)
        return
    if present < FEW * len(subject.keypoints):
        yield _warning("few key points", f"{present} of {len(subject.keypoints)} are there", picture, subject)
    outside = _outside(subject.keypoints, frame)
    if outside:
        text = f"{outside} of {present} key points lie outside {_written(frame)}"
        finding = _warning("points outside", text, picture, subject)
        # most of them: they count other pixels than these
        yield dataclasses.replace(finding, severity="error") if outside > present / 2 else finding


def _outside(keypoints: Keypoints, frame: tuple[int, int]) -> int:
    points = keypoints.points[keypoints.present]
    highest = (frame[1] - 1 + TOLERANCE, frame[0] - 1 + TOLERANCE)
    return int(((points < -TOLERANCE) | (points > highest)).any(1).sum())


def _written(size: Sequence[int]) -> str:
    return f"{size[1]}×{size[0]}"  # width first, as everywhere but in tensors


def _odd_sizes(looked: Sequence[tuple[Picture, Look]]) -> Iterator[Finding]:
    """Pictures of another size than most of their sequence, or of the split."""
    groups: dict[str | None, list[tuple[Picture, tuple[int, int]]]] = defaultdict(list)
    for picture, found in looked:
        if found.size is not None and (picture.sequence is not None or picture.one_size):
            groups[picture.sequence].append((picture, found.size))
    for sequence, members in groups.items():
        usual, count = Counter(size for _, size in members).most_common(1)[0]
        what = "its sequence" if sequence is not None else "the split"
        for picture, size in members:
            if size != usual:
                text = f"{_written(size)} pixels; {count} of {len(members)} images of {what} have {_written(usual)}"
                yield _warning("size", text, picture)


def _repeated(looked: Sequence[tuple[Picture, Look]]) -> Iterator[Finding]:
    """Pictures with the content of another one; frames of one sequence may repeat."""
    first: dict[str, Picture] = {}
    for picture, found in looked:
        if found.digest is None or picture.is_mask:
            continue
        other = first.setdefault(found.digest, picture)
        if other is not picture and (picture.sequence is None or picture.sequence != other.sequence):
            yield _warning("duplicate image", f"has the content of {other.name}", picture)


# What two splits have in common


def _leakage(train: Sequence[tuple[Picture, Look]], tested: Sequence[tuple[Picture, Look]]) -> Iterator[Finding]:
    """Pictures and identities of *tested* that are in training: an identity once, and each picture once."""
    digests = {found.digest: picture.name for picture, found in train if found.digest and not picture.is_mask}
    names = {picture.name for picture, _ in train if not picture.is_mask}
    identities = {who: picture.name for picture, who in _identities(train)}
    shared: set[str] = set()
    for picture, who in _identities(tested):
        if who in identities and who not in shared:
            shared.add(who)
            text = f"shows {who}, as {identities[who]} in train does"
            yield Finding("leaked identity", text, str(picture.file), sample=picture.name)
    for picture, found in tested:
        if picture.is_mask:
            continue
        if found.digest in digests:
            text = f"has the content of {digests[found.digest]} in train"
            yield Finding("leaked image", text, str(picture.file), sample=picture.name)
        elif picture.name in names and not any(subject.identity in shared for subject in picture.subjects):
            yield _warning("leaked name", "is called like an image in train, and is another", picture)


def _identities(looked: Iterable[tuple[Picture, Look]]) -> Iterator[tuple[Picture, str]]:
    for picture, _ in looked:
        for subject in picture.subjects:
            if subject.identity is not None:
                yield picture, subject.identity


# Several processes


class _Calls(Dataset):
    """What a function gives for each of some items, as a data set: torch's loader then does the rest."""

    def __init__(self, function: Callable[[Any], Any], items: Sequence[Any]) -> None:
        self.function, self.items = function, items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int) -> Any:
        return self.function(self.items[number])


def in_processes(
    function: Callable[[Any], Any], items: Sequence[Any], what: str, workers: int = 0, show: bool = False
) -> Iterator[Any]:
    """*function* of each item, in order, in *workers* processes."""
    loader = DataLoader(
        _Calls(function, items),
        batch_size=16,
        collate_fn=list,
        num_workers=min(workers, -(-len(items) // 16)),
        worker_init_fn=_begin_worker,
    )
    results = (result for batch in loader for result in batch)
    console = Console(stderr=True)
    try:
        yield from track(results, what, total=len(items), console=console, disable=not show or not console.is_terminal)
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise PosegenError(f"{what}: a process died: {error}\nWith --workers 0 none is needed.") from error


def _begin_worker(worker: int) -> None:
    """Ctrl-C is for the main process; where that one was killed, its workers end soon after it, for what they have to
    say may fill a pipe that nobody reads, and they would wait for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.pid,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
