"""Measure the reading room in a browser: how soon a case can be read, how fast pictures follow the hand.

python benchmarks/viewer.py [--sizes M L] [--disable-3d-apis] [--json FILE]

Makes a CT-like phantom of each size (M 256^3, L 512 x 512 x 300) in a room of its own, starts the server,
opens the worklist in headless Chromium (Debian's, without a GPU), and the case from there as a reader would.
Times are the page's own: `first_picture_s` and `usable_s` from the mounting of the viewer, `*_page_s` from
the navigation, the others from an event to the frame that shows it. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright

from medunet import __version__
from medunet.io.write import write_image
from medunet.review import intake
from medunet.review.room import Room

SIZES = {"M": (256, 256, 256), "L": (512, 512, 300)}
EVENTS = 60
SAVES = 4
SWITCHES = ("--no-sandbox", "--disable-gpu", "--enable-precise-memory-info", "--js-flags=--expose-gc")
STATE = "window.__medunet ? window.__medunet.metrics : null"


def phantom(folder: Path, shape: tuple[int, ...]) -> None:
    """Write a noisy body with three organs, int16 in HU, and its mask."""
    rng = np.random.default_rng(0)
    grid = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in shape)]
    body = sum(axis**2 for axis in grid[:2]) + 0 * grid[2] < 0.8
    image = np.where(body, 40, -1000).astype(np.int16)
    mask = np.zeros(shape, np.uint8)
    for label, (x, y, z) in enumerate(((-0.4, 0, 0), (0.4, 0.1, 0.2), (0, -0.4, -0.2)), 1):
        inside = (grid[0] - x) ** 2 + (grid[1] - y) ** 2 + (grid[2] - z) ** 2 < 0.06
        mask[inside], image[inside] = label, 60 + 30 * label
    image += rng.normal(0, 12, shape).astype(np.int16)
    for kind, array in (("images", image), ("masks", mask)):
        (folder / kind).mkdir(parents=True)
        write_image(folder / kind / "phantom.nii.gz", array, np.diag([0.8, 0.8, 1.0, 1.0]))


def wait(page: Page, condition: str, seconds: float = 60) -> None:
    """Wait for a condition of the page: the page's rules of security do not let Playwright do it."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        if time.monotonic() > end:
            raise SystemExit(f"viewer: waited {seconds} s in vain for {condition}")
        page.wait_for_timeout(25)


def use(page: Page) -> None:
    """Turn the wheel, drag the window, paint, and save a few times."""
    box = page.locator("[data-plane=axial]").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    for number in range(EVENTS):
        page.mouse.wheel(0, 120 if number < EVENTS * 2 // 3 else -120)
        page.wait_for_timeout(40)
    page.mouse.down(button="right")
    for number in range(EVENTS):
        page.mouse.move(x + 2 * number, y + number)
        page.wait_for_timeout(20)
    page.mouse.up(button="right")
    page.keyboard.press("b")
    for turn in range(SAVES):
        page.mouse.move(x - 100, y + 12 * turn)
        page.mouse.down()
        for number in range(EVENTS):
            page.mouse.move(x - 100 + 3 * number, y + 12 * turn + number / 2)
            page.wait_for_timeout(20)
        page.mouse.up()
        page.wait_for_timeout(300)
        page.keyboard.press("s")
        wait(page, f"window.__medunet.metrics.save_s.length > {turn}")


def measure(address: str, case: str, switches: list[str]) -> dict[str, Any]:
    """Return the figures of one case."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=[*SWITCHES, *switches])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(address)
        wait(page, "document.body.innerText.includes('Open (1)')")
        page.wait_for_timeout(8000)  # a reader looks at the list; its first case is packed meanwhile
        page.goto(f"{address}/review?case={case}")
        wait(page, f"!!({STATE}) && ({STATE}).usable_s != null")
        page.wait_for_timeout(1000)
        use(page)
        page.keyboard.press("a")
        page.keyboard.press("Enter")
        wait(page, f"!!({STATE}) && ({STATE}).decision_s.length > 0 || !location.search.includes('{case}')")
        found: dict[str, Any] = page.evaluate(STATE)
        heap = page.evaluate("(gc(), performance.memory.usedJSHeapSize / 1e6)")
        browser.close()
    times = {f"{name}_p{q}_ms": at(found["painted"][name], q) for name in found["painted"] for q in (50, 95)}
    return {
        **{
            name: round(found[name], 3)
            for name in ("first_picture_s", "usable_s", "first_picture_page_s", "usable_page_s")
        },
        **times,
        "save_s": at(found["save_s"], 50),
        "save_worst_s": at(found["save_s"], 100),
        "journal_p95_ms": at(found["journal_ms"], 95),
        "decision_s": at(found["decision_s"], 50),
        "heap_mb": round(heap, 1),
    }


def at(values: list[float], percent: int) -> float | None:
    """Return a percentile that was measured; None of nothing."""
    return round(float(np.percentile(values, percent, method="higher")), 3) if values else None


def served(size: str, port: int, switches: list[str]) -> dict[str, Any]:
    """Return the figures of one size, measured on a server of its own."""
    with tempfile.TemporaryDirectory() as folder:
        phantom(Path(folder) / "scan", SIZES[size])
        room = Room.open(Path(folder))
        (case,) = intake.add(room, [Path(folder) / "scan"], user="benchmark")["added"]
        room.close()
        words = [sys.executable, "-m", "medunet", "review", "--workspace", folder, "--port", str(port)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
            assert server.stdout is not None
            if "open at" not in (line := server.stdout.readline()):
                raise SystemExit(f"viewer: the server did not start: {line}")
            try:
                return measure(f"http://127.0.0.1:{port}", case, switches)
            finally:
                server.terminate()


def main() -> None:
    """Measure each size, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--disable-3d-apis", action="store_true")
    parser.add_argument("--port", type=int, default=8597)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    switches = ["--disable-3d-apis"] if given.disable_3d_apis else []
    found: dict[str, Any] = {
        "medunet": __version__,
        "python": platform.python_version(),
        "switches": switches,
    }
    for number, size in enumerate(given.sizes):
        before = os.getloadavg()[0]
        found[size] = served(size, given.port + number, switches) | {
            "load_before": before,
            "load_after": os.getloadavg()[0],
        }
    sys.stdout.write(f"| figure | {' | '.join(given.sizes)} |\n|---|{'---|' * len(given.sizes)}\n")
    for name in found[given.sizes[0]]:
        sys.stdout.write(f"| {name} | {' | '.join(str(found[size][name]) for size in given.sizes)} |\n")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
