"""What the pipeline costs above the bare codecs, format by format, in one run.

    python tests/benchmarks/pipeline.py [--rounds 7] [--json] [--write docs/benchmarks.md] [--only NAME]

The floor is what no pipeline can avoid (`imgpool.imaging.bare.codecs`): the decoder, reducing while it decodes where
the format can, and the encoders of the two variants, into real files. The pipeline is `make_variants` as the decoder
child calls it, files synced. Both alternate, round by round, so that a noisy machine disturbs both alike; CPU time of
the whole process is compared, and the median of each is printed. Small images and the two workers go through real
decoder children: there the parent's CPU time counts as well, and the two are a matter of the clock, good on an idle
machine only: two bare loops in two processes against one say what the machine itself would give.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import io
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import PIL
import psutil
from PIL import Image, features

from imgpool.imaging import bare, decode, resize
from imgpool.imaging.child_process import _MALLOC
from imgpool.imaging.grain import with_grain
from imgpool.imaging.model import Limits
from imgpool.imaging.pipeline import make_variants
from imgpool.imaging.recipe import parse_recipe
from imgpool.imaging.sandbox import InChild
from imgpool.load import bare_loops
from imgpool.pool import Context

RECIPE = parse_recipe("large=fit:1600x1600,thumb=fit:256x256")
SAMPLES = Path(__file__).parents[2] / "sample_images"
SMALL = 500
PHOTOS = 60


def camera(width: int, height: int) -> Image.Image:
    """A sample with the grain of a sensor: in a file of a camera's size, about 2 bits a pixel."""
    with Image.open(SAMPLES / "mountain-lake.jpg") as opened:
        return with_grain(opened.resize((width, height), Image.Resampling.BICUBIC))


def inputs(folder: Path, only: str | None) -> dict[str, Path]:
    """The files by what they are called in the table; written once."""
    twelve = camera(4000, 3000)
    makers: dict[str, Callable[[], tuple[Image.Image, str, dict[str, Any]]]] = {
        "JPEG 12 MP": lambda: (twelve, "JPEG", {"quality": 90}),
        "JPEG 12 MP progressive": lambda: (twelve, "JPEG", {"quality": 90, "progressive": True}),
        "JPEG 24 MP": lambda: (camera(6000, 4000), "JPEG", {"quality": 90}),
        "JPEG 48 MP": lambda: (camera(8000, 6000), "JPEG", {"quality": 90}),
        "PNG 12 MP": lambda: (twelve, "PNG", {"compress_level": 3}),
        "PNG 3 MP with alpha": lambda: (_faded(twelve.resize((2000, 1500))), "PNG", {"compress_level": 3}),
        "WebP 12 MP": lambda: (twelve, "WEBP", {"quality": 85, "method": 0}),
        "AVIF 12 MP": lambda: (twelve, "AVIF", {"quality": 75, "speed": 10}),
        "TIFF 12 MP": lambda: (twelve, "TIFF", {"compression": "tiff_lzw"}),
    }
    found = {
        "JPEG 12 MP, smooth": SAMPLES / "mountain-lake.jpg",
        "JPEG 12 MP, lying": SAMPLES / "forest-orientation-6.jpg",
        "JPEG 6 MP, Display P3": SAMPLES / "rose-window-display-p3.jpg",
    }
    for name, make in makers.items():
        if only is None or only in name:
            picture, kind, options = make()
            found[name] = folder / name.replace(" ", "-")
            picture.save(found[name], kind, **options)
    return {name: path for name, path in found.items() if only is None or only in name}


def _faded(picture: Image.Image) -> Image.Image:
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    return picture


def cpu_ms(work: Callable[[], object]) -> float:
    """CPU milliseconds of this process, all its threads, that the work takes."""
    gc.collect()
    began = time.process_time()
    work()
    return 1000 * (time.process_time() - began)


def compare(path: Path, rounds: int) -> dict[str, Any]:
    """Floor, pipeline and the pipeline with Pillow's resize, alternating."""
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder)
        floor = bare.codecs([path], RECIPE, into)
        simd = resize.simd
        times: dict[str, list[float]] = {"floor": [], "pipeline": [], "pillow": []}
        for _ in range(rounds):
            times["floor"].append(cpu_ms(lambda: floor(path)))
            times["pipeline"].append(cpu_ms(lambda: make_variants(path, into, RECIPE, Limits())))
            resize.simd = None
            try:
                times["pillow"].append(cpu_ms(lambda: make_variants(path, into, RECIPE, Limits())))
            finally:
                resize.simd = simd
    medians = {name: statistics.median(each) for name, each in times.items()}
    return {
        "bytes": path.stat().st_size,
        **{f"{name}_ms": round(value, 1) for name, value in medians.items()},
        "ratio": round(statistics.median(a / b for a, b in zip(times["pipeline"], times["floor"], strict=True)), 2),
        "ratio_pillow": round(
            statistics.median(a / b for a, b in zip(times["pillow"], times["floor"], strict=True)), 2
        ),
    }


def small(folder: Path) -> dict[str, Any]:
    """What an image of 10 KB costs above its codec work, with everything that a worker does for it."""
    path = folder / "small.jpg"
    for quality in range(95, 5, -5):  # the best that is not over 10 KB
        camera(320, 240).save(path, "JPEG", quality=quality)
        if path.stat().st_size <= 10_240:
            break
    into = folder / "small"
    into.mkdir()
    floor = bare.codecs([path], RECIPE, into)
    codecs = statistics.median(cpu_ms(lambda: [floor(path) for _ in range(SMALL)]) / SMALL for _ in range(3))
    child = InChild(RECIPE, Limits(), lambda: 2**31)
    child.start()
    process = psutil.Process(child.pid)
    samples = []
    for _ in range(3):
        before = time.process_time() + sum(process.cpu_times()[:2])
        for _ in range(SMALL):
            child.process(path, into, timeout_s=60, cancelled=Context())
        samples.append(1000 * (time.process_time() + sum(process.cpu_times()[:2]) - before) / SMALL)
    child.close()
    whole = statistics.median(samples)
    return {
        "bytes": path.stat().st_size,
        "images": SMALL,
        "floor_ms": round(codecs, 2),
        "worker_ms": round(whole, 2),
        "overhead_ms": round(whole - codecs, 2),
    }


def two_workers(path: Path, folder: Path, rounds: int) -> dict[str, Any]:
    """The same photos through one decoder child, and through two, each with a thread of its own, as in the pool."""
    children = [InChild(RECIPE, Limits(), lambda: 2**31), InChild(RECIPE, Limits(), lambda: 2**31)]
    threads = [ThreadPoolExecutor(1), ThreadPoolExecutor(1)]  # a child ends with the thread that started it

    def work(number: int, images: int) -> None:
        into = folder / f"out-{number}"
        into.mkdir(exist_ok=True)
        for _ in range(images):
            children[number].process(path, into, timeout_s=60, cancelled=Context())

    def cpu_s() -> float:
        children_s = (sum(psutil.Process(child.pid).cpu_times()[:2]) for child in children if child.pid)
        return time.process_time() + sum(children_s)

    seconds: dict[int, list[float]] = {1: [], 2: []}
    cpu: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(rounds + 1):
        for workers in (1, 2):
            began, used = time.monotonic(), cpu_s()
            for each in [threads[number].submit(work, number, PHOTOS // workers) for number in range(workers)]:
                each.result()
            if turn:  # the first starts the children
                seconds[workers].append(time.monotonic() - began)
                cpu[workers].append(1000 * (cpu_s() - used) / PHOTOS)
    loops = [
        [bare_loops.run("pipeline", [path], PHOTOS // n, folder, processes=n) for n in (1, 2)] for _ in range(rounds)
    ]
    for child, thread in zip(children, threads, strict=True):
        child.close()
        thread.shutdown()
    return {
        "images": PHOTOS,
        "one_s": round(statistics.median(seconds[1]), 2),
        "two_s": round(statistics.median(seconds[2]), 2),
        "one_cpu_ms": round(statistics.median(cpu[1]), 1),
        "two_cpu_ms": round(statistics.median(cpu[2]), 1),
        "bare_speedup": round(statistics.median(two.per_s / one.per_s for one, two in loops), 2),
        "speedup": round(statistics.median(a / b for a, b in zip(seconds[1], seconds[2], strict=True)), 2),
    }


def machine() -> dict[str, Any]:
    """What the figures are of."""
    model = next(
        (line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), platform.machine()
    )
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": model,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "pillow": PIL.__version__,
        "libjpeg_turbo": features.version_feature("libjpeg_turbo"),
        "simd": resize.simd is not None,
        "load": round(os.getloadavg()[0], 1),
    }


def _cpuinfo() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    about = result["machine"]
    out = io.StringIO()
    print(
        f"{about['date']}, {about['cpu']}, {about['cores']} cores (load {about['load']} as it began), Python "
        f"{about['python']}, Pillow {about['pillow']}, libjpeg-turbo {about['libjpeg_turbo']}.\n",
        file=out,
    )
    print("| original | MB | codecs alone, ms | pipeline, ms | ratio | with Pillow's resize |", file=out)
    print("|---|---|---|---|---|---|", file=out)
    for name, row in result["formats"].items():
        print(
            f"| {name} | {row['bytes'] / 1e6:.1f} | {row['floor_ms']} | {row['pipeline_ms']} | **{row['ratio']}** | "
            f"{row['ratio_pillow']} |",
            file=out,
        )
    if each := result.get("small"):
        print(
            f"\nA {each['bytes'] / 1000:.0f} KB image costs a worker {each['worker_ms']} ms of CPU, parent and child: "
            f"{each['floor_ms']} of them are the codecs', **{each['overhead_ms']} ms** come on top.",
            file=out,
        )
    if each := result.get("workers"):
        print(
            f"\n{each['images']} photos of 12 MP: {each['one_s']} s with one worker, {each['two_s']} s with two, "
            f"**{each['speedup']} times** as fast (two bare processes: {each['bare_speedup']} times); "
            f"a photo costs {each['one_cpu_ms']} ms of CPU with one and {each['two_cpu_ms']} ms with two.",
            file=out,
        )
    return out.getvalue()


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--write", type=Path, help="put the table into this Markdown file, between its two marks")
    parser.add_argument("--only", help="only the formats whose name has this in it; nothing else")
    given = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in _MALLOC.items()):
        # As in a decoder child: the allocator reads its settings when a process starts.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **_MALLOC})
    decode.register()
    result: dict[str, Any] = {"machine": machine(), "formats": {}}
    with tempfile.TemporaryDirectory(prefix="imgpool-benchmark-") as name:
        folder = Path(name)
        files = inputs(folder, given.only)
        for kind, path in files.items():
            result["formats"][kind] = compare(path, given.rounds)
            print(f"{kind}: {result['formats'][kind]}", file=sys.stderr, flush=True)
        if given.only is None:
            result["small"] = small(folder)
            result["workers"] = two_workers(files["JPEG 12 MP"], folder, 3)
    print(json.dumps(result, indent=1) if given.json else table(result))
    if given.write:
        begin, end = "<!-- pipeline.py -->\n", "<!-- end -->\n"
        text = given.write.read_text()
        before, rest = text.split(begin, 1)
        given.write.write_text(before + begin + table(result) + end + rest.split(end, 1)[1])


if __name__ == "__main__":
    main()
