"""Preference tests: pairs, trials, record, statistics, the command, and what the page's server sends."""

from __future__ import annotations

import base64
import io
import json
import os
import re

import numpy as np
import pytest
from PIL import Image
from posegen_study.command import MODES
from posegen_study.definition import make_trials
from posegen_study.pairing import define_study
from posegen_study.record import Answer, Record, read_records
from posegen_study.session import Refused, Session
from posegen_study.statistics import detectable_share, report_rows, share_of, tally

from posegen.cli import main
from posegen.errors import ConfigError, DataError

from .page_client import Client

NAMES = ["1", "2", "10", "11", "12", "13", "14"]  # an odd number: sides cannot be balanced exactly


def write(folder, name, seed, size=(12, 8)):
    folder.mkdir(exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / name)


@pytest.fixture
def folders(tmp_path):
    """Seven pairs: A as JPEG, B as PNG."""
    for number, name in enumerate(NAMES):
        write(tmp_path / "a", f"{name}.jpg", number)
        write(tmp_path / "b", f"{name}.png", 100 + number)
    return tmp_path / "a", tmp_path / "b"


@pytest.fixture
def images(folders):
    return define_study(*folders)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "study.jsonl"


@pytest.fixture
def sit(images, path):
    """Opens a session on the record, as restarting the command does."""
    opened = []

    def open_session(rater="ann"):
        for session in opened:
            session.close()
        opened.append(Session(images.study, images.files, Record(path, images.study), rater))
        return opened[-1]

    yield open_session
    for session in opened:
        session.close()


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


# Pairs and trials


def test_images_of_the_same_name_are_pairs_in_natural_order(images):
    assert list(images.study.pairs) == NAMES
    assert images.files["a"]["10"].name == "10.jpg"


def test_notes_name_unused_files_and_poor_pairs(folders):
    write(folders[0], "alone.png", 0)
    write(folders[1], "lonely.png", 0)
    (folders[1] / "notes.txt").write_text("")
    write(folders[1], "2.png", 0, size=(24, 16))
    (folders[1] / "10.png").write_bytes((folders[0] / "10.jpg").read_bytes())
    notes = "\n".join(define_study(*folders).notes)
    for expected in (
        "alone.png",
        "lonely.png",
        "notes.txt",
        "2 (12×8 and 24×16)",
        "answers are chance: 10",
    ):
        assert expected in notes


def test_bad_folders_are_refused_naming_every_file(folders, tmp_path):
    write(tmp_path / "c", "other.png", 0)
    with pytest.raises(DataError, match="no image has the same name"):
        define_study(folders[0], tmp_path / "c")
    for name in NAMES[2:]:
        write(tmp_path / "targets", f"{name}.png", 0)
    with pytest.raises(DataError, match=r"(?s)pair 1\n.*pair 2\n"):
        define_study(*folders, target=tmp_path / "targets")
    (folders[0] / "1.jpg").write_text("text")
    (folders[1] / "14.png").write_bytes((folders[1] / "14.png").read_bytes()[:60])
    with pytest.raises(DataError, match=r"(?s)1\.jpg.*14\.png"):
        define_study(*folders)
    write(folders[0], "1.png", 0)
    with pytest.raises(DataError, match=r"1\.jpg and 1\.png"):
        define_study(*folders)
    with pytest.raises(ConfigError, match="same folder"):
        define_study(folders[0], folders[0] / ".." / "a")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trials": 8}, "number of pairs, 7"),
        ({"trials": 0}, "at least 1"),
        ({"seconds": -1}, "seconds"),
        ({"seconds": float("nan")}, "seconds"),
        ({"mode": "real", "target": "a"}, "would identify it"),
    ],
)
def test_contradicting_settings_are_refused(folders, options, message):
    with pytest.raises(ConfigError, match=message):
        define_study(*folders, **options)


def test_only_mode_real_limits_the_display_time_by_default(folders):
    assert {mode: define_study(*folders, mode=mode).study.seconds for mode in MODES} == {"prefer": 0, "real": 1}
    assert define_study(*folders, mode="real", seconds=0).study.seconds == 0


def test_trials_depend_on_seed_and_rater(folders):
    studies = {seed: define_study(*folders, seed=seed, trials=4).study for seed in (3, 4)}
    assert make_trials(studies[3], "ann") == make_trials(studies[3], "ann")
    assert make_trials(studies[3], "ann") != make_trials(studies[4], "ann")
    assert make_trials(studies[3], "ann") != make_trials(studies[3], "bob")
    ann, bob = ({trial.pair for trial in make_trials(studies[3], rater)} for rater in ("ann", "bob"))
    assert ann == bob  # in another order
    assert len(ann) == 4


def test_trials_are_the_same_in_every_version(images):
    """A record of one version must be continued by the next; these trials are those of the first version."""
    trials = make_trials(images.study, "ann")
    assert [trial.pair for trial in trials] == ["12", "13", "1", "10", "14", "2", "11"]
    assert " ".join(trial.a for trial in trials) == "left left left left right right right"


@pytest.mark.parametrize(("count", "left"), [(6, {3}), (7, {3, 4})])
def test_sides_are_balanced(folders, count, left):
    study = define_study(*folders, trials=count).study
    counts = {sum(trial.a == "left" for trial in make_trials(study, f"rater {k}")) for k in range(20)}
    assert counts == left  # of 7, both 3 and 4 occur: neither side always has one more


# Record


def test_an_answer_is_a_line_on_the_disk_before_the_next_trial(sit, path, monkeypatch):
    session = sit()
    session.images()
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    session.answer(0, "right", 812)
    assert len(synced) == 1
    definition, answer = lines(path)
    trial = session.trials[0]
    assert definition["study"]["pairs"] == NAMES
    assert answer.pop("time").endswith("+00:00")
    assert answer == {
        "trial": 0, "pair": trial.pair, "a": trial.a, "choice": "right", "milliseconds": 812, "rater": "ann",
        "views": 1,
    }  # fmt: skip


def test_a_study_continues_where_it_ended_for_each_rater(sit):
    sit().answer(0, "left", 1)
    session = sit()
    assert session.next_trial == 1
    session.answer(1, "left", 1)
    assert [answer.trial for answer in sit().record.answers] == [0, 1]
    assert sit("bob").next_trial == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [({"seed": 1}, "seed: recorded 0, now 1"), ({"mode": "real"}, "mode: recorded prefer"), ({"trials": 3}, "trials")],
)
def test_the_record_of_another_study_is_refused_and_kept(folders, sit, path, options, message):
    sit().close()
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=message):
        Record(path, define_study(*folders, **options).study)
    assert path.read_bytes() == before


def test_folders_may_move_but_images_may_not_change(folders, sit, path, tmp_path):
    sit().close()
    moved = [folder.rename(tmp_path / f"moved_{folder.name}") for folder in folders]
    Record(path, define_study(*moved).study).close()
    write(moved[1], "2.png", 5)
    with pytest.raises(ConfigError, match="images: "):
        Record(path, define_study(*moved).study)


def test_undo_appends_a_line(sit, path):
    session = sit()
    session.answer(0, "left", 1)
    session.answer(1, "left", 1)
    session.undo(1)
    session.answer(1, "right", 2)
    assert [answer.choice for answer in sit().record.answers] == ["left", "right"]
    assert [line.get("undo") for line in lines(path)[1:]] == [None, None, 1, None]


def test_an_incomplete_last_line_is_cut_off(sit, path):
    session = sit()
    session.answer(0, "left", 1)
    session.answer(1, "left", 1)
    session.close()
    path.write_bytes(path.read_bytes()[:-20])
    _, answers, notes = read_records([path])
    assert len(answers) == 1
    assert "incomplete" in notes[0]
    session = sit()
    assert session.record.torn.startswith(b'{"trial": 1')
    session.answer(1, "right", 1)
    assert [line["choice"] for line in lines(path)[1:]] == ["left", "right"]


def test_every_damaged_line_is_named(sit, path):
    session = sit()
    for number in range(3):
        session.answer(number, "left", 1)
    session.close()
    rows = path.read_text().splitlines()
    path.write_text("\n".join([rows[0], "{", rows[2].replace('"left", "mil', '"up", "mil'), rows[3]]) + "\n")
    with pytest.raises(DataError, match=r"(?s)line 2:.*line 3:"):
        read_records([path])


def test_a_file_that_is_no_record_is_kept(images, path):
    path.write_text("mine")
    with pytest.raises(DataError, match="not the definition"):
        Record(path, images.study)
    assert path.read_text() == "mine"


def test_a_full_disk_leaves_no_partial_line(images, path, monkeypatch):
    def full(number):
        raise OSError(28, "No space left on device")

    record = Record(path, images.study)
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="No space left"):
        record.add(Answer(0, "1", "left", "left", 1, "", "ann"))
    assert path.read_bytes() == before
    assert record.answers == []
    record.close()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such lock")
def test_two_commands_cannot_write_to_one_record(sit, images, path):
    sit()
    with pytest.raises(ConfigError, match="another `posegen study`"):
        Record(path, images.study)


# Session


@pytest.mark.parametrize(
    "sent",
    [
        (1, "left", 1),
        (True, "left", 1),
        (0, "a", 1),
        (0, ["left"], 1),
        (0, "left", -1),
        (0, "left", 1e9),
        (0, "left", None),
    ],
)
def test_an_invalid_answer_is_refused(sit, sent):
    session = sit()
    with pytest.raises(Refused):
        session.answer(*sent)
    assert session.next_trial == 0


def test_an_answer_sent_twice_counts_once(sit):
    session = sit()
    session.answer(0, "left", 1)
    with pytest.raises(Refused):
        session.answer(0, "left", 1)
    with pytest.raises(Refused):
        session.undo(1)
    assert len(session.record.answers) == 1


def test_images_are_png_without_metadata_whatever_their_files_are(images, sit):
    session = sit()
    for side, content in session.images().items():
        shown, trial = Image.open(io.BytesIO(content)), session.trials[0]
        assert (shown.format, shown.info) == ("PNG", {})
        assert (np.asarray(shown) == np.asarray(Image.open(images.files[trial.role(side)][trial.pair]))).all()
        chunks = re.findall(rb"IHDR|IDAT|IEND|tEXt|iTXt|zTXt|eXIf|tIME|gAMA|pHYs|iCCP", content)
        assert chunks == [b"IHDR", b"IDAT", b"IEND"]


def test_repeated_views_are_recorded_and_reported(sit):
    session = sit()
    for _ in range(2):
        session.images()
    session.answer(0, "left", 1)
    assert session.record.answers[0].views == 2
    assert "1 of the answers" in dict(report_rows(session.study, session.record.answers))["repeated views"]


# Statistics


def test_a_share_has_wilsons_interval_and_the_exact_test():
    """8 of 10: Wilson 95 % is 0.490 to 0.943 (Brown, Cai, DasGupta 2001, equation 4, by hand);
    p = 2 (45 + 10 + 1) / 1024."""
    share = share_of(8, 10)
    assert (share.low, share.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert share.p == pytest.approx(2 * (45 + 10 + 1) / 1024)


def answers(*given, rater="ann"):
    """Answers by letters: the choice, a or b, and its side, l or r."""
    sides = {"l": ("left", "right"), "r": ("right", "left")}
    return [
        Answer(number, str(number), sides[side][chosen == "b"], sides[side][0], 100 * (number + 1), "", rater)
        for number, (chosen, side) in enumerate(given)
    ]


def test_answers_are_counted_for_a_and_for_the_left_side():
    counted = tally(answers("al", "ar", "bl", "al", "bl"))
    assert (counted.a.count, counted.b.count, counted.left.count, counted.milliseconds) == (3, 2, 4, 300)


def test_the_detectable_share_is_that_of_the_exact_test():
    """5 answers for one side have p = 2 / 2⁵ = 0.0625. The textbook's sample size for 0.5 against 0.6, 5 % two-sided,
    power 80 %, is 194 (199 to 202 exactly)."""
    assert detectable_share(5) is None
    assert detectable_share(6) == pytest.approx(0.8 ** (1 / 6))  # all six must agree
    assert detectable_share(180) > 0.6 > detectable_share(220)


def test_the_report_of_mode_real_has_the_fooled_rates(folders):
    study = define_study(*folders, mode="real").study
    rows = dict(report_rows(study, answers("al", "ar", "bl", "ar")))
    assert rows["identified the real image"].startswith("75.0% (3 of 4)")
    assert rows["R2G: real taken for generated"].startswith("25.0% (1 of 4)")
    assert rows["G2R: generated taken for real"].startswith("25.0% (1 of 4)")
    assert "too few" in rows["warning"]


def test_the_report_has_all_raters_and_each_one(images):
    rows = dict(report_rows(images.study, answers("al", "al") + answers("br", "br", rater="bob")))
    assert rows["chose A"].startswith("50.0% (2 of 4)")
    assert "100.0% (2 of 2)" in rows["rater ann"]
    assert "0.0% (0 of 2)" in rows["rater bob"]
    assert "independent" in rows["note"]


def test_the_report_warns_of_few_answers_only(images):
    assert "with power 80%" in dict(report_rows(images.study, answers(*["al", "br"] * 20)))["warning"]
    assert "warning" not in dict(report_rows(images.study, answers(*["al", "br"] * 150)))


# Page


@pytest.fixture
def served(sit):
    """The session, and the address of its page."""
    pytest.importorskip("gradio", reason='Gradio is not installed (pip install "posegen[app]")')
    from posegen_study.page import launch

    session = sit()
    page, address = launch(session)
    yield session, address
    page.close(verbose=False)


def test_the_page_learns_files_and_results_after_the_last_answer_only(served, folders):
    session, address = served
    client = Client(address)
    pair, results = client.trigger(None, "load")
    sent = [json.dumps([client.config, pair, results])]
    assert "images" not in pair
    pair, results = client.trigger("pair", "show")
    for number in range(len(NAMES)):
        assert results == ""
        assert pair["images"].keys() == {"left", "right"}
        shown = {side: base64.b64decode(address.partition(",")[2]) for side, address in pair["images"].items()}
        assert shown == session.images()
        sent.append(json.dumps(pair | {"images": None}))
        pair, results = client.trigger("pair", "answer", {"trial": number, "choice": "left", "milliseconds": 5})
    assert pair["finished"]
    assert "100.0% (7 of 7)" in results
    assert str(folders[0]) in results
    assert not any(str(folders[0].parent) in text or "jpg" in text for text in sent)
    pair, results = client.trigger("pair", "undo", {"trial": 6})
    assert (pair["trial"], results) == (6, "")
    for nonsense in (None, {}, {"trial": 6, "choice": "a", "milliseconds": 5}):
        assert client.trigger("pair", "answer", nonsense)[0]["trial"] == 6


def test_without_the_token_nothing_is_shown_or_answered(served):
    session, address = served
    for query in ("", "?token=wrong"):
        client = Client(address.partition("?")[0] + query)
        events = [("pair", "show", None), ("pair", "answer", {"trial": 0, "choice": "left", "milliseconds": 1})]
        for event in [(None, "load", None), *events]:
            pair, results = client.trigger(*event)
            assert (pair.keys(), results) == ({"message"}, "")
    assert session.next_trial == 0


def test_a_missing_image_is_an_error_on_the_terminal_only(served, images, capsys):
    for role in images.files.values():
        for file in role.values():
            file.unlink()
    pair, _ = Client(served[1]).trigger("pair", "show")
    assert pair.keys() == {"message"}
    assert "see the terminal" in pair["message"]
    assert "no such file" in capsys.readouterr().err


# Command


def test_the_command_serves_until_ctrl_c_and_prints_the_results(folders, path, capsys, monkeypatch):
    pytest.importorskip("gradio", reason='Gradio is not installed (pip install "posegen[app]")')
    from posegen_app import web

    printed = []

    def answer_twice_then_ctrl_c(page):
        printed.append(capsys.readouterr().out)
        client = Client(re.search(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{20,}", printed[0])[0])
        for number in range(2):
            client.trigger("pair", "answer", {"trial": number, "choice": "left", "milliseconds": 5})
        page.close(verbose=False)

    monkeypatch.setattr(web, "wait_for_interrupt", answer_twice_then_ctrl_c)
    arguments = ["study", "--a", str(folders[0]), "--b", str(folders[1]), "--out", str(path), "--rater", "ann"]
    assert main(arguments) == 0
    first = capsys.readouterr().out
    assert printed
    assert "2; raters: 1, trials each: 7" in first
    assert main(["study", "--report", str(path)]) == 0
    assert capsys.readouterr().out == first


def test_records_of_several_raters_are_reported_together(images, tmp_path, capsys):
    paths = {rater: str(tmp_path / f"{rater}.jsonl") for rater in ("ann", "bob")}
    for rater in paths:
        session = Session(images.study, images.files, Record(tmp_path / f"{rater}.jsonl", images.study), rater)
        session.answer(0, "left", 5)
        session.close()
    assert main(["study", "--report", *paths.values()]) == 0
    assert "2; raters: 2" in capsys.readouterr().out
    assert main(["study", "--report", paths["ann"], paths["ann"]]) == 1
    assert "the same rater: ann" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--a", "x"], ["--report", "nowhere.jsonl"], ["--a", "no_a", "--b", "no_b"]])
def test_missing_arguments_and_files_are_errors(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["study", *arguments]) == 1
    assert capsys.readouterr().err.startswith("error: ")
    assert list(tmp_path.iterdir()) == []
