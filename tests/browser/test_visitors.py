"""The pages as each kind of visitor meets them: who has the token, who uploads without it, who may do nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from serving import SAMPLES, Server

OpenPage = Callable[..., Page]
TOKEN = "correct-horse-battery"
HEBREW = "תמונה של אגם (1).jpg"
PILED = "a" + "\u0301" * 150 + ".jpg"
MARKUP = '<img src=x onerror="document.title=1">.jpg'
BACKWARDS = "photo\u202egpj.exe"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on which anonymous people may upload."""
    options = ("--workers", "1", "--isolation", "thread", "--anonymous-uploads")
    with Server(tmp_path_factory.mktemp("visitors") / "data", *options, IMGPOOL_TOKEN=TOKEN) as server:
        yield server


def choose(page: Page, *names: str, data: bytes | None = None) -> None:
    picture = data or (SAMPLES / "tiny-16x16.png").read_bytes()
    page.get_by_label("Choose photos").set_input_files(
        [{"name": name, "mimeType": "image/png", "buffer": picture} for name in names]
    )


def upload(page: Page, *names: str, data: bytes | None = None, ends: str = "done") -> None:
    """Choose pictures on the upload page, whose script sends them, and wait for their ends."""
    choose(page, *names, data=data)
    expect(page.locator(f'.row[data-state="{ends}"]')).to_have_count(len(names))


def names(page: Page) -> list[str]:
    return page.locator(".card-name").all_inner_texts()


@pytest.mark.parametrize("java_script_enabled", [True, False])
def test_two_anonymous_people_do_not_see_each_other(
    open_page: OpenPage, shared: Server, java_script_enabled: bool
) -> None:
    ann, bob = (open_page(f"{shared.url}/", java_script_enabled=java_script_enabled) for _ in range(2))
    for page, name in ((ann, "ann.png"), (bob, "bob.png")):
        expect(page.get_by_text("Only you, in this browser")).to_be_visible()
        if java_script_enabled:
            upload(page, name)
        else:
            choose(page, name)
            page.get_by_role("button", name="Upload").click()
            page.wait_for_url("**/status")
    for page, name in ((ann, "ann.png"), (bob, "bob.png")):
        page.goto(f"{shared.url}/status")
        expect(page.get_by_role("heading", name="Your images")).to_be_visible()
        assert names(page) == [name]
        expect(page.get_by_role("link", name="Metrics")).to_have_count(0)
    shared.wait_until_settled()  # an image's page loads itself anew when it ends, and folds up what was opened on it
    ann.get_by_role("link", name="ann.png").click()
    expect(ann.get_by_role("heading", level=1)).to_have_text("ann.png")
    assert bob.goto(ann.url).status == 404  # type: ignore[union-attr]
    expect(ann.get_by_role("img", name="ann.png")).to_have_js_property("naturalWidth", 16)
    ann.get_by_text("Delete this image").click()
    ann.get_by_role("button", name="Delete for good").click()
    ann.wait_for_url("**/status")
    expect(ann.get_by_text("No images yet.")).to_be_visible()


def test_who_signs_in_sees_all_and_who_signs_out_nothing_of_it(open_page: OpenPage, shared: Server) -> None:
    guest = open_page(f"{shared.url}/")
    upload(guest, "guest.png")
    owner = open_page(f"{shared.url}/status", viewport={"width": 360, "height": 740})
    assert "guest.png" not in names(owner)
    owner.get_by_role("link", name="Sign in").click()
    owner.get_by_label("Token").fill(TOKEN)
    owner.get_by_role("button", name="Sign in").click()
    owner.wait_for_url("**/status")
    assert "guest.png" in names(owner)
    expect(owner.get_by_role("link", name="Metrics")).to_be_visible()
    assert owner.evaluate("document.documentElement.scrollWidth") <= 360
    owner.get_by_role("button", name="Sign out").click()
    expect(owner.get_by_role("link", name="Sign in")).to_be_visible()
    owner.goto(f"{shared.url}/status")
    assert "guest.png" not in names(owner)


def test_a_stranger_is_led_to_the_sign_in(open_page: OpenPage, tmp_path: Path) -> None:
    with Server(tmp_path / "d", "--workers", "1", "--isolation", "thread", IMGPOOL_TOKEN=TOKEN) as server:
        page = open_page(f"{server.url}/")
        expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
        expect(page.get_by_role("link", name="Sign in")).to_have_count(0)
        assert "Without it you can" not in page.content()


def test_strange_names_are_text_and_keep_to_their_place(open_page: OpenPage, shared: Server) -> None:
    page = open_page(f"{shared.url}/", viewport={"width": 360, "height": 740})
    upload(page, HEBREW, PILED, MARKUP, BACKWARDS)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.goto(f"{shared.url}/status")
    # A browser sends what was chosen; the server strips folders and what turns the direction of a line.
    assert set(names(page)) == {HEBREW, PILED, MARKUP, "photogpj.exe"}
    assert page.title() == "Status · imgpool"
    page.get_by_role("link", name=HEBREW).click()
    page.wait_for_url("**/images/*")  # with all that says how it looks
    name, state = (page.locator(f".image-head {part}").bounding_box() for part in ("bdi", ".state"))
    assert name is not None
    assert state is not None
    assert name["x"] + name["width"] <= state["x"] or name["y"] + name["height"] <= state["y"] + 1, "they overlap"
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_strange_names_are_text_where_they_are_refused(open_page: OpenPage, shared: Server) -> None:
    page = open_page(f"{shared.url}/", viewport={"width": 360, "height": 740})
    upload(page, HEBREW, PILED, MARKUP, BACKWARDS, data=b"no picture", ends="refused")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page = open_page(f"{shared.url}/", viewport={"width": 360, "height": 740}, java_script_enabled=False)
    choose(page, HEBREW, PILED, MARKUP, BACKWARDS, data=b"no picture")
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("4 files were refused")
    page.wait_for_load_state()  # with all that says how it looks
    piled = page.locator(".verdict-name", has_text=PILED)
    assert piled.evaluate("node => getComputedStyle(node).overflowY") == "clip"
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
