"""Fuzz the way in: `python tests/fuzz/run.py --seconds 60 --seed 1`.

Mutates real image files, seeded, and gives them for so many seconds in all to the look at the header (as in the web
process), to a decoder child and to a real server. Each file that breaks a promise is reported and kept in
`tests/fuzz/corpus`, where the tests meet it again. Exit status 1 when there was one. The same seed makes the same
files; how many of them come, the machine decides.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1])]

from fuzz.mutate import Mutator
from fuzz.seeds import CORPUS, samples, seeds
from fuzz.server import Uploads
from fuzz.targets import Broken, Header, Pipeline, Target


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=60, help="how long in all (60)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same files (1)")
    parser.add_argument("--only", choices=("header", "pipeline", "server"), help="one target instead of all three")
    parser.add_argument("--samples", action="store_true", help="begin from the sample images, and not from small files")
    parser.add_argument("--keep", type=Path, default=CORPUS, help="where files that break a promise are kept")
    given = parser.parse_args(arguments)
    beginnings = samples() if given.samples else seeds()
    targets: dict[str, Callable[[Path], Target]] = {
        "header": Header,
        "pipeline": Pipeline,
        "server": lambda folder: Uploads(folder, given.seed),
    }
    chosen = [given.only] if given.only else list(targets)
    print(f"{len(beginnings)} files to begin from, seed {given.seed}, {given.seconds / len(chosen):g} s each: {chosen}")
    broken = 0
    for name in chosen:
        with tempfile.TemporaryDirectory(prefix="imgpool-fuzz-") as folder:
            target = targets[name](Path(folder))
            broken += _fuzz(name, target, Mutator(beginnings, given.seed), given.seconds / len(chosen), given.keep)
    return 1 if broken else 0


def _fuzz(name: str, target: Target, mutator: Mutator, seconds: float, keep: Path) -> int:
    ends: Counter[str] = Counter()
    broken = 0
    limit = time.monotonic() + seconds
    slowest = 0.0
    while time.monotonic() < limit and broken < 20:
        content = mutator.next()
        began = time.monotonic()
        try:
            ends[target(content)] += 1
        except Broken as error:
            broken += 1
            kept = keep / f"{name}-{hashlib.sha256(content).hexdigest()[:12]}"
            kept.write_bytes(content)
            print(f"BROKEN {name}: {error}\n  kept as {kept}")
        slowest = max(slowest, time.monotonic() - began)
    try:
        target.close()
    except Broken as error:
        broken += 1
        print(f"BROKEN {name}, at its end: {error}")
    files = sum(ends.values()) + broken
    print(f"{name}: {files} files, {broken} broke a promise, slowest {slowest:.2f} s; {dict(ends.most_common())}")
    return broken


if __name__ == "__main__":
    sys.exit(main())
