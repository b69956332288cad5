"""The page of ``posegen app`` in a browser."""

from __future__ import annotations

import base64
import io
import json
import threading
import zipfile
from importlib.resources import files
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from PIL import Image
from posegen_app import page_model as page_models

from posegen import Inferencer
from posegen.config import load_config

from .browser import DESK, LAPTOP, PHONE, TABLET, TIMEOUT, Keys, chromium
from .conftest import write_tiny
from .test_app import NECK, openpose, page_model, write_weights

RESULT, TARGET = "#viewer .result", "#pose-editor"
ARM = (2, 3, 4)  # right shoulder, elbow and wrist of the layout of the tiny config


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def open_page(downloads):
    """Opens the page of models in a browser, which must not contact any other server."""
    from posegen_app.page import launch

    pages = []

    def opened(*models):
        pages.append(launch(models, "title"))
        browser.open(pages[-1][1])
        browser.wait(lambda: shown(browser))
        browser.wait(lambda: not browser.all(".html-container.pending"))  # nothing moves any more
        return browser

    with chromium(downloads) as browser:
        yield opened
        complaints = browser.complaints()
        log = [json.loads(entry["message"])["message"] for entry in browser.driver.get_log("performance")]
        browser.open("about:blank")
    for page, _ in pages:
        page.close(verbose=False)
    assert complaints == []
    requests = [one["params"]["request"]["url"] for one in log if one["method"] == "Network.requestWillBeSent"]
    contacted = {urlsplit(url).netloc for url in requests if url.startswith("http")}
    assert contacted <= {urlsplit(address).netloc for _, address in pages}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    config = write_tiny(folder)
    model = page_models.PageModel(
        Inferencer(config, write_weights(load_config(config), folder), "cpu"), examples=[0, 1]
    )
    model.default_backdrop = lambda sample: None  # whether an estimator sees people in tiny dolls does not matter here
    return model


@pytest.fixture(scope="module")
def browser(open_page, model):
    """The page of a model of key points, compared with itself; what is folded is open."""
    browser = open_page(model, page_models.PageModel(model.inferencer, (), "other"))
    assert stops_to(browser, TARGET) <= 10
    places = []
    for folded in ("#source-points", "#clip-options"):
        browser.press(f"{folded} > button")

    def is_still():
        places.append(box(browser, f"{TARGET} svg"))
        return len(places) > 5 and places[-5:] == [places[-1]] * 5

    browser.wait(is_still)
    return browser


def stops_to(browser, selector):
    """Number of Tab presses until the focus is inside of an element."""
    for stop in range(1, 30):
        browser.type(Keys.TAB)
        if browser.run(f"return Boolean(document.activeElement.closest('{selector}'))"):
            return stop
    raise AssertionError(f"Tab does not reach {selector}")


@pytest.fixture(scope="module")
def views(browser, open_page, tmp_path_factory):
    """The page of a model of views, in the same browser."""
    return open_page(page_model("gfla_drawn_cars", tmp_path_factory.mktemp("views")))


@pytest.fixture(scope="module")
def faces(views, open_page, tmp_path_factory):
    """The page of a model of clips with 68 points, in the same browser."""
    return open_page(page_model("gfla_drawn_faces", tmp_path_factory.mktemp("faces")))


def shown(browser):
    """The address of the shown result; empty without one."""
    return browser.run(f"return document.querySelector('{RESULT} image')?.getAttribute('href') ?? ''")


def pixels_shown(browser):
    """The pixels of the shown result."""
    return np.array(Image.open(io.BytesIO(base64.b64decode(shown(browser).partition(",")[2]))))


def joint(k, editor=TARGET):
    return f"{editor} [data-joint='{k}']"


def place(browser, k, editor=TARGET):
    """The position of a point, in pixels of the model's size."""
    transform = browser.find(joint(k, editor)).get_attribute("transform")
    return np.array([float(number) for number in transform[len("translate(") : -1].split()])


def test_a_point_is_dragged_and_the_result_follows(browser):
    before, at = shown(browser), place(browser, NECK)
    browser.drag(f"{joint(NECK)} .dot", f"{TARGET} svg", [4 / 32, 3 / 32])
    assert place(browser, NECK) - at == pytest.approx([4, 3], abs=0.2)
    browser.wait(lambda: shown(browser) != before)


def test_undo_redo_and_mirror(browser):
    at = place(browser, NECK)
    browser.press(f"{TARGET} button", "Mirror")
    assert place(browser, NECK) == pytest.approx([31 - at[0], at[1]], abs=0.01)  # its own mirror partner
    browser.press(f"{TARGET} button", "Undo")
    assert place(browser, NECK) == pytest.approx(at)
    browser.find(joint(NECK)).send_keys(Keys.CONTROL, Keys.SHIFT, "z")
    assert place(browser, NECK) == pytest.approx([31 - at[0], at[1]], abs=0.01)
    browser.find(joint(NECK)).send_keys(Keys.CONTROL, "z")
    assert place(browser, NECK) == pytest.approx(at)


def limb(browser, start, end):
    return np.linalg.norm(place(browser, end) - place(browser, start))


def test_a_limb_keeps_its_length_unless_it_may_not(browser):
    before = limb(browser, *ARM[:2]), limb(browser, *ARM[1:])
    shoulder, wrist = place(browser, ARM[0]), place(browser, ARM[2])
    browser.drag(f"{joint(ARM[2])} .dot", f"{TARGET} svg", [0.1, -0.1])
    assert place(browser, ARM[2]) != pytest.approx(wrist, abs=0.5)
    assert (limb(browser, *ARM[:2]), limb(browser, *ARM[1:])) == pytest.approx(before, abs=0.05)
    assert place(browser, ARM[0]) == pytest.approx(shoulder)
    browser.press(f"{TARGET} .tools input[type=checkbox]")
    browser.drag(f"{joint(ARM[2])} .dot", f"{TARGET} svg", [4 / 32, 0])
    assert limb(browser, *ARM[1:]) != pytest.approx(before[1], abs=0.2)
    for _ in range(2):
        browser.press(f"{TARGET} button", "Undo")
    browser.press(f"{TARGET} .tools input[type=checkbox]")


def test_the_whole_figure_is_moved_rotated_and_scaled(browser):
    start = np.array([place(browser, k) for k in ARM])

    def shape():
        return np.array([place(browser, k) - place(browser, ARM[0]) for k in ARM])

    before = shape()
    browser.drag(f"{TARGET} [data-handle='move'] .dot", f"{TARGET} svg", [2 / 32, 0])
    assert place(browser, ARM[0]) - start[0] == pytest.approx([2, 0], abs=0.2)
    assert shape() == pytest.approx(before, abs=0.01)
    browser.find(f"{TARGET} [data-handle='size']").send_keys(Keys.SHIFT, Keys.ARROW_UP)
    assert shape() == pytest.approx(1.01**8 * before, abs=0.01)
    browser.find(f"{TARGET} [data-handle='turn']").send_keys(Keys.ARROW_RIGHT)
    assert np.linalg.norm(shape(), axis=1) == pytest.approx(1.01**8 * np.linalg.norm(before, axis=1), abs=0.01)
    assert shape() != pytest.approx(1.01**8 * before, abs=0.01)
    for _ in range(3):
        browser.press(f"{TARGET} button", "Undo")
    assert np.array([place(browser, k) for k in ARM]) == pytest.approx(start, abs=0.01)


def test_the_slider_moves_between_the_source_pose_and_the_edited_one(browser):
    goal = place(browser, NECK)
    slider = browser.find(f"{TARGET} input[type=range]")
    slider.send_keys(Keys.HOME)
    assert place(browser, NECK) == pytest.approx(place(browser, NECK, "#source-editor"), abs=0.02)
    slider.send_keys(Keys.END)
    assert place(browser, NECK) == pytest.approx(goal, abs=0.02)


def test_points_are_selected_and_moved_by_keys(browser):
    reached = f"{TARGET} .joint[tabindex='0']"  # by Tab
    assert len(browser.all(reached)) == 1
    browser.find(reached).send_keys(Keys.HOME)
    browser.type(Keys.PAGE_DOWN)
    assert browser.focused.get_attribute("data-joint") == str(NECK)
    ring = "return getComputedStyle(document.activeElement.querySelector('.dot')).stroke"
    assert browser.run(ring) == "rgb(255, 255, 255)"
    browser.type(Keys.PAGE_UP, Keys.PAGE_UP)  # from the first one to the last
    assert browser.focused.get_attribute("data-handle") == "size"
    browser.find(f"{TARGET} select").send_keys("neck")
    assert browser.find(reached).get_attribute("data-joint") == str(NECK)

    before, at = shown(browser), place(browser, NECK)
    neck = browser.find(joint(NECK))
    neck.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
    assert place(browser, NECK) - at == pytest.approx([1, 1])
    assert neck.accessible_name.startswith("neck: x ")
    browser.wait(lambda: shown(browser) != before)
    neck.send_keys(Keys.DELETE)
    assert neck.accessible_name == "neck: missing"
    neck.send_keys(Keys.DELETE)


def test_every_control_has_a_name(browser):
    browser.wait(lambda: browser.nameless() == [])


# Explanation


def window_position(browser, x, y):
    """A position in the result, given as fractions of width and height, in pixels of the window."""
    box = f"const r = document.querySelector('{RESULT} svg').getBoundingClientRect();"
    return browser.run(box + "return [r.x + r.width * arguments[0], r.y + r.height * arguments[1]]", x, y)


def hover(browser, x, y):
    left, top = window_position(browser, x, y)
    browser.command("Input.dispatchMouseEvent", type="mouseMoved", x=left, y=top)


def ring(browser):
    """The position of the explained point, as fractions; None: there is none."""
    script = f"const c = document.querySelector('{RESULT} circle');"
    return browser.run(script + "return c && [c.cx, c.cy].map(v => (v.baseVal.value + 0.5) / 32)")


def at(x, y):
    return pytest.approx([x, y], abs=0.01)  # positions in the window are rounded


class Server:
    """The points that the server is asked to explain, in order; ``answers.clear()`` holds its answers back."""

    def __init__(self, explain):
        self.asked, self.explain, self.answers = [], explain, threading.Event()
        self.answers.set()

    def __call__(self, outputs, point):
        self.asked.append(point)
        assert self.answers.wait(TIMEOUT)
        return self.explain(outputs, point)


@pytest.fixture
def server(browser, monkeypatch):
    """The server's explanations; the middle of the result was clicked, and the mouse is elsewhere."""
    from posegen_app import page

    server = Server(page.origins)
    monkeypatch.setattr(page, "origins", server)
    browser.run(f"document.querySelector('{RESULT}').scrollIntoView({{block: 'center'}})")
    for act in (lambda: hover(browser, 0.5, 0.5), lambda: browser.press(RESULT)):  # so that the click alone asks
        server.asked.clear()
        act()
        browser.wait(lambda: server.asked and server.asked[-1] == at(0.5, 0.5))
    hover(browser, 2, 0)
    browser.wait(lambda: ring(browser) == at(0.5, 0.5))
    server.asked.clear()
    yield server
    server.answers.set()
    hover(browser, 2, 0)


def test_a_click_shows_arrow_patch_kernel_and_numbers(browser, server):
    browser.wait(lambda: browser.shown("#viewer .source .arrow"))
    assert len(browser.all("#viewer .source .tap")) == 9  # 3×3
    shares = browser.run(
        "return [...document.querySelectorAll('#viewer .lens title')].map(t => parseFloat(t.textContent))"
    )
    assert sum(shares) == pytest.approx(100, abs=1)  # nine rounded values
    text = browser.text("#viewer .text")
    assert "% warped" in text
    browser.find(RESULT).send_keys(Keys.SHIFT, Keys.ARROW_RIGHT)
    browser.wait(lambda: browser.text("#viewer .text") != text)


def test_the_point_under_the_mouse_is_explained_and_then_the_clicked_one_again(browser, server):
    text = browser.text("#viewer .text")
    hover(browser, 0.25, 0.125)
    browser.wait(lambda: browser.text("#viewer .text") != text)
    assert ring(browser) == at(0.25, 0.125)
    hover(browser, 2, 0)
    browser.wait(lambda: ring(browser) == at(0.5, 0.5))
    assert browser.text("#viewer .text") == text
    assert len(server.asked) == 1  # the clicked point was not asked for again


def test_while_an_answer_is_pending_only_the_last_position_is_kept(browser, server):
    server.answers.clear()
    fractions = np.linspace(0.1, 0.8, 6)
    for fraction in fractions:
        hover(browser, fraction, 0.5)
    server.answers.set()
    browser.wait(lambda: ring(browser) == at(fractions[-1], 0.5))
    assert [x for x, _ in server.asked] == pytest.approx([fractions[0], fractions[-1]], abs=0.01)


def test_an_answer_after_the_mouse_left_is_not_shown(browser, server):
    observe = f"""window.rings = []; new MutationObserver(() => {{
        const circle = document.querySelector('{RESULT} circle');
        if (circle) window.rings.push((circle.cx.baseVal.value + 0.5) / 32);
    }}).observe(document.querySelector('{RESULT}'), {{childList: true, subtree: true}})"""
    server.answers.clear()
    hover(browser, 0.25, 0.125)
    browser.wait(lambda: server.asked)
    hover(browser, 2, 0)
    browser.run(observe)
    server.answers.set()
    browser.find(RESULT).send_keys(Keys.ARROW_RIGHT)  # its answer comes later
    browser.wait(lambda: ring(browser) == at(0.5 + 1 / 32, 0.5))
    browser.wait(lambda: len(server.asked) == 2)
    assert not any(x == pytest.approx(0.25, abs=0.01) for x in browser.run("return window.rings"))


def test_a_resting_mouse_does_not_hold_up_the_keys(browser, server):
    hover(browser, 0.25, 0.125)
    browser.wait(lambda: ring(browser) == at(0.25, 0.125))
    browser.find(RESULT).send_keys(*[Keys.ARROW_RIGHT] * 6)
    browser.wait(lambda: ring(browser) == at(0.5 + 6 / 32, 0.5))  # from the clicked point
    browser.wait(lambda: server.asked[-1] == at(0.5 + 6 / 32, 0.5))
    column = 2 * int(server.asked[-1][0] * 16) + 0.5  # the finest level has 16×16 places of 2×2 pixels
    browser.wait(lambda: f"16×16: ({column:.1f}, " in browser.text("#viewer .text"))


def touch(browser, *fractions):
    """Put a finger on a position of the result, move it to the others, and lift it."""
    places = [dict(zip("xy", window_position(browser, *one), strict=True)) for one in fractions]
    events = [("touchStart", places[:1]), *[("touchMove", [place]) for place in places[1:]], ("touchEnd", [])]
    for kind, points in events:
        browser.command("Input.dispatchTouchEvent", type=kind, touchPoints=points)


def test_a_finger_asks_where_it_taps_only(browser, server):
    for tap in ((0.75, 0.25), (0.25, 0.75)):
        touch(browser, (0.1, 0.25), (0.2, 0.25), (0.3, 0.25))
        touch(browser, tap)
        browser.wait(lambda tap=tap: server.asked and server.asked[-1] == at(*tap))
    assert len(server.asked) == 2
    touch(browser, (0.25, 0.75))
    browser.wait(lambda: ring(browser) is None)
    assert not browser.all("#viewer .source .arrow")


def test_a_phone_shows_the_source_while_a_place_is_explained(browser, server):
    browser.resize(PHONE)
    assert browser.shown("#viewer .source .arrow")
    assert browser.fits()
    browser.find(RESULT).send_keys(Keys.ESCAPE)
    browser.wait(lambda: not browser.shown("#viewer .source"))
    browser.run(f"document.querySelector('{RESULT}').scrollIntoView({{block: 'center'}})")
    touch(browser, (0.5, 0.5))
    browser.wait(lambda: browser.shown("#viewer .source .arrow"))
    browser.run("document.querySelector('#viewer .controls').scrollIntoView()")
    browser.wait(lambda: 0 <= box(browser, "#viewer .explanation .text")[1] < PHONE[1])  # in view, with the result
    browser.press("#viewer .explanation .end")
    browser.wait(lambda: not browser.shown("#viewer .source"))
    browser.run(f"document.querySelector('{RESULT}').scrollIntoView({{block: 'center'}})")
    touch(browser, (0.5, 0.5))
    browser.wait(lambda: browser.shown("#viewer .source .arrow"))
    browser.resize(DESK)


# Results, downloads, clips


def test_a_working_sign_is_shown_until_the_result_comes(browser, monkeypatch):
    sign = """const style = getComputedStyle(document.querySelector('#viewer .panels'), '::before');
        return style.content !== 'none' && style.opacity === '1'"""
    answers, generate = threading.Event(), page_models.PageModel.generate
    monkeypatch.setattr(page_models.PageModel, "generate", lambda *given: answers.wait(TIMEOUT) and generate(*given))
    before = shown(browser)
    browser.run("""window.said = new Set();
        const readers = () => document.querySelectorAll('.sr-only[role=status]');
        const listen = () => readers().forEach((one) => said.add(one.textContent));
        window.listening = new MutationObserver(listen);
        listening.observe(document.body, {subtree: true, childList: true, characterData: true})""")
    browser.find(joint(NECK)).send_keys(Keys.ARROW_UP)
    browser.wait(lambda: browser.run(sign))
    answers.set()
    browser.wait(lambda: shown(browser) != before)
    browser.wait(lambda: not browser.run(sign))
    browser.wait(lambda: "Done" in browser.run("return [...said]"))  # read out
    browser.run("listening.disconnect()")


def test_layers_replace_the_result_and_can_be_downloaded(browser):
    result = shown(browser)
    for layer in ("flow", "mask", "warped source", "warped or generated"):
        browser.press("#viewer .layers button", layer)
        assert shown(browser) != result
        assert browser.focused.text == layer
        assert browser.shown("#viewer .legend > *") == (layer != "warped source")
    browser.press("#viewer .layers button", "result")
    assert shown(browser) == result
    names = [link.get_attribute("download") for link in browser.all("#viewer .files a")]
    pictures = ["result.png", "source.png", "flow.png", "mask.png", "warped_source.png", "warped_or_generated.png"]
    assert names == [*pictures, "source_structure.json", "target_structure.json"]


def test_the_slider_covers_the_result_by_the_source(browser):
    slider = browser.find("#viewer .compare input")
    slider.send_keys(Keys.END)
    source = browser.find("#viewer .source image").get_attribute("href")
    assert browser.find(f"{RESULT} .before image").get_attribute("href") == source
    slider.send_keys(Keys.HOME, *[Keys.ARROW_RIGHT] * 25)
    covered = browser.find(f"{RESULT} .before")
    assert float(covered.get_attribute("x")) == -0.5  # before on the left, after on the right
    assert float(covered.get_attribute("width")) == pytest.approx(32 / 4)
    slider.send_keys(Keys.HOME)
    assert browser.all(f"{RESULT} .before") == []


def test_an_earlier_result_is_gone_back_to(browser):
    entries = len(browser.all("#viewer .history button"))
    before, at = shown(browser), place(browser, NECK)
    browser.find(joint(NECK)).send_keys(Keys.SHIFT, Keys.ARROW_LEFT)
    browser.wait(lambda: shown(browser) != before)
    browser.wait(lambda: len(browser.all("#viewer .history button")) >= min(entries + 1, 12))
    current = browser.all("#viewer .history button[aria-pressed='true']")
    assert len(current) == 1
    browser.run("arguments[0].click()", browser.all("#viewer .history button")[-2])
    browser.wait(lambda: shown(browser) == before)
    assert place(browser, NECK) == pytest.approx(at, abs=0.02)


def test_the_result_is_saved_and_dropped_on_the_page(browser, downloads):
    path = downloads / "result.png"
    browser.press("#viewer button", "Save the result")
    browser.wait(path.is_file)
    before, at = shown(browser), place(browser, NECK)
    browser.find(joint(NECK)).send_keys(Keys.SHIFT, Keys.ARROW_RIGHT)
    browser.wait(lambda: shown(browser) != before)
    moved = shown(browser)
    script = """const bytes = Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0));
        const data = new DataTransfer();
        data.items.add(new File([bytes], "result.png", {type: "image/png"}));
        const options = {dataTransfer: data, bubbles: true, cancelable: true};
        for (const kind of ["dragover", "drop"]) {
          document.querySelector("#head").dispatchEvent(new DragEvent(kind, options));
        }"""
    browser.run(script, base64.b64encode(path.read_bytes()).decode())
    browser.wait(lambda: browser.text("#source-note") == "Restored from result.png.")
    assert place(browser, NECK) == pytest.approx(at, abs=0.02)
    browser.wait(lambda: shown(browser) != moved)


def test_results_of_several_models_are_in_a_row_and_the_selected_one_is_explained(browser, server):
    assert [one.text for one in browser.all("#viewer .models button")] == ["model", "other"]
    browser.press("#viewer .models button", "other")
    assert browser.text("#viewer .shown") == "result, other"
    assert "% warped" in browser.text("#viewer .text")
    browser.press("#viewer .models button", "model")


def clip(browser):
    """Width, height and seconds of the shown clip; None without one."""
    script = "const v = document.querySelector('#clip video');"
    return browser.run(script + "return v.hidden || !v.videoWidth ? null : [v.videoWidth, v.videoHeight, v.duration]")


def archived(browser, folder):
    """The names in the page's zip archive."""
    path = folder / "posegen.zip"
    path.unlink(missing_ok=True)
    browser.press("#viewer button", "Everything as a zip file")
    browser.wait(path.is_file)
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
        return {*file.namelist()}


def test_a_clip_from_the_source_pose_to_the_target_is_shown_and_archived(browser, downloads):
    browser.press("#clip-way")
    browser.wait(lambda: clip(browser))
    assert clip(browser) == [64, 32, pytest.approx(24 / 12, abs=0.1)]  # two models of 32×32; frames by frame rate
    assert [link.get_attribute("download") for link in browser.all("#clip a")] == ["clip.mp4", "clip.json"]
    names = archived(browser, downloads)
    assert {"model/result.png", "other/result.png", "target_structure.json", "clip.mp4"} <= names


def set_length(browser, frames):
    length = browser.find("#clip-length input[type=number]")
    length.send_keys(Keys.CONTROL, "a")
    length.send_keys(str(frames), Keys.TAB)
    slider = browser.find("#clip-length input[type=range]")
    browser.wait(lambda: slider.get_attribute("value") == str(frames))


def test_a_clip_in_progress_is_stopped(browser, downloads, monkeypatch):
    stopped, generated, frames = threading.Event(), [], page_models.PageModel.frames

    def paused(*given):
        for frame in frames(*given):
            yield frame
            generated.append(frame)
            assert stopped.wait(TIMEOUT)

    monkeypatch.setattr(page_models.PageModel, "frames", paused)
    monkeypatch.setattr("posegen_app.clip_section.PROGRESS_SECONDS", 0)
    set_length(browser, 120)
    assert not browser.find("#clip .stop").is_enabled()
    browser.press("#clip-way")
    browser.wait(lambda: browser.text("#clip .text").endswith("of 120"))
    assert browser.find("#clip .stop").is_enabled()
    browser.press("#clip .stop")
    browser.wait(lambda: browser.text("#clip .text") == "No clip yet.")
    stopped.set()
    before = shown(browser)
    browser.find(joint(NECK)).send_keys(Keys.ARROW_UP)
    browser.wait(lambda: shown(browser) != before)
    assert browser.text("#clip .text") == "No clip yet."
    assert "clip.mp4" not in archived(browser, downloads)
    set_length(browser, 2)
    browser.press("#clip-way")  # waits for the stopped clip
    browser.wait(lambda: browser.text("#clip .text").startswith("2 frames"))
    assert len(generated) < 2 * 120  # of two models


def test_what_a_stopped_clip_sent_before_enables_no_button_and_shows_no_clip(browser):
    """The component's script, given values in the order in which a server may send them."""
    folder = files("posegen_app") / "components"
    html, script = ((folder / f"clip.{ending}").read_text() for ending in ("html", "js"))
    progress = [{"done": 1, "of": 9, "what": "Frame", "clip": clip} for clip in (1, 3)]
    late = {"video": "data:,", "caption": "late", "poses": None, "clip": 1}
    steps = [(None, 0), (progress[0], 0), (None, 2), (progress[0], 2), (late, 2), (progress[1], 2)]
    run = """const element = document.createElement("div"), props = {}, scripts = [];
        element.innerHTML = arguments[0];
        new Function("element", "props", "watch", "trigger", arguments[1])(element, props, (_, f) => scripts.push(f));
        return arguments[2].map(([value, stopped]) => {
          Object.assign(props, { value, stopped });
          scripts[0]();
          return [!element.querySelector(".stop").disabled, element.querySelector(".text").textContent];
        });"""
    none, some = [False, "No clip yet."], [True, "Frame 1 of 9"]
    assert browser.run(run, html, script, steps) == [none, some, none, none, none, some]


def test_there_is_one_accent_color(browser):
    """Gradio's sliders, those of the browser, and what is chosen have the same color."""
    script = """const style = (selector) => getComputedStyle(document.querySelector(selector));
        const probe = document.createElement("i");
        document.querySelector("#clip-length").append(probe);
        probe.style.color = style("#clip-length input[type=range]").getPropertyValue("--slider-color");
        const slider = getComputedStyle(probe).color;
        probe.remove();
        return [slider, style("#viewer .compare input").accentColor, style("#pose-editor .tools input").accentColor,
          style("#viewer .layers [aria-pressed=true]").backgroundColor];"""
    assert browser.run(script) == ["rgb(29, 78, 216)"] * 4


SIGN = "const s = getComputedStyle(document.querySelector(arguments[0]), '::after'); return [s.content, s.opacity]"


def test_a_picture_with_key_points_is_uploaded_and_a_bad_file_is_reported(browser, model, tmp_path, monkeypatch):
    before = shown(browser)
    pixels = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    upload = browser.find("input:has(+ #source-files)")
    read, released = model.read_sample, threading.Event()
    monkeypatch.setattr(model, "read_sample", lambda paths: (released.wait(TIMEOUT), read(paths))[1])
    upload.send_keys(f"{tmp_path / 'noise.png'}\n{openpose(tmp_path / 'noise.json', model, scale=2)}")
    for sign in ("#source-note .note", "#viewer .panels"):
        browser.wait(lambda sign=sign: browser.run(SIGN, sign) == ['"Working …"', "1"])
    released.set()
    browser.wait(lambda: shown(browser) != before)
    browser.wait(lambda: browser.run(SIGN, "#viewer .panels")[0] == "none")
    browser.wait(lambda: len(pixels_shown(browser)) > 32)  # then with the photograph's detail
    sides = browser.find("#source-editor svg").get_dom_attribute("viewBox").split()[2:]
    assert sides[0] == sides[1]  # a crop around the figure, of the model's proportions

    before = distances(browser)
    browser.press("#viewer button.whole")
    browser.wait(lambda: browser.run("return document.querySelector('#viewer dialog').open"))
    whole = browser.find("#viewer dialog img")
    browser.wait(lambda: browser.run("return arguments[0].naturalWidth", whole) == 128)
    assert box(browser, "#viewer dialog img")[2] > 0
    browser.press("#viewer dialog button")
    assert not browser.run("return document.querySelector('#viewer dialog').open")
    assert distances(browser) == before
    first, kept = whole.get_attribute("src"), shown(browser)
    browser.find(joint(NECK)).send_keys(Keys.ARROW_UP)
    browser.wait(lambda: shown(browser) != kept)
    browser.press("#viewer button.whole")
    browser.wait(lambda: whole.get_attribute("src") != first)  # that of the new result
    browser.press("#viewer dialog button")

    browser.wait(lambda: len(pixels_shown(browser)) > 32)
    kept = shown(browser)
    (tmp_path / "bad.json").write_text("{")
    browser.find("input:has(+ #pose-files)").send_keys(str(tmp_path / "bad.json"))
    browser.wait(lambda: browser.text("#target-note").startswith("bad.json"))  # no folder
    assert shown(browser) == kept
    browser.find(f"{TARGET} .joint[tabindex='0']").send_keys(Keys.ARROW_LEFT)
    browser.wait(lambda: not browser.text("#target-note"))  # something else was given


def test_the_background_of_a_photograph_is_made_transparent(browser, model, monkeypatch):
    """The mask is the left half of a picture; the photograph of the test before is the source."""

    def half(image, keypoints):
        return np.tile(np.arange(image.shape[1]) < image.shape[1] // 2, (len(image), 1)).astype(float)

    monkeypatch.setattr(model, "_segmenter", half)
    monkeypatch.setattr("posegen.inference.cutout.limbs_seen", lambda *given: 0)  # the mask alone
    whole = "const box = document.querySelector('#background input'); return box.scrollWidth <= box.clientWidth"
    for size in (LAPTOP, PHONE, DESK):
        browser.resize(size)
        assert browser.run(whole)  # the text of the choice
    browser.press("#background input")
    browser.press(".options li", "Background: transparent")
    browser.wait(lambda: pixels_shown(browser).shape[2] == 4 and len(pixels_shown(browser)) > 32)
    alpha = pixels_shown(browser)[..., 3]
    assert (alpha[:, 0] == 255).all()
    assert (alpha[:, -1] == 0).all()
    assert (np.diff(alpha.astype(int), axis=1) == -255).sum(1).tolist() == [1] * len(alpha)
    address = browser.run("return document.querySelector('#viewer .files a[download=\"result.png\"]').href")
    seen = np.array(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))
    assert np.array_equal(seen, pixels_shown(browser))  # what is seen is saved
    browser.press("#viewer .layers button:nth-child(2)")
    browser.press("#viewer .layers button:nth-child(1)")
    assert len(pixels_shown(browser)) > 32
    before, key = distances(browser), shown(browser)
    browser.press("#examples button")
    browser.wait(lambda: shown(browser) != key and len(pixels_shown(browser)) == 32)
    assert browser.find("#background input").get_attribute("value") == "Background: transparent"  # it was chosen
    assert distances(browser) == before  # nothing jumps


def distances(browser):
    """Vertical distances from the target's heading to its editor and to the background's choice."""
    return [box(browser, below)[1] - box(browser, "#targets")[1] for below in (TARGET, "#background")]


def box(browser, selector):
    """Left, top, width and height in the window."""
    script = (
        "const r = document.querySelector(arguments[0]).getBoundingClientRect(); return [r.x, r.y, r.width, r.height]"
    )
    return browser.run(script, selector)


def test_the_result_is_large_beside_the_source_and_stays_in_view(browser):
    browser.resize(LAPTOP)
    result, source = box(browser, f"{RESULT} svg"), box(browser, "#viewer .source svg")
    assert min(result[2:]) >= 400
    assert result[2:] == pytest.approx(source[2:], abs=1)
    browser.run(f"document.querySelector('{TARGET} .tools').scrollIntoView({{block: 'end'}})")
    assert box(browser, f"{RESULT} svg")[1] >= 0
    browser.resize(TABLET)
    assert browser.fits()
    browser.resize(DESK)


def test_it_fits_a_phone_and_a_finger(browser):
    browser.resize(PHONE)
    assert browser.fits()
    buttons = [one for one in browser.all(f"{TARGET} .tools button, #viewer button") if one.is_displayed()]
    assert min(min(one.size.values()) for one in buttons) >= 44
    browser.run(f"document.querySelector('{TARGET} svg').scrollIntoView({{block: 'end'}})")
    pose, result = box(browser, f"{TARGET} svg"), box(browser, f"{RESULT} svg")
    assert result[1] >= 0
    assert result[1] + result[3] <= pose[1]
    assert pose[1] + pose[3] <= PHONE[1] + 1  # both on one screen; places are rounded to pixels
    at, frame = place(browser, NECK), box(browser, f"{TARGET} .box")
    swipe(browser, frame[0] + 8, frame[1] + frame[3] / 2)
    browser.wait(lambda: place(browser, NECK)[1] < at[1] - 0.5)  # inside of its box, it moves
    at = place(browser, NECK)
    swipe(browser, pose[0] + 3, pose[1] + pose[3] / 2)
    assert place(browser, NECK) == pytest.approx(at)  # beside the figure, a finger scrolls
    browser.resize(DESK)


def swipe(browser, x, y):
    """Put a finger on a place of the window, move it upwards, and lift it."""
    places = [{"x": x, "y": y - step} for step in (0, 10, 20)]
    for kind, points in (("touchStart", places[:1]), *[("touchMove", [one]) for one in places[1:]], ("touchEnd", [])):
        browser.command("Input.dispatchTouchEvent", type=kind, touchPoints=points)


# Other domains


def test_a_view_is_chosen_by_keys_and_turned_in_a_clip(views):
    before, drawn = shown(views), views.find(f"{TARGET} .drawn").get_attribute("src")
    slider = views.find(f"{TARGET} input")
    assert slider.accessible_name.startswith("azimuth")
    text = slider.get_attribute("aria-valuetext")
    slider.send_keys(Keys.ARROW_LEFT)
    assert slider.get_attribute("aria-valuetext") != text
    views.wait(lambda: shown(views) != before)
    views.wait(lambda: views.find(f"{TARGET} .drawn").get_attribute("src") != drawn)
    views.wait(lambda: len(views.all("#viewer .history button")) == 2)
    for size in (LAPTOP, (1366, 768)):  # earlier results make no second scroll bar
        views.resize(size)
        assert views.run("const see = document.querySelector('#see'); return see.scrollHeight <= see.clientHeight")
    views.press("#clip-turn-0")
    views.wait(lambda: clip(views))
    assert clip(views) == [64, 64, pytest.approx(18 / 12, abs=0.1)]  # 18 azimuths
    views.resize(PHONE)
    assert views.fits()
    views.resize(DESK)


def test_the_nearest_of_many_points_is_dragged(faces):
    assert len(faces.all(f"{TARGET} [data-joint]")) == 68
    at = place(faces, 30)
    faces.drag(f"{joint(30)} .dot", f"{TARGET} svg", [8 / 64, 0])
    assert place(faces, 30) - at == pytest.approx([8, 0], abs=0.5)

    def offered():
        address = faces.find("#viewer a[download='target_structure.json']").get_attribute("href")
        return json.loads(unquote(address.partition(",")[2]))["points"][30][:2]

    faces.wait(lambda: offered() == pytest.approx(place(faces, 30), abs=0.02))


def test_a_clip_of_the_gallery_drives_the_source(faces):
    faces.press("#clip-drives button")
    faces.wait(lambda: clip(faces))
    assert clip(faces)[:2] == [64, 64]
    assert faces.text("#clip .text").startswith("3 frames")  # the length of the data set's clips
    faces.resize(PHONE)
    assert faces.fits()
    faces.resize(DESK)


def test_the_editor_of_the_source_can_be_opened_after_another_source_was_chosen(faces):
    before = shown(faces)
    faces.all("#examples button")[1].click()
    faces.wait(lambda: shown(faces) != before)
    faces.press("#source-points > button")
    faces.wait(lambda: len(faces.all("#source-editor [data-joint]")) == 68)
    faces.wait(lambda: faces.all("#source-editor svg image"))  # over its picture
    assert not faces.complaints()
