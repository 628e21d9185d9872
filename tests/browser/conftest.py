"""A real Chromium for the pages, unless a module has another `browser`. A page that logs an error fails its test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Response

from browsers import PATIENCE_MS, installed
from servers.ports import free_port
from serving import SAMPLES, Server

UPLOADS = "/api/uploads"
NAMES = ("/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Ends with the module: Playwright's event loop must not run beside the tests of other folders."""
    # Chromium refuses to run as root with its sandbox; /dev/shm is tiny in containers.
    arguments = ["--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with installed("chromium", *NAMES, args=arguments) as chromium:
        yield chromium


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Opens an address in a fresh profile; at the end nothing may have gone wrong on it behind the scenes."""
    contexts = []
    wrong: list[str] = []

    def logged(message: ConsoleMessage) -> None:
        # What could not be loaded is told better by the response, with its status and address.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            wrong.append(f"{message.type}: {message.text}")

    def answered(response: Response) -> None:
        # An upload that is turned away is no fault of the page, which says so to the person.
        if response.status >= 400 and not response.request.is_navigation_request() and UPLOADS not in response.url:
            wrong.append(f"{response.status}: {response.url}")

    def open_one(address: str, **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("console", logged)
        page.on("pageerror", lambda error: wrong.append(f"exception: {error}"))
        page.on("response", answered)
        page.goto(address)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server with one worker that decodes in its own thread: it starts fast, and the pages cannot tell."""
    with Server(tmp_path / "data", "--workers", "1", "--isolation", "thread") as running:
        yield running


@pytest.fixture
def samples() -> list[Path]:
    """Some photos: a 12-megapixel one, one with transparency, one turned by its EXIF orientation."""
    return [
        SAMPLES / "mountain-lake.jpg",
        SAMPLES / "balloon-transparent.png",
        SAMPLES / "forest-orientation-6.jpg",
    ]


@pytest.fixture
def unused_port() -> int:
    """A port for a server that comes back at the same address."""
    return free_port()
