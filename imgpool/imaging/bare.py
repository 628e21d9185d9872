"""Bare loops to measure by: `python -m imgpool.imaging.bare`, started by `imgpool bench` only. Imports PIL.

Two of them: `pipeline` makes the variants of each file as a worker does, without pool, records, children or syncing;
`codecs` does the part of it that no program can leave out, the scaled decoding and the encoding, on pictures prepared
beforehand. Reads one JSON line from standard input and writes one to standard output when all is warm; at the next
line, whatever it is, it measures, and writes what it found. `grain` measures nothing and makes photos to measure with.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from imgpool.imaging import decode as decoding
from imgpool.imaging.encode import encoder_options
from imgpool.imaging.formats import SNIFF_BYTES, sniff
from imgpool.imaging.grain import write_with_grain
from imgpool.imaging.model import Limits
from imgpool.imaging.outputs import OUTPUT_FORMATS
from imgpool.imaging.pipeline import make_variants
from imgpool.imaging.recipe import Recipe, parse_recipe

Work = Callable[[Path], None]


def main() -> None:
    """Measure what standard input asks for. Each file is done once beforehand, untimed, so that all is warm."""
    asked: dict[str, Any] = json.loads(sys.stdin.readline())
    if asked["kind"] == "grain":
        for photo, grained in asked["files"]:
            write_with_grain(Path(photo), Path(grained))
        _say({})
        return
    files = [Path(name) for name in asked["files"]]
    recipe = parse_recipe(asked["recipe"])
    decoding.register()
    with tempfile.TemporaryDirectory(dir=asked["directory"]) as directory:
        into = Path(directory)
        kinds: dict[str, Callable[[list[Path], Recipe, Path], Work]] = {"codecs": codecs, "pipeline": pipeline}
        work = kinds[asked["kind"]](files, recipe, into)
        for file in files:
            work(file)
        _say({})
        sys.stdin.readline()
        _say(timed(work, files, asked["images"], asked["threads"]))


def _say(what: dict[str, float]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def pipeline(files: list[Path], recipe: Recipe, into: Path) -> Work:
    """Everything between original and variants."""
    limits = Limits()

    def work(file: Path) -> None:
        own = into / str(threading.get_ident())
        own.mkdir(exist_ok=True)
        make_variants(file, own, recipe, limits, sync=False)

    return work


def codecs(files: list[Path], recipe: Recipe, into: Path) -> Work:
    """The scaled decoding of each file, and the encoding of its variants: both as the pipeline has them done."""
    ready: dict[Path, tuple[tuple[int, int], list[tuple[Image.Image, str, dict[str, Any]]]]] = {}
    for file in files:
        made = make_variants(file, into, recipe, Limits(), sync=False)
        encodings = []
        for variant, wanted in zip(made.variants, recipe.variants, strict=True):
            with Image.open(into / variant.filename) as picture:
                picture.load()
                picture.info = {}
                chosen = OUTPUT_FORMATS[variant.format]
                encodings.append((picture.copy(), chosen.pillow, encoder_options(chosen, wanted.quality)))
        ready[file] = max((each.width, each.height) for each in made.variants), encodings

    def work(file: Path) -> None:
        size, encodings = ready[file]
        with file.open("rb") as opened:
            found = sniff(opened.read(SNIFF_BYTES))
            assert found is not None  # noqa: S101  # its variants have been made
            opened.seek(0)
            with Image.open(opened, formats=[found.pillow]) as image:
                if found.name == "jpeg":
                    lying = (size[1], size[0]) if (image.width > image.height) != (size[0] > size[1]) else size
                    image.draft(None, lying)
                image.load()
        for picture, name, options in encodings:
            with (into / f"{threading.get_ident()}.{name}").open("wb") as out:
                picture.save(out, format=name, **options)

    return work


def timed(work: Work, files: list[Path], images: int, threads: int) -> dict[str, float]:
    """Do `images` of the files, one after the other, on so many threads; returns seconds of wall and of CPU."""
    following = iter(files[number % len(files)] for number in range(images))
    lock = threading.Lock()

    def run() -> None:
        while True:
            with lock:
                file = next(following, None)
            if file is None:
                return
            work(file)

    crew = [threading.Thread(target=run, name=f"imgpool-bare-{number}") for number in range(threads)]
    before, began = os.times(), time.perf_counter()
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    after, ended = os.times(), time.perf_counter()
    return {
        "images": images,
        "wall_s": ended - began,
        "cpu_s": after.user + after.system - before.user - before.system,
    }


if __name__ == "__main__":
    main()
