"""Training samples that cannot be read: the run ends, or another sample takes their place, counted and named."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from posegen.config import load_config
from posegen.data.images import write_image
from posegen.engine import build_trainer
from posegen.engine.randomness import SeededSamples
from posegen.engine.unreadable import MAX_TRIES, MIN_SAMPLES, WINDOW, ReadableSamples, UnreadableLimit
from posegen.errors import ConfigError, DataError
from posegen.registry import DATASETS

from .forked import finish_two
from .test_engine import StopAfter, Stopped, assert_same

PAIRS = 6
BROKEN = (1, 4)
SKIP = {"train_cfg.on_error": "skip", "train_cfg.max_unreadable": 1}


@pytest.fixture
def photographs(tmp_path, derived) -> Path:
    """Write a config that trains on six pairs of photographs, two of which cannot be read."""
    rng = np.random.default_rng(0)
    points = f"{[*range(6, 24)]}: {[*range(7, 25)]}"
    names = [f"{i}{side}.png" for i in range(PAIRS) for side in "ab"]
    for name in names:
        write_image(tmp_path / "data/train" / name, rng.integers(0, 256, (32, 32, 3), np.uint8))
    for i in BROKEN:
        path = tmp_path / f"data/train/{i}b.png"
        path.write_bytes(path.read_bytes()[:200])
    rows = "".join(f"{name}: {points}\n" for name in names)
    (tmp_path / "data/market-annotation-train.csv").write_text("name:keypoints_y:keypoints_x\n" + rows)
    pairs = "".join(f"{i}a.png,{i}b.png\n" for i in range(PAIRS))
    (tmp_path / "data/market-pairs-train.csv").write_text("from,to\n" + pairs)
    return derived(
        f'_data = dict(type="AnnotatedPairs", root=r"{tmp_path / "data"}", split="train", structure="${{structure}}")\n'
        'train_dataloader = dict(dataset=dict(_delete_=True, size="${size}", **_data))\n'
        "default_hooks = dict(logger=dict(interval=1))"
    )


def train(config: Path, folder: Path, stop: int = 0, resume: bool = False, **options) -> dict:
    """Train; return the last checkpoint."""
    runner = build_trainer(load_config(config, {**SKIP, **options}), folder, resume=resume)
    if stop:
        runner.register_hook(StopAfter(stop))
        with pytest.raises(Stopped):
            runner.train()
        return {}
    runner.train()
    return torch.load(folder / "iter_7.pth", weights_only=True)


def log(folder: Path) -> str:
    return "\n".join(path.read_text() for path in sorted(folder.glob("*/*.log")))


def test_by_default_an_unreadable_sample_ends_the_run(photographs, tmp_path):
    runner = build_trainer(load_config(photographs), tmp_path / "run")
    with pytest.raises(DataError, match=r"[14]b\.png: 1 problem\n  - truncated"):
        runner.train()


def test_replaced_samples_are_counted_and_named_once_in_the_log(photographs, tmp_path):
    left = train(photographs, tmp_path / "run")["message_hub"]["runtime_info"]["unreadable_samples"]
    text = log(tmp_path / "run")
    # 7 iterations of 2 samples: two rounds of all six pairs, and two samples of the third
    assert 4 <= left <= 6
    for i in BROKEN:
        assert len(re.findall(rf"sample replaced.*{i}b\.png: truncated", text)) == 1
    assert re.search(rf"\[7/7\].*unreadable_samples: {left}\b", text)


def test_a_resumed_run_with_workers_ends_bit_for_bit_as_an_uninterrupted_one_without(photographs, tmp_path):
    unbroken = train(photographs, tmp_path / "unbroken")
    train(photographs, tmp_path / "run", stop=4)
    workers = {"train_dataloader.num_workers": 2, "train_dataloader.persistent_workers": True}
    resumed = train(photographs, tmp_path / "run", resume=True, **workers)
    for part in ("state_dict", "optimizer"):
        assert_same(resumed[part], unbroken[part])
    counts = [run["message_hub"]["runtime_info"]["unreadable_samples"] for run in (resumed, unbroken)]
    assert counts[0] == counts[1]


@pytest.mark.slow
def test_two_processes_count_what_either_replaces(photographs, tmp_path):
    options = [f"{key}={value}" for key, value in {**SKIP, "batch_size": 1, "flow_iters": 3, "full_iters": 3}.items()]
    finish_two(["train", photographs, "--work-dir", tmp_path / "two", "--cfg-options", *options], tmp_path / "notes")
    two = torch.load(tmp_path / "two/iter_6.pth", weights_only=True)["message_hub"]["runtime_info"]
    # six iterations of two processes are two rounds of all six pairs, each of which meets both broken ones
    assert two["unreadable_samples"] == 2 * len(BROKEN)


def test_a_missing_file_is_an_error_at_the_start_unless_on_missing_is_later(photographs, tmp_path):
    unbroken = train(photographs, tmp_path / "unbroken")
    train(photographs, tmp_path / "run", stop=4)
    (tmp_path / "data/train" / f"{BROKEN[0]}b.png").unlink()  # one that could not be read before: all else is the same
    with pytest.raises(DataError, match=r"no image '1b\.png'[^\n]*\n`posegen check CONFIG`.*on_missing='later'"):
        train(photographs, tmp_path / "run", resume=True)
    resumed = train(photographs, tmp_path / "run", resume=True, **{"train_dataloader.dataset.on_missing": "later"})
    for part in ("state_dict", "optimizer"):
        assert_same(resumed[part], unbroken[part])
    assert re.search(r"sample replaced.*1b\.png: no such file", log(tmp_path / "run"))


def test_a_run_resumed_near_the_limit_stops_where_an_uninterrupted_one_does(photographs, tmp_path, monkeypatch):
    monkeypatch.setattr("posegen.engine.unreadable.MIN_SAMPLES", 2 * 3)  # three iterations: a round
    limit = {"train_cfg.max_unreadable": 0.3}
    train(photographs, tmp_path / "resumed", stop=2, **limit)
    ends = []
    for name, resume in (("unbroken", False), ("resumed", True)):
        with pytest.raises(DataError) as error:
            train(photographs, tmp_path / name, resume=resume, **limit)
        ends.append((str(error.value), sorted(path.name for path in (tmp_path / name).glob("iter_*.pth"))))
    assert ends[0] == ends[1]
    assert ends[0][1] == ["iter_1.pth", "iter_2.pth"]


def test_too_many_unreadable_samples_end_the_run(photographs, tmp_path, monkeypatch):
    monkeypatch.setattr("posegen.engine.unreadable.MIN_SAMPLES", 6)
    # a third of the pairs is broken, so a round has more than a tenth
    with pytest.raises(DataError, match=r"2 of the last 6 samples could not be read.*max_unreadable = 0.1"):
        train(photographs, tmp_path / "run", **{"train_cfg.max_unreadable": 0.1})


@pytest.mark.parametrize("value", ["ignore", None, True])
def test_on_error_must_be_raise_or_skip(photographs, value):
    with pytest.raises(ConfigError, match=r"train_cfg\.on_error.* 'raise' or 'skip'"):
        load_config(photographs, {"train_cfg.on_error": value})


@pytest.mark.parametrize("share", [0, 1.5])
def test_max_unreadable_must_be_a_fraction(share):
    with pytest.raises(ConfigError, match="max_unreadable must be"):
        UnreadableLimit(share)


# Replacement


class Numbers:
    """A data set of numbers; those in *bad* cannot be read."""

    augments = False

    def __init__(self, count: int, bad) -> None:
        self.count, self.bad = count, set(bad)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[int, float]:
        if index in self.bad:
            raise DataError(f"{index}.png", "truncated")
        return index, float(torch.rand(()))


def samples(count: int, bad, seed: int = 3) -> ReadableSamples:
    return ReadableSamples(SeededSamples(Numbers(count, bad), seed), seed)


def test_a_readable_sample_is_not_replaced():
    seeded = SeededSamples(Numbers(5, []), 3)
    assert samples(5, [1])[2, 7].sample == seeded[2, 7]
    assert samples(5, [1])[2, 7].problems == []


def test_the_replacement_is_a_function_of_seed_index_and_round():
    first, second = samples(1000, range(500)), pickle.loads(pickle.dumps(samples(1000, range(500))))
    keys = [(index, round_number) for index in range(20) for round_number in range(3)]
    ours = {key: first[key].sample for key in keys}
    assert ours == {key: second[key].sample for key in reversed(keys)}
    assert all(sample[0] >= 500 for sample in ours.values())
    assert len({ours[0, r][0] for r in range(3)}) > 1, "every round has the same sample in its place"
    assert ours != {key: samples(1000, range(500), seed=4)[key].sample for key in keys}


def test_all_replaced_samples_are_named():
    tried = samples(1000, range(900))[0, 0]
    assert tried.problems[0] == "0.png: truncated"
    assert len(tried.problems) > 1


def test_only_unreadable_samples_are_an_error():
    with pytest.raises(DataError, match=f"{MAX_TRIES} samples in a row cannot be read"):
        samples(10, range(10))[0, 0]


def test_a_few_unreadable_samples_at_the_start_do_not_end_a_run():
    limit = UnreadableLimit(0.1)
    recent = limit.update("", MIN_SAMPLES - 1, 50)
    with pytest.raises(DataError, match=f"50 of the last {MIN_SAMPLES} samples"):
        limit.update(recent, 1, 0)


def test_the_limit_looks_at_recent_samples_only():
    limit = UnreadableLimit(0.1)
    recent = limit.update("1" * MIN_SAMPLES, WINDOW - MIN_SAMPLES, 0)  # a tenth: just allowed
    assert len(limit.update(recent, MIN_SAMPLES, MIN_SAMPLES)) == WINDOW
    with pytest.raises(DataError, match=f"{MIN_SAMPLES + 1} of the last {WINDOW}"):
        limit.update(limit.update(recent, MIN_SAMPLES, MIN_SAMPLES), 1, 1)


# Data sets with images that are not there


@pytest.fixture
def coco(tmp_path) -> dict:
    """Write annotations of one person on three images, the last of which does not exist."""
    points = [value for i in range(17) for value in (i + 10, i + 20, 2)]
    content = {
        "images": [{"id": i, "file_name": f"{i}.png"} for i in range(3)],
        "annotations": [{"id": i, "image_id": i, "keypoints": points, "person_id": 5} for i in range(3)],
    }
    (tmp_path / "train.json").write_text(json.dumps(content))
    for i in range(2):
        write_image(tmp_path / f"{i}.png", np.full((64, 64, 3), i, np.uint8))
    structure = {"type": "HeatmapEncoder", "layout": "openpose18"}
    return {
        "type": "CocoPairs", "annotation_file": tmp_path / "train.json", "image_root": tmp_path,
        "structure": structure, "size": (32, 32),
    }  # fmt: skip


def test_a_missing_coco_image_is_an_error_at_the_start_or_when_its_pair_is_read(coco):
    with pytest.raises(DataError, match=r"no file '2\.png'[^\n]*\n`posegen check CONFIG`"):
        DATASETS.build_part(coco)
    pairs = DATASETS.build_part({**coco, "on_missing": "later"})
    assert len(pairs) == 3 * 2  # both orders of all three pictures
    assert pairs[0].name == "0_0_2_1_1_vis"
    with pytest.raises(DataError, match=r"2\.png: 1 problem\n  - no such file"):
        pairs[1]


@pytest.mark.parametrize("name", ["2.png", "folder/2.png"])
def test_a_link_out_of_the_data_set_is_an_error(coco, tmp_path_factory, name):
    outside, root = tmp_path_factory.mktemp("outside"), coco["image_root"]
    (root / "2.png").symlink_to(outside / "2.png")
    (root / "folder").symlink_to(outside)
    text = coco["annotation_file"].read_text()
    coco["annotation_file"].write_text(text.replace("2.png", name))
    with pytest.raises(DataError, match=rf"no file '{name}'"):
        DATASETS.build_part({**coco, "on_missing": "later"})


def test_on_missing_must_be_raise_or_later(coco):
    with pytest.raises(ConfigError, match="on_missing is 'raise' or 'later', got 'never'"):
        DATASETS.build_part({**coco, "on_missing": "never"})
