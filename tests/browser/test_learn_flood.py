"""Overload, live: real uploads from a real browser flood the real service, which refuses, recovers, and is compared."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from browsers import PATIENCE_MS
from serving import Server

pytestmark = pytest.mark.alone  # learners measure

OpenPage = Callable[..., Page]


def test_one_photo_goes_through_the_real_queue(open_page: OpenPage, server: Server) -> None:
    page = open_page(f"{server.url}/learn")
    flood = page.locator("[data-flood]")
    flood.get_by_role("button", name="Send one photo").click()
    expect(flood.locator("[data-lab-line]")).to_have_text("Accepted: it has a place in the queue.")
    assert server.wait_until_settled()["done"] == 1
    flood.get_by_role("button", name="Delete what the flood left").click()
    expect(flood.locator("[data-lab-line]")).to_have_text("Deleted.")
    assert server.get("/api/status")["counts"]["deleted"] == 1


@pytest.mark.skipif(sys.platform != "linux", reason="the server without protection limits its memory by /proc")
def test_a_flood_fills_is_refused_recovers_and_is_compared(browser: Browser, tmp_path: Path) -> None:
    """Not `open_page`: refusals are what this is about, and it takes them for something wrong."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    errors: list[str] = []
    with Server(tmp_path / "d", "--workers", "1", "--queue-capacity", "6") as server:
        try:
            page = context.new_page()
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(f"{server.url}/learn")
            flood = page.locator("[data-flood]")
            flood.scroll_into_view_if_needed()
            flood.get_by_label("the one that refuses some of them").check()
            # Images may be queued for less than the second after which Playwright looks again.
            flood.evaluate(
                """(flood) => new MutationObserver(() => {
                    window.queued ||= Boolean(flood.querySelector('.channel .place[data-place="buffered"]'));
                }).observe(flood, { subtree: true, childList: true, attributes: true })"""
            )
            flood.get_by_role("button", name="Flood it").click()
            page.wait_for_function("() => window.queued")
            expect(flood.locator('[data-flood-marks] [data-was="refused"]').first).to_be_attached()
            expect(flood.get_by_text("Nobody was turned away since the start.")).to_be_hidden()
            # Which server made more depends on the machine; the verdict has to be the one of these figures.
            verdict = flood.locator("[data-lab-verdict]")
            expect(verdict).to_have_text(re.compile(r"^(✓ Right|✗ Not quite)\."))
            told_right = verdict.inner_text().startswith("✓")
            expect(flood.locator("[data-headline]")).to_have_text("Accepting uploads")
            rows = {
                row.locator("th").inner_text(): row.locator("td").all_inner_texts()
                for row in flood.locator("[data-versus] tr").all()
            }
            told = server.wait_until_settled()
            status = server.get("/api/status")
        finally:
            context.close()
    assert rows["arrived"] == ["66", "66"]
    assert int(rows["accepted"][0]) == int(rows["done"][0]) == told["done"] == told["accepted"]
    assert int(rows["refused, with a reason"][0]) == status["since_start"]["refused"] == 66 - told["accepted"] > 0
    assert rows["accepted, and lost"][0] == "0"
    assert rows["without any answer"][0] == "0"
    assert all(re.fullmatch(r"\d+\u00a0MB", cell) for cell in rows["most memory"]), rows
    assert told_right == (int(rows["done"][0]) >= int(rows["done"][1]))
    assert int(rows["done"][1]) + int(rows["accepted, and lost"][1]) <= int(rows["accepted"][1]) <= 66
    # Over the same time, so as the photos done, but for the rounding; and who dies early has not been quick.
    done = [int(cell) for cell in rows["done"]]
    goodput = [float(cell) for cell in rows["done per second, over the same time (goodput)"]]
    assert goodput[0] * done[1] == pytest.approx(goodput[1] * done[0], abs=0.051 * sum(done))
    assert int(rows["accepted, and lost"][1]) == 0 or rows["99 % of those accepted were done within"][1] == "never"
    assert errors == []
