"""Measure in Chromium how long the page of ``posegen app`` takes from the end of a drag to the last result.

python tools/benchmark/page.py                             # the model people3d
python tools/benchmark/page.py paperdolls --drags 20

Requires selenium, chromium and chromedriver.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import time
from collections.abc import Sequence

import torch
from selenium import webdriver
from selenium.webdriver.support.wait import WebDriverWait

from posegen import plugins
from posegen.inference import Inferencer, ModelSource

PATIENCE = 60  # seconds until a result must come
QUIET = 2.0  # seconds without a further result after which the last one has come
WATCH = """
const shown = () => document.querySelector('#viewer .result image')?.getAttribute('href');
let last = shown();
window.ended = window.came = null;
addEventListener('pointermove', (event) => {
  if (event.buttons) [window.ended, window.came] = [performance.now(), null];
}, true);
new MutationObserver(() => {
  if (shown() === last) return;
  last = shown();
  requestAnimationFrame(() => { window.came = performance.now(); });
}).observe(document.querySelector('#viewer'), { childList: true, subtree: true, attributes: true });
"""
TOOK = f"""
const now = performance.now();
return window.came !== null && now - window.came > {1000 * QUIET} ? window.came - window.ended : null;
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the times in seconds; return 0."""
    parsed = parser().parse_args(arguments)
    plugins.load()
    from posegen_app.page import launch
    from posegen_app.page_model import PageModel

    source = ModelSource.find(parsed.model, parsed.checkpoint)
    model = PageModel(Inferencer(source, device=parsed.device), examples=[0, 1])
    page, address = launch([model], "benchmark")
    try:
        seconds = measure(address, parsed.drags)
    finally:
        page.close(verbose=False)
    size = f"{model.size[1]}×{model.size[0]}"
    print(f"{parsed.model}, {size}, {torch.get_num_threads()} threads of {os.cpu_count()}, torch {torch.__version__}")
    print(f"drag end to result, {len(seconds)} drags: median {statistics.median(seconds):.2f} s, "
          f"largest {max(seconds):.2f} s")  # fmt: skip
    return 0


def measure(address: str, drags: int) -> list[float]:
    """Drag the first wrist of the target up and down; return the seconds from each last move to the last result."""
    driver = _chromium()
    try:
        wait = WebDriverWait(driver, PATIENCE, 0.05)
        driver.get(address)
        wait.until(lambda _: driver.find_elements("css selector", "#viewer .result image"))
        wait.until(lambda _: driver.find_elements("css selector", "#pose-editor [data-joint]"))
        time.sleep(QUIET)  # the layout settles
        driver.execute_script(WATCH)
        seconds = []
        for number in range(drags + 1):
            point = driver.find_element("css selector", "#pose-editor [data-joint='4'] .dot")
            driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", point)
            by = 25 if number % 2 else -25
            actions = webdriver.ActionChains(driver).click_and_hold(point)
            actions.move_by_offset(5, by).move_by_offset(-5, by).release().perform()
            seconds.append(wait.until(lambda _: driver.execute_script(TOOK)) / 1000)
        return seconds[1:]  # the first one warms up
    finally:
        driver.quit()


def _chromium() -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1440,900"):
        options.add_argument(argument)
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the arguments."""
    described = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    described.add_argument("model", nargs="?", default="people3d", help="shared model or config (default %(default)s)")
    described.add_argument("checkpoint", nargs="?", help="checkpoint of a config")
    described.add_argument("--drags", type=int, default=10, help="number of drags (default %(default)s)")
    described.add_argument("--device", default="cpu", help="cpu, cuda, … (default %(default)s)")
    return described


if __name__ == "__main__":
    sys.exit(main())
