"""Preference tests: trials, record, statistics, and the server that shows them."""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import threading
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from posegen.cli import main
from posegen.errors import ConfigError, DataError
from posegen.study import Record, Session, StudyServer, define_study, make_trials, read_records, report_rows, tally
from posegen.study.record import Answer
from posegen.study.statistics import least_share, share_of

NAMES = ["1", "2", "10", "11", "12", "13", "14"]  # odd: sides cannot be in balance exactly


def write(folder, name, seed, size=(12, 8), **options):
    folder.mkdir(exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / name, **options)


@pytest.fixture
def folders(tmp_path):
    """A as JPEG, B as PNG, seven pairs."""
    for number, name in enumerate(NAMES):
        write(tmp_path / "a", f"{name}.jpg", number)
        write(tmp_path / "b", f"{name}.png", 100 + number)
    return tmp_path / "a", tmp_path / "b"


@pytest.fixture
def found(folders):
    return define_study(*folders)


@pytest.fixture
def sit(found, tmp_path):
    """Opens a session on the record, as starting the command again does."""
    opened = []

    def open_session(rater="ann", study=None):
        for session in opened:
            session.close()
        opened.append(Session(study or found.study, found.files, Record(tmp_path / "study.jsonl", found.study), rater))
        return opened[-1]

    yield open_session
    for session in opened:
        session.close()


def lines(tmp_path):
    return [json.loads(line) for line in (tmp_path / "study.jsonl").read_text().splitlines()]


# pairs and trials


def test_pairs_are_images_of_one_name_in_natural_order(found):
    assert list(found.study.pairs) == ["1", "2", "10", "11", "12", "13", "14"]
    assert found.files["a"]["10"].name == "10.jpg"


def test_what_is_not_shown_is_told(folders):
    write(folders[0], "alone.png", 0)
    write(folders[1], "lonely.png", 0)
    (folders[1] / "notes.txt").write_text("")
    notes = "\n".join(define_study(*folders).notes)
    assert all(name in notes for name in ("alone.png", "lonely.png", "notes.txt"))


def test_pairs_that_can_be_told_apart_by_size_or_not_at_all_are_told(folders):
    write(folders[1], "2.png", 0, size=(24, 16))
    (folders[1] / "10.png").write_bytes((folders[0] / "10.jpg").read_bytes())
    notes = "\n".join(define_study(*folders).notes)
    assert "2 (12×8 and 24×16)" in notes
    assert re.search(r"one and the same.*: 10$", notes)


def test_no_pair_is_an_error(folders, tmp_path):
    write(tmp_path / "c", "other.png", 0)
    with pytest.raises(DataError, match="no image has a partner"):
        define_study(folders[0], tmp_path / "c")


def test_all_images_that_cannot_be_read_are_named(folders):
    (folders[0] / "1.jpg").write_text("text")
    (folders[1] / "14.png").write_bytes((folders[1] / "14.png").read_bytes()[:60])
    with pytest.raises(DataError, match=r"(?s)1\.jpg.*14\.png"):
        define_study(*folders)


def test_two_images_of_one_name_are_refused(folders):
    write(folders[0], "1.png", 0)
    with pytest.raises(DataError, match=r"1\.jpg and 1\.png"):
        define_study(*folders)


def test_every_pair_needs_its_target(folders, tmp_path):
    for name in NAMES[2:]:
        write(tmp_path / "targets", f"{name}.png", 0)
    with pytest.raises(DataError, match=r"(?s)pair 1\n.*pair 2\n"):
        define_study(*folders, target=tmp_path / "targets")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"trials": 8}, "only 7"),
        ({"trials": 0}, "at least 1"),
        ({"seconds": -1}, "seconds"),
        ({"seconds": float("nan")}, "seconds"),
        ({"mode": "real", "target": "a"}, "give it away"),
    ],
)
def test_settings_that_make_no_study_are_refused(folders, options, words):
    with pytest.raises(ConfigError, match=words):
        define_study(*folders, **options)


def test_a_folder_is_not_compared_with_itself(folders):
    with pytest.raises(ConfigError, match="one folder"):
        define_study(folders[0], folders[0] / ".." / "a")


def test_real_images_stand_for_one_second_unless_told_otherwise(folders):
    assert define_study(*folders, mode="real").study.seconds == 1
    assert define_study(*folders, mode="real", seconds=0).study.seconds == 0
    assert define_study(*folders).study.seconds == 0


def test_trials_are_the_same_for_the_same_seed_and_rater(folders):
    def trials(seed, rater):
        return make_trials(define_study(*folders, seed=seed).study, rater)

    assert trials(3, "ann") == trials(3, "ann")
    assert trials(3, "ann") != trials(4, "ann")
    assert trials(3, "ann") != trials(3, "bob")


def test_trials_do_not_change_between_versions(found):
    """A record of one version must be resumed by the next: these were made when the file's form was laid down."""
    trials = make_trials(found.study, "ann")
    assert [trial.pair for trial in trials] == ["12", "13", "1", "10", "14", "2", "11"]
    assert " ".join(trial.a for trial in trials) == "left left left left right right right"


def test_all_raters_see_the_same_pairs(folders):
    study = define_study(*folders, trials=4).study
    seen = [{trial.pair for trial in make_trials(study, rater)} for rater in ("ann", "bob", "eve")]
    assert len(seen[0]) == 4
    assert seen[0] == seen[1] == seen[2]


@pytest.mark.parametrize(("count", "left"), [(6, {3}), (7, {3, 4})])
def test_sides_are_in_balance(folders, count, left):
    study = define_study(*folders, trials=count).study
    counts = {sum(trial.a == "left" for trial in make_trials(study, f"rater {k}")) for k in range(20)}
    assert counts == left  # of 7, both 3 and 4 come up: no side has the odd one always


# record


def test_an_answer_is_a_line_and_is_on_the_disk_at_once(sit, tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(number))
    session = sit()
    session.image(0, "left")
    synced.clear()  # the definition is on the disk already
    session.answer(0, "right", 812)
    assert len(synced) == 1
    definition, answer = lines(tmp_path)
    trial = session.trials[0]
    assert definition["study"]["pairs"] == NAMES
    assert answer.pop("time").endswith("+00:00")
    assert answer == {
        "trial": 0, "pair": trial.pair, "a": trial.a, "choice": "right", "milliseconds": 812, "rater": "ann",
        "views": 1,
    }  # fmt: skip


def test_a_study_goes_on_where_it_ended(sit):
    sit().answer(0, "left", 1)
    session = sit()
    assert session.state()["trial"] == 1
    session.answer(1, "left", 1)
    assert [answer.trial for answer in sit().record.answers] == [0, 1]


def test_another_rater_begins_at_the_first_trial_of_the_same_record(sit):
    sit("ann").answer(0, "left", 1)
    assert sit("bob").state()["trial"] == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [({"seed": 1}, "seed: 0 there, 1 here"), ({"mode": "real"}, "mode: prefer"), ({"trials": 3}, "trials: 7")],
)
def test_a_record_of_another_study_is_refused_and_says_what_differs(folders, sit, tmp_path, options, words):
    sit().close()
    before = (tmp_path / "study.jsonl").read_bytes()
    with pytest.raises(ConfigError, match=words):
        Record(tmp_path / "study.jsonl", define_study(*folders, **options).study)
    assert (tmp_path / "study.jsonl").read_bytes() == before


def test_images_that_changed_make_another_study(folders, sit, tmp_path):
    sit().close()
    write(folders[1], "2.png", 5)
    with pytest.raises(ConfigError, match="images: "):
        Record(tmp_path / "study.jsonl", define_study(*folders).study)


def test_folders_may_move(folders, sit, tmp_path):
    sit().close()
    moved = [folder.rename(tmp_path / f"moved_{folder.name}") for folder in folders]
    Record(tmp_path / "study.jsonl", define_study(*moved).study).close()


def test_undo_takes_the_last_answer_back_and_erases_nothing(sit, tmp_path):
    session = sit()
    session.answer(0, "left", 1)
    session.answer(1, "left", 1)
    assert session.undo(1)["trial"] == 1
    session.answer(1, "right", 2)
    assert [answer.choice for answer in sit().record.answers] == ["left", "right"]
    assert [line.get("undo") for line in lines(tmp_path)[1:]] == [None, None, 1, None]


def test_a_torn_last_line_is_cut_off_and_told(sit, tmp_path):
    session = sit()
    session.answer(0, "left", 1)
    session.answer(1, "left", 1)
    session.close()
    path = tmp_path / "study.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    answers, notes = read_records([path])[1:]
    assert len(answers) == 1
    assert "torn" in notes[0]
    session = sit()
    assert session.record.torn.startswith(b'{"trial": 1')
    session.answer(1, "right", 1)
    assert [line["choice"] for line in lines(tmp_path)[1:]] == ["left", "right"]


def test_all_damaged_lines_are_named(sit, tmp_path):
    session = sit()
    for number in range(3):
        session.answer(number, "left", 1)
    session.close()
    path = tmp_path / "study.jsonl"
    rows = path.read_text().splitlines()
    path.write_text("\n".join([rows[0], "{", rows[2].replace('"left", "mil', '"up", "mil'), rows[3]]) + "\n")
    with pytest.raises(DataError, match=r"(?s)line 2:.*line 3:"):
        read_records([path])


def test_a_file_that_is_no_record_is_left_alone(found, tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("mine")
    with pytest.raises(DataError, match="not the definition"):
        Record(path, found.study)
    assert path.read_text() == "mine"


def test_an_answer_that_does_not_fit_on_the_disk_leaves_no_half_line(found, tmp_path, monkeypatch):
    def full(number):
        raise OSError(28, "No space left on device")

    record = Record(tmp_path / "study.jsonl", found.study)
    before = (tmp_path / "study.jsonl").read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="No space left"):
        record.add(Answer(0, "1", "left", "left", 1, "", "ann"))
    assert (tmp_path / "study.jsonl").read_bytes() == before
    assert record.answers == []
    record.close()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such lock")
def test_two_commands_do_not_write_to_one_record(sit, found, tmp_path):
    sit()
    with pytest.raises(ConfigError, match="another `posegen study`"):
        Record(tmp_path / "study.jsonl", found.study)


# statistics


def test_the_share_has_wilsons_interval_and_the_exact_test():
    """8 of 10: Wilson 95 % is 0.490 to 0.943 (Brown, Cai, DasGupta 2001, equation 4, by hand);
    p = 2 (45 + 10 + 1) / 1024."""
    share = share_of(8, 10)
    assert (share.low, share.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert share.p == pytest.approx(2 * (45 + 10 + 1) / 1024)


def answers(*given, rater="ann"):
    """Answers by letter: which was chosen, a or b, and on which side it stood, l or r."""
    sides = {"l": ("left", "right"), "r": ("right", "left")}
    return [
        Answer(number, str(number), sides[side][chosen == "b"], sides[side][0], 100 * (number + 1), "", rater)
        for number, (chosen, side) in enumerate(given)
    ]


def test_answers_are_counted_for_a_and_for_the_left_side():
    counted = tally(answers("al", "ar", "bl", "al", "bl"))
    assert (counted.a.count, counted.b.count, counted.left.count, counted.milliseconds) == (3, 2, 4, 300)


def test_fewer_than_six_answers_show_nothing():
    """Even all for one side: p = 2 / 2⁵ = 0.0625."""
    assert least_share(5) is None
    assert least_share(6) == pytest.approx(0.8 ** (1 / 6))  # all six must agree, in four studies out of five


def test_about_two_hundred_answers_show_a_preference_of_sixty_percent():
    """The textbook's sample size, 0.5 against 0.6, 5 % two-sided, power 80 %: 194 (199 to 202 exactly)."""
    assert least_share(180) > 0.6 > least_share(220)


def test_the_report_of_real_and_generated_gives_the_fooled_rates(folders):
    study = define_study(*folders, mode="real").study
    rows = dict(report_rows(study, answers("al", "ar", "bl", "ar")))
    assert rows["told the real one"].startswith("75.0% (3 of 4)")
    assert rows["R2G: real taken for generated"].startswith("25.0% (1 of 4)")
    assert rows["G2R: generated taken for real"].startswith("25.0% (1 of 4)")
    assert "too few" in rows["warning"]


def test_the_report_tells_raters_apart_and_together(found):
    rows = dict(report_rows(found.study, answers("al", "al") + answers("br", "br", rater="bob")))
    assert rows["chose A"].startswith("50.0% (2 of 4)")
    assert "100.0% (2 of 2)" in rows["rater ann"]
    assert "0.0% (0 of 2)" in rows["rater bob"]
    assert "independent" in rows["caution"]


def test_the_report_warns_of_few_answers_and_of_nothing_when_there_are_many(found):
    assert "missed" in dict(report_rows(found.study, answers(*["al", "br"] * 20)))["warning"]
    assert "warning" not in dict(report_rows(found.study, answers(*["al", "br"] * 150)))


def test_images_that_were_shown_again_are_counted(sit):
    session = sit()
    for _ in range(2):
        session.image(0, "left")
    session.answer(0, "left", 1)
    assert session.record.answers[0].views == 2
    assert "1 of the answers" in dict(report_rows(session.study, session.record.answers))["seen before"]


# the server


@contextmanager
def serving(session):
    with StudyServer(session) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def served(sit):
    with serving(sit()) as server:
        yield server


def ask(server, method, path, body=None, token=None, **headers):
    """Status, headers and content of a reply."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    content = json.dumps(body) if isinstance(body, dict) else body
    kind = {} if body is None else {"Content-Type": "application/json"}
    connection.request(method, f"/{token or server.token}/{path}", content, {**kind, **headers})
    reply = connection.getresponse()
    result = reply.status, dict(reply.getheaders()), reply.read()
    connection.close()
    return result


def test_it_is_bound_to_this_machine(served):
    assert served.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("GET", "state"), ("GET", "image/0/left"), ("POST", "answer")]
)
def test_without_the_token_everything_is_refused(served, method, path):
    body = {"trial": 0, "choice": "left", "milliseconds": 1} if method == "POST" else None
    assert ask(served, method, path, body, token="wrong")[0] == 403
    assert served.session.next_trial == 0


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:{}", 200), ("localhost:{}", 200), ("localhost:9", 200), ("evil.example:{}", 403),
     ("127.0.0.1.evil.example", 403), ("", 403), ("[", 403)],
)  # fmt: skip
def test_another_host_is_refused(served, host, status):
    """localhost:9: the port of a tunnel."""
    assert ask(served, "GET", "state", Host=host.format(served.server_port))[0] == status


@pytest.mark.parametrize(
    "path",
    ["image/0/../../../../etc/passwd", "image/0/a", "image/0/target", "image/0/left.jpg", "image/1/left",
     "image/-1/left", "image/%30/left", "../state", "%2e%2e/", "page.html", "image/0/",
     "image/99999999999999999999/left"],
)  # fmt: skip
def test_nothing_but_the_images_of_this_trial_can_be_had(served, path):
    status, _headers, content = ask(served, "GET", path)
    assert status in (403, 404)
    assert len(content) < 100


def test_an_image_gives_no_hint_of_its_file(found, served):
    """PNG of bare pixels for both, though A is JPEG: the same headers, the same chunks."""
    trial = served.session.trials[0]
    replies = {side: ask(served, "GET", f"image/0/{side}") for side in ("left", "right")}
    for side, (status, _headers, content) in replies.items():
        shown = Image.open(io.BytesIO(content))
        file = found.files[trial.role(side)][trial.pair]
        assert status == 200
        assert shown.format == "PNG"
        assert shown.info == {}
        assert (np.asarray(shown) == np.asarray(Image.open(file))).all()
        assert re.findall(rb"IHDR|IDAT|IEND|tEXt|iTXt|zTXt|eXIf|tIME|gAMA|pHYs|iCCP", content) == [
            b"IHDR",
            b"IDAT",
            b"IEND",
        ]
    left, right = ({**reply[1], "Content-Length": "", "Date": ""} for reply in replies.values())
    assert left == right
    assert left["Cache-Control"] == "no-store"


def test_the_page_learns_nothing_of_files_before_the_end(served, folders):
    told = ask(served, "GET", "state")[2].decode() + ask(served, "GET", "")[2].decode()
    assert str(folders[0].parent) not in told
    assert json.loads(ask(served, "GET", "state")[2])["report"] is None


def test_the_page_may_load_nothing_from_elsewhere(served):
    _status, headers, content = ask(served, "GET", "")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    nonce = re.search(r"script-src 'nonce-([^']+)'", headers["Content-Security-Policy"])[1]
    assert content.decode().count(f'nonce="{nonce}"') == 2  # style and script
    assert "http" not in content.decode()


def test_answers_to_the_end_bring_the_report(served):
    for number in range(len(NAMES)):
        status, _headers, content = ask(
            served, "POST", "answer", {"trial": number, "choice": "left", "milliseconds": 5}
        )
        assert status == 200
    assert dict(json.loads(content)["report"])["chose the left side"].startswith("100.0% (7 of 7)")
    assert json.loads(ask(served, "POST", "undo", {"trial": 6})[2])["trial"] == 6


@pytest.mark.parametrize(
    "body",
    [
        {"trial": 1, "choice": "left", "milliseconds": 1},
        {"trial": True, "choice": "left", "milliseconds": 1},
        {"trial": 0, "choice": "a", "milliseconds": 1},
        {"trial": 0, "choice": ["left"], "milliseconds": 1},
        {"trial": 0, "choice": "left", "milliseconds": -1},
        {"trial": 0, "choice": "left", "milliseconds": 1e400},
        {"trial": 0, "choice": "left"},
        {},
    ],
)
def test_what_is_no_answer_to_this_trial_is_refused(served, body):
    assert ask(served, "POST", "answer", body)[0] == 409
    assert served.session.next_trial == 0


def test_an_answer_sent_twice_counts_once(served):
    body = {"trial": 0, "choice": "left", "milliseconds": 1}
    assert [ask(served, "POST", "answer", body)[0] for _ in range(2)] == [200, 409]
    assert len(served.session.record.answers) == 1


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ("x" * 1025, {}, 413),
        ("x", {"Content-Length": "99999999999"}, 413),
        ("x", {"Content-Length": "-1"}, 411),
        ("[]", {}, 400),
        ("[" * 1000, {}, 400),
        ("\udcff".encode("utf-8", "surrogateescape"), {}, 400),
        ("{}", {"Content-Type": "text/plain"}, 415),
    ],
)
def test_bodies_that_are_too_long_or_no_json_are_refused(served, body, headers, status):
    assert ask(served, "POST", "answer", body, **headers)[0] == status
    assert served.session.next_trial == 0


def test_an_image_that_went_away_is_told_on_the_terminal_alone(served, found, capsys):
    for images in found.files.values():
        for path in images.values():
            path.unlink()
    status, _headers, content = ask(served, "GET", "image/0/left")
    assert status == 500
    assert b".png" not in content
    assert b".jpg" not in content
    assert "no such file" in capsys.readouterr().err


def test_a_port_that_is_taken_is_an_error(served):
    with pytest.raises(ConfigError, match="--port"):
        StudyServer(served.session, served.server_port)


# the command


def test_the_command_serves_and_tells_the_result_at_ctrl_c(folders, tmp_path, capsys, monkeypatch):
    def answer_twice_then_ctrl_c(server):
        for number in range(2):
            server.session.answer(number, "left", 5)
        raise KeyboardInterrupt

    monkeypatch.setattr(StudyServer, "serve_forever", answer_twice_then_ctrl_c)
    arguments = ["study", "--a", *folders[:1], "--b", *folders[1:], "--out", tmp_path / "study.jsonl", "--rater", "ann"]
    arguments = [str(argument) for argument in arguments]
    assert main(arguments) == 0
    first = capsys.readouterr().out
    assert re.search(r"http://127\.0\.0\.1:\d+/[\w-]{20,}/", first)
    assert "2; raters: 1, trials each: 7" in first
    assert main(["study", "--report", str(tmp_path / "study.jsonl")]) == 0
    assert capsys.readouterr().out == first[first.index("question") :]


def test_records_of_several_raters_are_reported_together(folders, found, tmp_path, capsys):
    for rater in ("ann", "bob"):
        session = Session(found.study, found.files, Record(tmp_path / f"{rater}.jsonl", found.study), rater)
        session.answer(0, "left", 5)
        session.close()
    assert main(["study", "--report", *(str(tmp_path / f"{rater}.jsonl") for rater in ("ann", "bob"))]) == 0
    assert "2; raters: 2" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="ann answered in another record"):
        read_records([tmp_path / "ann.jsonl", tmp_path / "ann.jsonl"])


@pytest.mark.parametrize("arguments", [[], ["--a", "x"], ["--report", "nowhere.jsonl"], ["--a", "no_a", "--b", "no_b"]])
def test_the_command_says_what_is_missing(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["study", *arguments]) == 1
    assert capsys.readouterr().err.startswith("error: ")
    assert list(tmp_path.iterdir()) == []
