"""Nothing let in: what readers do with bad inputs, one by one and by thousands (``tests/bad_inputs.py``)."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from posegen_faces.layouts import read_landmarks
from posegen_people.annotations import check_name, parse_annotations, parse_pairs, read_annotations
from posegen_people.layouts import OPENPOSE_18

from posegen import files
from posegen.config import load_config
from posegen.errors import ConfigError, DataError
from posegen.files import MOST_OF_A_FRAME, check_file, find_file, link_out, read_json, read_text

from .bad_inputs import GOOD, NO_NAMES, OUTSIDE_NAMES

EXAMPLES = settings(max_examples=60, deadline=None, derandomize=True, database=None)


# Files and their names


@pytest.mark.parametrize("name", OUTSIDE_NAMES)
def test_a_name_that_leads_out_is_refused_on_every_system(tmp_path, name):
    (tmp_path / "secret.png").touch()
    (tmp_path / "root").mkdir()
    with pytest.raises(ValueError, match="is no path below a folder"):
        find_file(tmp_path / "root", name)


@pytest.mark.parametrize("name", [*NO_NAMES, "\ud800.png"], ids=lambda name: ascii(name[:12]))
def test_a_name_of_nothing_is_not_found(tmp_path, name):
    with pytest.raises(ValueError, match="no file"):
        find_file(tmp_path, name)


def test_names_below_the_folder_are_found(tmp_path):
    (tmp_path / "a..b").mkdir()
    (tmp_path / "a..b" / "..c.png").touch()
    assert find_file(tmp_path, "a..b/..c.png") == tmp_path / "a..b" / "..c.png"


def test_a_link_that_leads_out_is_named_with_where_it_leads_and_what_to_do(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "root-not"  # a name that only begins like the root's
    root.mkdir()
    outside.mkdir()
    (outside / "a.png").touch()
    (root / "a.png").symlink_to(outside / "a.png")
    (root / "folder").symlink_to(outside)
    for name in ("a.png", "folder/a.png"):
        with pytest.raises(
            ValueError, match=rf"'{name}' is a link that leads out of {root}, to {outside}/a\.png.*replace"
        ):
            find_file(root, name)


def test_links_inside_and_a_root_that_is_a_link_serve(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.png").touch()
    (tmp_path / "real" / "b.png").symlink_to("a.png")
    (tmp_path / "root").symlink_to("real")
    assert find_file(tmp_path / "root", "b.png")
    assert link_out(tmp_path / "root", tmp_path / "root") == ""


def test_a_link_to_itself_leads_nowhere(tmp_path):
    (tmp_path / "a").symlink_to("a")
    assert link_out(tmp_path / "a", tmp_path) == ""
    with pytest.raises(DataError, match=r"a: .*\n.*cannot be read"):
        check_file(tmp_path / "a", 1)


def test_what_is_no_file_or_too_large_is_refused_before_it_is_read(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", MOST_OF_A_FRAME + 1)  # takes no room on the disk
    for name, problem in {
        "folder": "it is a folder",
        "pipe": "a pipe or a device",
        "large": "4,194,305 bytes, the limit is 4,194,304",
        "nothing": "no such file",
    }.items():
        with pytest.raises(DataError, match=problem) as error:
            read_text(tmp_path / name, MOST_OF_A_FRAME)
        assert name in str(error.value)


@pytest.mark.parametrize("other", ["pipe", "large", "folder"])
def test_a_file_that_becomes_another_after_the_look_is_refused_and_not_waited_for(tmp_path, monkeypatch, other):
    path, look = tmp_path / "a", files.check_file
    path.touch()

    def look_and_exchange(*arguments):
        look(*arguments)
        path.unlink()
        {"pipe": os.mkfifo, "large": lambda path: path.write_bytes(b"12345"), "folder": os.mkdir}[other](path)

    monkeypatch.setattr(files, "check_file", look_and_exchange)
    with pytest.raises(DataError, match=r"a pipe or a device|5 bytes, the limit is 4|[Ii]s a directory"):
        files.read_bytes(path, 4)


def test_of_a_file_that_grows_while_it_is_read_no_more_is_read_than_was_looked_at(tmp_path, monkeypatch):
    path, status_of = tmp_path / "a", os.fstat
    path.write_bytes(b"1234")

    def grow(descriptor):
        status = status_of(descriptor)
        with open(path, "ab") as file:
            file.write(b"5")
        return status

    monkeypatch.setattr(os, "fstat", grow)
    assert files.read_bytes(path, 4) == b"1234"


def test_json_that_is_nested_deep_is_refused(tmp_path):
    (tmp_path / "a.json").write_text("[" * 100_000)
    with pytest.raises(DataError, match=r"a\.json.*\n.*nested too deep"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"people": [\n1,\n]}', "line 3, column 1: Expecting value, at ']}'; remove the comma before it"),
        ('{"people": 1,\n}', "line 2, column 1: .*, at '}'; remove the comma before it"),
        ('{"people": oops}', "line 1, column 12: Expecting value, at 'oops}'$"),
        ("", "line 1, column 1: Expecting value, at ''$"),
        ("1" * 5000, "not JSON: Exceeds the limit"),
    ],
)
def test_what_is_not_json_is_told_with_its_place(tmp_path, text, words):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=words):
        read_json(tmp_path / "a.json")


# Whatever bytes there are


@EXAMPLES
@given(some.one_of(some.binary(), some.text().map(lambda text: f"name:keypoints_y:keypoints_x\n{text}".encode())))
def test_any_bytes_are_an_annotation_list_or_a_data_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content)
    for parse in (partial(parse_annotations, layout=OPENPOSE_18), parse_pairs):
        with contextlib.suppress(DataError):
            parse(path)


@EXAMPLES
@given(some.one_of(some.binary(), some.text("0123456789.,-einfa\n\r ").map(str.encode)))
def test_any_bytes_are_landmarks_or_a_data_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(content)
    with contextlib.suppress(DataError):
        assert np.isfinite(read_landmarks(path).points).all()


names = some.text(
    some.characters(blacklist_categories=("Cs", "Cc", "Zs", "Zl", "Zp"), blacklist_characters='":,/\\'), min_size=1
).filter(lambda name: name not in (".", ".."))
coordinates = some.lists(some.integers(-1, 999_999), min_size=18, max_size=18)


@EXAMPLES
@given(some.dictionaries(names, some.tuples(coordinates, coordinates), min_size=1, max_size=4))
def test_what_is_written_as_an_annotation_list_comes_back(tmp_path_factory, annotations):
    path = tmp_path_factory.getbasetemp() / "good.csv"
    rows = [f"{name}: {y}: {x}" for name, (y, x) in annotations.items()]
    path.write_text("\n".join(["name:keypoints_y:keypoints_x", *rows]), encoding="utf-8")
    found = read_annotations(path, OPENPOSE_18)
    assert found.keys() == annotations.keys()
    for name, (y, x) in annotations.items():
        np.testing.assert_array_equal(found[name].points, np.stack([x, y], 1))
        assert found[name].present.tolist() == [a != -1 and b != -1 for a, b in zip(y, x, strict=True)]


@EXAMPLES
@given(some.lists(some.tuples(names, names), min_size=1, max_size=6))
def test_what_is_written_as_a_pair_list_comes_back(tmp_path_factory, pairs):
    path = tmp_path_factory.getbasetemp() / "good-pairs.csv"
    path.write_text("\n".join(["from,to", *(f"{source},{target}" for source, target in pairs)]), encoding="utf-8")
    assert [tuple(pair[1:]) for pair in parse_pairs(path)[0]] == pairs


@EXAMPLES
@given(some.text(min_size=1))
def test_a_name_that_passes_stays_inside_however_it_is_read(tmp_path_factory, name):
    root = tmp_path_factory.getbasetemp() / "root"
    try:
        check_name(name)
    except ValueError:
        return
    for slashes in (name, name.replace("\\", "/")):
        assert os.path.normpath(root / slashes).startswith(str(root))


# The corpus


def gone_through(path: Path, every: int) -> dict[str, list[dict[str, str]]]:
    """Print and return the outcome of every n-th input of the corpus, by reader."""
    program = Path(__file__).with_name("bad_inputs.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, program, path, str(every)], check=True, env=environment, timeout=1500)
    found = json.loads(path.read_text())
    for reader, each in found.items():
        counts = Counter(one["outcome"] for one in each)
        print(f"{reader}: {len(each)} inputs, {', '.join(f'{count} {outcome}' for outcome, count in counts.items())}")
    print(f"in all: {sum(map(len, found.values()))} inputs of {len(found)} readers")
    return found


def bad_ends(found: dict[str, list[dict[str, str]]]) -> list[str]:
    """Inputs that ended in what they must not."""
    return [
        f"{reader}, {one['label']}: {one['outcome']}: {one['text']}"
        for reader, each in found.items()
        for one in each
        if one["outcome"] not in GOOD
    ]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return gone_through(tmp_path_factory.mktemp("corpus") / "found.json", every=9)


def test_a_ninth_of_the_corpus_loads_or_is_refused_by_name(found):
    assert sum(map(len, found.values())) >= 650
    assert bad_ends(found) == []


@pytest.mark.parametrize("line", ["other: ${nowhere}", "train_dataloader: {num_woskers: 0}"])
def test_an_error_in_a_config_names_its_file(tmp_path, line):
    knobs = "data_root: a\nbatch_size: 1\nflow_iters: 1\nfull_iters: 1\nfeature_weights: random\n"
    (tmp_path / "mine.yaml").write_text(
        f"{knobs}log_level: '{line[7:]}'\n" if line.startswith("other") else knobs + line
    )
    with pytest.raises(ConfigError, match=r"mine\.yaml"):
        load_config(tmp_path / "mine.yaml")
