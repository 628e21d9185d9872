"""A thousand photos dropped on the upload page in a real Chromium, the server killed with -9 on the way.

    python tests/load/browser_thousand.py [--photos 1000] [--megapixels 12|24|48] [--small-pictures] [--progressive]

Two workers, a queue of 32. Nobody touches the page after the drop but to scroll through the list every two seconds:
previews are made of what can be seen. All photos have to end done, none twice, and the tab (resident memory of its
renderer process) has to stay under 300 MB. The photos have no small picture in their Exif, which is the harder case,
unless one asks for it. Needs about 3 MB of disk for each photo of 12 megapixels in --data-dir (a temporary directory by
default), and as much again for the photos themselves. Takes some minutes; exit status 0 or 1.
"""

from __future__ import annotations

import argparse
import socket
import sys
import tempfile
import threading
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image
from playwright.sync_api import Browser, CDPSession, sync_playwright

sys.path.insert(0, str(Path(__file__).parent.parent))
from pictures import with_camera_exif
from serving import SAMPLES, Server

MOST_TAB_BYTES = 300_000_000
KILL_AT = 0.35  # of the photos
PATIENCE_S = 1800
SIZES = {12: (4000, 3000), 24: (6000, 4000), 48: (8000, 6000)}


def photo(megapixels: int, *, small_picture: bool, progressive: bool) -> bytes:
    """As phones and cameras make them: of twelve megapixels it has three megabytes."""
    with Image.open(SAMPLES / "mountain-lake.jpg") as sample:
        large = np.asarray(sample.convert("RGB").resize(SIZES[megapixels]), dtype=np.int16)
    grain = np.random.default_rng(1).integers(-9, 10, large.shape, dtype=np.int16)
    picture = Image.fromarray((large + grain).clip(0, 255).astype(np.uint8))
    with BytesIO() as file:
        picture.save(file, "JPEG", quality=92, progressive=progressive)
        whole = file.getvalue()
    if not small_picture:
        return whole
    with BytesIO() as file:
        picture.resize((160, 120)).save(file, "JPEG")
        return with_camera_exif(whole, file.getvalue())


def write_photos(folder: Path, number: int, picture: bytes) -> list[Path]:
    """The same picture with a different comment in each file."""
    paths = [folder / f"holiday-{n:04d}.jpg" for n in range(number)]
    for n, path in enumerate(paths):
        comment = f"photo {n}".encode()
        segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        path.write_bytes(picture[:2] + segment + picture[2:])
    return paths


class TabMemory:
    """The largest resident memory of the browser's renderer processes, seen in a thread of its own."""

    def __init__(self, pids: list[int]) -> None:
        self._pids = pids
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.peak = 0
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(0.25):
            for pid in self._pids:
                self.peak = max(self.peak, psutil.Process(pid).memory_info().rss)

    def end(self) -> int:
        self._over.set()
        self._thread.join()
        return self.peak


def renderers(browser: Browser) -> list[int]:
    processes = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    return [process["id"] for process in processes if process["type"] == "renderer"]


def drop(session: CDPSession, paths: list[Path]) -> None:
    data: dict[str, Any] = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 640, "y": 300, "data": data})


def run(photos: int, picture: bytes, folder: Path) -> bool:
    (folder / "photos").mkdir()
    paths = write_photos(folder / "photos", photos, picture)
    print(f"{photos} photos of {len(picture) / 1e6:.1f} MB")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    options = ("--workers", "2", "--queue-capacity", "32", "--port", port)
    server = Server(folder / "data", *options)
    server.start()
    arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(server.url)
            empty = max(psutil.Process(pid).memory_info().rss for pid in renderers(browser))
            memory = TabMemory(renderers(browser))
            session = page.context.new_cdp_session(page)
            began, told, scrolled, killed = time.monotonic(), 0.0, 0.0, False
            drop(session, paths)
            while time.monotonic() - began < PATIENCE_S:
                page.wait_for_timeout(500)
                title, headline = page.title(), page.locator("[data-total=headline]").inner_text()
                passed = time.monotonic() - began
                if passed - told > 20:
                    told = passed
                    print(f"{passed:5.0f} s  {title}  {page.locator('[data-total=detail]').inner_text()}", flush=True)
                if passed - scrolled > 2:
                    scrolled = passed
                    page.locator("[data-scroller]").evaluate(SCROLL)
                if not killed and done_of(headline) > photos * KILL_AT:
                    killed = True
                    server.kill()
                    print(f"{passed:5.0f} s  kill -9 of the server", flush=True)
                    server = Server(folder / "data", *options)
                    server.start()
                if headline.startswith(("All", "Done")):
                    break
            took = time.monotonic() - began
            peak = memory.end()
            heap = {each["name"]: each["value"] for each in metrics(session)}["JSHeapUsedSize"]
            rows = page.locator(".row").count()
            browser.close()
        counts = server.wait_until_settled()
        since = server.get("/api/status")["since_start"]
        print(f"{headline} after {took:.0f} s ({photos / took:.1f}/s), killed: {killed}, rows in the page: {rows}")
        print(f"tab: {empty / 1e6:.0f} MB before, {peak / 1e6:.0f} MB at most; JavaScript heap {heap / 1e6:.0f} MB")
        print(f"server: {counts}; since the kill {since}")
        whole = counts["accepted"] == counts["done"] == photos and not list((folder / "data" / "uploads").iterdir())
        return whole and killed and peak < MOST_TAB_BYTES
    finally:
        server.stop()


def done_of(headline: str) -> int:
    """The number in "1,234 of 2,000 done"."""
    first = headline.partition(" ")[0].replace(",", "")
    return int(first) if first.isdigit() else 0


# A screen further, and at the end from the start again.
SCROLL = """(node) => {
    const below = node.scrollHeight - node.clientHeight - node.scrollTop;
    node.scrollTo(0, below > 1 ? node.scrollTop + node.clientHeight : 0);
}"""


def metrics(session: CDPSession) -> list[dict[str, Any]]:
    session.send("Performance.enable")
    found: list[dict[str, Any]] = session.send("Performance.getMetrics")["metrics"]
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--megapixels", type=int, choices=SIZES, default=12)
    parser.add_argument("--small-pictures", action="store_true", help="photos with a small picture in their Exif")
    parser.add_argument("--progressive", action="store_true", help="progressive JPEGs")
    parser.add_argument("--data-dir", type=Path, default=None, help="where photos and server data go")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.data_dir) as temporary:
        picture = photo(given.megapixels, small_picture=given.small_pictures, progressive=given.progressive)
        well = run(given.photos, picture, Path(temporary))
    print("all of it as it should be" if well else "NOT as it should be")
    sys.exit(0 if well else 1)
