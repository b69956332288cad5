"""The page of a preference test in a real browser: Chromium, driven by selenium. Skipped where either is missing."""

from __future__ import annotations

import json
import shutil
import threading
import time

import numpy as np
import pytest
from PIL import Image
from posegen.study import Record, Session, StudyServer, define_study

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (pip install selenium)")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="no chromium and chromedriver (apt-get install chromium chromium-driver)"
)

WAIT = 20  # seconds: the machine may be slow
PHONE, DESK = (390, 844), (1280, 900)
TRIALS = 4


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def study(tmp_path):
    """Defines a study of four pairs: noise on A, waves on B."""
    for number in range(TRIALS):
        y, x = np.mgrid[:96, :64]
        waves = 128 + 100 * np.sin(x / (4 + number) + y / 9)
        noise = np.random.default_rng(number).integers(0, 256, (96, 64))
        for role, pixels in (("a", noise), ("b", waves), ("target", waves.T)):
            (tmp_path / role).mkdir(exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).convert("RGB").save(tmp_path / role / f"{number}.png")
    return lambda **options: define_study(tmp_path / "a", tmp_path / "b", **options)


@pytest.fixture
def page(browser, tmp_path):
    """Opens a study in the browser; at the end there must be no error on its console."""
    opened = []

    def open_page(found, size=DESK):
        record = Record(tmp_path / "study.jsonl", found.study)
        server = StudyServer(Session(found.study, found.files, record, "ann"))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        opened.append((server, thread))
        # the window's own frame is not part of the page: the size of the page is what counts
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE},
        )
        browser.get(server.address)
        wait(lambda: shown(browser, "begin") or shown(browser, "end"))
        return server

    yield open_page
    browser.get("about:blank")
    for server, thread in opened:
        server.shutdown()
        thread.join()
        server.server_close()
        server.session.close()
    assert [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []


def wait(reached):
    end = time.monotonic() + WAIT
    while not reached():
        assert time.monotonic() < end, "the page did not get there"
        time.sleep(0.02)


def element(browser, name):
    return browser.find_element("id", name)


def shown(browser, name):
    return element(browser, name).is_displayed()


def press(browser, keys):
    browser.switch_to.active_element.send_keys(keys)


def ready(browser, trial):
    """Wait until the images of a trial can be answered."""
    wait(lambda: element(browser, "status").text == f"Pair {trial + 1} of {TRIALS}")


def choices(tmp_path):
    lines = (tmp_path / "study.jsonl").read_text().splitlines()[1:]
    return [json.loads(line).get("choice", "undo") for line in lines]


def fits(browser):
    return browser.execute_script("return document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_a_study_by_keyboard_and_click_from_start_to_result(browser, page, study, tmp_path):
    page(study())
    press(browser, " ")
    ready(browser, 0)
    press(browser, webdriver.Keys.ARROW_LEFT)
    ready(browser, 1)
    press(browser, "2")
    ready(browser, 2)
    press(browser, "u")
    ready(browser, 1)
    element(browser, "left").click()
    ready(browser, 2)
    press(browser, webdriver.Keys.ARROW_RIGHT)
    ready(browser, 3)
    element(browser, "right").click()
    wait(lambda: shown(browser, "end"))
    assert choices(tmp_path) == ["left", "right", "undo", "left", "right", "right"]
    assert "chose the left side" in element(browser, "report").text
    assert "50.0% (2 of 4)" in element(browser, "report").text
    element(browser, "undo-end").click()
    ready(browser, 3)
    assert choices(tmp_path)[-1] == "undo"


def test_pausing_hides_the_images_and_loading_again_goes_on_at_the_same_trial(browser, page, study, tmp_path):
    server = page(study())
    press(browser, " ")
    ready(browser, 0)
    press(browser, "1")
    ready(browser, 1)
    press(browser, "p")
    wait(lambda: shown(browser, "begin"))
    assert not shown(browser, "left")
    press(browser, "1")  # answers nothing: no image is shown
    browser.get(server.address)
    wait(lambda: shown(browser, "begin"))
    element(browser, "start").click()
    ready(browser, 1)
    assert choices(tmp_path) == ["left"]


def test_a_key_held_down_answers_once(browser, page, study, tmp_path):
    page(study())
    press(browser, " ")
    ready(browser, 0)
    script = (
        "document.body.dispatchEvent(new KeyboardEvent('keydown', {key: '1', repeat: arguments[0], bubbles: true}))"
    )
    browser.execute_script(script, False)
    ready(browser, 1)
    browser.execute_script(script, True)
    time.sleep(0.2)
    assert choices(tmp_path) == ["left"]


def test_images_of_the_mode_real_stand_for_a_second_and_can_be_answered_after(browser, page, study, tmp_path):
    page(study(mode="real", seconds=0.3))
    press(browser, " ")
    wait(lambda: element(browser, "status").text == "Left or right?")
    image = browser.find_element("css selector", "#left img")
    assert not image.is_displayed()
    press(browser, "2")
    wait(lambda: choices(tmp_path) == ["right"])
    line = json.loads((tmp_path / "study.jsonl").read_text().splitlines()[1])
    assert line["milliseconds"] >= 300


def test_both_images_have_one_size_though_their_files_do_not(browser, page, study, tmp_path):
    for path in (tmp_path / "a").iterdir():
        Image.open(path).resize((32, 48)).save(path)
    page(study())
    press(browser, " ")
    ready(browser, 0)
    left, right = (browser.find_element("css selector", f"#{side} .frame").size for side in ("left", "right"))
    assert left == right
    assert left["width"] * 96 == pytest.approx(left["height"] * 64, rel=0.02)


@pytest.mark.parametrize("context", [False, True])
def test_it_can_be_used_on_a_phone(browser, page, study, tmp_path, context):
    page(study(target=tmp_path / "target") if context else study(), PHONE)
    assert fits(browser)
    element(browser, "start").click()
    ready(browser, 0)
    browser.save_screenshot(str(tmp_path / "phone.png"))
    assert fits(browser)
    assert len(browser.find_elements("css selector", "#context img")) == context
    for name in ("left", "right", "undo", "pause"):  # within the first screen, and large enough for a finger
        box = element(browser, name).rect
        assert box["y"] + box["height"] <= PHONE[1]
        assert min(box["height"], box["width"]) >= 44
    for number in range(TRIALS):
        ready(browser, number)
        element(browser, "left").click()
    wait(lambda: shown(browser, "end"))
    assert fits(browser)


def test_every_control_has_a_name_and_the_focus_follows_the_screens(browser, page, study):
    page(study())
    assert browser.switch_to.active_element.get_attribute("id") == "begin-title"
    press(browser, " ")
    ready(browser, 0)
    assert browser.switch_to.active_element.get_attribute("id") == "question"
    names = {name: element(browser, name).accessible_name for name in ("left", "right", "undo", "pause", "progress")}
    assert names["left"].startswith("left image")
    assert names["right"].startswith("right image")
    assert all(names.values())


def test_a_command_that_ended_is_told_on_the_page(browser, page, study, tmp_path):
    server = page(study())
    press(browser, " ")
    ready(browser, 0)
    server.shutdown()
    server.server_close()
    press(browser, "1")
    wait(lambda: shown(browser, "alert"))
    assert "its command has ended" in element(browser, "alert").text
    assert choices(tmp_path) == []
    browser.get_log("browser")  # that the request failed is on the console, and should be


def test_the_surround_of_the_images_is_the_same_in_light_and_dark(browser, page, study):
    page(study())
    press(browser, " ")
    ready(browser, 0)
    colors = {}
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        script = "return ['.stage', 'body'].map(s => getComputedStyle(document.querySelector(s)).backgroundColor)"
        colors[scheme] = browser.execute_script(script)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert colors["light"][0] == colors["dark"][0]
    assert colors["light"][1] != colors["dark"][1]
