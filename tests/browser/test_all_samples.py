"""Every sample image at once through the form, good and hostile, with and without JavaScript."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from serving import SAMPLES, Server

OpenPage = Callable[..., Page]

REFUSED = {"bomb.png", "drawing.eps", "drawing.svg", "web-page-named.jpg"}


def all_samples() -> list[Path]:
    return sorted(path for path in SAMPLES.rglob("*.*") if path.is_file() and path.suffix not in (".py", ".md", ".pyc"))


def test_without_javascript_good_ones_end_as_thumbnails_and_hostile_ones_with_their_reason(
    open_page: OpenPage, tmp_path: Path
) -> None:
    files = all_samples()
    with Server(tmp_path / "data") as server:
        page = open_page(server.url, java_script_enabled=False)
        page.get_by_label("Choose photos").set_input_files(files)
        page.locator("form[data-upload] [type=submit]").click()
        expect(page.locator("h1")).to_have_text(f"{len(files) - 4} accepted, 4 refused")
        for name in REFUSED:
            expect(page.get_by_text(name, exact=True)).to_be_visible()
        page.get_by_role("link", name="See the status").click()
        done = page.locator('.card[data-state="done"]')
        expect(done).to_have_count(len(files) - 5)
        expect(page.locator('.card[data-state="failed"]')).to_contain_text("The file is cut short")
        names = [path.name for path in reversed(files) if path.name not in {*REFUSED, "truncated.jpg"}]
        expect(done.locator(".card-name")).to_have_text(names)
        assert server.status_of("/healthz") == 200


def test_on_the_upload_page_each_ends_with_its_thumbnail_or_its_reason(open_page: OpenPage, tmp_path: Path) -> None:
    files = all_samples()
    with Server(tmp_path / "data") as server:
        page = open_page(server.url)
        page.get_by_label("Choose photos").set_input_files(files)
        expect(
            page.get_by_role("heading", name=f"{len(files) - 5} of {len(files)} done, 5 need a look")
        ).to_be_visible()
        page.get_by_role("button", name="Need a look 5").click()
        for name in REFUSED:
            expect(page.locator(".row", has_text=name)).to_have_attribute("data-state", "refused")
        expect(page.locator(".row", has_text="bomb.png")).to_contain_text("268 million pixels")
        expect(page.locator(".row", has_text="drawing.eps")).to_contain_text("accepted are JPEG, PNG")
        expect(page.locator(".row", has_text="truncated.jpg")).to_contain_text("cut short")
        assert server.wait_until_settled()["done"] == len(files) - 5
