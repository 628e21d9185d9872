"""Nothing on the status page jumps: layout shifts as Chromium measures them, in each thing that the page goes through.

Every shift counts here, also those that Chromium forgives because somebody has just pressed something (hadRecentInput):
what happens comes from programs, not from a hand on the page.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from browsers import PATIENCE_MS
from held import Held
from serving import SAMPLES, Server

MOST = 0.02
PHONE = {"width": 390, "height": 844}
WIDE = {"width": 1280, "height": 900}
OBSERVE = """
    window.shifts = [];
    new PerformanceObserver((list) => {
        const named = ({ node }) => node?.outerHTML?.slice(0, 120) ?? String(node?.data);
        for (const { value, sources } of list.getEntries()) window.shifts.push({ value, moved: sources.map(named) });
    }).observe({ type: "layout-shift", buffered: true });
"""


def _fill(server: Server, names: list[str]) -> None:
    for name in names:
        assert server.upload((SAMPLES / "balloon-transparent.png").read_bytes(), name)[0] == 202
    server.wait_until_settled()


@pytest.mark.parametrize("screen", [WIDE, PHONE], ids=["wide", "phone"])
def test_nothing_jumps(browser: Browser, tmp_path: Path, screen: Any) -> None:
    with Server(tmp_path / "d", "--workers", "1", "--isolation", "thread") as server:
        _fill(server, [f"{number}.png" for number in range(20)])
        context = browser.new_context(viewport=screen)
        context.set_default_timeout(PATIENCE_MS)
        try:
            context.add_init_script(OBSERVE)
            _go_through(context.new_page(), server)
        finally:
            context.close()


def _go_through(page: Page, server: Server) -> None:
    def shifted(what: str) -> None:
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
        shifts = page.evaluate("() => window.shifts.splice(0)")
        total = sum(shift["value"] for shift in shifts)
        print(f"{what}: {total:.4f}")
        assert total < MOST, (what, total, shifts)

    done = page.locator('.legend [data-field="pool.queue.capacity"]')
    page.goto(f"{server.url}/status")
    expect(page.locator(".figure canvas")).to_have_count(5)
    shifted("first load")

    # At the top of the page: the queue fills, images are made and fail, uploads are refused.
    server.upload((SAMPLES / "hostile" / "truncated.jpg").read_bytes(), "cut.jpg")
    server.upload(b"This is not a picture. " * 50, "not.jpg")
    _fill(server, ["top-1.png", "top-2.png"])
    expect(page.locator(".card-name").first).to_have_text("top-2.png")
    expect(page.locator(".latest li").first).to_contain_text("not an accepted image format")
    shifted("images and refusals, seen from the top")

    # In the middle of the images: one fails and others come, which wait until they are wanted.
    server.steer(paused=True)
    expect(page.get_by_role("heading", level=1)).to_have_text("The pool is paused")
    server.upload((SAMPLES / "hostile" / "truncated.jpg").read_bytes(), "waits.jpg")
    expect(page.locator(".card-name").first).to_have_text("waits.jpg")
    page.locator(".card").nth(0).scroll_into_view_if_needed()
    shifted("a pause, and the way to the images")
    server.steer(paused=False)
    _fill(server, ["new-1.png", "new-2.png", "new-3.png"])
    expect(page.locator('.card[data-state="failed"]').first).to_contain_text("waits.jpg")
    expect(page.get_by_role("button", name="Show 3 new")).to_be_visible()
    assert page.locator(".card-name").first.inner_text() == "waits.jpg"
    shifted("new images, seen from among the images")

    page.get_by_role("button", name="Show 3 new").click()
    expect(page.locator(".card-name").first).to_have_text("new-3.png")
    assert page.evaluate("document.activeElement.textContent.includes('new-3.png')")
    page.evaluate("() => window.shifts.splice(0)")  # these were asked for

    page.get_by_role("link", name=re.compile("^done")).click()
    page.wait_for_url("**/status?state=done#images")
    expect(page.locator(".figure canvas")).to_have_count(5)
    shifted("another filter")

    picture = Held(page, "**/api/images/*/large")  # its bytes come after the page is drawn
    page.locator(".card a").first.click()
    page.wait_for_url("**/images/*", wait_until="commit")
    expect(page.get_by_role("button", name="Copy link")).to_be_visible()
    shifted("an image's page without its picture")
    picture.wait()
    picture.let_go()
    expect(page.locator(".picture img")).to_have_js_property("complete", True)
    shifted("an image's page")
    page.go_back()

    page.evaluate("scrollTo(0, 0)")
    server.steer(workers=3, queue_capacity=100)
    expect(page.locator(".lane")).to_have_count(3)
    expect(done).to_have_text("100")
    shifted("three workers, a queue of 100")
    server.steer(workers=6, queue_capacity=1000)
    expect(page.locator(".lane")).to_have_count(6)
    expect(done).to_have_text("1,000")
    shifted("six workers, a queue of 1000")
    server.steer(workers=1, queue_capacity=4)
    expect(page.locator(".lane")).to_have_count(1)
    expect(page.locator('[data-channel="pool.queue"] .place')).to_have_count(4)
    shifted("one worker, a queue of 4")
