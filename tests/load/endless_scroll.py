"""Scrolls the status page's images down to the last of a hundred thousand, in a real Chromium: what does that cost?

    python tests/load/endless_scroll.py [--images 100000]

Each image has its thumbnail. At depths that grow tenfold the page is scrolled back and forth for two seconds, and told
are: cards and elements in the page (without the empty box that stands for each 60 images that were passed), the
JavaScript heap after a collection, and the times between frames. All of that has to stay flat: the last depth's median
frame and number of elements may be twice the first's at most. Takes a few minutes; exit status 0 or 1.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import CDPSession, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parent.parent))
from imgpool.service.sqlite import SQLiteRecords
from serving import SAMPLES, Server

PAGE = 60  # as in static/endless.js
# Goes down until so many pages are there; as fast as they come.
DEEPER = """async (pages) => {
    const below = document.querySelector("[data-below]");
    const end = performance.now() + 20_000;
    while (below.children.length < pages && performance.now() < end) {
        scrollTo(0, document.documentElement.scrollHeight);
        await new Promise(requestAnimationFrame);
    }
    return below.children.length;
}"""
FRAMES = """async () => {
    const times = [];
    let before = await new Promise(requestAnimationFrame);
    for (let frame = 0; frame < 120; frame += 1) {
        scrollBy(0, frame < 60 ? -120 : 120);
        const now = await new Promise(requestAnimationFrame);
        times.push(now - before);
        before = now;
    }
    times.sort((a, b) => a - b);
    return { median: times[60], p95: times[114], most: times.at(-1) };
}"""


def fill(data: Path, number: int) -> None:
    """Records of that many images, and a thumbnail for each: the same bytes under so many names."""
    data.mkdir()
    thumb = data / "thumb.jpg"
    with Image.open(SAMPLES / "mountain-lake.jpg") as sample, BytesIO() as file:
        sample.thumbnail((256, 256))
        sample.convert("RGB").save(file, "JPEG", quality=82)
        thumb.write_bytes(file.getvalue())
        width, height = sample.size
    variant = {"name": "thumb", "filename": "thumb.jpg", "format": "jpeg", "width": width, "height": height}
    variants = json.dumps([{**variant, "bytes": thumb.stat().st_size}])
    SQLiteRecords(data / "imgpool.db").close()
    ids = [f"{n:032x}" for n in range(1, number + 1)]
    with closing(sqlite3.connect(data / "imgpool.db")) as db, db:
        db.executemany(
            "INSERT INTO images (id, name, state, bytes, format, width, height, received_at, finished_at, variants) "
            "VALUES (?, ?, 'done', 722000, 'jpeg', 4000, 3000, 1, 2, ?)",
            ((image_id, f"{int(image_id, 16)}.jpg", variants) for image_id in ids),
        )
    for image_id in ids:
        folder = data / "output" / image_id
        folder.mkdir(parents=True)
        # A file has at most 65,000 names on some file systems.
        if int(image_id, 16) % 30_000 == 0:
            thumb.rename(data / f"thumb-{image_id}.jpg")
            thumb.write_bytes((data / f"thumb-{image_id}.jpg").read_bytes())
        os.link(thumb, folder / "thumb.jpg")


def told(page: Page, session: CDPSession) -> dict[str, Any]:
    """What the page costs where it is now."""
    frames = page.evaluate(FRAMES)
    session.send("HeapProfiler.collectGarbage")
    metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    return {
        **frames,
        "cards": page.locator(".card").count(),
        "nodes": page.evaluate("() => document.querySelectorAll('*:not(.older-page)').length"),
        "heap": metrics["JSHeapUsedSize"] / 1e6,
    }


def run(images: int, folder: Path) -> bool:
    fill(folder / "data", images)
    last_page = -(-images // PAGE) - 1
    depths = [depth for depth in (10, 100, 1000) if depth < last_page] + [last_page]
    rows: list[dict[str, Any]] = []
    arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
    with (
        Server(folder / "data", "--workers", "1", "--isolation", "thread") as server,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path="/usr/bin/chromium", args=arguments) as browser,
    ):
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable")
        page.goto(f"{server.url}/status")
        print("| down to image | cards | elements | heap | frames: median | 95 % | longest | images/s on the way |")
        print("|---|---|---|---|---|---|---|---|")
        began, there_before = time.monotonic(), 0
        for depth in depths:
            there = there_before
            while there < depth:
                reached = page.evaluate(DEEPER, depth)
                assert reached > there, f"it does not go on below page {there}"
                there = reached
            page.wait_for_function("() => !document.querySelector('[data-skeleton]')")
            rate = (there - there_before) * PAGE / (time.monotonic() - began)
            row = told(page, session)
            rows.append(row)
            print(
                f"| {min(images, (there + 1) * PAGE):,} | {row['cards']} | {row['nodes']:,} | {row['heap']:.1f} MB "
                f"| {row['median']:.1f} ms | {row['p95']:.1f} ms | {row['most']:.1f} ms | {rate:.0f} |",
                flush=True,
            )
            began, there_before = time.monotonic(), there
        last = page.locator(".card-name").last.inner_text()
        print(f"the last card is {last}")
    first, end = rows[0], rows[-1]
    return bool(last == "1.jpg" and end["median"] <= 2 * first["median"] and end["nodes"] <= 2 * first["nodes"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        well = run(given.images, Path(temporary))
    print("flat" if well else "NOT flat")
    sys.exit(0 if well else 1)
