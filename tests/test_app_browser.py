"""The page to play with in a real browser: Chromium, driven by selenium. Skipped where either is missing."""

from __future__ import annotations

import json
import shutil
import time
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

import posegen
from posegen.app import Studio

from .test_app import openpose, write_model

pytest.importorskip("gradio", reason="gradio is not installed (pip install posegen[app])")
webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (pip install selenium)")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="no chromium and chromedriver (apt-get install chromium chromium-driver)"
)

WAIT = 60  # seconds: the machine may be slow
PHONE, DESK = (390, 844), (1400, 1000)
GRADIO_SAYS = "Method not implemented."  # whenever it closes a stream of its own
NECK = 1  # of the layout of the tiny config


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    return Studio(posegen.Inferencer(*write_model(tmp_path_factory.mktemp("model")), "cpu"), most_examples=2)


@pytest.fixture(scope="module")
def browser(studio):
    """The page, loaded. At the end the browser must have asked nobody but this machine, and complained of nothing."""
    from posegen.app.server import launch

    page, address = launch(studio, "tiny")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    resize(driver, DESK)
    driver.get(address)
    wait(lambda: shown(driver))
    yield driver
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    addresses = [
        message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"
    ]
    complaints = [
        entry
        for entry in driver.get_log("browser")
        if entry["level"] in ("SEVERE", "WARNING") and GRADIO_SAYS not in entry["message"]
    ]
    driver.quit()
    page.close()
    assert complaints == []
    assert {urlsplit(a).netloc for a in addresses if a.startswith("http")} == {urlsplit(address).netloc}


def resize(browser, size):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE},
    )


def wait(reached):
    end = time.monotonic() + WAIT
    while not reached():
        assert time.monotonic() < end, "the page did not get there"
        time.sleep(0.05)


def find(browser, selector):
    return browser.find_element("css selector", selector)


def count(browser, selector):
    return len(browser.find_elements("css selector", selector))


def shown(browser):
    """The address of the picture that stands as the result; empty before there is one."""
    script = "return document.querySelector('#viewer .result image')?.getAttribute('href') ?? ''"
    return browser.execute_script(script)


def place(browser, joint, editor="#pose-editor"):
    """Where a joint stands, in pixels of the model's size."""
    transform = find(browser, f"{editor} [data-joint='{joint}']").get_attribute("transform")
    return np.array([float(number) for number in transform[len("translate(") : -1].split()])


def button(browser, name, within="#pose-editor"):
    buttons = browser.find_elements("css selector", f"{within} button")
    return next(one for one in buttons if one.text == name)


def test_a_joint_is_dragged_and_the_result_changes(browser):
    before, at = shown(browser), place(browser, NECK)
    joint = find(browser, f"#pose-editor [data-joint='{NECK}']")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", joint)
    pixels = find(browser, "#pose-editor svg").size["width"] / 32  # of the page, for one of the model's
    actions = webdriver.ActionChains(browser)
    actions.click_and_hold(joint).move_by_offset(round(4 * pixels), round(3 * pixels)).release().perform()
    assert place(browser, NECK) - at == pytest.approx([4, 3], abs=0.2)
    wait(lambda: shown(browser) != before)


def test_undo_mirror_and_scale(browser, studio):
    at = place(browser, NECK)
    button(browser, "Mirror").click()
    assert place(browser, NECK) == pytest.approx([31 - at[0], at[1]], abs=0.01)  # on the middle line: its own partner
    button(browser, "Undo").click()
    assert place(browser, NECK) == pytest.approx(at)
    shoulders = [place(browser, k) for k in (2, 5)]
    button(browser, "Larger").click()
    larger = [place(browser, k) for k in (2, 5)]
    assert larger[0] - larger[1] == pytest.approx(1.08 * (shoulders[0] - shoulders[1]), abs=0.02)
    button(browser, "Undo").click()


def test_the_slider_leads_from_the_source_pose_to_the_one_that_was_made(browser, studio):
    goal = place(browser, NECK)
    slider = find(browser, "#pose-editor input[type=range]")
    slider.send_keys(webdriver.Keys.HOME)
    assert place(browser, NECK) == pytest.approx(place(browser, NECK, "#source-editor"), abs=0.02)
    slider.send_keys(webdriver.Keys.END)
    assert place(browser, NECK) == pytest.approx(goal, abs=0.02)


def test_a_joint_is_moved_by_the_keyboard(browser):
    before, at = shown(browser), place(browser, NECK)
    joint = find(browser, f"#pose-editor [data-joint='{NECK}']")
    joint.send_keys(webdriver.Keys.ARROW_RIGHT)
    joint.send_keys(webdriver.Keys.ARROW_DOWN)
    assert place(browser, NECK) - at == pytest.approx([1, 1])
    assert joint.accessible_name.startswith("neck: x ")
    wait(lambda: shown(browser) != before)
    joint.send_keys(webdriver.Keys.DELETE)
    assert joint.accessible_name == "neck: missing"
    joint.send_keys(webdriver.Keys.DELETE)


def test_a_click_on_the_result_shows_arrow_patch_and_numbers(browser):
    picture = find(browser, "#viewer .result")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", picture)
    webdriver.ActionChains(browser).move_to_element(picture).click().perform()
    wait(lambda: count(browser, "#viewer .source .arrow"))
    assert count(browser, "#viewer .source .tap") == 9  # 3×3
    shares = browser.execute_script("return [...document.querySelectorAll('#viewer td')].map(td => +td.textContent)")
    assert sum(shares) == pytest.approx(100, abs=3)  # rounded nine times
    assert "% warped" in find(browser, "#viewer .told").text
    text = find(browser, "#viewer .told").text
    find(browser, "#viewer .result").send_keys(webdriver.Keys.SHIFT, webdriver.Keys.ARROW_RIGHT)
    wait(lambda: find(browser, "#viewer .told").text != text)


def test_layers_take_the_result_s_place_and_can_be_downloaded(browser):
    result = shown(browser)
    for layer in ("flow", "mask", "warped source"):
        button(browser, layer, "#viewer").click()
        assert shown(browser) != result
        assert browser.switch_to.active_element.text == layer
    button(browser, "result", "#viewer").click()
    assert shown(browser) == result
    names = [link.get_attribute("download") for link in browser.find_elements("css selector", "#viewer a")]
    assert names == ["result.png", "source.png", "flow.png", "mask.png", "warped_source.png"]


def test_a_picture_with_its_key_points_is_uploaded_and_a_bad_one_is_told_of(browser, studio, tmp_path):
    before = shown(browser)
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    upload = find(browser, "#source-files input[type=file]")
    upload.send_keys(f"{tmp_path / 'noise.png'}\n{openpose(tmp_path / 'noise.json', studio)}")
    frame = "return document.querySelector('#source-editor svg').getAttribute('viewBox')"
    wait(lambda: browser.execute_script(frame).endswith("64 64"))
    wait(lambda: shown(browser) != before)

    kept = shown(browser)
    (tmp_path / "bad.json").write_text("{")
    find(browser, "#pose-files input[type=file]").send_keys(str(tmp_path / "bad.json"))
    wait(lambda: "bad.json" in find(browser, "#message textarea").get_attribute("value"))
    assert str(tmp_path) not in find(browser, "#message textarea").get_attribute("value")
    assert "/tmp" not in find(browser, "#message textarea").get_attribute("value")
    assert shown(browser) == kept


def test_it_fits_a_phone_and_a_finger(browser):
    resize(browser, PHONE)
    wait(lambda: browser.execute_script("return innerWidth") == PHONE[0])
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    buttons = browser.find_elements("css selector", "#pose-editor .tools button, #viewer button")
    assert min(min(one.size.values()) for one in buttons) >= 44
    pose, result = (find(browser, selector).rect for selector in ("#pose-editor svg", "#viewer .result"))
    assert result["y"] + result["height"] - pose["y"] <= PHONE[1]  # both on one screen: what is dragged, what it does
    resize(browser, DESK)
