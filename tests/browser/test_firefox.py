"""A walk over the pages in a real Firefox: what it does otherwise than Chromium; and nothing is logged on the way."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from browsers import installed
from held import Held
from pictures import with_camera_exif
from serving import SAMPLES, Server, wait_for
from slow_line import SlowLine

SLOW_BYTES_PER_S = 200_000  # so that what is on its way stays so until it was looked at
OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Playwright speaks WebDriver BiDi to an installed Firefox (channel moz-firefox)."""
    with installed("firefox", "firefox-esr", "firefox", channel="moz-firefox") as firefox:
        yield firefox


def row(page: Page, name: str) -> Locator:
    return page.locator(".row", has_text=name)


def padded(path: Path) -> Path:
    """What follows a JPEG's end is ignored."""
    path.write_bytes((SAMPLES / "forest-orientation-6.jpg").read_bytes() + b"\0" * 4_000_000 + path.name.encode())
    return path


def jpeg(size: tuple[int, int]) -> bytes:
    with BytesIO() as file:
        Image.new("RGB", size, (40, 120, 180)).save(file, "JPEG")
        return file.getvalue()


@contextmanager
def held_place(server: Server) -> Iterator[None]:
    """One place is taken by an upload that goes on: one that stands still would lose it to whoever wants it."""
    over = threading.Event()
    with socket.create_connection(("127.0.0.1", server.port)) as other:
        other.sendall(b"POST /api/images HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000000\r\n\r\n")
        other.sendall((SAMPLES / "forest-orientation-6.jpg").read_bytes())

        def go_on() -> None:
            while not over.wait(0.05):
                other.sendall(bytes(1000))

        sending = threading.Thread(target=go_on)
        sending.start()
        try:
            wait_for(lambda: server.get("/api/status")["pool"]["queue"]["reserved"] == 1, "the one place to be taken")
            yield
        finally:
            over.set()
            sending.join()


def test_previews_have_the_photo_s_shape_and_what_is_chosen_ends_done(
    open_page: OpenPage, server: Server, tmp_path: Path
) -> None:
    camera = tmp_path / "camera.jpg"  # three to two, upright by its Exif; its small picture has four to three
    camera.write_bytes(with_camera_exif(jpeg((3000, 2000)), jpeg((160, 120)), orientation=6))
    page = open_page(server.url)
    expect(page.get_by_role("button", name="Try the samples")).to_be_enabled()
    page.context.set_offline(True)
    names = {"mountain-lake.jpg": 4 / 3, "forest-orientation-6.jpg": 3 / 4, "city.webp": 3 / 2}
    shapes = {**{SAMPLES / name: shape for name, shape in names.items()}, camera: 2 / 3}
    page.get_by_label("Choose photos").set_input_files(list(shapes))
    for path, shape in shapes.items():
        canvas = row(page, path.name).locator("canvas")
        expect(canvas).to_be_visible()
        assert canvas.evaluate("(node) => node.width / node.height") == pytest.approx(shape, abs=0.02), path.name
    page.context.set_offline(False)
    expect(page.locator("[data-total=headline]")).to_have_text("All 4 done")
    expect(page.locator('.row img[src$="/thumb"]:visible')).to_have_count(4)
    row(page, camera.name).get_by_role("link").click()
    expect(page.get_by_role("img", name=camera.name)).to_be_visible()


def test_pause_resume_and_cancel(open_page: OpenPage, server: Server, tmp_path: Path) -> None:
    first, second = padded(tmp_path / "first.jpg"), padded(tmp_path / "second.jpg")
    with SlowLine(server.port, SLOW_BYTES_PER_S) as line:
        page = open_page(line.url)
        page.get_by_label("Choose photos").set_input_files([first, second])
        for photo in (first, second):
            expect(row(page, photo.name)).to_contain_text(re.compile("sending.*[kM]B of"))
        assert server.get("/api/status")["unfinished"]["uploads"] == 2
        row(page, first.name).get_by_role("button", name="Pause").click()
        expect(row(page, first.name)).to_have_attribute("data-state", "paused")
        row(page, second.name).get_by_role("button", name="Cancel").click()
        expect(row(page, second.name)).to_have_count(0)
        wait_for(lambda: server.get("/api/status")["unfinished"]["uploads"] == 1, "the second to be gone there, too")
        line.bytes_per_s = None
        page.get_by_role("button", name="Resume all").click()
        expect(page.locator("[data-total=headline]")).to_have_text("Done")
    (image,) = server.get("/api/images")["images"]
    assert (server.data_dir / "originals" / image["id"]).read_bytes() == first.read_bytes()


def test_a_full_queue_is_waited_for_and_a_file_that_is_gone_says_so(
    open_page: OpenPage, tmp_path: Path, samples: list[Path]
) -> None:
    """Of a file that is gone Firefox sends the headers, and then nothing."""
    options = ("--workers", "1", "--isolation", "thread", "--queue-capacity", "1")
    with Server(tmp_path / "data", *options) as server:
        with held_place(server):
            page = open_page(server.url)
            gone = padded(tmp_path / "gone.jpg")
            page.get_by_label("Choose photos").set_input_files([gone, samples[0]])
            expect(row(page, gone.name)).to_contain_text("waiting for room")
            gone.unlink()
        expect(page.locator("[data-total=headline]")).to_have_text("1 of 2 done, 1 needs a look")
        expect(row(page, gone.name)).to_contain_text("cannot be read any more")


def test_the_status_page_lives_also_after_the_way_back(
    open_page: OpenPage, server: Server, samples: list[Path]
) -> None:
    """Firefox mostly brings back the page as it was left, and what that asked while it was left is never answered."""
    server.upload(samples[0].read_bytes(), "first.jpg")
    server.wait_until_settled()
    page = open_page(f"{server.url}/status")
    done = page.locator('.filters [data-field="counts.done"]')
    expect(page.locator(".figure canvas")).to_have_count(5)
    expect(done).to_have_text("1")
    server.upload(samples[0].read_bytes(), "second.jpg")
    expect(done).to_have_text("2")
    page.locator(".card-name").last.click()
    expect(page.get_by_role("heading", name="first.jpg")).to_be_visible()
    with page.expect_request("**/api/status?watch*"):
        page.evaluate("setTimeout(() => history.back())")  # go_back() waits for a page that is loaded anew
    # Brought back, or loaded anew when something was being asked just then. Of the former locators do not know.
    server.upload(samples[0].read_bytes(), "third.jpg")
    told = """() => document.querySelector('.filters [data-field="counts.done"]').textContent"""
    wait_for(lambda: page.evaluate(told) == "3", "the third image to be counted")


def test_no_number_is_shown_before_it_is_the_reader_s(open_page: OpenPage, server: Server) -> None:
    page = open_page("about:blank", locale="de-DE")
    reader = Held(page, "**/reader.js")
    page.goto(f"{server.url}/status", wait_until="commit")
    number = page.locator('.facts [data-field="disk.free_bytes"]')
    expect(number).to_have_count(1)
    expect(number).to_be_hidden()
    reader.wait()
    reader.let_go()
    expect(number).to_be_visible()


def test_steering_and_a_lab_run(open_page: OpenPage, server: Server) -> None:
    page = open_page(f"{server.url}/status")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The pool is paused")
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Accepting uploads")
    learn = open_page(f"{server.url}/learn")
    lab = learn.locator('[data-stage="worker"]')
    lab.get_by_label("one", exact=True).check()
    lab.get_by_label("Jobs", exact=True).press("Enter")  # of which Firefox makes nothing by itself
    expect(lab.locator("[data-lab-verdict]")).to_contain_text("✓ Right.")
    lab.get_by_role("button", name="To the end").click()
    expect(lab.locator("[data-lab-now]")).to_have_text(re.compile(r"^(\d+) of \1\b"))
