"""Files that once broke a promise, or came near it, against what they broke; and a short run of the fuzzer itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fuzz.mutate import Mutator, parts
from fuzz.run import main
from fuzz.seeds import CORPUS, honest
from fuzz.targets import Broken, Header, Pipeline

FILES = sorted(path for path in CORPUS.iterdir() if path.suffix != ".md")


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    target = Pipeline(tmp_path_factory.mktemp("pipeline"))
    yield target
    target.close()


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_past_failures(path: Path, tmp_path: Path, pipeline: Pipeline) -> None:
    content = path.read_bytes()
    Header(tmp_path)(content)
    pipeline(content)


def test_the_same_seed_makes_the_same_files() -> None:
    beginnings = honest()
    assert honest() == beginnings
    for content in beginnings:
        assert b"".join(parts(content)) == content
    first, again, other = (Mutator(beginnings, seed) for seed in (5, 5, 6))
    made = [first.next() for _ in range(50)]
    assert made == [again.next() for _ in range(50)]
    assert made != [other.next() for _ in range(50)]


def test_a_broken_promise_is_seen_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(self: Header, content: bytes) -> str:
        raise Broken("it took a minute")

    monkeypatch.setattr(Header, "__call__", slow)
    assert main(["--seconds", "20", "--only", "header", "--keep", str(tmp_path)]) == 1
    kept = sorted(tmp_path.iterdir())
    assert 1 <= len(kept) <= 20
    assert all(path.name.startswith("header-") for path in kept)


@pytest.mark.parametrize("target", ["header", "pipeline", "server"])
def test_a_short_run(tmp_path: Path, target: str) -> None:
    assert main(["--seconds", "2", "--seed", "7", "--only", target, "--keep", str(tmp_path)]) == 0
    assert list(tmp_path.iterdir()) == []
