"""The page of a preference test in a browser."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from posegen_study.pairing import define_study
from posegen_study.record import Record
from posegen_study.session import Session

from .browser import DESK, PHONE, Keys, chromium

TRIALS = 4


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("downloads")) as browser:
        yield browser


@pytest.fixture
def folder(tmp_path):
    """Images of four pairs: noise in a, waves in b, other waves in target."""
    for number in range(TRIALS):
        y, x = np.mgrid[:96, :64]
        waves = 128 + 100 * np.sin(x / (4 + number) + y / 9)
        noise = np.random.default_rng(number).integers(0, 256, (96, 64))
        for role, pixels in (("a", noise), ("b", waves), ("target", waves.T)):
            (tmp_path / role).mkdir(exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).convert("RGB").save(tmp_path / role / f"{number}.png")
    return tmp_path


@pytest.fixture
def open_study(browser, folder):
    """Opens the page of a study; afterwards there must be no error on its console."""
    from posegen_study.page import launch

    opened = []

    def open_page(size=DESK, **options):
        images = define_study(folder / "a", folder / "b", **options)
        session = Session(images.study, images.files, Record(folder / "study.jsonl", images.study), "ann")
        opened.append((session, *launch(session)))
        browser.open(opened[-1][-1])
        browser.resize(size)
        browser.wait(lambda: browser.shown("#pair .begin"))
        return opened[-1][-1]

    yield open_page
    complaints = browser.complaints()
    browser.open("about:blank")
    for session, page, _ in opened:
        page.close(verbose=False)
        session.close()
    assert complaints == []


def ready(browser, trial):
    """Wait until a trial accepts an answer."""
    browser.wait(lambda: browser.text("#pair .status") == f"Pair {trial + 1} of {TRIALS}")


def choices(folder):
    lines = (folder / "study.jsonl").read_text().splitlines()[1:]
    return [json.loads(line).get("choice", "undo") for line in lines]


def test_a_study_by_keys_and_clicks_from_start_to_results(browser, open_study, folder):
    open_study()
    browser.type(" ")
    ready(browser, 0)
    browser.type(Keys.ARROW_LEFT)
    ready(browser, 1)
    browser.type("2")
    ready(browser, 2)
    browser.type("u")
    ready(browser, 1)
    browser.press("#pair .left")
    ready(browser, 2)
    browser.type(Keys.ARROW_RIGHT)
    ready(browser, 3)
    browser.press("#pair .right")
    browser.wait(lambda: browser.shown("#pair .end"))
    assert choices(folder) == ["left", "right", "undo", "left", "right", "right"]
    browser.wait(lambda: "50.0% (2 of 4)" in browser.text("#results"))
    browser.press("#pair .end .undo")
    ready(browser, 3)
    assert choices(folder)[-1] == "undo"
    assert browser.text("#results") == ""


def test_pause_and_reload_continue_at_the_same_trial_without_images_in_between(browser, open_study, folder):
    address = open_study()
    browser.type(" ")
    ready(browser, 0)
    browser.type("1")
    ready(browser, 1)
    browser.type("p")
    browser.wait(lambda: browser.shown("#pair .begin"))
    assert browser.text("#pair .title") == "Paused"
    assert not browser.shown("#pair img")
    browser.type("1")  # answers nothing, because no image is shown
    browser.type(" ")
    ready(browser, 1)
    browser.open(address)
    browser.wait(lambda: browser.shown("#pair .begin"))
    browser.press("#pair .start")
    ready(browser, 1)
    browser.type("2")
    ready(browser, 2)
    assert choices(folder) == ["left", "right"]
    assert json.loads((folder / "study.jsonl").read_text().splitlines()[2])["views"] == 3


def test_a_held_key_answers_once(browser, open_study, folder):
    open_study()
    browser.type(" ")
    ready(browser, 0)
    key = "document.body.dispatchEvent(new KeyboardEvent('keydown', {key: '1', repeat: arguments[0], bubbles: true}))"
    browser.run(key, False)
    ready(browser, 1)
    browser.run(key, True)
    browser.type("2")
    ready(browser, 2)
    assert choices(folder) == ["left", "right"]


def test_images_with_a_time_limit_can_be_answered_later(browser, open_study, folder):
    open_study(mode="real", seconds=0.3)
    browser.type(" ")
    browser.wait(lambda: browser.text("#pair .status") == "Left or right?")
    assert not browser.shown("#pair .left img")
    browser.type("2")
    browser.wait(lambda: choices(folder) == ["right"])
    assert json.loads((folder / "study.jsonl").read_text().splitlines()[1])["milliseconds"] >= 300


def test_both_images_have_one_size_on_one_gray_in_light_and_dark(browser, open_study, folder):
    for path in (folder / "a").iterdir():
        Image.open(path).resize((192, 48)).save(path)
    open_study()
    browser.type(" ")
    ready(browser, 0)
    stage, left, right = (browser.find(f"#pair .{name}").rect for name in ("stage", "left .frame", "right .frame"))
    assert (left["width"], left["height"]) == pytest.approx((right["width"], right["height"]), abs=1)
    assert left["width"] * 96 == pytest.approx(left["height"] * 192, rel=0.02)  # the larger width by the larger height
    assert stage["x"] < left["x"] < left["x"] + left["width"] < right["x"]
    assert right["x"] + right["width"] < stage["x"] + stage["width"]
    colors = []
    for scheme in ("light", "dark"):
        browser.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        colors.append(browser.find("#pair .stage").value_of_css_property("background-color"))
    browser.command("Emulation.setEmulatedMedia", features=[])
    assert colors[0] == colors[1]


@pytest.mark.parametrize("context", [False, True])
def test_it_fits_a_phone(browser, open_study, folder, context):
    open_study(PHONE, target=folder / "target" if context else None)
    assert browser.fits()
    browser.press("#pair .start")
    ready(browser, 0)
    assert browser.fits()
    assert browser.shown("#pair .context img") == context
    for name in ("left", "right", "ask .undo", "pause"):  # on the first screen, and large enough for a finger
        box = browser.find(f"#pair .{name}").rect
        assert box["y"] + box["height"] <= PHONE[1]
        assert min(box["height"], box["width"]) >= 44
    for number in range(TRIALS):
        ready(browser, number)
        browser.press("#pair .left")
    browser.wait(lambda: browser.text("#results"))
    assert browser.fits()


def test_every_control_has_a_name_and_the_focus_follows_the_screens(browser, open_study):
    open_study()
    assert "title" in browser.focused.get_attribute("class")
    browser.wait(lambda: browser.nameless() == [])
    browser.type(" ")
    ready(browser, 0)
    assert "question" in browser.focused.get_attribute("class")
    browser.wait(lambda: browser.nameless() == [])
    assert browser.find("#pair .left").accessible_name.startswith("left image")
