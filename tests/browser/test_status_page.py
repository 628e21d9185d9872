"""The status page keeps itself true without a reload, and an image's page shows and deletes it."""

from __future__ import annotations

import http.client
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import psutil
from playwright.sync_api import Browser, Page, Route, expect

from browsers import PATIENCE_MS
from held import Held
from imgpool.service.sqlite import SQLiteRecords
from serving import PATIENT, SAMPLES, WAIT_S, Server, wait_for

OpenPage = Callable[..., Page]


def _sums(page: Page) -> dict[str, int]:
    """The numbers that add up, all of one moment."""
    read = "(all) => Object.fromEntries(all.map((each) => [each.dataset.field, Number(each.value)]))"
    numbers: dict[str, int] = page.locator(".sums [data-field]").evaluate_all(read)
    return numbers


def _wait_for_pictures(page: Page, number: int) -> None:
    """One that is deleted while it is being asked for would be logged as missing."""
    came = "(pictures) => pictures.filter((each) => each.naturalWidth > 0).length"
    wait_for(lambda: page.locator(".card img").evaluate_all(came) == number, f"{number} thumbnails")


def _delete(server: Server, address: str) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=WAIT_S)) as connection:
        connection.request("DELETE", address)
        assert connection.getresponse().status == 204


def _decoders(server: Server) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(server.process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "imgpool.imaging.child" in process.cmdline():
                found.append(process)
    return found


def test_it_keeps_itself_up_to_date_without_a_reload(server: Server, open_page: OpenPage, samples: list[Path]) -> None:
    page = open_page(f"{server.url}/status")
    expect(page.get_by_text("No images yet.")).to_be_visible()
    page.evaluate("window.sameDocument = true")
    for sample in samples:
        assert server.upload(sample.read_bytes(), sample.name)[0] == 202
    server.upload((SAMPLES / "hostile" / "truncated.jpg").read_bytes(), "truncated.jpg")
    server.upload((SAMPLES / "hostile" / "drawing.eps").read_bytes(), "drawing.eps")
    expect(page.locator('.card[data-state="done"] img[src$="/thumb"]')).to_have_count(3)
    failed = page.locator('.card[data-state="failed"]')
    expect(failed).to_contain_text("truncated.jpg")
    expect(failed.locator(".card-error")).to_contain_text("cut short")
    expect(page.get_by_text("No images yet.")).to_be_hidden()
    expect(page.locator('[data-reason="unsupported_format"]')).to_have_text("1 not an accepted image format")
    expect(page.locator('.sums [data-field="counts.done"]')).to_have_text("3")
    expect(page.locator('.sums [data-field="counts.failed"]')).to_have_text("1")
    sums = _sums(page)
    parts = ("queued", "processing", "done", "failed", "deleted")
    assert sums["counts.accepted"] == sum(sums[f"counts.{part}"] for part in parts) == 4
    assert sums["since_start.received"] == 5
    assert sums["since_start.refused"] == 1
    assert page.evaluate("window.sameDocument") is True


def test_an_update_leaves_the_focus_and_what_is_read_where_they_were(
    server: Server, open_page: OpenPage, samples: list[Path]
) -> None:
    server.upload(samples[0].read_bytes(), "first.jpg")
    server.wait_until_settled()
    page = open_page(f"{server.url}/status")
    link = page.locator(".card a").first
    link.focus()
    card = page.locator(".card").first.element_handle()
    server.upload(samples[1].read_bytes(), "second.png")
    expect(page.get_by_role("button", name="Show 1 new")).to_be_visible()
    expect(page.locator(".card-name")).to_have_text(["first.jpg"])
    page.evaluate("scrollTo(0, 0)")  # nobody looks at the cards any more
    expect(page.locator(".card-name")).to_have_text(["second.png", "first.jpg"])
    assert card.evaluate("(card) => card.isConnected && card.contains(document.activeElement)")
    expect(page.locator(".card .card-name").nth(1)).to_have_text("first.jpg")


def test_a_full_queue_is_said_and_drawn_and_so_is_its_end(open_page: OpenPage, tmp_path: Path) -> None:
    with Server(tmp_path / "d", "--workers", "1", "--isolation", "thread", "--queue-capacity", "1", *PATIENT) as server:
        page = open_page(f"{server.url}/status")
        expect(page.get_by_role("heading", level=1)).to_have_text("Accepting uploads")
        slow = http.client.HTTPConnection("127.0.0.1", server.port, timeout=WAIT_S)
        slow.putrequest("POST", "/api/images?name=slow.jpg")
        slow.putheader("Content-Length", "1000000")
        slow.endheaders(b"\xff\xd8\xff")  # holds the only place for as long as its body is awaited
        expect(page.get_by_role("heading", level=1)).to_have_text("The queue is full")
        places = page.locator('[data-channel="pool.queue"] .place')
        expect(places).to_have_attribute("data-place", "reserved")
        slow.close()
        expect(page.get_by_role("heading", level=1)).to_have_text("Accepting uploads")
        expect(places).to_have_attribute("data-place", "free")


def test_a_queue_too_large_for_squares_is_a_bar(open_page: OpenPage, tmp_path: Path) -> None:
    with Server(tmp_path / "d", "--workers", "1", "--isolation", "thread", "--queue-capacity", "500") as server:
        page = open_page(f"{server.url}/status")
        expect(page.locator('[data-channel="pool.queue"] svg')).to_be_visible()
        expect(page.locator('[data-channel="pool.queue"] .place')).to_have_count(0)
        expect(page.locator('.legend [data-field="pool.queue.free"]')).to_have_text("500")


def test_it_says_so_while_the_server_is_away_and_goes_on_afterwards(
    server: Server, open_page: OpenPage, samples: list[Path]
) -> None:
    page = open_page(f"{server.url}/status")
    # Playwright cannot answer what the browser has in its cache, so both addresses are cut off here.
    away = re.compile(r"/api/")

    def cut(route: Route) -> None:
        route.fulfill(status=200, content_type="application/json", body="{")

    page.route(away, cut)
    expect(page.get_by_text("Connection lost, trying again.")).to_be_visible()
    expect(page).to_have_title("Connection lost · imgpool")
    page.unroute(away, cut)
    server.upload(samples[0].read_bytes(), "after.jpg")
    expect(page.get_by_text("Connection lost, trying again.")).to_be_hidden()
    expect(page).not_to_have_title("Connection lost · imgpool")
    expect(page.locator(".card-name")).to_have_text(["after.jpg"])


def test_filters_and_older_pages_are_links(server: Server, open_page: OpenPage, samples: list[Path]) -> None:
    for name in ("one.jpg", "two.jpg", "three.jpg"):
        server.upload(samples[0].read_bytes(), name)
    server.wait_until_settled()
    page = open_page(f"{server.url}/status?limit=2", java_script_enabled=False)
    expect(page.locator(".card-name")).to_have_text(["three.jpg", "two.jpg"])
    page.get_by_role("link", name="Older").click()
    expect(page.locator(".card-name")).to_have_text(["one.jpg"])
    page.get_by_role("link", name="Newest").click()
    page.get_by_role("link", name="failed 0").click()
    expect(page.get_by_text("No image is failed now.")).to_be_visible()
    page.get_by_role("link", name="done 3").click()
    expect(page.locator(".card")).to_have_count(3)


def test_without_javascript_it_can_be_held_still_to_tick_images(
    server: Server, open_page: OpenPage, samples: list[Path]
) -> None:
    for name in ("one.jpg", "two.jpg", "three.jpg"):
        server.upload(samples[0].read_bytes(), name)
    server.wait_until_settled()
    page = open_page(f"{server.url}/status?state=done&limit=2", java_script_enabled=False)
    reload = page.locator('meta[http-equiv="refresh"]')
    expect(reload).to_have_attribute("content", "5")
    page.get_by_role("link", name="Hold it still").click()
    expect(reload).to_have_count(0)
    expect(page.locator(".card-name")).to_have_text(["three.jpg", "two.jpg"])
    page.get_by_role("link", name="Older").click()
    expect(page.locator(".card-name")).to_have_text(["one.jpg"])
    expect(reload).to_have_count(0)
    _wait_for_pictures(page, 1)
    page.get_by_role("checkbox").check()
    page.get_by_text("Delete selected images").click()
    page.get_by_role("button", name="Delete for good").click()
    expect(page.locator(".card-name")).to_have_text(["three.jpg", "two.jpg"])
    expect(page.get_by_role("link", name="Hold it still")).to_be_visible()
    page.goto(f"{server.url}/status?hold")
    page.get_by_role("link", name="Let it go on").click()
    expect(reload).to_have_attribute("content", "5")


def test_an_image_shows_its_variants_and_can_be_deleted_without_javascript(
    server: Server, open_page: OpenPage, samples: list[Path]
) -> None:
    server.upload(samples[0].read_bytes(), "lake.jpg")
    server.wait_until_settled()
    page = open_page(f"{server.url}/status", java_script_enabled=False)
    page.get_by_role("link", name="lake.jpg").click()
    expect(page.get_by_role("row", name=re.compile("large.*1600.*1200"))).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("thumb.*256.*192"))).to_be_visible()
    expect(page.get_by_role("img", name="lake.jpg")).to_have_js_property("naturalWidth", 1600)
    page.get_by_text("Delete this image").click()
    page.get_by_role("button", name="Delete for good").click()
    page.wait_for_url("**/status")
    expect(page.get_by_text("No images yet.")).to_be_visible()
    expect(page.locator('.sums [data-field="counts.deleted"]')).to_have_text("1")


def test_the_pool_at_work_is_drawn_and_an_unfinished_image_shows_its_picture_when_it_is_done(
    open_page: OpenPage, tmp_path: Path, samples: list[Path]
) -> None:
    with Server(tmp_path / "d", "--workers", "1", "--queue-capacity", "4") as server:
        # A decoder that stands still keeps its image for as long as the test wants.
        server.upload(samples[1].read_bytes(), "warm-up.png")
        assert server.wait_until_settled()["done"] == 1
        (decoder,) = _decoders(server)
        decoder.suspend()
        try:
            first = server.upload(samples[0].read_bytes(), "first.jpg")[1]["images"][0]
            server.upload(samples[0].read_bytes(), "second.jpg")
            status = open_page(f"{server.url}/status")
            lane = status.locator(".lane")
            expect(lane).to_have_count(1)
            expect(lane.get_by_role("link", name="first.jpg")).to_be_visible()
            expect(status.locator('[data-channel="pool.queue"] .place[data-place="buffered"]')).to_have_count(1)
            expect(status.locator('[data-channel="pool.queue"] .place[data-place="free"]')).to_have_count(3)
            moving = "document.getAnimations().filter((each) => each.playState === 'running').length"
            assert status.evaluate(moving) > 0
            still = open_page(f"{server.url}/status", reduced_motion="reduce")
            expect(still.locator('.lane[data-busy="yes"]')).to_have_count(1)
            assert still.evaluate(moving) == 0
            image = open_page(server.url + first["url"].removeprefix("/api"))
            expect(image.get_by_role("heading", name="A worker has it now")).to_be_visible()
        finally:
            decoder.resume()
        expect(image.get_by_role("img", name="first.jpg")).to_be_visible()
        expect(lane).to_contain_text("idle")
        expect(status.locator('.card[data-state="done"]')).to_have_count(3)


def test_a_deleted_image_leaves_an_open_status_page(server: Server, open_page: OpenPage, samples: list[Path]) -> None:
    _, answer, _ = server.upload(samples[0].read_bytes(), "lake.jpg")
    server.wait_until_settled()
    page = open_page(f"{server.url}/status")
    _wait_for_pictures(page, 1)
    _delete(server, answer["images"][0]["url"])
    expect(page.locator(".card")).to_have_count(0)


def test_steering_is_seen_at_once_and_says_what_is_not_possible(open_page: OpenPage, tmp_path: Path) -> None:
    with Server(tmp_path / "d", "--workers", "1", "--queue-capacity", "8", "--decode-memory-bytes", "384MiB") as server:
        page = open_page(f"{server.url}/status")
        page.evaluate("window.sameDocument = true")
        page.get_by_role("button", name="One worker more").click()
        expect(page.locator(".lane")).to_have_count(2)
        expect(page.get_by_role("button", name="One worker more")).to_be_disabled()
        page.get_by_label("Places in the queue").last.fill("5")
        page.get_by_label("Places in the queue").last.press("Enter")
        expect(page.locator('[data-channel="pool.queue"] .place')).to_have_count(5)
        page.get_by_role("button", name="Pause").press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("The pool is paused")
        server.upload((SAMPLES / "hostile" / "truncated.jpg").read_bytes(), "cut.jpg")
        expect(page.locator('[data-channel="pool.queue"] .place[data-place="buffered"]')).to_have_count(1)
        page.get_by_role("button", name="Resume").click()
        expect(page.locator('.card[data-state="failed"]')).to_have_count(1)
        page.get_by_role("button", name="Retry all failed").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Accepting uploads")
        assert page.evaluate("window.sameDocument") is True
        plain = open_page(f"{server.url}/status", java_script_enabled=False)
        plain.get_by_role("button", name="One worker fewer").click()
        expect(plain.locator(".lane")).to_have_count(1)
        plain.get_by_role("button", name="Pause").click()
        expect(plain.get_by_role("heading", level=1)).to_have_text("The pool is paused")


def test_two_quick_clicks_are_two_workers(server: Server, open_page: OpenPage) -> None:
    page = open_page(f"{server.url}/status")
    page.get_by_role("button", name="One worker more").dblclick()
    expect(page.locator(".lane")).to_have_count(3)
    assert server.get("/api/status")["pool"]["workers"] == 3


def test_images_that_could_not_be_deleted_stay_and_it_is_said(
    server: Server, open_page: OpenPage, samples: list[Path]
) -> None:
    server.upload(samples[1].read_bytes(), "one.png")
    server.wait_until_settled()
    page = open_page(f"{server.url}/status")
    _wait_for_pictures(page, 1)
    page.get_by_role("checkbox", name="Select one.png").check()
    page.get_by_text("Delete selected images (1)").click()
    page.context.set_offline(True)
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_role("alert").filter(has_text="Not deleted")).to_be_visible()
    expect(page.locator(".card-name")).to_have_text(["one.png"])
    page.context.set_offline(False)
    page.get_by_role("button", name="Delete for good").click()
    expect(page.locator(".card-name")).to_have_count(0)
    expect(page.locator("#images-title")).to_be_focused()


def test_the_page_of_an_unfinished_image_that_is_deleted_says_that_it_is_gone(
    server: Server, browser: Browser, samples: list[Path]
) -> None:
    server.steer(paused=True)
    image = server.upload(samples[1].read_bytes(), "one.png")[1]["images"][0]
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    try:
        page.goto(server.url + image["url"].removeprefix("/api"))
        expect(page.get_by_role("heading", name="Waiting for a worker")).to_be_visible()
        with page.expect_navigation() as gone:
            _delete(server, image["url"])
        assert gone.value is not None
        assert gone.value.status == 404
    finally:
        page.close()


def test_many_images_are_ticked_and_deleted(server: Server, open_page: OpenPage, samples: list[Path]) -> None:
    for name in ("one.jpg", "two.jpg", "three.jpg"):
        server.upload(samples[1].read_bytes(), name)
    server.wait_until_settled()
    page = open_page(f"{server.url}/status")
    _wait_for_pictures(page, 3)
    page.get_by_role("checkbox", name="Select one.jpg").check()
    page.get_by_role("checkbox", name="Select three.jpg").check()
    page.get_by_text("Delete selected images (2)").click()
    page.get_by_role("button", name="Delete for good").click()
    expect(page.locator(".card-name")).to_have_text(["two.jpg"])
    expect(page.locator('.sums [data-field="counts.deleted"]')).to_have_text("2")


def test_the_last_five_minutes_are_drawn_and_told_in_a_table(server: Server, open_page: OpenPage) -> None:
    server.upload(b"This is not a picture. " * 50, "not.jpg")
    page = open_page(f"{server.url}/status")
    expect(page.locator(".figure canvas")).to_have_count(5)
    expect(page.locator('[data-series="capacity"] [data-now]')).to_have_text("64")
    expect(page.locator('[data-series="refused_per_s"] [data-most]')).not_to_have_text("0/s")
    expect(page.locator(".refused .latest li")).to_contain_text("not an accepted image format")
    inked = """(canvas) => canvas.getContext("2d")
        .getImageData(0, 0, canvas.width, canvas.height).data.some((each) => each)"""
    assert page.locator('[data-figure="memory"] canvas').evaluate(inked)
    plain = open_page(f"{server.url}/status", java_script_enabled=False)
    expect(plain.locator('[data-series="capacity"] [data-now]')).to_have_text("64")
    expect(plain.locator(".plot:visible")).to_have_count(0)  # nothing will ever be drawn there


def test_a_hundred_thousand_images_scroll_by_and_only_those_near_have_cards(
    open_page: OpenPage, tmp_path: Path
) -> None:
    data = tmp_path / "d"
    data.mkdir()
    SQLiteRecords(data / "imgpool.db").close()
    with closing(sqlite3.connect(data / "imgpool.db")) as db, db:
        db.executemany(
            "INSERT INTO images (id, name, state, bytes, format, received_at, finished_at) "
            "VALUES (?, ?, 'done', 1, 'jpeg', 1, 2)",
            ((f"{number:032x}", f"{number}.jpg") for number in range(1, 100_001)),
        )
    with Server(data, "--workers", "1", "--isolation", "thread") as server:
        page = open_page(f"{server.url}/status")
        expect(page.locator(".card-name").first).to_have_text("100000.jpg")
        for pages in range(12):
            page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
            expect(page.locator(".older-page").nth(pages).locator(".card").first).to_be_attached()
        expect(page.locator(".card-name").last).to_have_text(f"{100_000 - 60 * 13 + 1}.jpg")
        expect(page.locator(".older-page").first.locator(".card")).to_have_count(0)
        assert page.locator(".card").count() <= 400
        _look_at_those_on_their_way(page)
        page.evaluate("scrollTo(0, 0)")
        page.locator(".older-page").first.evaluate("(older) => older.scrollIntoView()")
        expect(page.locator(".older-page").first.locator(".card-name").first).to_have_text("99940.jpg")
        page.evaluate("scrollTo(0, 0)")
        expect(page.locator(".card-name").first).to_have_text("100000.jpg")
        expect(page.locator(".older-page").last.locator(".card")).to_have_count(0)


def _look_at_those_on_their_way(page: Page) -> None:
    """Cards stand in for images that are being asked for, of the same height as theirs, also when an answer is lost."""
    held = Held(page, re.compile(r"/api/images\?.*cursor="))
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    on_their_way = page.locator(".card[data-skeleton]")
    expect(on_their_way).to_have_count(60)
    heights = "(cards) => Array.from(new Set(cards.map((card) => card.getBoundingClientRect().height)))"
    assert page.locator(".card").evaluate_all(heights) == on_their_way.evaluate_all(heights)
    held.wait()
    held.let_go(lost=True)  # it asks again
    expect(on_their_way).to_have_count(0)


def test_what_is_new_comes_on_top_and_nothing_is_lost_below(
    server: Server, open_page: OpenPage, samples: list[Path]
) -> None:
    for number in range(5):
        server.upload(samples[1].read_bytes(), f"{number}.png")
    server.wait_until_settled()
    page = open_page(f"{server.url}/status?limit=2")
    expect(page.locator(".card-name")).to_have_text([f"{number}.png" for number in (4, 3, 2, 1, 0)])
    for number in (5, 6, 7):
        server.upload(samples[1].read_bytes(), f"{number}.png")
    expect(page.locator(".card-name")).to_have_text([f"{number}.png" for number in range(7, -1, -1)])
    expect(page.locator('.card[data-state="done"]')).to_have_count(8)


def test_what_is_no_longer_among_the_newest_is_still_told(
    server: Server, open_page: OpenPage, samples: list[Path]
) -> None:
    for number in range(3):
        server.upload(samples[1].read_bytes(), f"{number}.png")
    server.wait_until_settled()
    server.steer(paused=True)
    page = open_page(f"{server.url}/status?limit=2")
    expect(page.locator(".card-name")).to_have_text(["2.png", "1.png", "0.png"])
    for number in (3, 4, 5):
        server.upload(samples[1].read_bytes(), f"{number}.png")
        expect(page.locator(".card-name").first).to_have_text(f"{number}.png")
    expect(page.locator('.card[data-state="queued"]')).to_have_count(3)
    server.steer(paused=False)
    expect(page.locator('.card[data-state="done"]')).to_have_count(6)


def test_an_answer_from_before_a_change_is_not_drawn_over_it(server: Server, open_page: OpenPage) -> None:
    page = open_page(f"{server.url}/status")
    page.evaluate(
        """() => {
            window.late = new Promise((go) => (window.letGo = go));
            window.headlines = [];
            const ask = window.fetch;
            window.fetch = async (address, options) => {
                const answer = await ask(address, options);
                if (window.held || !/status/.test(address)) return answer;
                window.held = true;
                await window.late;
                return answer;
            };
            const line = document.querySelector("[data-headline]");
            new MutationObserver(() => window.headlines.push(line.textContent)).observe(line, { childList: true });
        }"""
    )
    page.wait_for_function("() => window.held")  # the server has answered, and the answer takes its time
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    with page.expect_response("**/api/status?watch*") as next_answer:
        page.evaluate("window.letGo()")
    next_answer.value.finished()
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Accepting uploads")
    assert page.evaluate("window.headlines") == ["The pool is paused", "Accepting uploads"]


def test_the_tab_says_how_the_pool_is(server: Server, open_page: OpenPage, samples: list[Path]) -> None:
    page = open_page(f"{server.url}/status")
    expect(page).to_have_title("Status · imgpool")
    page.get_by_role("button", name="Pause").click()
    expect(page).to_have_title("The pool is paused · imgpool")
    expect(page.locator('link[rel="icon"]')).to_have_attribute("href", re.compile("favicon-closed"))
    server.upload(samples[1].read_bytes(), "one.png")
    page.get_by_role("button", name="Resume").click()
    expect(page).to_have_title("Status · imgpool")


def test_numbers_and_times_are_in_the_readers_language(server: Server, open_page: OpenPage) -> None:
    page = open_page(f"{server.url}/status", locale="de-DE")
    expect(page.locator('[data-series="cpu"] [data-now]')).to_have_text(re.compile(r"^\d+,\d\d$"))


def test_the_link_of_an_image_is_copied(server: Server, open_page: OpenPage, samples: list[Path]) -> None:
    _, answer, _ = server.upload(samples[1].read_bytes(), "one.png")
    server.wait_until_settled()
    page = open_page(server.url + answer["images"][0]["url"].removeprefix("/api"))
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == page.url
