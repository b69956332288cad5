"""Market-1501 and DeepFashion: from the archives as they are downloaded to what :class:`AnnotatedPairs` reads."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from posegen.data import Keypoints
from posegen.data.images import IMAGE_ENDINGS, read_image
from posegen.errors import DataError
from posegen.files import MOST_OF_A_FRAME, MOST_OF_A_LIST, read_json, read_text
from posegen.preparing import (
    CopyImage,
    LeftOut,
    Member,
    Plan,
    Preparation,
    Sources,
    Step,
    Wishes,
    Write,
    changes_pixels,
    check_estimator,
    cut_middle,
    estimate_keypoints,
    stored_name,
)

from .annotations import (
    ANNOTATION_HEADER,
    MISSING,
    PAIRS_HEADER,
    flat_name,
    openpose_json,
    openpose_keypoints,
    parse_annotations,
    parse_pairs,
)
from .layouts import OPENPOSE_18
from .pairs import FASHION_PREFIXES, identity_of

MOST_OF_A_HEADER = 1000  # bytes of a list's first line
SPLITS = ("train", "test")
MARKET_FOLDERS = {"train": "train", "bounding_box_train": "train", "test": "test", "bounding_box_test": "test"}
FASHION_FOLDERS = {"train": "train", "test": "test"}
DOWNLOADS = ("img_highres", "img")
"""DeepFashion's two downloads of the same images. The smaller one, 256×256, shows the frame of the key points as the
middle 176 pixels of its width."""
FRAME = (256, 176)
NOBODY_KNOWN = re.compile("-1_|0000_")
"""How Market-1501 calls images of nobody (``-1``) and of anybody (``0000``), which its tests have to distract."""
SEED = 20_200_302
"""Seed of the pairs of a test that are drawn, so that a second run draws the same."""


@dataclass
class Found:
    """What is in the sources, as the lists call it.

    Args:
        prefix: what the names of the lists begin with.
        lists: by kind (``pairs``, ``annotation``, ``images``) and split.
        images: by split (empty: not known) and name, the member and whether it shows more than the frame.
        seen: members that were looked at, and are not used.
    """

    prefix: str
    lists: dict[tuple[str, str], Member] = field(default_factory=dict)
    images: dict[tuple[str, str], tuple[Member, bool]] = field(default_factory=dict)
    seen: list[LeftOut] = field(default_factory=list)

    def place(self, split: str, name: str) -> tuple[Member, bool] | None:
        """The image of a name in a split."""
        return self.images.get((split, name)) or self.images.get(("", name))

    def cut(self, split: str, name: str) -> tuple[int, int] | None:
        """What the image is cut to, if it shows more than the frame."""
        place = self.place(split, name)
        return FRAME if place is not None and place[1] else None


class Lists(NamedTuple):
    """What the lists of a split say: each image that is wanted, and why; key points, if there are any; whether there
    are pairs."""

    names: dict[str, str]
    annotations: dict[str, Keypoints] | None
    has_pairs: bool


def plan_market(sources: Sources, wishes: Wishes) -> Plan:
    """Market-1501: ``bounding_box_train`` and ``bounding_box_test`` become ``train`` and ``test``."""
    found = _find(sources, ("market",), lambda member: _in_folder(member, MARKET_FOLDERS))
    return _plan(sources, found, wishes, most_pairs=12_000, dataset=dict(prefix="market", size=(128, 64)))


def plan_fashion(sources: Sources, wishes: Wishes) -> Plan:
    """DeepFashion's In-shop Clothes Retrieval: the files of ``img_highres`` or ``img`` under the names of the lists."""
    trees = {part for member in sources.members for part in member.parts if part in DOWNLOADS}
    chosen = next((tree for tree in DOWNLOADS if tree in trees), None)
    found = _find(sources, FASHION_PREFIXES, lambda member: _fashion_place(member, chosen))
    return _plan(
        sources, found, wishes, most_pairs=8_570, dataset=dict(prefix="fasion", size=(256, 256), keypoint_frame=FRAME)
    )


# What there is


def _find(sources: Sources, prefixes: Sequence[str], place: Callable[[Member], tuple[str, str, bool] | None]) -> Found:
    """The lists and images among the sources.

    Args:
        place: the split (empty: not known), the name in the lists, and whether it is to be cut, of an image; None: it
            is none of the data set.
    """
    candidates: dict[str, dict[tuple[str, str], Member]] = defaultdict(dict)
    found = Found(prefixes[0])
    for member in sources.members:
        if member.ending in IMAGE_ENDINGS:
            where = place(member)
            if where is not None and found.images.setdefault(where[:2], (member, where[2]))[0] is not member:
                found.seen.append(LeftOut(str(member), "is there twice; the first is taken"))
        elif (listed := _list_of(sources, member, prefixes)) is not None:
            prefix, kind, split = listed
            first = candidates[prefix].setdefault((kind, split), member)
            if first is not member:
                found.seen.append(LeftOut(str(member), "is a list that is there twice; the first is taken"))
    split_lists = candidates.pop("", {})
    found.prefix = max(candidates, key=lambda prefix: (len(candidates[prefix]), -prefixes.index(prefix)), default="")
    found.prefix = found.prefix or prefixes[0]
    found.lists = {**split_lists, **candidates.pop(found.prefix, {})}
    unused = (member for lists in candidates.values() for member in lists.values())
    found.seen += [LeftOut(str(member), f"the lists called {found.prefix} are taken") for member in unused]
    return found


def _list_of(sources: Sources, member: Member, prefixes: Sequence[str]) -> tuple[str, str, str] | None:
    """Prefix, kind and split of a list; of one that is called otherwise, by its header and the split in its name."""
    name = member.parts[-1].lower()
    if name in ("train.lst", "test.lst"):
        return "", "images", name.removesuffix(".lst")
    if member.ending != ".csv":
        return None
    match = re.fullmatch(rf"({'|'.join(prefixes)})-(pairs|annotation)-(train|test)\.csv", name)
    if match is not None:
        return match[1], match[2], match[3]
    splits = [split for split in SPLITS if split in name]
    if len(splits) != 1:
        return None
    if member.size > MOST_OF_A_LIST:
        return None
    with open(sources.file(member, MOST_OF_A_LIST), "rb") as file:
        header = file.readline(MOST_OF_A_HEADER).decode("utf-8-sig", "replace")
    headers = {",".join(PAIRS_HEADER): "pairs", ":".join(ANNOTATION_HEADER): "annotation"}
    kind = headers.get(header.replace(" ", "").strip())
    return (prefixes[0], kind, splits[0]) if kind is not None else None


def _in_folder(member: Member, folders: dict[str, str]) -> tuple[str, str, bool] | None:
    """The split of an image by the folder it lies in."""
    *_, folder, name = ["", *member.parts]
    return (folders[folder], name, False) if folder in folders else None


def _fashion_place(member: Member, tree: str | None) -> tuple[str, str, bool] | None:
    if tree in member.parts[:-4]:
        return "", flat_name(member.name), tree == "img"
    return _in_folder(member, FASHION_FOLDERS)


# What becomes of it


def _plan(sources: Sources, found: Found, wishes: Wishes, most_pairs: int, dataset: dict[str, Any]) -> Plan:
    splits = [split for split in SPLITS if _can_be_made(found, split, wishes)]
    _check_lists(str(sources), found, splits, wishes)
    if "keypoint_frame" not in dataset and wishes.protocol is not None and wishes.protocol.resize != "none":
        text = f"protocol {wishes.protocol.name!r} resizes images, and these lists count their pixels"
        raise DataError(str(sources), text, "Leave --protocol out; posegen test --protocol resizes what it scores.")
    plan = Plan(left_out=list(found.seen))
    used: set[str] = set()
    unannotated: dict[str, list[str]] = {}
    for split in splits:
        lists = _read_lists(sources, found, split)
        nameless = _nameless(found, split, lists.names, wishes)
        changed = {name for name in lists.names if changes_pixels(found.cut(split, name), wishes.protocol)} - nameless
        for kind, delimiter in (("annotation", ":"), ("pairs", ",")):
            if (kind, split) in found.lists:
                plan.steps.append(_copied_list(sources, found, kind, split, delimiter, changed))
        there = _add_images(plan, found, split, lists.names, wishes, nameless)
        used |= {str(member) for member in there.values()}
        there = {name: member for name, member in there.items() if name not in nameless}
        if lists.annotations is None:
            unannotated[split] = list(there)
            plan.steps += _estimates(found, split, there, wishes, dataset.get("keypoint_frame"))
        elif not lists.has_pairs:
            _add_pairs(plan, f"{found.prefix}-pairs-{split}.csv", lists.annotations, changed, _most(split, most_pairs))
    if unannotated:
        plan.then = partial(_after_estimating, found=found, splits=unannotated, wishes=wishes, most_pairs=most_pairs)
    unused = (member for member, _ in found.images.values() if str(member) not in used)
    plan.left_out += [LeftOut(str(member), "no list names it") for member in unused]
    said = (member for (kind, _), member in found.lists.items() if kind == "images")
    plan.left_out += [LeftOut(str(member), "says which images there are to be") for member in said]
    plan.notes += [f"there is no {split} split: no annotation list of it" for split in SPLITS if split not in splits]
    structure = {"type": "HeatmapEncoder", "layout": "openpose18"}
    plan.checks.append(
        {split: {"type": "AnnotatedPairs", "split": split, "structure": structure, **dataset} for split in splits}
    )
    return plan


def _most(split: str, most_pairs: int) -> int | None:
    """How many pairs are made: of a test as many as the published one has, in training all."""
    return most_pairs if split == "test" else None


def _can_be_made(found: Found, split: str, wishes: Wishes) -> bool:
    if ("annotation", split) in found.lists:
        return True
    known = {("pairs", split), ("images", split)} & found.lists.keys() or any(s == split for s, _ in found.images)
    return wishes.estimator is not None and bool(known)


def _check_lists(where: str, found: Found, splits: Sequence[str], wishes: Wishes) -> None:
    """DataError: what cannot be done without is not there; everything that is missing at once."""
    missing = [] if splits else [f"{found.prefix}-annotation-{split}.csv, the key points" for split in SPLITS]
    if not wishes.make_pairs:
        missing += [f"{found.prefix}-pairs-{s}.csv, the pairs" for s in splits if ("pairs", s) not in found.lists]
    if not found.images:
        missing.append("image in the folders, or under the names, of this data set")
    if missing:
        raise DataError(
            where,
            [f"there is no {each}" for each in missing],
            "Lists that lie elsewhere: --keypoints FILE …. Without key points: --estimator NAME finds them. Without "
            "pairs: --make-pairs makes them, other ones than the published, so that figures cannot be compared.",
        )
    if any(("annotation", split) not in found.lists for split in splits) and wishes.estimator is not None:
        check_estimator(wishes.estimator, OPENPOSE_18)


def _read_lists(sources: Sources, found: Found, split: str) -> Lists:
    annotations = None
    names: dict[str, str] = {}
    if ("annotation", split) in found.lists:
        annotations, _ = parse_annotations(sources.file(found.lists["annotation", split], MOST_OF_A_LIST))
        names |= dict.fromkeys(annotations, "")
    if ("images", split) in found.lists:
        listed = read_text(sources.file(found.lists["images", split], MOST_OF_A_LIST)).split()
        names |= dict.fromkeys(listed, "")
    if ("pairs", split) in found.lists:
        rows, _ = parse_pairs(sources.file(found.lists["pairs", split], MOST_OF_A_LIST))
        names |= dict.fromkeys((name for row in rows for name in (row.source, row.target)), "the pairs need it")
    if not names:  # nothing is listed: all that show somebody known
        names = {name: "" for place, name in found.images if place == split and not NOBODY_KNOWN.match(name)}
    return Lists(names, annotations, ("pairs", split) in found.lists)


def _stored(found: Found, split: str, name: str, wishes: Wishes) -> str:
    return stored_name(name, changes_pixels(found.cut(split, name), wishes.protocol))


def _nameless(found: Found, split: str, names: Iterable[str], wishes: Wishes) -> set[str]:
    """The images that would be stored under the name of another: one whose own name it is, or else the first. The lists
    go on calling them by their old names, which the loader then misses, rather than show it the other image."""
    there = [name for name in names if found.place(split, name) is not None]
    first: dict[str, str] = {}
    for name in sorted(there, key=lambda name: _stored(found, split, name, wishes) != name):
        first.setdefault(_stored(found, split, name, wishes), name)
    return set(there) - set(first.values())


def _add_images(
    plan: Plan, found: Found, split: str, names: dict[str, str], wishes: Wishes, nameless: set[str]
) -> dict[str, Member]:
    """A step for each image of a split that is there; their members by name. Those without a name of their own come
    last: what has the name is then taken, and they are problems."""
    there: dict[str, Member] = {}
    for name, reason in sorted(names.items(), key=lambda item: item[0] in nameless):
        place = found.place(split, name)
        if place is not None:
            there[name] = place[0]
            target = f"{split}/{_stored(found, split, name, wishes)}"
            plan.steps.append(CopyImage((place[0],), (target,), found.cut(split, name), wishes.protocol))
        elif reason:
            plan.problems.append((name, f"is not in the source; of the {split} split, {reason}"))
    unneeded = sum(name not in there and not reason for name, reason in names.items())
    if unneeded:
        plan.notes.append(f"{split}: {unneeded:,} images that the lists name, and no pair needs, are not in the source")
    return there


def _copied_list(sources: Sources, found: Found, kind: str, split: str, delimiter: str, changed: set[str]) -> Write:
    """A list with the names that the images now have."""
    member = found.lists[kind, split]
    rows = read_text(sources.file(member, MOST_OF_A_LIST)).splitlines()
    lines = [_renamed(row, delimiter, changed) for row in rows]
    return Write((member,), (f"{found.prefix}-{kind}-{split}.csv",), _text(lines))


def _add_pairs(
    plan: Plan, name: str, annotations: Mapping[str, Keypoints], changed: set[str], most: int | None
) -> None:
    """A list of pairs that nobody has published, and a note that says so."""
    pairs = _made_pairs(annotations, most)
    rows = [",".join(PAIRS_HEADER), *(f"{source},{target}" for source, target in pairs)]
    plan.steps.append(Write((), (name,), _text(_renamed(row, ",", changed) for row in rows)))
    plan.notes.append(
        f"{name} was made: {len(pairs):,} pairs of one person each. They are not the published ones, and figures on "
        "them cannot be compared with published figures."
    )


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


# Key points that are not there


@dataclass(frozen=True)
class EstimatePoints(Step):
    """What an estimator finds in an image, as OpenPose writes it; nobody: no people in the file.

    Args:
        estimator: its name.
        cut: as of :class:`CopyImage`.
        frame: (H, W) that the points are to count; None: the image's own.
    """

    estimator: str = ""
    cut: tuple[int, int] | None = None
    frame: tuple[int, int] | None = None

    def make(self, sources: Sequence[Path], targets: Sequence[Path]) -> None:
        """Look at the image, and write what is found."""
        image = read_image(sources[0])
        write_estimate(
            image if self.cut is None else cut_middle(image, self.cut), self.estimator, targets[0], self.frame
        )


def write_estimate(image: np.ndarray, estimator: str, path: Path, frame: tuple[int, int] | None = None) -> None:
    """Write what an estimator finds in an image, in pixels of it or of a *frame* (H, W), as OpenPose writes it."""
    found = estimate_keypoints(image, estimator, OPENPOSE_18)
    if frame is not None:
        found = found.scale(frame[1] / image.shape[1], frame[0] / image.shape[0])
    path.write_text(openpose_json(found), encoding="utf-8")


def _estimates(
    found: Found, split: str, there: Mapping[str, Member], wishes: Wishes, frame: tuple[int, int] | None
) -> list[EstimatePoints]:
    return [
        EstimatePoints((member,), (_points_file(split, name),), wishes.estimator or "", found.cut(split, name), frame)
        for name, member in there.items()
    ]


def _points_file(split: str, name: str) -> str:
    return f"points/{split}/{name}.json"


def _after_estimating(
    folder: Path, found: Found, splits: Mapping[str, Sequence[str]], wishes: Wishes, most_pairs: int
) -> Plan:
    """The annotation lists, and the pairs where none are given, of what the estimator has found."""
    plan = Plan()
    for split, names in splits.items():
        files = {name: folder / _points_file(split, name) for name in names}
        annotations = {name: _estimated(file) for name, file in files.items() if file.is_file()}
        changed = {name for name in names if changes_pixels(found.cut(split, name), wishes.protocol)}
        rows = [":".join(ANNOTATION_HEADER), *(_row(name, points) for name, points in annotations.items())]
        lines = [_renamed(row, ":", changed) for row in rows]
        plan.steps.append(Write((), (f"{found.prefix}-annotation-{split}.csv",), _text(lines)))
        nobody = sum(not points.present.any() for points in annotations.values())
        plan.notes.append(
            f"{split}: the key points of {len(annotations):,} images are those of {wishes.estimator!r}, not the "
            f"published ones; it found nobody in {nobody:,}"
        )
        if ("pairs", split) not in found.lists:
            name = f"{found.prefix}-pairs-{split}.csv"
            _add_pairs(plan, name, annotations, changed, _most(split, most_pairs))
    return plan


def _estimated(file: Path) -> Keypoints:
    data = read_json(file, MOST_OF_A_FRAME)
    if data["people"]:
        return openpose_keypoints(data, file)
    return Keypoints(np.zeros((len(OPENPOSE_18), 2)), np.zeros(len(OPENPOSE_18)))


def _row(name: str, keypoints: Keypoints) -> str:
    """A row of an annotation list; whole pixels, as the published ones have them."""
    points = np.where(keypoints.present[:, None], keypoints.points.round(), MISSING).astype(int)
    return f"{name}: {points[:, 1].tolist()}: {points[:, 0].tolist()}"


def _renamed(line: str, delimiter: str, changed: set[str]) -> str:
    """A row with the new names; what is no name stays as it is, bad rows too."""
    fields = line.split(delimiter)
    return delimiter.join(stored_name(each.strip(), True) if each.strip() in changed else each for each in fields)


def _made_pairs(annotations: Mapping[str, Keypoints], most: int | None) -> list[tuple[str, str]]:
    """All ordered pairs of images of one person with a key point each; of more than *most*, so many drawn ones."""
    people: dict[str, list[str]] = defaultdict(list)
    for name, keypoints in annotations.items():
        who = identity_of(name)
        if who is not None and keypoints.present.any():
            people[who].append(name)
    pairs = list(itertools.chain.from_iterable(itertools.permutations(names, 2) for names in people.values()))
    if most is None or len(pairs) <= most:
        return pairs
    chosen = np.random.default_rng(SEED).choice(len(pairs), most, replace=False)
    return [pairs[i] for i in sorted(chosen)]


PREPARATIONS: Sequence[Preparation] = (
    Preparation(
        "market",
        "Market-1501: bounding_box_train, bounding_box_test, and PATN's lists of pairs and key points",
        plan_market,
        "downloads/market data/market",
        frozenset({"protocol", "make_pairs", "estimator"}),
    ),
    Preparation(
        "deepfashion",
        "DeepFashion, In-shop: img_highres or img, train.lst, test.lst, and the lists of pairs and key points",
        plan_fashion,
        "downloads/fashion data/fashion --protocol gfla-fashion",
        frozenset({"protocol", "make_pairs", "estimator"}),
    ),
)
