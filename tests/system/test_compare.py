"""`imgpool compare`, at its smallest: one factor, one second."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from PIL import Image

from serving import SAMPLES, WAIT_S

pytestmark = pytest.mark.alone

COMMAND = [sys.executable, "-m", "imgpool", "compare"]


def test_three_servers_under_the_same_flood(tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--factors", "12", "--hold-s", "1", "--follow-s", "1", "--memory-bytes", "384MiB", "-o", str(out)]
    photo = ["--images", str(SAMPLES / "mountain-lake.jpg")]
    done = subprocess.run(
        [*COMMAND, *options, *photo], capture_output=True, text=True, timeout=400, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((out / "compare.json").read_text())
    runs = {run["server"]: run for run in result["runs"]}
    assert list(runs) == ["imgpool", "thread_per_upload", "unbounded_executor"]
    assert result["capacity_per_s"] > 1
    for run in runs.values():
        assert run["rate"] == pytest.approx(12 * result["capacity_per_s"])
        assert run["due"] == run["accepted"] + run["refused"] + run["unanswered"]
        assert run["accepted"] == run["done"] + run["failed"] + run["lost"] + run["unfinished"]
        assert run["memory"]

    ours, thread, executor = runs.values()
    assert ours["refused"] > 0, "imgpool says no"
    assert ours["unanswered"] == ours["lost"] == 0
    assert not ours["killed"]
    assert thread["refused"] == executor["refused"] == 0, "the others never do"
    assert thread["killed"]
    assert thread["lost"] > 0, "so that what one accepted is lost"
    assert executor["unfinished"] > 0, "and the other has it lying about"
    assert "KILLED at the memory limit" in done.stdout

    with Image.open(io.BytesIO((out / "compare.png").read_bytes())) as picture:
        assert picture.width > 1500
        assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 50, "drawn, with text"
    page = (out / "compare.html").read_text()
    assert page.count("<svg") == 4
    assert "<script" not in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert not [each for each in psutil.process_iter(["cmdline"]) if "imgpool-compare-" in str(each.info["cmdline"])]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--factors", "1,x"], "--factors: '1,x' is not allowed"),
        (["--factors", "0"], "--factors: '0' is not allowed"),
        (["--hold-s", "0"], "--hold-s: 0 is not allowed"),
        (["--memory-bytes", "1KiB"], "--memory-bytes: '1KiB' is not allowed"),
        (["-o", "/proc/none"], "--out: '/proc/none' cannot be written"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(options: list[str], said: str) -> None:
    done = subprocess.run([*COMMAND, *options], capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
