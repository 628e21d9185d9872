"""The server without protection, flooded for real: a few photos are well, a flood kills it, and nothing is left."""

from __future__ import annotations

import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from imgpool.imaging.samples import sample_images
from imgpool.learn.lab.flood import MEMORY_BYTES, from_json
from imgpool.learn.lab.process import RunFailed, run_in_child
from imgpool.pool import Context
from serving import wait_for

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the doubles limit their memory by /proc"),
    pytest.mark.alone,
]

CHILD = "imgpool.learn.lab.flood"
PHOTO = next(path for path in sample_images() if path.name == "aurora.avif")


def flood(arrivals_ms: list[int], stopping: Context | None = None) -> dict[str, Any]:
    wanted = from_json({"arrivals_ms": arrivals_ms})
    request = {"photo": str(PHOTO), "flood": {"double": wanted.double, "arrivals_ms": wanted.arrivals_ms}}
    return run_in_child(CHILD, request, stopping or Context())


def test_a_few_photos_are_all_done() -> None:
    told = flood([0, 300, 600])
    assert told["died_ms"] is None
    assert [each["status"] for each in told["arrivals"]] == [202, 202, 202]
    for each in told["arrivals"]:
        assert each["at_ms"] <= each["done_ms"] <= each["at_ms"] + 10_000
    assert 0 < max(sample["memory_bytes"] for sample in told["samples"]) < MEMORY_BYTES


def test_a_flood_kills_it_and_what_it_accepted_is_lost() -> None:
    told = flood([n * 5 for n in range(120)])
    assert told["died_ms"] is not None
    accepted = [each for each in told["arrivals"] if each["status"] == 202]
    assert len(accepted) < 120
    assert sum(each["done_ms"] is not None for each in accepted) < len(accepted)
    assert max(sample["memory_bytes"] for sample in told["samples"]) > MEMORY_BYTES / 2


def test_cut_off_it_takes_the_server_with_it_and_its_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)  # look at the variable again
    stopping = Context()
    found: list[psutil.Process] = []
    before = psutil.Process().children(recursive=True)  # a server of other tests

    def cut_off_once_it_runs() -> None:
        wait_for(lambda: any("doubles" in command(each) for each in family()), "the double")
        found.extend(family())
        stopping.cancel("the test")

    def command(process: psutil.Process) -> str:
        try:
            return " ".join(process.cmdline())
        except psutil.NoSuchProcess:
            return ""

    def family() -> list[psutil.Process]:
        return [each for each in psutil.Process().children(recursive=True) if each not in before]

    watcher = threading.Thread(target=cut_off_once_it_runs)
    watcher.start()
    with pytest.raises(RunFailed, match="The server stops"):
        flood([0, 20_000], stopping)
    watcher.join()
    assert len(found) >= 2
    _, alive = psutil.wait_procs(found, timeout=60)
    assert [each for each in alive if each.status() != psutil.STATUS_ZOMBIE] == []
    assert list(tmp_path.iterdir()) == []
