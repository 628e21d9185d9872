"""Memory and CPU of this process and its children, checked against psutil."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from imgpool.service.usage import usage

HOLD = "import sys; held = bytearray(60_000_000); print('held', flush=True); sys.stdin.read()"


def test_children_count_while_they_live_and_their_time_after() -> None:
    alone = usage()
    assert alone is not None
    here = psutil.Process()
    family = [here, *here.children()]  # a server of other tests may be there
    assert alone.memory_bytes == pytest.approx(sum(each.memory_info().rss for each in family), rel=0.1)
    with subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        with_child = usage()
        assert with_child is not None
        rss = psutil.Process(child.pid).memory_info().rss
        assert with_child.memory_bytes - alone.memory_bytes == pytest.approx(rss, rel=0.1)
        child.communicate()
    after = usage()
    assert after is not None
    assert alone.cpu_s < after.cpu_s
    assert after.memory_bytes < with_child.memory_bytes - 50_000_000


def test_where_the_system_does_not_tell_nothing_is_known(tmp_path: Path) -> None:
    assert usage(tmp_path) is None
