"""The upload page: files are sent by themselves, and whatever comes in between costs time and no click."""

from __future__ import annotations

import json
import re
import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import APIResponse, Page, Route, expect

from held import Held
from serving import PATIENT, SAMPLES, Server, wait_for

OpenPage = Callable[..., Page]
SLOW_BYTES_PER_S = 200_000  # so that what is on its way stays so until it was looked at


def drop(page: Page, paths: list[Path], onto: str = "h1") -> None:
    """Drop files or folders as the operating system does it: the browser reads them from the disk."""
    box = page.locator(onto).bounding_box()
    assert box is not None
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send(
            "Input.dispatchDragEvent",
            {
                "type": kind,
                "x": box["x"] + 5,
                "y": box["y"] + 5,
                "data": {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1},
            },
        )


def throttle(page: Page, bytes_per_s: int) -> None:
    """-1 is as fast as it goes."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    conditions = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": bytes_per_s}
    session.send("Network.emulateNetworkConditions", conditions)


def headline(page: Page, text: str | re.Pattern[str]) -> None:
    expect(page.locator("[data-total=headline]")).to_have_text(text)


def row(page: Page, name: str) -> Any:
    return page.locator(".row", has_text=name)


def photos(folder: Path, number: int, padding: int = 0) -> list[Path]:
    """Pictures that differ, each as large as wanted: what follows a JPEG's end is ignored."""
    folder.mkdir(exist_ok=True)
    picture = (SAMPLES / "forest-orientation-6.jpg").read_bytes() + b"\0" * padding
    paths = [folder / f"photo-{n:04d}.jpg" for n in range(number)]
    for n, path in enumerate(paths):
        path.write_bytes(picture + str(n).encode())
    return paths


def tab_until(page: Page, selector: str) -> None:
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} is not reached by Tab")


def test_without_javascript_the_form_uploads_and_the_status_page_shows_thumbnails(
    open_page: OpenPage, server: Server, samples: list[Path]
) -> None:
    page = open_page(server.url, java_script_enabled=False)
    page.get_by_label("Choose photos").set_input_files(samples)
    page.get_by_role("button", name="Upload").click()
    page.wait_for_url("**/status")
    # The page asks for itself again every few seconds, by <noscript><meta http-equiv=refresh>.
    expect(page.locator(".card")).to_have_count(3)
    expect(page.locator('.card[data-state="done"] img[src$="/thumb"]')).to_have_count(3)
    expect(page.locator(".card-name")).to_have_text([sample.name for sample in reversed(samples)])


def test_without_javascript_a_refused_file_gets_a_page_that_says_why(open_page: OpenPage, server: Server) -> None:
    page = open_page(server.url, java_script_enabled=False)
    page.get_by_label("Choose photos").set_input_files([SAMPLES / "hostile" / "bomb.png", SAMPLES / "panorama.jpg"])
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("1 accepted, 1 refused")
    expect(page.get_by_role("region", name="Refused")).to_contain_text(re.compile(r"bomb\.png.*pixels", re.S))
    expect(page.get_by_role("region", name="Accepted")).to_contain_text("panorama.jpg")


def test_the_sign_of_waiting_for_the_server_is_there_before_it_goes(open_page: OpenPage, server: Server) -> None:
    page = open_page("about:blank")
    with page.expect_response("**/icons/waiting.svg") as sign:
        page.goto(server.url)
    assert sign.value.ok


def test_what_is_chosen_before_the_script_is_there_goes_too(
    open_page: OpenPage, server: Server, samples: list[Path]
) -> None:
    page = open_page("about:blank")
    script = Held(page, "**/upload.js")
    page.goto(server.url, wait_until="commit")
    script.wait()
    page.get_by_label("Choose photos").set_input_files(samples[1])
    script.let_go()
    headline(page, "Done")


def test_what_is_chosen_goes_by_itself_and_ends_with_its_thumbnail(
    open_page: OpenPage, server: Server, samples: list[Path]
) -> None:
    page = open_page(server.url)
    field = page.get_by_label("Choose photos")
    field.set_input_files(samples[:2])
    field.set_input_files(samples[1:])  # one of them again
    expect(page.get_by_text("In the list already, and not added again: 1.")).to_be_visible()
    headline(page, "All 3 done")
    for sample in samples:
        expect(row(page, sample.name)).to_have_attribute("data-state", "done")
        expect(row(page, sample.name).locator('img[src$="/thumb"]')).to_be_visible()
    assert page.title() == "Upload · imgpool"
    row(page, samples[0].name).get_by_role("link").click()
    expect(page.get_by_role("img", name=samples[0].name)).to_be_visible()


def test_files_and_folders_are_dropped_anywhere(open_page: OpenPage, server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "holiday"
    photos(folder, 3)
    photos(folder / "second-day", 2)
    (folder / "notes.txt").write_text("not a picture")
    page = open_page(server.url)
    drop(page, [folder])
    expect(page.get_by_text("No pictures, and left out of the folder: 1.")).to_be_visible()
    headline(page, "All 5 done")
    drop(page, photos(tmp_path / "more", 1))
    headline(page, "All 6 done")


def test_a_picture_can_be_pasted(open_page: OpenPage, server: Server) -> None:
    page = open_page(server.url)
    page.evaluate(
        """async () => {
            const canvas = Object.assign(document.createElement("canvas"), { width: 40, height: 30 });
            const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
            const clipboardData = new DataTransfer();
            clipboardData.items.add(new File([blob], "image.png", { type: "image/png" }));
            document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
        }"""
    )
    headline(page, "Done")


def test_a_first_visit_without_photos_has_the_samples(open_page: OpenPage, server: Server) -> None:
    page = open_page(server.url)
    page.get_by_role("button", name="Try the samples").click()
    headline(page, re.compile(r"^All \d\d done$"))
    expect(page.get_by_role("button", name="Try the samples")).to_be_hidden()


def test_samples_that_do_not_come_can_be_asked_for_again(open_page: OpenPage, server: Server) -> None:
    page = open_page(server.url)
    button = page.get_by_role("button", name="Try the samples")
    page.context.set_offline(True)
    button.click()
    expect(page.get_by_role("status").filter(has_text="The samples did not come")).to_be_visible()
    expect(button).to_be_enabled()
    page.context.set_offline(False)
    button.click()
    headline(page, re.compile(r"^All \d+ done$"))


def test_a_phone_takes_a_photo(open_page: OpenPage, server: Server, samples: list[Path]) -> None:
    page = open_page(server.url, has_touch=True, is_mobile=True, viewport={"width": 360, "height": 740})
    with page.expect_file_chooser() as choosing:
        page.get_by_role("button", name="Take a photo").tap()
    assert choosing.value.element.get_attribute("capture") == "environment"
    choosing.value.set_files(samples[0])
    headline(page, "Done")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    desktop = open_page(server.url)
    expect(desktop.get_by_role("button", name="Take a photo")).to_be_hidden()


def test_by_keyboard_alone_from_choosing_to_the_picture(
    open_page: OpenPage, server: Server, samples: list[Path]
) -> None:
    page = open_page(server.url)
    # Playwright asks the browser to hand over file choosers when somebody listens, and does not wait for that: a key
    # pressed right behind it could be quicker. So listen from the start; the steps up to the key are round trips.
    page.on("filechooser", lambda _: None)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Choose photos")).to_be_focused()
    with page.expect_file_chooser() as choosing:
        page.keyboard.press("Space")
    choosing.value.set_files(samples[:2])
    headline(page, "All 2 done")
    for sample in samples[:2]:  # rows are drawn a moment after the headline
        expect(row(page, sample.name)).to_have_attribute("data-state", "done")
    tab_until(page, "[data-does=remove]")
    page.keyboard.press("Enter")
    expect(row(page, samples[0].name)).to_have_count(0)
    expect(row(page, samples[1].name)).to_be_focused()
    tab_until(page, ".row-name")
    page.keyboard.press("Enter")
    expect(page.get_by_role("img", name=samples[1].name)).to_be_visible()


def test_a_full_server_makes_files_wait_and_not_people(
    open_page: OpenPage, tmp_path: Path, samples: list[Path]
) -> None:
    options = ("--workers", "1", "--isolation", "thread", "--queue-capacity", "1", *PATIENT)
    with Server(tmp_path / "data", *options) as server, socket.create_connection(("127.0.0.1", server.port)) as other:
        other.sendall(b"POST /api/images HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nx")
        wait_for(lambda: server.get("/api/status")["pool"]["queue"]["reserved"] == 1, "the one place to be taken")
        page = open_page(server.url)
        page.get_by_label("Choose photos").set_input_files(samples)
        for sample in samples:
            expect(row(page, sample.name)).to_contain_text("waiting for room")
        expect(row(page, samples[0].name)).to_contain_text(re.compile(r"asks again in about \d+ s"))
        expect(page.locator("[data-total=detail]")).to_contain_text("the queue is full")
        assert page.title() == "0 of 3 · Upload · imgpool"
        assert server.get("/api/status")["unfinished"]["uploads"] == 0, "asked for, and no byte was sent"
        other.close()
        headline(page, "All 3 done")


def test_a_file_that_is_gone_says_so_and_holds_up_nobody(
    open_page: OpenPage, tmp_path: Path, samples: list[Path]
) -> None:
    options = ("--workers", "1", "--isolation", "thread", "--queue-capacity", "1", *PATIENT)
    with Server(tmp_path / "data", *options) as server, socket.create_connection(("127.0.0.1", server.port)) as other:
        other.sendall(b"POST /api/images HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nx")
        wait_for(lambda: server.get("/api/status")["pool"]["queue"]["reserved"] == 1, "the one place to be taken")
        page = open_page(server.url)
        (gone,) = photos(tmp_path / "photos", 1)
        page.get_by_label("Choose photos").set_input_files([gone, samples[0]])
        expect(row(page, gone.name)).to_contain_text("waiting for room")
        gone.unlink()
        other.close()
        headline(page, "1 of 2 done, 1 needs a look")
        expect(row(page, gone.name)).to_contain_text("cannot be read any more")


def test_pause_resume_and_cancel(open_page: OpenPage, server: Server, tmp_path: Path) -> None:
    page = open_page(server.url)
    throttle(page, SLOW_BYTES_PER_S // 4)
    first, second = photos(tmp_path / "photos", 2, padding=1_500_000)
    page.get_by_label("Choose photos").set_input_files([first, second])
    for photo in (first, second):
        expect(row(page, photo.name)).to_contain_text(re.compile(r"sending.*kB of 2\.0.MB"))
    row(page, first.name).get_by_role("button", name="Pause").click()
    expect(row(page, first.name)).to_contain_text("paused")
    assert server.get("/api/status")["unfinished"]["uploads"] == 2
    row(page, second.name).get_by_role("button", name="Cancel").click()
    expect(row(page, second.name)).to_have_count(0)
    wait_for(
        lambda: server.get("/api/status")["unfinished"]["uploads"] == 1, "the second to be gone on the server, too"
    )
    throttle(page, -1)
    page.get_by_role("button", name="Resume all").click()
    headline(page, "Done")
    image = server.get("/api/images")["images"][0]
    assert (server.data_dir / "originals" / image["id"]).read_bytes() == first.read_bytes()


@pytest.mark.parametrize("press", ["Cancel", "Pause"])
def test_what_is_stopped_while_it_begins_leaves_nothing_on_the_server(
    open_page: OpenPage, server: Server, samples: list[Path], press: str
) -> None:
    page = open_page(server.url)
    late: list[tuple[Route, APIResponse]] = []  # the server has made the upload, and its answer takes its time
    page.route("**/api/uploads", lambda route: late.append((route, route.fetch())))
    page.get_by_label("Choose photos").set_input_files(samples[0])
    wait_for(lambda: page.wait_for_timeout(1) or late, "the upload to be made")
    assert server.get("/api/status")["unfinished"]["uploads"] == 1
    row(page, samples[0].name).get_by_role("button", name=press).click()
    ((route, answer),) = late
    route.fulfill(response=answer)
    page.unroute("**/api/uploads")
    wait_for(lambda: server.get("/api/status")["unfinished"]["uploads"] == 0, "nothing to be left")
    if press == "Pause":
        page.get_by_role("button", name="Resume all").click()
        headline(page, "Done")


def test_what_is_told_of_a_file_that_was_removed_meanwhile_is_not_counted(
    open_page: OpenPage, server: Server, samples: list[Path]
) -> None:
    page = open_page(server.url)
    page.get_by_label("Choose photos").set_input_files(samples[0])
    headline(page, "Done")
    (image,) = server.get("/api/images")["images"]
    questions = Held(page, "**/api/images?ids=*")
    page.reload()
    questions.wait()
    page.get_by_role("button", name="Clear the list").click()
    expect(page.locator(".row")).to_have_count(0)
    assert page.request.delete(server.url + image["url"]).status == 204
    with page.expect_response("**/api/images?ids=*"):
        questions.let_go()
    page.get_by_label("Choose photos").set_input_files(samples[1])
    headline(page, "Done")


def test_leaving_asks_first_and_coming_back_goes_on(open_page: OpenPage, server: Server, tmp_path: Path) -> None:
    page = open_page(server.url)
    done, half, never, never_too = photos(tmp_path / "photos", 4, padding=1_500_000)
    page.get_by_label("Choose photos").set_input_files(done)
    headline(page, "Done")
    throttle(page, SLOW_BYTES_PER_S)
    page.get_by_label("Choose photos").set_input_files([half, never, never_too])
    expect(row(page, half.name)).to_contain_text(re.compile(r"[2-9]\d\d kB of".replace(" ", "\u00a0", 1)))
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.reload()
    assert asked == ["beforeunload"]
    expect(row(page, done.name)).to_have_attribute("data-state", "done")
    expect(row(page, done.name).locator('img[src$="/thumb"]')).to_be_visible()
    expect(row(page, half.name)).to_contain_text("Choose this file again and it goes on")
    expect(page.get_by_text("A browser lets no page keep files")).to_be_visible()
    throttle(page, -1)
    with page.expect_response(lambda response: response.request.method == "HEAD") as looked:
        page.get_by_label("Choose photos").set_input_files(half)
    assert int(looked.value.headers["upload-offset"]) > 100_000, "it went on from there"
    expect(row(page, half.name)).to_have_attribute("data-state", "done")
    page.get_by_role("button", name="Forget them").click()
    headline(page, "All 2 done")
    assert len(server.get("/api/images")["images"]) == 2
    page.reload()
    assert asked == ["beforeunload"], "nothing is open any more"
    headline(page, "All 2 done")


def test_each_tab_has_its_own_list_and_a_closed_ones_is_taken_up(
    open_page: OpenPage, server: Server, tmp_path: Path
) -> None:
    first = open_page(server.url)
    throttle(first, SLOW_BYTES_PER_S)
    (photo,) = photos(tmp_path / "photos", 1, padding=1_500_000)
    first.get_by_label("Choose photos").set_input_files(photo)
    expect(row(first, photo.name)).to_contain_text("sending")
    first.evaluate("window.dispatchEvent(new Event('pagehide'))")  # as when a phone puts the tab away
    second = first.context.new_page()
    second.goto(server.url)
    expect(second.get_by_role("button", name="Try the samples")).to_be_enabled()
    second.wait_for_timeout(400)  # longer than other tabs have for their answer
    expect(second.locator("[data-scroller]")).to_be_hidden()
    first.close()  # a crash: nobody is asked
    second.reload()
    expect(row(second, photo.name)).to_contain_text("Choose this file again")
    second.get_by_label("Choose photos").set_input_files(photo)
    headline(second, "Done")


def test_a_tab_that_is_slow_to_say_that_it_lives_gets_its_list_back(
    open_page: OpenPage, server: Server, tmp_path: Path
) -> None:
    first = open_page(server.url)
    throttle(first, SLOW_BYTES_PER_S // 4)
    (photo,) = photos(tmp_path / "photos", 1, padding=1_500_000)
    first.get_by_label("Choose photos").set_input_files(photo)
    expect(row(first, photo.name)).to_contain_text("sending")
    first.evaluate(
        """() => {
            window.dispatchEvent(new Event("pagehide"));
            const post = BroadcastChannel.prototype.postMessage;
            const said = new Promise((go) => (window.speak = go));
            BroadcastChannel.prototype.postMessage = function (data) { said.then(() => post.call(this, data)); };
        }"""
    )
    second = first.context.new_page()
    second.goto(server.url)
    expect(row(second, photo.name)).to_contain_text("Choose this file again")
    first.evaluate("window.speak()")
    expect(second.locator("[data-scroller]")).to_be_hidden()
    first.close()
    second.reload()
    expect(row(second, photo.name)).to_contain_text("Choose this file again")


def test_a_closed_tab_that_is_opened_again_is_another_one_when_its_list_goes_on_elsewhere(
    open_page: OpenPage, server: Server
) -> None:
    """Else it would say that it lives, and be given back a list that is taken care of."""
    first = open_page(f"{server.url}/healthz")
    entry = {"path": "a.jpg", "name": "a.jpg", "size": 1, "modified": 1, "state": "sending"}
    first.evaluate("(text) => localStorage.setItem('imgpool.uploads.closed', text)", json.dumps([entry]))
    first.goto(server.url)
    expect(row(first, "a.jpg")).to_contain_text("Choose this file again")
    again = first.context.new_page()
    again.add_init_script("sessionStorage.setItem('imgpool.uploads.', 'closed')")
    again.goto(server.url)
    name = "sessionStorage.getItem('imgpool.uploads.')"
    wait_for(lambda: again.evaluate(name) != "closed", "another name")
    expect(row(first, "a.jpg")).to_contain_text("Choose this file again")


def test_nothing_moves_while_files_are_sent(open_page: OpenPage, server: Server, samples: list[Path]) -> None:
    page = open_page(server.url)
    page.get_by_label("Choose photos").set_input_files(samples[:1])
    headline(page, "Done")
    page.evaluate(
        """() => {
            window.moved = 0;
            new PerformanceObserver((list) => {
                for (const shift of list.getEntries()) if (!shift.hadRecentInput) window.moved += shift.value;
            }).observe({ type: "layout-shift" });
        }"""
    )
    page.get_by_label("Choose photos").set_input_files(samples[1:])
    headline(page, "All 3 done")
    assert page.evaluate("window.moved") < 0.1, "what Core Web Vitals call good"


def test_numbers_are_in_the_readers_locale(open_page: OpenPage, server: Server, tmp_path: Path) -> None:
    page = open_page(server.url, locale="de-DE")
    expect(page.get_by_role("button", name="Try the samples")).to_be_enabled()
    page.context.set_offline(True)
    files = [tmp_path / f"photo-{n:04d}.jpg" for n in range(1200)]
    for file in files:
        file.write_bytes(b"\xff\xd8" + b"." * 1498)
    page.get_by_label("Choose photos").set_input_files(files)
    headline(page, "0 of 1.200 done")
    expect(page.locator("[data-total=detail]")).to_contain_text("0\u00a0B of 1,8\u00a0MB sent")
    expect(page.get_by_role("button", name="Under way")).to_have_text("Under way 1.200")
    expect(row(page, "photo-0003.jpg")).to_contain_text("1,5\u00a0kB")
    expect(page).to_have_title("0 of 1.200 · Upload · imgpool")
    page.get_by_label("Choose photos").set_input_files(files[:1100])
    expect(page.get_by_text("not added again: 1.100.")).to_be_visible()


def test_a_tab_in_the_background_and_a_screen_reader_are_told_how_far_it_is(
    open_page: OpenPage, server: Server, tmp_path: Path
) -> None:
    page = open_page("about:blank")
    page.clock.install()
    page.goto(server.url)
    page.evaluate(
        """() => {
            window.said = [];
            const region = document.querySelector("[data-spoken]");
            new MutationObserver(() => window.said.push(region.textContent)).observe(region, { childList: true });
        }"""
    )
    assert page.locator("[data-spoken]").get_attribute("role") == "status"
    icon = page.locator("link[rel=icon]")
    plain = icon.get_attribute("href") or ""
    field = page.get_by_label("Choose photos")
    one, two, three = photos(tmp_path / "photos", 3, padding=300_000)
    field.set_input_files(one)
    headline(page, "Done")
    expect(page).to_have_title("Upload · imgpool")
    held = Held(page, "**/api/uploads/*", "PATCH")
    field.set_input_files([two, three])
    expect(page).to_have_title("1 of 3 · Upload · imgpool")
    expect(icon).to_have_attribute("href", re.compile("^data:image/svg.*stroke-dasharray"))
    page.clock.fast_forward(20_000)
    wait_for(lambda: page.evaluate("window.said.at(-1)") == "1 of 3 done", "it to be said now and then")
    held.wait(2)
    held.let_go()
    headline(page, "All 3 done")
    expect(page).to_have_title("Upload · imgpool")
    expect(icon).to_have_attribute("href", plain)
    text = tmp_path / "text.jpg"
    text.write_text("This is no picture. " * 100)
    field.set_input_files(text)
    headline(page, "3 of 4 done, 1 needs a look")
    expect(icon).to_have_attribute("href", re.compile("^data:image/svg.*rect"))
    said = ["Done", "1 of 3 done", "All 3 done", "3 of 4 done, 1 needs a look"]
    wait_for(lambda: len(page.evaluate("window.said")) == len(said), "the end to be said")
    assert page.evaluate("window.said") == said, "each once, and not each file or each byte"


def test_by_keyboard_alone_paused_resumed_cancelled_and_tried_again(
    open_page: OpenPage, server: Server, tmp_path: Path
) -> None:
    page = open_page(server.url)
    throttle(page, SLOW_BYTES_PER_S // 4)
    first, second = photos(tmp_path / "photos", 2, padding=1_000_000)
    text = tmp_path / "text.jpg"
    text.write_text("This is no picture. " * 100)
    page.get_by_label("Choose photos").set_input_files([first, second, text])
    expect(row(page, text.name)).to_have_attribute("data-state", "refused")

    def press(what: str, name: str) -> None:
        tab_until(page, f'[aria-label="{what} {name}"]')
        page.keyboard.press("Enter")

    press("Pause", first.name)
    expect(row(page, first.name)).to_have_attribute("data-state", "paused")
    expect(row(page, first.name)).to_be_focused()  # the button that was pressed is gone
    press("Resume", first.name)
    expect(row(page, first.name)).to_be_focused()
    press("Cancel", second.name)
    expect(row(page, second.name)).to_have_count(0)
    expect(row(page, text.name)).to_be_focused()
    press("Try again", text.name)
    wait_for(lambda: server.get("/api/status")["since_start"]["refused"] == 2, "the second try")
    throttle(page, -1)
    expect(row(page, first.name)).to_have_attribute("data-state", "done")
    headline(page, "1 of 2 done, 1 needs a look")


def test_the_focus_stays_on_the_page_when_a_button_for_all_files_goes(
    open_page: OpenPage, server: Server, samples: list[Path]
) -> None:
    page = open_page(server.url)
    page.context.set_offline(True)
    page.get_by_label("Choose photos").set_input_files(samples)
    page.get_by_role("button", name="Pause all").press("Enter")
    expect(page.get_by_role("button", name="Resume all")).to_be_visible()
    expect(page.locator("[data-scroller]")).to_be_focused()
    page.get_by_role("button", name="Done", exact=False).click()
    expect(page.locator("[data-scroller]")).to_be_hidden()
    page.get_by_role("button", name="Resume all").press("Enter")
    expect(page.get_by_role("button", name="Pause all")).to_be_visible()
    expect(page.get_by_role("button", name="Done", exact=False)).to_be_focused()


def test_a_long_list_has_only_the_rows_that_can_be_seen(open_page: OpenPage, server: Server, tmp_path: Path) -> None:
    page = open_page(server.url)
    throttle(page, 10_000)
    page.get_by_label("Choose photos").set_input_files(photos(tmp_path / "photos", 500))
    headline(page, re.compile("of 500 done"))
    page.get_by_role("button", name="Pause all").click()
    expect(page.locator("[data-total=detail]")).to_contain_text("paused")
    scroller = page.locator("[data-scroller]")
    scroller.evaluate("(node) => node.scrollTo(0, node.scrollHeight)")
    expect(row(page, "photo-0499.jpg")).to_be_visible()
    expect(row(page, "photo-0499.jpg")).to_have_attribute("aria-posinset", "500")
    assert page.locator(".row").count() < 40
    positions = page.locator(".row").evaluate_all("(rows) => rows.map((row) => Number(row.ariaPosInSet))")
    assert positions == sorted(positions), "in their order for keyboard and screen reader"


@pytest.mark.parametrize("name", ["text.jpg", "empty.jpg"])
def test_a_refusal_says_what_to_do_and_can_be_tried_again(
    open_page: OpenPage, server: Server, tmp_path: Path, name: str
) -> None:
    file = tmp_path / name
    file.write_text("This is no picture. " * 100 if name == "text.jpg" else "")
    page = open_page(server.url)
    page.get_by_label("Choose photos").set_input_files(file)
    headline(page, "0 of 1 done, 1 needs a look")
    expect(row(page, name)).to_contain_text("accepted are JPEG" if name == "text.jpg" else "The file is empty")
    row(page, name).get_by_role("button", name="Try again").click()
    wait_for(lambda: server.get("/api/status")["since_start"]["refused"] == 2, "the second try")
    expect(row(page, name)).to_have_attribute("data-state", "refused")
    row(page, name).get_by_role("button", name="Remove").click()
    expect(page.locator(".row")).to_have_count(0)


def test_a_server_killed_in_the_middle_costs_time_and_no_click(
    open_page: OpenPage, tmp_path: Path, unused_port: int
) -> None:
    """The small sister of tests/load/browser_thousand.py: sixty photos, four places, one kill -9."""
    options = ("--workers", "2", "--queue-capacity", "4", "--port", str(unused_port))
    files = photos(tmp_path / "photos", 60, padding=500_000)
    server = Server(tmp_path / "data", *options)
    server.start()
    try:
        page = open_page(server.url)
        throttle(page, 5_000_000)  # a dozen seconds for all of them: the kill meets it
        drop(page, files)
        wait_for(lambda: server.get("/api/status")["counts"]["done"] >= 10, "the first ones")
        server.kill()
        untimed = "sent · no connection to the server"  # neither speed nor time left
        expect(page.locator("[data-total=detail]")).to_contain_text(untimed)
        throttle(page, -1)
        server = Server(tmp_path / "data", *options)
        server.start()
        expect(page.locator("[data-total=headline]")).to_have_text("All 60 done")
        counts = server.wait_until_settled()
        assert (counts["accepted"], counts["done"]) == (60, 60), "none lost, none twice"
        # Of up to three creations at once the answer may have died: the page knows nothing of these, and began anew.
        left = list((tmp_path / "data" / "uploads").iterdir())
        assert len(left) <= 3
        assert {path.suffix for path in left} <= {".json"}, "no bytes"
    finally:
        server.stop()


def test_samples_are_served_and_nothing_else(server: Server) -> None:
    with urllib.request.urlopen(f"{server.url}/samples/mountain-lake.jpg", timeout=120) as answer:
        assert answer.headers["Content-Type"] == "image/jpeg"
    for name in ("README.md", "make_samples.py", "..%2fpyproject.toml", "nothing.jpg"):
        assert server.status_of(f"/samples/{name}") == 404
