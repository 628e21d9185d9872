"""The status page's care for its reader: language and zone, words in the tab and for the ear, the truth of a second."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from browsers import PATIENCE_MS
from held import Held
from imgpool.imaging.samples import sample_images
from serving import SAMPLES, Server, wait_for

OpenPage = Callable[..., Page]
CUT = SAMPLES / "hostile" / "truncated.jpg"


def test_the_first_frame_is_in_the_readers_language_and_zone(browser: Browser, tmp_path: Path) -> None:
    options = ["--workers", "1", "--isolation", "thread", "--queue-capacity", "1500"]
    with Server(tmp_path / "d", *options) as server:
        image = server.upload(CUT.read_bytes(), "cut.jpg")[1]["images"][0]
        received = server.get(image["url"])["received_at"]
        server.wait_until_settled()
        context = browser.new_context(locale="de-DE", timezone_id="Asia/Kathmandu")
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.add_init_script(
            """requestAnimationFrame(function look() {
                const main = document.querySelector(".cards")?.closest("main");
                if (main) window.firstFrame = main.innerText; else requestAnimationFrame(look);
            })"""
        )
        reader = Held(page, "**/reader.js")
        page.goto(f"{server.url}/status", wait_until="commit")
        page.wait_for_function("() => document.querySelector('.site-foot')", polling=50)
        assert page.evaluate("window.firstFrame") is None  # the page waits for its language
        reader.wait()
        reader.let_go()
        page.wait_for_function("() => window.firstFrame", polling=50)
        first = page.evaluate("window.firstFrame")
        assert "1.500 free" in first
        assert "1,500" not in first
        assert "UTC" not in first
        hours, minutes = (int(part) for part in received[11:16].split(":"))
        there = (hours * 60 + minutes + 5 * 60 + 45) % (24 * 60)
        clock = f"{there // 60:02d}:{there % 60:02d}:{received[17:19]}"
        assert clock in first
        expect(page.locator(".figure canvas")).to_have_count(5)
        expect(page.locator('.legend [data-field="pool.queue.free"]')).to_have_text("1.500")
        expect(page.locator(".card time")).to_have_text(clock)
        server.steer(queue_capacity=2500)
        expect(page.locator('.legend [data-field="pool.queue.free"]')).to_have_text("2.500")
        context.close()


@pytest.mark.alone
def test_what_is_drawn_is_the_truth_of_this_second(server: Server, open_page: OpenPage) -> None:
    server.steer(paused=True)
    page = open_page(f"{server.url}/status")
    expect(page.get_by_role("heading", level=1)).to_have_text("The pool is paused")
    page.evaluate(
        """() => {
            window.seen = {};
            const note = () => {
                const places = document.querySelectorAll('[data-channel="pool.queue"] .place');
                const full = Array.from(places).filter((each) => each.dataset.place === "buffered").length;
                const lanes = document.querySelectorAll(".lane").length;
                window.seen[`${full} in ${lanes}`] ??= Date.now();
            };
            new MutationObserver(note).observe(document.body, { subtree: true, childList: true, attributes: true });
        }"""
    )
    lags = []
    for number in range(1, 8):
        if number % 2:
            assert server.upload(CUT.read_bytes(), f"{number}.jpg")[0] == 202
        else:
            server.steer(workers=1 + number // 2)
        changed = time.time()
        status = server.get("/api/status")["pool"]
        wanted = f"{status['queue']['buffered']} in {len(status['lanes'])}"
        assert wanted == f"{(number + 1) // 2} in {1 + number // 2}"
        page.wait_for_function("(wanted) => wanted in window.seen", arg=wanted)
        lags.append(page.evaluate("(wanted) => window.seen[wanted]", wanted) / 1000 - changed)
    print(" ".join(f"{lag:.2f}" for lag in lags))
    assert statistics.median(lags) < 1.0, lags
    server.steer(paused=False)


def test_a_tab_in_the_background_says_how_far_it_is(server: Server, open_page: OpenPage) -> None:
    page = open_page(f"{server.url}/status")
    icon = page.locator('link[rel="icon"]')
    icons = {icon.get_attribute("href")}
    expect(page).to_have_title("Status · imgpool")
    server.steer(paused=True)
    for number in range(2):
        server.upload(CUT.read_bytes(), f"{number}.jpg")
    expect(page).to_have_title("0 of 2 · The pool is paused · imgpool")
    expect(icon).to_have_attribute("href", re.compile("favicon-closed"))
    icons.add(icon.get_attribute("href"))
    expect(page.locator(".card")).to_have_count(2)
    # Headless Chromium counts every tab as seen; this is what the page is told in one that is not. It asks one question
    # after the other: with this one's answer none is on its way any more that was asked when it was seen.
    with page.expect_response("**/api/status?watch"):
        page.evaluate(
            """() => {
                Object.defineProperty(document, "hidden", { get: () => true });
                document.dispatchEvent(new Event("visibilitychange"));
            }"""
        )
    server.upload(CUT.read_bytes(), "third.jpg")
    expect(page).to_have_title("0 of 3 · The pool is paused · imgpool")
    assert page.locator(".card").count() == 2  # in the background it asks for the status alone
    server.steer(paused=False)
    expect(page).to_have_title("Status · imgpool")
    assert {icon.get_attribute("href")} | icons == icons
    pictures = [page.request.get(server.url + str(each)).text() for each in icons]
    assert len(set(pictures)) == 2
    assert all("<svg" in each for each in pictures)


def looked(page: Page) -> str:
    """Have a page whose clock stands look at the server, as it does when somebody comes back to it; its heading."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.clock.run_for(1)
    return page.get_by_role("heading", level=1).inner_text()


def test_it_speaks_of_what_changes_but_not_all_the_time(server: Server, open_page: OpenPage) -> None:
    page = open_page(f"{server.url}/learn")
    page.clock.install()
    page.goto(f"{server.url}/status")
    page.clock.pause_at(time.time() + 3600)  # time stands still: how long this takes here is no time for the page
    page.evaluate(
        """() => {
            window.said = [];
            const region = document.querySelector("[data-said]");
            const note = () => window.said.push(region.textContent);
            new MutationObserver(note).observe(region, { childList: true, characterData: true, subtree: true });
        }"""
    )
    region = page.locator("[data-said]")
    assert region.get_attribute("role") == "status"
    for paused, headline in ((True, "The pool is paused"), (False, "Accepting uploads")) * 2:
        server.steer(paused=paused)
        wait_for(lambda: looked(page) == headline, headline)  # noqa: B023 - called at once
    assert page.evaluate("window.said") == ["The pool is paused"]
    page.clock.fast_forward(10_000)
    expect(region).to_have_text("Accepting uploads")
    assert page.evaluate("window.said") == ["The pool is paused", "Accepting uploads"]


def test_a_first_visit_sends_the_samples_with_one_click(server: Server, open_page: OpenPage) -> None:
    page = open_page(f"{server.url}/status")
    expect(page.get_by_role("heading", name="No images yet.")).to_be_visible()
    page.get_by_role("button", name=re.compile(r"^Send \d+ sample images$")).click()
    expect(page.get_by_role("heading", name="No images yet.")).to_be_hidden()
    expect(page.locator('.card[data-state="done"]').first).to_be_visible()
    expect(page.locator('.sums [data-field="counts.accepted"]')).to_have_text(str(len(sample_images())))
    plain = open_page(f"{server.url}/status?state=failed", java_script_enabled=False)
    expect(plain.get_by_text("No image is failed now.")).to_be_visible()
    expect(plain.get_by_role("button", name="Select all shown")).to_be_hidden()
