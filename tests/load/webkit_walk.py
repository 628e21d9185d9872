"""A walk over the pages in a real WebKit, the engine of Safari: `python tests/load/webkit_walk.py [--pictures DIR]`.

Not part of the suite, since it wants some hundred megabytes of packages: `apt-get install webkit2gtk-driver xvfb` and
`pip install selenium`. Uploads with a pause, a cancelled and a refused file, sees the status page live, also after the
way back, steers, deletes, and runs a program on the learn page. Says what it saw; exit status 1 when anything of it was
not there.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.webkitgtk.options import Options
from selenium.webdriver.webkitgtk.service import Service

sys.path.insert(0, str(Path(__file__).parent.parent))

from serving import SAMPLES, Server, wait_for
from slow_line import SlowLine

SIZES = {"wide": (1280, 900), "phone": (400, 800)}


@contextmanager
def webkit() -> Iterator[webdriver.WebKitGTK]:
    """A browser on a display of its own."""
    (program,) = list(Path("/usr/lib").glob("*/webkit2gtk-4.1/MiniBrowser"))
    reading, writing = os.pipe()
    display = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1400x1100x24", "-nolisten", "tcp"], pass_fds=[writing]
    )
    os.close(writing)
    try:
        os.environ["DISPLAY"] = f":{os.read(reading, 20).decode().strip()}"
        os.environ["LANG"] = "en_US.UTF-8"  # without one WebKit's language is "C", which no page can use
        options = Options()
        options.binary_location = str(program)
        options.add_argument("--automation")
        browser = webdriver.WebKitGTK(options=options, service=Service("/usr/bin/WebKitWebDriver"))
        try:
            yield browser
        finally:
            browser.quit()
    finally:
        os.close(reading)
        display.terminate()
        display.wait(10)


class Walk:
    """One way through the pages; each step waits until it sees what it should."""

    def __init__(self, browser: webdriver.WebKitGTK, server: Server, pictures: Path | None) -> None:
        self.browser, self.server, self.pictures = browser, server, pictures

    def script(self, source: str, *given: Any) -> Any:
        return self.browser.execute_script(source, *given)

    def text(self, selector: str) -> str:
        return str(self.script("return document.querySelector(arguments[0])?.textContent.trim() ?? ''", selector))

    def sees(self, what: str, selector: str, wanted: str) -> None:
        wait_for(
            lambda: wanted in self.text(selector), f"{what}: {wanted!r} in {selector}, not {self.text(selector)!r}"
        )
        print(f"seen: {what}")

    def picture(self, name: str) -> None:
        for size, (width, height) in SIZES.items() if self.pictures else ():
            self.browser.set_window_size(width, height)
            self.browser.save_screenshot(str(self.pictures / f"{name}-{size}.png"))  # type: ignore[operator]
        self.browser.set_window_size(*SIZES["wide"])

    def choose(self, *paths: Path) -> None:
        self.browser.find_element(By.ID, "file").send_keys("\n".join(map(str, paths)))

    def click(self, selector: str) -> None:
        self.script("document.querySelector(arguments[0]).click()", selector)

    def unfinished(self) -> int:
        return int(self.server.get("/api/status")["unfinished"]["uploads"])

    def upload(self, line: SlowLine, folder: Path) -> None:
        self.browser.get(line.url)
        wait_for(
            lambda: self.script("return document.documentElement.dataset.list") == "none", "the script of the page"
        )
        photo = (SAMPLES / "forest-orientation-6.jpg").read_bytes() + b"\0" * 4_000_000
        kept, cancelled = folder / "kept.jpg", folder / "cancelled.jpg"
        for path in (kept, cancelled):
            path.write_bytes(photo + path.name.encode())
        self.choose(kept, cancelled)
        wait_for(lambda: self.unfinished() == 2, "both to be there")
        upright = (
            "[...document.querySelectorAll('.row canvas:not([hidden])')].filter((each) => each.width < each.height)"
        )
        wait_for(lambda: self.script(f"return {upright}.length") == 2, "previews, the right way up")
        self.click(f"[aria-label='Pause {kept.name}']")
        self.click(f"[aria-label='Cancel {cancelled.name}']")
        wait_for(lambda: self.unfinished() == 1, "the cancelled one to be gone on the server, too")
        line.bytes_per_s = None
        self.click("[data-all=resume]")
        self.sees("paused, resumed, cancelled", "[data-total=headline]", "Done")
        names = ["mountain-lake.jpg", "city.webp", "aurora.avif", "balloon-transparent.png", "hostile/bomb.png"]
        self.choose(*(SAMPLES / name for name in names))
        self.sees("formats, and a refusal", "[data-total=headline]", "5 of 6 done, 1 needs a look")
        self.picture("upload")

    def watch(self) -> None:
        self.browser.get(f"{self.server.url}/status")
        done = '.filters [data-field="counts.done"]'
        plots = "return document.querySelectorAll('.figure canvas').length"
        wait_for(lambda: self.script(plots) == 5, "the plots")
        self.server.upload((SAMPLES / "dunes.bmp").read_bytes(), "dunes.bmp")
        self.sees("the status page lives", done, "6")
        self.picture("status")
        self.click(".card-name")
        wait_for(lambda: "/images/" in self.browser.current_url, "the image's page")
        self.picture("image")
        self.browser.back()
        self.server.upload((SAMPLES / "tiny-16x16.png").read_bytes(), "tiny.png")
        self.sees("it lives after the way back", done, "7")
        self.click("[data-pause]")
        self.sees("paused", "h1", "The pool is paused")
        self.click("[data-pause]")
        self.sees("resumed", "h1", "Accepting uploads")
        self.script(
            "document.querySelector('.card input').click(); document.querySelector('#many details').open = true"
        )
        self.click("#many [type=submit]")
        self.sees("deleted", '.sums [data-field="counts.deleted"]', "1")

    def learn(self) -> None:
        self.browser.get(f"{self.server.url}/learn")
        stage = "[data-stage=worker]"
        wait_for(lambda: self.script("return document.readyState") == "complete", "the page")
        self.click(f"{stage} input[type=radio]")
        self.click(f"{stage} [type=submit]")
        self.sees("a program ran", f"{stage} [data-lab-verdict]", "✓ Right.")
        self.picture("learn")


def main() -> None:
    parser = argparse.ArgumentParser(description="The pages in WebKit.")
    parser.add_argument("--pictures", type=Path, help="directory for pictures of the pages, wide and as on a phone")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(Path(folder) / "data", "--workers", "2") as server,
        SlowLine(server.port, 400_000) as line,
        webkit() as browser,
    ):
        walk = Walk(browser, server, given.pictures)
        walk.upload(line, Path(folder))
        walk.watch()
        walk.learn()


if __name__ == "__main__":
    main()
