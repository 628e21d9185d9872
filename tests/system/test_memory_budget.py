"""Giants and thumbnails in the real server with a small memory budget; and what decoding really takes, against the
estimate on which the budget rests."""

from __future__ import annotations

import threading
from pathlib import Path

import psutil
import pytest

from imgpool.imaging.memory import memory_needed
from imgpool.imaging.model import Limits
from imgpool.imaging.recipe import DEFAULT_RECIPE, parse_recipe
from imgpool.imaging.sandbox import InChild
from imgpool.pool import Context
from pictures import flat, photo
from serving import Server

pytestmark = pytest.mark.alone

MIB = 1024**2
BUDGET = 1000 * MIB


class Peak:
    """The largest resident memory of the decoder children together, looked at every 10 ms."""

    def __init__(self, server: Server) -> None:
        self.children = 0
        self._parent = server.gunicorn_process()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            total = 0
            for child in self._parent.children():
                try:
                    total += child.memory_info().rss
                except psutil.Error:
                    continue
            self.children = max(self.children, total)

    def end(self) -> None:
        self._stop.set()
        self._thread.join(60)


def test_giants_and_small_images_stay_inside_the_budget(tmp_path: Path) -> None:
    """Two giants at once would take 1.1 GB and more: they are done one at a time, and the small ones go past."""
    giants = [
        flat(10_000, 10_000),
        flat(10_000, 10_000, "RGB", "JPEG"),
        flat(10_000, 10_000),
        flat(9_000, 9_000, "RGBA"),
    ]
    options = ("--workers", "2", "--queue-capacity", "60", "--decode-memory-bytes", str(BUDGET))
    with Server(tmp_path / "data", *options) as server:
        peak = Peak(server)
        ids = {"giant": [], "small": []}
        waiting = 0
        for giant in giants:
            ids["giant"].append(server.upload(giant, "giant")[1]["images"][0]["id"])
        for seed in range(30):
            ids["small"].append(server.upload(photo(800, 600, seed=seed % 8))[1]["images"][0]["id"])
            waiting = max(waiting, server.get("/api/status")["pool"]["memory"]["waiting"])
        counts = server.wait_until_settled(300)
        peak.end()
        assert (counts["done"], counts["failed"]) == (34, 0)
        waits = {kind: [server.get(f"/api/images/{image_id}")["wait_s"] for image_id in ids[kind]] for kind in ids}
        ends = {kind: [server.get(f"/api/images/{image_id}")["finished_at"] for image_id in ids[kind]] for kind in ids}
        memory = server.get("/api/status")["pool"]["memory"]
    assert memory["in_use_bytes"] == memory["waiting"] == 0
    assert waiting >= 1, "no giant had to wait: the test shows nothing"
    assert peak.children <= BUDGET
    assert max(ends["small"]) < max(ends["giant"]), "the small ones were stuck behind the giants"
    assert sorted(waits["small"])[len(waits["small"]) // 2] < max(waits["giant"])
    print(
        f"\nbudget {BUDGET // MIB} MiB: peak {peak.children // MIB} MiB; waits: small "
        f"{sorted(waits['small'])[15]:.2f} s (at most {max(waits['small']):.2f}), "
        f"giants at most {max(waits['giant']):.2f} s"
    )


@pytest.mark.parametrize(
    ("name", "width", "height", "mode", "file_format"),
    [
        ("png", 6000, 6000, "RGB", "PNG"),
        ("png with alpha", 6000, 6000, "RGBA", "PNG"),
        ("jpeg", 8000, 8000, "RGB", "JPEG"),
        ("webp", 5000, 5000, "RGB", "WEBP"),
        ("tiff", 6000, 6000, "RGB", "TIFF"),
        ("avif", 5000, 5000, "RGB", "AVIF"),
    ],
)
def test_the_estimate_is_not_below_what_a_child_takes(
    tmp_path: Path, name: str, width: int, height: int, mode: str, file_format: str
) -> None:
    original, into = tmp_path / "original", tmp_path / "into"
    original.write_bytes(flat(width, height, mode, file_format))
    into.mkdir()
    recipe = parse_recipe(DEFAULT_RECIPE)
    child = InChild(recipe, Limits(), lambda: 4096 * MIB, sync=False)
    try:
        child.start()
        peak_of = f"/proc/{child.pid}/status"
        child.process(original, into, timeout_s=300, cancelled=Context())
        lines = Path(peak_of).read_text().splitlines()
    finally:
        child.close()
    peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    estimate = memory_needed(original, recipe)
    assert estimate is not None
    print(
        f"\n{name}: {peak / MIB:.0f} MiB taken, {estimate / MIB:.0f} estimated, {width * height / 1e6:.0f} megapixels"
    )
    assert peak <= estimate
    assert estimate < 3.5 * peak, "far too careful"
