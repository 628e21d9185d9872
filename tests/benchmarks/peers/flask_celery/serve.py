"""Starts Redis, two Celery processes for each pair of CPUs, and gunicorn before Flask; ends all three on SIGTERM.

python serve.py DIRECTORY
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

directory = Path(sys.argv[1])
directory.mkdir(parents=True, exist_ok=True)
here = Path(__file__).parent
bin_ = Path(sys.executable).parent


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_for(port: int) -> None:
    limit = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > limit:
                raise
            time.sleep(0.05)
        else:
            return


redis, web = free_port(), free_port()
cpus = len(os.sched_getaffinity(0))
environment = {
    **os.environ,
    "PEER_REDIS": f"redis://127.0.0.1:{redis}/0",
    "PEER_DIRECTORY": str(directory),
}
commands = [
    ["redis-server", "--port", str(redis), "--bind", "127.0.0.1", "--save", "", "--dir", str(directory)],
    [str(bin_ / "celery"), "-A", "tasks", "worker", "-O", "fair", "--concurrency", str(cpus), "--loglevel", "ERROR"],
    [str(bin_ / "gunicorn"), "--bind", f"127.0.0.1:{web}", "--worker-class", "gthread", "--workers", str(cpus),
     "--threads", "16", "--log-level", "error", "web:app"],
]  # fmt: skip
processes = []
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
try:
    for command in commands:
        processes.append(subprocess.Popen(command, cwd=here, env=environment, stdout=sys.stderr))
        if command[0] == "redis-server":
            wait_for(redis)
    wait_for(web)
    ping = [str(bin_ / "celery"), "-A", "tasks", "inspect", "ping", "--timeout", "2"]
    for _ in range(10):  # it answers nobody until it has connected
        if subprocess.run(ping, cwd=here, env=environment, stdout=sys.stderr, check=False).returncode == 0:
            break
    else:
        sys.exit("the Celery worker does not answer")
    print(f"flask_celery: serving on http://127.0.0.1:{web}", flush=True)
    signal.pause()
finally:
    for process in reversed(processes):
        process.terminate()
    for process in processes:
        process.wait(20)
