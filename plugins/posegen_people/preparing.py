"""Prepare Market-1501 and DeepFashion: from the downloaded archives to what :class:`AnnotatedPairs` reads."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from posegen.data import KeypointLayout, Keypoints
from posegen.data.estimators import fitting_estimators
from posegen.data.images import IMAGE_ENDINGS, read_image
from posegen.errors import DataError
from posegen.files import MOST_OF_A_FRAME, MOST_OF_A_LIST, read_json, read_text
from posegen.inference import read_figures
from posegen.preparing import (
    Preparation,
    SourceFile,
    Task,
    Workspace,
    changes_pixels,
    check_estimator,
    copy_image,
    cut_middle,
    estimate_keypoints,
    stored_name,
)

from .annotations import (
    ANNOTATION_HEADER,
    MISSING,
    PAIRS_HEADER,
    flat_name,
    listed_layout,
    openpose_json,
    parse_annotations,
    parse_pairs,
)
from .layouts import OPENPOSE_18
from .pairs import FASHION_PREFIXES, identity_of
from .pose_formats import openpose_keypoints

MOST_OF_A_HEADER = 1000  # bytes of the first line of a list
SPLITS = ("train", "test")
MARKET_FOLDERS = {
    "train": "train",
    "bounding_box_train": "train",
    "test": "test",
    "bounding_box_test": "test",
    "query": "test",
}
FASHION_FOLDERS = {"train": "train", "test": "test"}
DOWNLOADS = ("img_highres", "img")
"""DeepFashion's two downloads of the same images. In the smaller one, 256×256, the middle 176 columns are the frame of
the key points."""
FRAME = (256, 176)
UNKNOWN_PERSON = re.compile("-1_|0000_")
"""Names of Market-1501's distractors: images of nobody (``-1``) and of unlisted people (``0000``)."""
SEED = 20_200_302
"""Seed of the test pairs that are drawn."""
TEST_PAIRS = 2_000
"""Number of Market-1501's test pairs that are drawn if there is no list."""

Place = tuple[str, str, bool]
"""Split of an image (empty: unknown), its name in the lists, and whether it must be cut to the frame."""


@dataclass
class DatasetFiles:
    """The files of the data set in the source.

    Args:
        prefix: beginning of the names of the lists.
        lists: by kind (``pairs``, ``annotation``, ``images``) and split.
        images: by split (empty: unknown) and name, the file and whether it must be cut to the frame.
        points: by name of an image without its ending, the file of its key points.
    """

    prefix: str
    lists: dict[tuple[str, str], SourceFile] = field(default_factory=dict)
    images: dict[tuple[str, str], tuple[SourceFile, bool]] = field(default_factory=dict)
    points: dict[str, SourceFile] = field(default_factory=dict)

    def image(self, split: str, name: str) -> tuple[SourceFile, bool] | None:
        """Return the image of a name in a split."""
        return self.images.get((split, name)) or self.images.get(("", name))

    def points_of(self, name: str) -> SourceFile | None:
        """Return the file of the key points of one image."""
        return self.points.get(_stem(name))

    def cut(self, split: str, name: str) -> tuple[int, int] | None:
        """Return the (H, W) to whose proportions an image is cut; None: it is not cut."""
        found = self.image(split, name)
        return FRAME if found is not None and found[1] else None


def prepare_market(workspace: Workspace) -> None:
    """Prepare Market-1501: ``bounding_box_train`` and ``bounding_box_test`` become ``train`` and ``test``."""
    protocol = workspace.options.protocol
    if protocol is not None and protocol.resize != "none":
        text = f"protocol {protocol.name!r} resizes images, but the key points of these lists count their pixels"
        raise DataError(workspace.sources, text, "Omit --protocol; posegen test --protocol resizes what it scores.")
    files = _find(workspace, ("market",), lambda file: _in_folder(file, MARKET_FOLDERS))
    _prepare(workspace, files, TEST_PAIRS, {"prefix": "market", "size": (128, 64)})


def prepare_fashion(workspace: Workspace) -> None:
    """Prepare DeepFashion, In-shop: the files of ``img_highres`` or ``img`` get the names of the lists."""
    trees = {part for file in workspace.files for part in file.parts if part in DOWNLOADS}
    tree = next((tree for tree in DOWNLOADS if tree in trees), None)

    def place(file: SourceFile) -> Place | None:
        if tree in file.parts[:-4]:
            return "", flat_name(file.name), tree == "img"
        return _in_folder(file, FASHION_FOLDERS)

    files = _find(workspace, FASHION_PREFIXES, place)
    _prepare(workspace, files, 8_570, {"prefix": "fasion", "size": (256, 256), "keypoint_frame": FRAME})


# Find the files


def _find(workspace: Workspace, prefixes: Sequence[str], place: Callable[[SourceFile], Place | None]) -> DatasetFiles:
    """Find lists and images; if there are lists of several prefixes, those of which there are most.

    Without any list, those that lie beside the archives are used.
    """
    if not any(_list_of(file, prefixes) for file in workspace.files):
        workspace.add_beside(lambda file: _list_of(file, prefixes) is not None)
    lists: dict[str, dict[tuple[str, str], SourceFile]] = defaultdict(dict)
    files = DatasetFiles(prefixes[0])
    for file in workspace.files:
        if file.ending in IMAGE_ENDINGS:
            where = place(file)
            if where is not None and files.images.setdefault(where[:2], (file, where[2]))[0] is not file:
                workspace.leave_out(file, "a second image of this name; the first is used")
        elif file.ending == ".json":
            if files.points.setdefault(_stem(file.parts[-1]), file) is not file:
                workspace.leave_out(file, "a second file of key points of this image; the first is used")
        elif (found := _list_of(file, prefixes)) is not None:
            prefix, kind, split = found
            if lists[prefix].setdefault((kind, split), file) is not file:
                workspace.leave_out(file, "a second list of this name; the first is used")
    split_lists = lists.pop("", {})
    files.prefix = max(lists, key=lambda prefix: (len(lists[prefix]), -prefixes.index(prefix)), default=prefixes[0])
    files.lists = {**split_lists, **lists.pop(files.prefix, {})}
    for unused in lists.values():
        for file in unused.values():
            workspace.leave_out(file, f"the lists called {files.prefix} are used")
    return files


def _stem(name: str) -> str:
    """Return the name of an image without its ending, from its own or that of its key points."""
    stem = name.removesuffix(".json").removesuffix("_keypoints")
    return next((stem[: -len(end)] for end in IMAGE_ENDINGS if stem.lower().endswith(end)), stem)


def _list_of(file: SourceFile, prefixes: Sequence[str]) -> tuple[str, str, str] | None:
    """Return prefix, kind and split of a list; if it has another name, by its header and the split in its name."""
    name = file.parts[-1].lower()
    if name in ("train.lst", "test.lst"):
        return "", "images", name.removesuffix(".lst")
    if file.ending != ".csv":
        return None
    match = re.fullmatch(rf"({'|'.join(prefixes)})-(pairs|annotation)-(train|test)\.csv", name)
    if match is not None:
        return match[1], match[2], match[3]
    splits = [split for split in SPLITS if split in name]
    if len(splits) != 1:
        return None
    with open(file.path, "rb") as stream:
        header = stream.readline(MOST_OF_A_HEADER).decode("utf-8-sig", "replace")
    headers = {",".join(PAIRS_HEADER): "pairs", ":".join(ANNOTATION_HEADER): "annotation"}
    kind = headers.get(header.replace(" ", "").strip())
    return (prefixes[0], kind, splits[0]) if kind is not None else None


def _in_folder(file: SourceFile, folders: Mapping[str, str]) -> Place | None:
    """Return the place of an image by the folder it lies in."""
    *_, folder, name = ["", *file.parts]
    return (folders[folder], name, False) if folder in folders else None


# Make the result


def _prepare(workspace: Workspace, files: DatasetFiles, most_pairs: int, dataset: dict[str, Any]) -> None:
    """Make the images and lists of each split.

    Args:
        workspace: gets the result.
        files: of the data set.
        most_pairs: number of test pairs that are drawn if there is no list.
        dataset: options of :class:`AnnotatedPairs` for the check.
    """
    splits = [split for split in SPLITS if _can_be_made(workspace, files, split)]
    layout = _layout(workspace, files)
    _check_files(workspace, files, splits, layout)
    for split in splits:
        most = most_pairs if split == "test" else None
        _prepare_split(workspace, files, split, layout, most, dataset.get("keypoint_frame"))
    for image, _ in files.images.values():
        if image not in workspace.used:
            workspace.leave_out(image, "no list names it")
    for split in SPLITS:
        if split not in splits:
            workspace.note(f"there is no {split} split: it has no annotation list")
    structure = {"type": "HeatmapEncoder", "layout": layout.name}
    common = {"type": "AnnotatedPairs", "structure": structure, **dataset}
    workspace.checks.append({split: {"split": split, **common} for split in splits})


def _layout(workspace: Workspace, files: DatasetFiles) -> KeypointLayout:
    """Return the layout of the annotation lists, by their number of points; OpenPose's 18 points if there is none.

    Raises:
        DataError: no layout of people has so many points, or the lists differ.
    """
    lists = [source for (kind, _), source in files.lists.items() if kind == "annotation"]
    layouts = {str(source): listed_layout(source.path) or OPENPOSE_18 for source in lists}
    if len({layout.name for layout in layouts.values()}) > 1:
        problems = [
            f"{source}: {len(layout)} points an image, layout {layout.name}" for source, layout in layouts.items()
        ]
        raise DataError(workspace.sources, problems, "All lists of a data set have one layout.")
    layout = next(iter(layouts.values()), OPENPOSE_18)
    if layout is not OPENPOSE_18:
        workspace.note(
            f"the lists have {len(layout)} points an image: a config reads them with structure.layout={layout.name!r}"
        )
    return layout


def _can_be_made(workspace: Workspace, files: DatasetFiles, split: str) -> bool:
    if ("annotation", split) in files.lists:
        return True
    own = [name for place, name in files.images if place == split]
    known = {("pairs", split), ("images", split)} & files.lists.keys() or own
    has_points = any(files.points_of(name) for name in own or (name for _, name in files.images))
    return bool(known) and (has_points or workspace.options.estimator is not None)


def _check_files(workspace: Workspace, files: DatasetFiles, splits: Sequence[str], layout: KeypointLayout) -> None:
    """Raise DataError that names everything required that is missing.

    The published pairs belong to the published layout: without it, pairs are made unasked.
    """
    missing = [] if splits else [f"{files.prefix}-annotation-{split}.csv, the key points" for split in SPLITS]
    if not workspace.options.make_pairs and layout is OPENPOSE_18:
        missing += [f"{files.prefix}-pairs-{s}.csv, the pairs" for s in splits if ("pairs", s) not in files.lists]
    if not files.images:
        missing.append("image in the folders, or with the names, of this data set")
    if missing:
        raise DataError(
            workspace.sources,
            [f"there is no {each}" for each in missing],
            "Lists, or a JSON file of each image, that are elsewhere: --keypoints PATH …. Without key points: "
            f"--estimator NAME finds them ({', '.join(fitting_estimators(layout))}). Without pairs: --make-pairs makes "
            "them; they differ from the published ones, and results cannot be compared.",
        )
    if any(("annotation", split) not in files.lists for split in splits) and workspace.options.estimator is not None:
        check_estimator(workspace.options.estimator, layout)


def _prepare_split(
    workspace: Workspace,
    files: DatasetFiles,
    split: str,
    layout: KeypointLayout,
    most_pairs: int | None,
    frame: tuple[int, int] | None,
) -> None:
    protocol = workspace.options.protocol
    annotations, names = _read_lists(files, split, layout)
    there = [name for name in names if files.image(split, name) is not None]
    new_names = {name: stored_name(name, changes_pixels(files.cut(split, name), protocol)) for name in there}
    # Two images may get one new name: it belongs to the image that has it already, or to the first. The other one is a
    # problem, and the lists keep its old name, so that no pair shows the wrong image.
    there.sort(key=lambda name: new_names[name] != name)
    owner = {new_names[name]: name for name in reversed(there)}
    owned = [name for name in there if owner[new_names[name]] == name]
    renamed = {name: new_names[name] for name in owned if new_names[name] != name}
    for kind, delimiter in (("annotation", ":"), ("pairs", ",")):
        if (source := files.lists.get((kind, split))) is not None:
            rows = read_text(source.path, MOST_OF_A_LIST).splitlines()
            lines = [_with_new_names(row, delimiter, renamed) for row in rows]
            workspace.write(f"{files.prefix}-{kind}-{split}.csv", lines, source)
    if (source := files.lists.get(("images", split))) is not None:
        workspace.leave_out(source, "lists the images")
    tasks = []
    for name in sorted(there, key=lambda name: name not in set(owned)):
        image, _ = files.image(split, name) or (None, False)
        assert image is not None
        make = partial(copy_image, cut=files.cut(split, name), protocol=protocol)
        tasks.append(Task((image,), (f"{split}/{new_names[name]}",), make))
    workspace.make(tasks)
    unneeded = 0
    for name, needed in names.items():
        if name not in new_names and needed:
            workspace.problem(name, f"is not in the source; the pairs of the {split} split need it")
        unneeded += name not in new_names and not needed
    if unneeded:
        workspace.note(f"{split}: {unneeded:,} images of the lists, which no pair needs, are not in the source")
    if annotations is None:
        annotations = _find_points(workspace, files, split, owned, renamed, frame)
    if ("pairs", split) not in files.lists:
        used = {name: annotations[name] for name in owned if name in annotations}
        _make_pairs(workspace, f"{files.prefix}-pairs-{split}.csv", used, renamed, most_pairs)


def _read_lists(
    files: DatasetFiles, split: str, layout: KeypointLayout
) -> tuple[dict[str, Keypoints] | None, dict[str, bool]]:
    """Read the lists of a split.

    Returns:
        The key points, None if there is no list of them; and the images by name, with whether a pair needs them.
    """
    annotations = None
    names: dict[str, bool] = {}
    if (source := files.lists.get(("annotation", split))) is not None:
        annotations, _ = parse_annotations(source.path, layout)
        names |= dict.fromkeys((name for name in annotations if not UNKNOWN_PERSON.match(name)), False)
    if (source := files.lists.get(("images", split))) is not None:
        names |= dict.fromkeys(read_text(source.path, MOST_OF_A_LIST).split(), False)
    if (source := files.lists.get(("pairs", split))) is not None:
        rows, _ = parse_pairs(source.path)
        names |= dict.fromkeys((name for row in rows for name in (row.source, row.target)), True)
    if not names:  # without lists, all images of a known person
        names = {name: False for place, name in files.images if place == split and not UNKNOWN_PERSON.match(name)}
    return annotations, names


def _with_new_names(line: str, delimiter: str, renamed: Mapping[str, str]) -> str:
    """Return a row with the new names of images; everything else stays, in broken rows too."""
    return delimiter.join(renamed.get(each.strip(), each) for each in line.split(delimiter))


def _make_pairs(
    workspace: Workspace,
    name: str,
    annotations: Mapping[str, Keypoints],
    renamed: Mapping[str, str],
    most: int | None,
) -> None:
    """Write all ordered pairs of images of one person that have a key point; at most *most*, drawn at random.

    Drawn pairs stand in the order in which they were drawn, so that the first rows are a sample of the data set, too.
    """
    people: dict[str, list[str]] = defaultdict(list)
    for image, keypoints in annotations.items():
        person = identity_of(image)
        if person is not None and keypoints.present.any():
            people[person].append(renamed.get(image, image))
    pairs = list(itertools.chain.from_iterable(itertools.permutations(images, 2) for images in people.values()))
    if most is not None and len(pairs) > most:
        chosen = np.random.default_rng(SEED).choice(len(pairs), most, replace=False)
        pairs = [pairs[i] for i in chosen]
    workspace.write(name, [",".join(PAIRS_HEADER), *map(",".join, pairs)])
    workspace.note(
        f"{name} was made: {len(pairs):,} pairs of one person each. They are not the published ones, and results on "
        "them cannot be compared with published results."
    )


# Key points from files of single images, or from an estimator


def _find_points(
    workspace: Workspace,
    files: DatasetFiles,
    split: str,
    names: Sequence[str],
    renamed: Mapping[str, str],
    frame: tuple[int, int] | None,
) -> dict[str, Keypoints]:
    """Find the key points of images, write the annotation list, and return them.

    They are from the image's own file; without one, from the estimator; without this, all are missing.
    """
    estimator = workspace.options.estimator
    from_files, estimated, lacking = 0, 0, 0
    paths = {name: f"points/{split}/{name}.json" for name in names}
    tasks = []
    for name in names:
        image, _ = files.image(split, name) or (None, False)
        assert image is not None
        cut = files.cut(split, name)
        if (own := files.points_of(name)) is not None:
            from_files += 1
            tasks.append(Task((image, own), (paths[name],), partial(read_image_points, cut=cut, frame=frame)))
        elif estimator is not None:
            estimated += 1
            make = partial(estimate_image, estimator=estimator, cut=cut, frame=frame)
            tasks.append(Task((image,), (paths[name],), make))
        else:
            lacking += 1
    workspace.make(tasks)
    made = {name: workspace.folder / path for name, path in paths.items()}
    annotations = {name: _read_estimate(path) for name, path in made.items() if path.is_file()}
    rows = []
    for name, keypoints in annotations.items():  # whole pixels, as in the published lists
        points = np.where(keypoints.present[:, None], keypoints.points.round(), MISSING).astype(int)
        rows.append(f"{renamed.get(name, name)}: {points[:, 1].tolist()}: {points[:, 0].tolist()}")
    workspace.write(f"{files.prefix}-annotation-{split}.csv", [":".join(ANNOTATION_HEADER), *rows])
    nobody = sum(not keypoints.present.any() for keypoints in annotations.values())
    from_where = [f"{from_files:,} images are from a file of each"] if from_files else []
    from_where += [f"{estimated:,} images are from {estimator!r}"] if estimated else []
    workspace.note(
        f"{split}: the key points of {' and of '.join(from_where)}, not the published ones; nobody was found in "
        f"{nobody:,}"
    )
    if lacking:
        workspace.note(f"{split}: {lacking:,} images have no file of key points, and are in no list (--estimator NAME)")
    return annotations


def estimate_image(
    sources: Sequence[Path],
    targets: Sequence[Path],
    estimator: str,
    cut: tuple[int, int] | None = None,
    frame: tuple[int, int] | None = None,
) -> None:
    """Estimate the key points of an image, and write them as OpenPose does.

    Args:
        sources: the image.
        targets: the JSON file.
        estimator: name of the estimator.
        cut: (H, W) to whose proportions the image is cut first; None: it is not cut.
        frame: (H, W) whose pixels the points count; None: the image's.
    """
    image = read_image(sources[0])
    image = image if cut is None else cut_middle(image, cut)
    found = estimate_keypoints(image, estimator, OPENPOSE_18)
    _write_points(targets[0], found, (image.shape[0], image.shape[1]), frame)


def read_image_points(
    sources: Sequence[Path],
    targets: Sequence[Path],
    cut: tuple[int, int] | None = None,
    frame: tuple[int, int] | None = None,
) -> None:
    """Read the key points of an image from a file of its own, and write them as OpenPose does.

    Of several people the largest is taken; points with a score below that of MMPose's demos are missing.

    Args:
        sources: the image, and the file in any format that is read.
        targets, cut, frame: see :func:`estimate_image`.

    Raises:
        DataError: the file is of no known format, or its points count pixels of other proportions.
    """
    image = read_image(sources[0])
    whole = (image.shape[0], image.shape[1])
    found = [points.within(whole) for points in read_figures(sources[1], OPENPOSE_18, sources[0])]
    nobody = Keypoints(np.zeros((len(OPENPOSE_18), 2)), np.zeros(len(OPENPOSE_18)))
    largest = max(found, key=lambda points: np.ptp(points.points[points.present], axis=0).sum(), default=nobody)
    image = image if cut is None else cut_middle(image, cut)
    size = (image.shape[0], image.shape[1])
    corner = np.array([whole[1] - size[1], whole[0] - size[0]]) // 2
    _write_points(targets[0], Keypoints(largest.points - corner, largest.present), size, frame)


def _write_points(path: Path, points: Keypoints, size: tuple[int, int], frame: tuple[int, int] | None) -> None:
    """Write points of an image of *size* (H, W) in pixels of *frame* (H, W); None: of the image."""
    if frame is not None:
        points = points.scale(frame[1] / size[1], frame[0] / size[0])
    path.write_text(openpose_json(points), encoding="utf-8")


def _read_estimate(file: Path) -> Keypoints:
    data = read_json(file, MOST_OF_A_FRAME)
    if data["people"]:
        return openpose_keypoints(data, file)
    return Keypoints(np.zeros((len(OPENPOSE_18), 2)), np.zeros(len(OPENPOSE_18)))


PREPARATIONS = (
    Preparation(
        "market",
        "Market-1501: bounding_box_train, bounding_box_test, and PATN's lists of pairs and key points",
        prepare_market,
        "downloads/market data/market",
        frozenset({"protocol", "make_pairs", "estimator"}),
    ),
    Preparation(
        "deepfashion",
        "DeepFashion, In-shop: img_highres or img, train.lst, test.lst, and the lists of pairs and key points",
        prepare_fashion,
        "downloads/fashion data/fashion --protocol gfla-fashion",
        frozenset({"protocol", "make_pairs", "estimator"}),
    ),
)
