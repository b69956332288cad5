"""The page to play with in a real browser: Chromium, driven by selenium. Skipped where either is missing."""

from __future__ import annotations

import json
import shutil
import time
import zipfile
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from PIL import Image
from posegen.app import Studio

import posegen

from .test_app import NECK, domain, openpose, write_model

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


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    return Studio(posegen.Inferencer(*write_model(tmp_path_factory.mktemp("model")), "cpu"), most_examples=2)


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def chromium(downloads):
    """A browser, and the pages it has seen. At the end it must have asked nobody else, and complained of nothing."""
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(downloads)})
    resize(driver, DESK)
    pages = []
    yield driver, pages
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
    for page, _ in pages:
        page.close()
    assert complaints == []
    seen = {urlsplit(a).netloc for a in addresses if a.startswith("http")}
    assert seen == {urlsplit(address).netloc for _, address in pages}


def open_page(chromium, studios, title):
    """The driver, once the page shows its first result."""
    from posegen.app.server import launch

    driver, pages = chromium
    pages.append(launch(studios, title))
    driver.get(pages[-1][1])
    wait(lambda: shown(driver))
    return driver


@pytest.fixture(scope="module")
def browser(studio, chromium):
    """The page of a model of key points, beside itself."""
    return open_page(chromium, [studio, Studio(studio.loaded, 0, "other")], "tiny")


@pytest.fixture(scope="module")
def views(browser, chromium):
    """The page of a model of views; it takes the place of the one before."""
    return open_page(chromium, [Studio(domain("gfla_drawn_cars"), most_examples=2)], "views")


@pytest.fixture(scope="module")
def faces(views, chromium):
    """The page of a model of clips, with 68 points; it takes the place of the one before."""
    return open_page(chromium, [Studio(domain("gfla_drawn_faces"), most_examples=2)], "faces")


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


def press(browser, selector):
    one = find(browser, selector)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", one)
    one.click()


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


def test_one_joint_is_reached_by_tab_and_the_others_from_it(browser):
    joints = "#pose-editor .joint[tabindex='0']"
    assert count(browser, joints) == 1
    find(browser, joints).send_keys(webdriver.Keys.HOME)
    browser.switch_to.active_element.send_keys(webdriver.Keys.PAGE_DOWN)
    assert browser.switch_to.active_element.get_attribute("data-joint") == str(NECK)
    ring = "return getComputedStyle(document.activeElement.querySelector('.dot')).stroke"
    assert browser.execute_script(ring) == "rgb(255, 255, 255)"
    browser.switch_to.active_element.send_keys(webdriver.Keys.PAGE_UP, webdriver.Keys.PAGE_UP)
    browser.switch_to.active_element.send_keys(webdriver.Keys.PAGE_UP)  # from the first one to the last
    assert (
        int(browser.switch_to.active_element.get_attribute("data-joint")) == count(browser, "#pose-editor .joint") - 2
    )
    find(browser, "#pose-editor select").send_keys("neck")
    assert find(browser, joints).get_attribute("data-joint") == str(NECK)


def test_everything_that_is_operated_has_a_name(browser):
    operated = "button, input:not([type=file]), select, textarea, [tabindex='0'], video"
    nameless = [
        one.get_attribute("outerHTML")[:200]
        for one in browser.find_elements("css selector", operated)
        if one.is_displayed() and not one.accessible_name
    ]
    assert nameless == []


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
    press(browser, "#viewer .result")
    wait(lambda: count(browser, "#viewer .source .arrow"))
    assert count(browser, "#viewer .source .tap") == 9  # 3×3
    shares = browser.execute_script("return [...document.querySelectorAll('#viewer td')].map(td => +td.textContent)")
    assert sum(shares) == pytest.approx(100, abs=3)  # rounded nine times
    assert "% warped" in find(browser, "#viewer .told").text
    text = find(browser, "#viewer .told").text
    find(browser, "#viewer .result").send_keys(webdriver.Keys.SHIFT, webdriver.Keys.ARROW_RIGHT)
    wait(lambda: find(browser, "#viewer .told").text != text)


def on_result(browser, x, y):
    """A place of the result, given as shares of its width and height, in pixels of the window."""
    script = "const r = document.querySelector('#viewer .result svg').getBoundingClientRect();"
    return browser.execute_script(script + "return [r.x + r.width * arguments[0], r.y + r.height * arguments[1]]", x, y)


def hover(browser, x, y):
    left, top = on_result(browser, x, y)
    browser.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": left, "y": top})


def ringed(browser):
    """The ringed pixel of the result, in pixels of the model's size; None: there is none."""
    script = (
        "const c = document.querySelector('#viewer .result circle'); return c && [c.cx, c.cy].map(v => v.baseVal.value)"
    )
    return browser.execute_script(script)


def pixel(share):
    """The middle of what *share* of 32 pixels is, from the middle of the first one."""
    return pytest.approx(share * 32 - 0.5, abs=0.2)  # places of the window are rounded


@pytest.fixture
def questions(browser, monkeypatch):
    """The points that the server is asked to explain, in order; each answer takes a while. One was clicked before."""
    from posegen.app import page

    asked, explain = [], page._origins

    def slowly(named, point):
        asked.append(point)
        time.sleep(ANSWER)
        return explain(named, point)

    monkeypatch.setattr(page, "_origins", slowly)
    press(browser, "#viewer .result")
    wait(lambda: asked)
    hover(browser, 2, 0)  # beside it
    settled(asked)
    wait(lambda: ringed(browser) == [pixel(0.5), pixel(0.5)])
    asked.clear()
    yield asked
    hover(browser, 2, 0)
    settled(asked)


ANSWER = 0.3  # seconds


def settled(happened, pause=ANSWER + 0.3):
    """Wait until nothing is added for so many seconds."""
    before = -1
    while len(happened) != before:
        before = len(happened)
        time.sleep(pause)


def test_the_point_under_the_mouse_is_explained_and_the_clicked_one_once_it_has_gone(browser, questions):
    clicked, text = ringed(browser), find(browser, "#viewer .told").text
    hover(browser, 0.25, 0.125)
    wait(lambda: find(browser, "#viewer .told").text != text)
    assert ringed(browser) == [pixel(0.25), pixel(0.125)]
    assert count(browser, "#viewer .source .tap") == 9
    hover(browser, 2, 0)
    wait(lambda: ringed(browser) == clicked)  # without a question
    assert find(browser, "#viewer .told").text == text
    settled(questions)
    assert len(questions) == 1


def test_one_question_at_a_time_is_under_way_and_the_last_place_of_the_mouse_wins(browser, questions):
    shares = np.linspace(0.1, 0.8, 15)
    start = time.monotonic()
    for share in shares:
        hover(browser, share, 0.5)
    took = time.monotonic() - start
    wait(lambda: ringed(browser) == [pixel(shares[-1]), pixel(0.5)])
    settled(questions)
    assert len(questions) <= 2 + took / ANSWER  # the first, the last, and what time there was for between
    assert len(questions) < len(shares)
    assert questions[-1][0] == pytest.approx(shares[-1], abs=0.01)


def test_an_answer_that_comes_once_the_mouse_has_gone_shows_nothing(browser, questions):
    clicked = ringed(browser)
    hover(browser, 0.25, 0.125)
    wait(lambda: questions)
    hover(browser, 2, 0)
    settled(questions)
    assert len(questions) == 1
    assert ringed(browser) == clicked


def test_a_mouse_that_rests_does_not_hold_up_the_keys(browser, questions):
    hover(browser, 0.25, 0.125)
    wait(lambda: ringed(browser) == [pixel(0.25), pixel(0.125)])
    find(browser, "#viewer .result").send_keys(*[webdriver.Keys.ARROW_RIGHT] * 6)
    wait(lambda: ringed(browser) == [pixel(0.5 + 6 / 32), pixel(0.5)])  # from the clicked one, in the middle
    settled(questions)
    x, y = questions[-1]
    assert (x, y) == (pytest.approx(0.5 + 6 / 32, abs=0.02), pytest.approx(0.5, abs=0.02))
    column = 2 * int(x * 16) + 0.5  # the finest level has 16×16 places of 2×2 pixels
    assert f"16×16: ({column:.1f}, " in find(browser, "#viewer .told").text


def touch(browser, *shares):
    """A finger at these places of the result, one after the other, and away."""
    places = [dict(zip("xy", on_result(browser, *share), strict=True)) for share in shares]
    events = [("touchStart", places[:1]), *[("touchMove", [place]) for place in places[1:]], ("touchEnd", [])]
    for kind, points in events:
        browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def test_a_finger_asks_where_it_taps_and_nowhere_else(browser, questions):
    touch(browser, (0.75, 0.25))
    settled(questions)
    assert [x for x, _ in questions] == [pytest.approx(0.75, abs=0.02)]
    touch(browser, (0.1, 0.25), (0.2, 0.25), (0.3, 0.25))
    settled(questions)
    assert len(questions) == 1


def test_layers_take_the_result_s_place_and_can_be_downloaded(browser):
    result = shown(browser)
    for layer in ("flow", "mask", "warped source"):
        button(browser, layer, "#viewer").click()
        assert shown(browser) != result
        assert browser.switch_to.active_element.text == layer
    button(browser, "result", "#viewer").click()
    assert shown(browser) == result
    names = [link.get_attribute("download") for link in browser.find_elements("css selector", "#viewer a")]
    pictures = ["result.png", "source.png", "flow.png", "mask.png", "warped_source.png"]
    assert names == [*pictures, "source_structure.json", "target_structure.json"]


def test_results_of_several_models_stand_in_a_row_and_the_chosen_one_is_explained(browser):
    names = [one.text for one in browser.find_elements("css selector", "#viewer .models button")]
    assert names == ["model", "other"]
    press(browser, "#viewer .result")
    wait(lambda: count(browser, "#viewer .source .arrow"))
    button(browser, "other", "#viewer").click()
    assert find(browser, "#viewer .shown").text == "result, other"
    assert "% warped" in find(browser, "#viewer .told").text
    button(browser, "model", "#viewer").click()


def clip(browser):
    """What stands where the clip is shown: its size and seconds; None while there is none."""
    script = "const v = document.querySelector('#clip video');"
    script += "return v.hidden || !v.videoWidth ? null : [v.videoWidth, v.videoHeight, v.duration]"
    return browser.execute_script(script)


def test_a_clip_goes_from_the_source_pose_to_the_target(browser):
    press(browser, "#clip-way")
    wait(lambda: clip(browser))
    assert clip(browser) == [64, 32, pytest.approx(24 / 12, abs=0.1)]  # two models of 32×32, frames by frames a second
    names = [link.get_attribute("download") for link in browser.find_elements("css selector", "#clip a")]
    assert names == ["clip.mp4", "clip.json"]


def downloaded(browser, folder):
    """The names in the zip file that the page gives now."""
    path = folder / "posegen.zip"
    path.unlink(missing_ok=True)
    button(browser, "Everything, as a zip file", "#viewer").click()
    wait(path.is_file)
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
        return {*file.namelist()}


def test_everything_is_downloaded_as_one_file(browser, downloads):
    names = downloaded(browser, downloads)
    assert {"model/result.png", "other/result.png", "target_structure.json", "clip.mp4"} <= names


SLOW = 2 * WAIT / 120  # seconds a frame


@pytest.fixture
def slow_frames(monkeypatch):
    """The frames that were made; each takes so long that no clip of 120 ends while a test waits for something."""
    made, frames = [], Studio.frames

    def slowly(studio, subject, targets):
        for frame in frames(studio, subject, targets):
            made.append(frame)
            time.sleep(SLOW)
            yield frame

    monkeypatch.setattr(Studio, "frames", slowly)
    return made


def test_a_clip_that_is_being_made_is_stopped(browser, slow_frames, downloads):
    length = find(browser, "#clip-length input[type=number]")
    length.send_keys(webdriver.Keys.CONTROL, "a")
    length.send_keys("120", webdriver.Keys.TAB)
    wait(lambda: find(browser, "#clip-length input[type=range]").get_attribute("value") == "120")
    press(browser, "#clip-way")
    wait(lambda: find(browser, "#clip .told").text.endswith("of 120"))
    press(browser, "#clip-stop")
    wait(lambda: find(browser, "#clip .told").text == "No clip yet.")
    settled(slow_frames, 3 * SLOW)
    assert len(slow_frames) < 2 * 120  # of two models
    assert find(browser, "#clip .told").text == "No clip yet."
    assert "clip.mp4" not in downloaded(browser, downloads)  # nor the one before: it is not shown any more
    before = shown(browser)
    find(browser, f"#pose-editor [data-joint='{NECK}']").send_keys(webdriver.Keys.ARROW_UP)
    wait(lambda: shown(browser) != before)


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


def test_a_view_is_chosen_by_keyboard_and_the_object_turns(views):
    before, drawn = shown(views), find(views, "#pose-editor .drawn").get_attribute("src")
    slider = find(views, "#pose-editor input")
    assert slider.accessible_name.startswith("azimuth")
    told = slider.get_attribute("aria-valuetext")
    slider.send_keys(webdriver.Keys.ARROW_LEFT)
    assert slider.get_attribute("aria-valuetext") != told
    wait(lambda: shown(views) != before)
    wait(lambda: find(views, "#pose-editor .drawn").get_attribute("src") != drawn)
    press(views, "#clip-turn-0")
    wait(lambda: clip(views))
    assert clip(views) == [64, 64, pytest.approx(18 / 12, abs=0.1)]  # 18 azimuths


def fits_a_phone(browser):
    resize(browser, PHONE)
    wait(lambda: browser.execute_script("return innerWidth") == PHONE[0])
    fits = browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    resize(browser, DESK)
    return fits


def test_the_page_of_views_fits_a_phone(views):
    assert fits_a_phone(views)


def test_of_many_points_the_nearest_is_dragged(faces):
    joints = count(faces, "#pose-editor .joint")
    assert joints == 68
    at = place(faces, 30)
    joint = find(faces, "#pose-editor [data-joint='30'] .dot")
    faces.execute_script("arguments[0].scrollIntoView({block: 'center'})", joint)
    webdriver.ActionChains(faces).click_and_hold(joint).move_by_offset(30, 0).release().perform()
    pixels = find(faces, "#pose-editor svg").size["width"] / 64
    assert place(faces, 30) - at == pytest.approx([30 / pixels, 0], abs=0.5)
    wait(lambda: downloaded_pose(faces)["points"][30][:2] == pytest.approx(place(faces, 30), abs=0.02))


def downloaded_pose(browser):
    """The target's file as it is offered: what the last result was made with."""
    address = find(browser, "#viewer a[download='target_structure.json']").get_attribute("href")
    return json.loads(unquote(address.partition(",")[2]))


def test_a_clip_of_the_gallery_drives_the_source(faces):
    press(faces, "#clip-drives button.thumbnail-item")
    wait(lambda: clip(faces))
    assert clip(faces)[:2] == [64, 64]
    assert find(faces, "#clip .told").text.startswith("3 frames")  # as many as the data set's clips have


def test_the_page_of_clips_fits_a_phone(faces):
    assert fits_a_phone(faces)
