"""Chromium, driven by selenium, for tests of pages. Tests that import this are skipped where either is missing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio", reason='Gradio is not installed (pip install "posegen[app]")')
webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (pip install selenium)")
BINARY = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
if not (BINARY and DRIVER):
    pytest.skip("Chromium is not installed (apt-get install chromium chromium-driver)", allow_module_level=True)

from selenium.common.exceptions import StaleElementReferenceException  # noqa: E402
from selenium.webdriver.support.wait import WebDriverWait  # noqa: E402

Keys = webdriver.Keys
TIMEOUT = 120  # seconds until a condition must hold; only a failing test waits that long
PHONE, TABLET, LAPTOP, DESK = (390, 844), (820, 1180), (1440, 900), (1400, 1000)
IGNORED = "Method not implemented."  # Gradio logs it whenever it closes one of its streams


class Browser:
    """A browser, with the few actions that tests need. Selectors are CSS selectors."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self.found: list[str] = []
        self.resize(DESK)

    def open(self, address: str) -> None:
        """Open a page. Complaints about leaving the one before, whose streams are aborted, are dropped."""
        self.found += self._log()
        self.driver.get("about:blank")
        self._log()
        self.driver.get(address)

    def resize(self, size: tuple[int, int]) -> None:
        """Set the size of the page, without the frame of a window."""
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == PHONE}
        self.command("Emulation.setDeviceMetricsOverride", **metrics)
        self.wait(lambda: self.run("return innerWidth") == width)

    def command(self, name: str, **options: Any) -> None:
        """Send a command of the DevTools protocol."""
        self.driver.execute_cdp_cmd(name, options)

    def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript in the page."""
        return self.driver.execute_script(script, *arguments)

    def wait(self, reached: Callable[[], Any]) -> None:
        """Wait until a condition holds."""
        stale = [StaleElementReferenceException]  # elements that the page replaced meanwhile
        WebDriverWait(self.driver, TIMEOUT, 0.05, stale).until(lambda _: reached())

    def all(self, selector: str) -> list[Any]:
        """All matching elements."""
        return self.driver.find_elements("css selector", selector)

    def find(self, selector: str) -> Any:
        """The first matching element; waits until it exists."""
        self.wait(lambda: self.all(selector))
        return self.all(selector)[0]

    def text(self, selector: str) -> str:
        """The visible text of an element."""
        return self.find(selector).text

    def shown(self, selector: str) -> bool:
        """Return whether an element exists and is visible."""
        return any(element.is_displayed() for element in self.all(selector))

    def press(self, selector: str, text: str | None = None) -> None:
        """Click the element with that text, in the middle of the window; waits until it exists."""

        def matching() -> list[Any]:
            return [one for one in self.all(selector) if text in (None, one.text)]

        self.wait(matching)
        element = matching()[0]
        self.run("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def drag(self, selector: str, over: str, by: Sequence[float]) -> None:
        """Drag an element, by fractions of the width and height of another one."""
        element, size = self.find(selector), self.find(over).size
        self.run("arguments[0].scrollIntoView({block: 'center'})", element)
        offset = round(by[0] * size["width"]), round(by[1] * size["height"])
        webdriver.ActionChains(self.driver).click_and_hold(element).move_by_offset(*offset).release().perform()

    @property
    def focused(self) -> Any:
        """The element with the focus."""
        return self.driver.switch_to.active_element

    def type(self, *keys: str) -> None:
        """Send keys to the element with the focus."""
        self.focused.send_keys(*keys)

    def fits(self) -> bool:
        """Return whether the page has no horizontal scroll bar."""
        return self.run("return document.documentElement.scrollWidth <= innerWidth")

    def nameless(self) -> list[str]:
        """Visible controls without an accessible name."""
        controls = self.all("button, input:not([type=file]), select, textarea, [tabindex='0'], video")
        unnamed = [one for one in controls if one.is_displayed() and not one.accessible_name]
        return [one.get_attribute("outerHTML")[:200] for one in unnamed]

    def complaints(self) -> list[str]:
        """Errors and warnings on the console of pages since the last call."""
        found, self.found = self.found + self._log(), []
        return found

    def _log(self) -> list[str]:
        entries = [one for one in self.driver.get_log("browser") if one["level"] in ("SEVERE", "WARNING")]
        return [one["message"] for one in entries if IGNORED not in one["message"]]


@contextmanager
def chromium(downloads: Path) -> Iterator[Browser]:
    """Start a browser that saves files to a folder and logs its requests."""
    options = webdriver.ChromeOptions()
    options.binary_location = BINARY
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(downloads)})
        yield Browser(driver)
    finally:
        driver.quit()
