"""Small pictures of files that were not sent yet: from the head of the file, or decoded small, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from pictures import with_camera_exif
from serving import SAMPLES, Server

OpenPage = Callable[..., Page]

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def jpeg(size: tuple[int, int], colour: tuple[int, int, int], **options: Any) -> bytes:
    """Of one colour; its right half is green."""
    picture = Image.new("RGB", size, colour)
    picture.paste(GREEN, (size[0] // 2, 0, *size))
    with BytesIO() as file:
        picture.save(file, "JPEG", **options)
        return file.getvalue()


@pytest.fixture
def canvas_of(open_page: OpenPage, server: Server) -> Callable[..., Locator]:
    """Chooses a file on a page that cannot send it, and returns where its preview is to be."""
    page = open_page(server.url)
    expect(page.get_by_role("button", name="Try the samples")).to_be_enabled()
    page.context.set_offline(True)

    def choose(path: Path) -> Locator:
        page.get_by_label("Choose photos").set_input_files(path)
        row = page.locator(".row", has_text=path.name)
        expect(row).to_contain_text("waiting for a connection")
        return row.locator("canvas")

    return choose


def drawn(canvas: Locator) -> tuple[list[int], list[list[int]]]:
    """Its size, and the colours at its top left and its bottom right."""
    expect(canvas).to_be_visible()
    size, *colours = canvas.evaluate(
        """(node) => {
            const copy = Object.assign(document.createElement("canvas"), { width: node.width, height: node.height });
            const context = copy.getContext("2d", { willReadFrequently: true });
            context.drawImage(node, 0, 0);
            const at = (x, y) => Array.from(context.getImageData(x, y, 1, 1).data.slice(0, 3));
            return [[node.width, node.height], at(6, 6), at(node.width - 6, node.height - 6)];
        }"""
    )
    return size, [[round(part / 255) * 255 for part in colour] for colour in colours]


def test_a_camera_s_small_picture_is_shown_the_right_way_up_and_without_bars(
    canvas_of: Callable[..., Locator], tmp_path: Path
) -> None:
    photo = tmp_path / "camera.jpg"
    # Orientation 6: what is left lies on top. Three to two, in a small picture of four to three.
    photo.write_bytes(with_camera_exif(jpeg((3000, 2000), BLUE), jpeg((160, 120), RED), orientation=6))
    assert drawn(canvas_of(photo)) == ([106, 160], [list(RED), list(GREEN)])


def test_a_broken_small_picture_is_as_none(canvas_of: Callable[..., Locator], tmp_path: Path) -> None:
    too_large = b"\xff\xd8\xff\xc0\0\x11\x08" + b"\xff" * 4 + b"\0" * 40
    for n, small in enumerate([b"", b"\xff\xd8 no picture", too_large]):
        photo = tmp_path / f"camera-{n}.jpg"
        photo.write_bytes(with_camera_exif(jpeg((1200, 800), BLUE), small))
        assert drawn(canvas_of(photo))[1] == [list(BLUE), list(GREEN)]


def test_a_large_photo_is_decoded_small_and_one_that_cannot_be_is_not(
    canvas_of: Callable[..., Locator], tmp_path: Path
) -> None:
    """Twenty-four megapixels: decoded whole it would take a hundred megabytes of the tab."""
    names = {"large.jpg": {}, "progressive.jpg": {"progressive": True}}
    for name, options in names.items():
        (tmp_path / name).write_bytes(jpeg((6000, 4000), BLUE, **options))
    none = [canvas_of(tmp_path / "progressive.jpg"), canvas_of(SAMPLES / "hostile" / "bomb.png")]
    # Made one after the other: when this one is there, the others were decided on.
    assert drawn(canvas_of(tmp_path / "large.jpg")) == ([112, 75], [list(BLUE), list(GREEN)])
    for canvas in none:
        expect(canvas).to_be_hidden()


def test_every_format_that_the_browser_shows_has_one(canvas_of: Callable[..., Locator]) -> None:
    names = ["city.webp", "aurora.avif", "waves-animated.gif", "dunes.bmp", "balloon-transparent.png"]
    canvases = [canvas_of(SAMPLES / name) for name in [*names, "forest-orientation-6.jpg"]]
    for canvas in canvases:
        expect(canvas).to_be_visible()
    width, height = drawn(canvases[-1])[0]
    assert width < height, "upright by its Exif"
