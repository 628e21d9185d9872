"""What holds on every page: it fits a phone, it is dark in the dark, it logs nothing, and times are the reader's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from serving import SAMPLES, Server

OpenPage = Callable[..., Page]
# What browsers have learned after Firefox 115 and Safari 16.4, as far as pages like these might use it.
TOO_NEW = """
    for (const [where, ...names] of [
        [window, "ImageDecoder", "Iterator", "Temporal", "URLPattern", "scheduler", "cookieStore"],
        [AbortSignal, "any"], [Promise, "withResolvers", "try"], [Object, "groupBy"], [Map, "groupBy"],
        [Array, "fromAsync"], [URL, "canParse", "parse"], [RegExp, "escape"], [Intl, "DurationFormat"],
        [Set.prototype, "union", "intersection", "difference", "symmetricDifference", "isSubsetOf", "isDisjointFrom"],
        [Document.prototype, "startViewTransition"], [Node.prototype, "moveBefore"], [Response.prototype, "bytes"],
        [Blob.prototype, "bytes"], [HTMLElement.prototype, "showPopover", "hidePopover", "togglePopover", "popover"],
        [Element.prototype, "checkVisibility", "setHTMLUnsafe", "getHTML", "role",
            ...Object.keys(Element.prototype).filter((name) => name.startsWith("aria"))],
        [Object.getPrototypeOf(Object.getPrototypeOf([].values())), "map", "filter", "some", "find", "toArray"],
    ]) for (const name of names) delete where[name];
"""
Filled = tuple[Server, dict[str, str]]

TOKEN = "correct-horse"
PAGES = ("upload", "status", "learn", "status_failed", "done", "failed", "missing")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict[str, str]]]:
    """A server with a few images, and the path of each page."""
    data = tmp_path_factory.mktemp("filled") / "data"
    with Server(data, "--workers", "2", "--isolation", "thread") as server:
        long_name = "a-very-long-file-name-without-any-space-in-it-" * 3 + ".jpg"
        done = server.upload((SAMPLES / "mountain-lake.jpg").read_bytes(), long_name)[1]["images"][0]
        failed = server.upload((SAMPLES / "hostile" / "truncated.jpg").read_bytes(), "cut.jpg")[1]["images"][0]
        server.upload((SAMPLES / "panorama.jpg").read_bytes(), "panorama.jpg")
        assert server.wait_until_settled()["failed"] == 1
        yield (
            server,
            {
                "upload": "/",
                "status": "/status",
                "learn": "/learn",
                "status_failed": "/status?state=failed",
                "done": f"/images/{done['id']}",
                "failed": f"/images/{failed['id']}",
                "missing": f"/images/{'0' * 32}",
            },
        )


@pytest.mark.parametrize("name", PAGES)
def test_it_fits_a_phone_without_scrolling_sideways(open_page: OpenPage, filled: Filled, name: str) -> None:
    server, paths = filled
    page = open_page(server.url + paths[name], viewport={"width": 360, "height": 740})
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_all_pages_begin_at_the_same_edge(open_page: OpenPage, filled: Filled) -> None:
    server, paths = filled
    page = open_page("about:blank", viewport={"width": 1600, "height": 900})
    for name, path in paths.items():
        page.goto(server.url + path)
        brand, *parts = page.evaluate(
            """() => Array.from(document.querySelectorAll(".brand, main > *"))
                .filter((node) => node.checkVisibility() && getComputedStyle(node).position !== "fixed")
                .map((node) => node.getBoundingClientRect().left)"""
        )
        assert parts, name
        assert set(parts) == {brand}, name


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_follows_the_colour_scheme_and_text_stands_out(
    open_page: OpenPage, filled: Filled, name: str, scheme: str
) -> None:
    server, paths = filled
    page = open_page(server.url + paths[name], color_scheme=scheme)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    paper, ink = page.evaluate(
        """() => ["backgroundColor", "color"].map((property) => getComputedStyle(document.body)[property])"""
    )
    dark, bright = sorted((_luminance(paper), _luminance(ink)))
    assert (_luminance(paper) < 0.05) == (scheme == "dark")
    assert (bright + 0.05) / (dark + 0.05) >= 7


def _luminance(colour: str) -> float:
    """Relative luminance of `rgb(r, g, b)`, as WCAG defines it."""
    channels = [int(channel) / 255 for channel in re.findall(r"\d+", colour)[:3]]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("name", PAGES)
def test_its_structure_is_there_for_a_screen_reader(open_page: OpenPage, filled: Filled, name: str) -> None:
    server, paths = filled
    page = open_page(server.url + paths[name])
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    expect(page.get_by_role("main")).to_have_count(1)
    expect(page.get_by_role("navigation", name="Pages")).to_be_visible()
    assert page.title().endswith("· imgpool")
    nameless = page.evaluate(
        """() => Array.from(document.querySelectorAll("a[href], button, input:not([type=hidden])"))
            .filter((node) => node.checkVisibility() && !node.labels?.length)
            .filter((node) => !(node.textContent.trim() || node.querySelector("img[alt]:not([alt=''])")))
            .map((node) => node.outerHTML)"""
    )
    assert nameless == []


def test_times_are_in_the_readers_zone_and_in_utc_without_javascript(open_page: OpenPage, filled: Filled) -> None:
    server, paths = filled
    received = server.get("/api" + paths["done"])["received_at"]
    plain = open_page(server.url + paths["done"], java_script_enabled=False)
    expect(plain.locator("time").first).to_have_text(f"{received[:10]} {received[11:19]}\u00a0UTC")
    page = open_page(server.url + paths["done"], timezone_id="Asia/Kathmandu", locale="de-DE")
    expect(page.locator("time").first).not_to_contain_text("UTC")
    hours, minutes = (int(part) for part in received[11:16].split(":"))
    there = (hours * 60 + minutes + 5 * 60 + 45) % (24 * 60)
    expect(page.locator("time").first).to_contain_text(f"{there // 60:02d}:{there % 60:02d}:{received[17:19]}")


def test_in_older_browsers_the_pages_live_too(open_page: OpenPage, server: Server) -> None:
    page = open_page("about:blank")
    page.add_init_script(TOO_NEW)
    page.goto(f"{server.url}/status")
    assert page.evaluate("AbortSignal.any === undefined && !('ariaLabel' in document.body)")
    expect(page.get_by_role("heading", name="No images yet.")).to_be_visible()
    server.upload((SAMPLES / "tiny-16x16.png").read_bytes(), "tiny.png")
    page.get_by_role("checkbox", name="Select tiny.png").check()
    page.get_by_text("Delete selected images (1)").click()
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_role("heading", name="No images yet.")).to_be_visible()
    expect(page.locator(".figure canvas")).to_have_count(5)
    page.get_by_role("link", name="Upload", exact=True).click()
    page.get_by_label("Choose photos").set_input_files(SAMPLES / "panorama.jpg")
    expect(page.locator("[data-total=headline]")).to_have_text("Done")
    page.get_by_role("link", name="Learn", exact=True).click()
    expect(page.get_by_role("button", name="Run it").first).to_be_visible()


def test_signing_in_and_out(open_page: OpenPage, tmp_path: Path) -> None:
    with Server(tmp_path / "d", "--workers", "1", "--isolation", "thread", "--token", TOKEN) as server:
        page = open_page(f"{server.url}/status", viewport={"width": 360, "height": 740})
        page.get_by_label("Token").fill("something-else")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("not the token")
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/status")
        expect(page.get_by_role("heading", level=1)).to_have_text("Accepting uploads")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("Token")).to_be_visible()
