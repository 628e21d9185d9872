"""From choosing files to the answer: by mouse, by keyboard, by dropping, and without JavaScript."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import FilePayload, Page, expect

from serving import SAMPLES, Server

OpenPage = Callable[..., Page]


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
    names = page.locator(".card-name").all_inner_texts()
    assert sorted(names) == sorted(sample.name for sample in samples)


def test_what_is_chosen_is_listed_and_can_be_removed_before_it_is_sent(
    open_page: OpenPage, server: Server, samples: list[Path]
) -> None:
    page = open_page(server.url)
    field = page.get_by_label("Choose photos")
    field.set_input_files(samples[:2])
    field.set_input_files(samples[2:])  # chosen in a second step: added, not replaced
    expect(page.get_by_role("heading", name="3 files chosen")).to_be_visible()
    page.get_by_role("button", name=f"Remove {samples[1].name}").click()
    page.get_by_role("button", name="Upload 2 files").click()
    page.wait_for_url("**/status")
    expect(page.locator(".card-name")).to_have_text([samples[2].name, samples[0].name])


def test_files_can_be_dropped_anywhere_on_the_page(open_page: OpenPage, server: Server, samples: list[Path]) -> None:
    page = open_page(server.url)
    dropped = page.evaluate_handle(
        """async (address) => {
            const transfer = new DataTransfer();
            const bytes = await (await fetch(address)).arrayBuffer();
            transfer.items.add(new File([bytes], "sign.svg", { type: "image/svg+xml" }));
            return transfer;
        }""",
        "/static/favicon.svg",
    )
    page.dispatch_event("h1", "dragenter", {"dataTransfer": dropped})
    expect(page.locator("form[data-upload]")).to_have_attribute("data-drop", "yes")
    page.dispatch_event("h1", "drop", {"dataTransfer": dropped})
    expect(page.locator("form[data-upload]")).to_have_attribute("data-drop", "no")
    expect(page.locator(".chosen-name")).to_have_text(["sign.svg"])


def test_by_keyboard_alone_from_the_form_to_the_picture(
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
    choosing.value.set_files(samples[0])
    expect(page.get_by_role("button", name="Upload 1 file")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name=f"Remove {samples[0].name}")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/status")
    expect(page.locator('.card[data-state="done"]')).to_have_count(1)
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.card a')"):
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("img", name=samples[0].name)).to_be_visible()
    page.keyboard.press("Shift+Tab")  # Chromium starts at the top of a new page: the last link is one step back
    for _ in range(10):
        if page.evaluate("document.activeElement.localName") == "summary":
            break
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Delete for good")).to_be_visible()


@pytest.mark.parametrize("javascript", [True, False])
def test_a_refused_file_gets_a_page_that_says_why(open_page: OpenPage, server: Server, javascript: bool) -> None:
    page = open_page(server.url, java_script_enabled=javascript)
    page.get_by_label("Choose photos").set_input_files(SAMPLES / "hostile" / "drawing.svg")
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Not an accepted image format")
    expect(page.get_by_text("drawing.svg")).to_be_visible()
    expect(page.get_by_text("accepted are JPEG, PNG")).to_be_visible()
    page.get_by_role("link", name="Upload others").click()
    expect(page.get_by_role("heading", name="Upload photos")).to_be_visible()


def test_some_refused_and_some_accepted_are_told_apart(
    open_page: OpenPage, server: Server, samples: list[Path]
) -> None:
    page = open_page(server.url)
    page.get_by_label("Choose photos").set_input_files([samples[0], SAMPLES / "hostile" / "bomb.png"])
    page.get_by_role("button", name="Upload 2 files").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("1 accepted, 1 refused")
    expect(page.get_by_role("region", name="Refused")).to_contain_text(re.compile(r"bomb\.png.*pixels", re.S))
    page.get_by_role("region", name="Accepted").get_by_role("link", name=samples[0].name).click()
    expect(page.get_by_role("img", name=samples[0].name)).to_be_visible()


def test_a_file_over_the_limit_is_pointed_out_before_it_is_sent(open_page: OpenPage, tmp_path: Path) -> None:
    with Server(tmp_path / "data", "--workers", "1", "--isolation", "thread", "--max-upload-bytes", "4KiB") as server:
        page = open_page(server.url)
        small: FilePayload = {"name": "small.png", "mimeType": "image/png", "buffer": b"x" * 100}
        large: FilePayload = {"name": "large.png", "mimeType": "image/png", "buffer": b"x" * 5000}
        page.get_by_label("Choose photos").set_input_files([small, large])
        expect(page.get_by_text("One file is larger than 4 KiB")).to_be_visible()
        expect(page.get_by_role("listitem").filter(has_text="large.png")).to_contain_text("too large")
        page.get_by_role("button", name="Remove from the list").click()
        expect(page.locator(".chosen-name")).to_have_text(["small.png"])
        expect(page.get_by_text("larger than 4 KiB")).to_be_hidden()
