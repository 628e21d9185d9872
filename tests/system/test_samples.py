"""All sample images at once, as the README shows: every good one done and right, every hostile one told why."""

from __future__ import annotations

import io
import json
import subprocess
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from serving import SAMPLES, WAIT_S, Server

LARGE = {
    "aurora.avif": (1600, 1067, "jpeg"),
    "balloon-transparent.png": (1200, 1200, "webp"),
    "city.webp": (1600, 1067, "jpeg"),
    "dunes.bmp": (300, 200, "jpeg"),
    "fish-palette-transparent.png": (208, 136, "webp"),
    "flower-cmyk.jpg": (1600, 1200, "jpeg"),
    "forest-orientation-6.jpg": (1200, 1600, "jpeg"),
    "island-map.tiff": (640, 480, "jpeg"),
    "lighthouse-with-gps.jpg": (1600, 1200, "jpeg"),
    "milky-way-orientation-8.jpg": (1200, 1600, "jpeg"),
    "moon-16-bit-grey.png": (800, 800, "jpeg"),
    "mountain-lake.jpg": (1600, 1200, "jpeg"),
    "panorama.jpg": (1600, 213, "jpeg"),
    "planet-16-bit-rgb.png": (640, 480, "jpeg"),
    "rose-window-display-p3.jpg": (1600, 1600, "jpeg"),
    "tiny-16x16.png": (16, 16, "webp"),
    "waves-animated.gif": (480, 270, "jpeg"),
    "png-named.jpg": (320, 240, "jpeg"),
}
REFUSED = {"web-page-named.jpg": 415, "drawing.svg": 415, "drawing.eps": 415, "bomb.png": 422}


@pytest.fixture(scope="module")
def after(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict[str, Any], dict[str, Any]]]:
    """The server, curl's answer, and the images by name, after one request with every sample."""
    files = sorted(
        path
        for path in SAMPLES.rglob("*")
        if path.is_file() and path.suffix not in (".py", ".md") and path.stat().st_size
    )
    with Server(tmp_path_factory.mktemp("samples") / "data") as server:
        form = [part for path in files for part in ("-F", f"file=@{path}")]
        done = subprocess.run(
            ["curl", "-sS", *form, f"{server.url}/api/images"], capture_output=True, timeout=WAIT_S, check=True
        )
        answer = json.loads(done.stdout)
        assert len(answer["images"]) + len(answer["refused"]) == len(files)
        server.wait_until_settled()
        images = {image["name"]: image for image in server.get("/api/images?limit=200")["images"]}
        yield server, answer, images


def test_every_good_sample_is_done_with_variants_of_the_right_size(after: Any) -> None:
    server, _, images = after
    assert {name for name, image in images.items() if image["state"] == "done"} == set(LARGE)
    for name, (width, height, kind) in LARGE.items():
        large, thumb = images[name]["variants"]
        assert (large["width"], large["height"], large["format"]) == (width, height, kind), name
        assert max(thumb["width"], thumb["height"]) == min(256, max(width, height)), name
        for variant in (large, thumb):
            with fetch(server, variant["url"]) as picture:
                assert picture.size == (variant["width"], variant["height"]), name
                assert not picture.getexif(), name
                assert not {"exif", "icc_profile", "xmp", "comment"} & set(picture.info), name
        on_disk = server.data_dir / "output" / images[name]["id"]
        assert sorted(path.stem for path in on_disk.iterdir()) == ["large", "thumb"]


def test_every_hostile_sample_is_refused_or_failed_with_its_reason(after: Any) -> None:
    server, answer, images = after
    assert {each["name"]: each["status"] for each in answer["refused"]} == REFUSED
    assert all(each["detail"].endswith(".") for each in answer["refused"])
    failed = {name: image["error"] for name, image in images.items() if image["state"] == "failed"}
    assert failed == {
        "truncated.jpg": "The file is cut short: it ends in the middle of the picture. Upload it again from the source."
    }
    assert server.status_of("/healthz") == server.status_of("/readyz") == 200


def test_pictures_are_upright_and_in_their_colours(after: Any) -> None:
    server, _, images = after

    def colour(name: str, left: float, top: float, right: float, bottom: float) -> tuple[float, ...]:
        """The mean red, green and blue of a part of the picture, given in shares of its sides."""
        with fetch(server, images[name]["variants"][1]["url"]) as picture:
            width, height = picture.size
            box = (int(left * width), int(top * height), int(right * width), int(bottom * height))
            mean = picture.convert("RGB").crop(box).resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
        assert isinstance(mean, tuple)
        return mean

    forest_top, forest_bottom = (
        colour("forest-orientation-6.jpg", 0, 0, 1, 0.3),
        colour("forest-orientation-6.jpg", 0, 0.7, 1, 1),
    )
    assert sum(forest_top) > sum(forest_bottom) + 150, "the sky is up"
    tent = colour("milky-way-orientation-8.jpg", 0.65, 0.83, 0.8, 0.92)
    assert tent[0] > tent[2] + 40, "the lit tent is at the lower right"
    red, green, blue = colour("flower-cmyk.jpg", 0.32, 0.4, 0.45, 0.6)
    assert red > 180, "the flower is pink, not inverted"
    assert red > blue > green
    with fetch(server, images["moon-16-bit-grey.png"]["variants"][0]["url"]) as moon:
        levels = moon.convert("L").histogram()
    assert sum(1 for number in levels if number > 100) > 128, "16-bit grey is scaled, not clipped"
    with fetch(server, images["balloon-transparent.png"]["variants"][1]["url"]) as balloon:
        assert balloon.mode == "RGBA"
        assert balloon.getpixel((2, 2))[3] == 0  # type: ignore[index]
        assert balloon.getpixel((128, 60))[3] == 255  # type: ignore[index]


def fetch(server: Server, url: str) -> Image.Image:
    with urllib.request.urlopen(server.url + url, timeout=WAIT_S) as answer:
        return Image.open(io.BytesIO(answer.read()))
