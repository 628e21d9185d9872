"""`imgpool bench` on small files: every part is measured, and the parts are of one size."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from serving import END_S, SAMPLES, WAIT_S, lives, wait_for

pytestmark = pytest.mark.alone

COMMAND = [sys.executable, "-m", "imgpool", "bench"]
COUNT = 24  # CPU time is counted in hundredths of a second: with 6, codecs and pipeline are two of them apart


def test_the_parts_and_their_ratios(tmp_path: Path) -> None:
    files = [SAMPLES / "city.webp", SAMPLES / "flower-cmyk.jpg", SAMPLES / "hostile/truncated.jpg"]
    done = subprocess.run(
        [*COMMAND, *map(str, files), "--count", str(COUNT), "--json"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert "left out: truncated.jpg (failed)" in done.stderr
    parts = [name for name, part in result.items() if isinstance(part, dict) and "wall_s" in part]
    assert parts == [
        *("codecs", "pipeline", "pipeline_threads", "pipeline_processes"),
        *("service", "service_workers", "full_queue", "full_queue_workers"),
    ]
    for part in parts:
        assert result[part]["wall_s"] > 0
        assert result[part]["cpu_s"] > 0
    assert result["codecs"]["images"] == result["pipeline"]["images"] == result["service"]["images"] == COUNT
    for part in ("service_workers", "full_queue_workers", "pipeline_threads", "pipeline_processes"):
        assert result[part]["images"] == COUNT * result["workers"]
    assert result["client_cpu_s"] > 0
    assert result["codecs"]["cpu_s"] < result["pipeline"]["cpu_s"], "the codecs' work is a part of the pipeline's"
    assert 0 < result["service"]["decoders_cpu_s"] < result["service"]["cpu_s"]
    assert 0 < result["start_s"] < 20
    assert set(result["ratios"]) == {
        "pipeline_cpu_by_codecs_cpu",
        "service_cpu_by_pipeline_cpu",
        "service_workers_by_one_worker",
        "full_queue_workers_by_one_worker",
        "pipeline_processes_by_one_process",
        "service_goodput_by_pipeline_threads",
        "full_queue_goodput_by_pipeline_threads",
    }
    assert not list(tmp_path.iterdir()), "nothing is left behind"


@pytest.mark.parametrize(
    ("files", "said"),
    [(["/nowhere.jpg"], "'/nowhere.jpg' cannot be read"), ([str(SAMPLES / "README.md")], "none of these files")],
)
def test_what_cannot_be_measured_is_said(files: list[str], said: str) -> None:
    done = subprocess.run([*COMMAND, *files], capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_leaves_no_server_behind(tmp_path: Path, signal_number: signal.Signals) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [*COMMAND, str(SAMPLES / "city.webp"), "--count", "200"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as process:
        started = psutil.Process(process.pid)
        wait_for(lambda: len(started.children(recursive=True)) >= 3, "a server with its processes")
        family = started.children(recursive=True)
        process.send_signal(signal_number)
        killed = signal_number == signal.SIGKILL  # which runs no code that could clear up
        assert process.wait(END_S) == (-signal_number if killed else 128 + signal_number)
        wait_for(lambda: not any(lives(each) for each in family), "the end of the server", END_S)
    assert killed or not list(tmp_path.iterdir())
