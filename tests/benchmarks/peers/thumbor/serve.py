"""Starts thumbor with uploads allowed and results kept, a process for each CPU: `python serve.py DIRECTORY`.

Tuned as its documentation says for production: several processes, and results stored, so that a second request for a
variant costs nothing; the engine is Pillow's.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

directory = Path(sys.argv[1]).absolute()
directory.mkdir(parents=True, exist_ok=True)
with socket.create_server(("127.0.0.1", 0)) as listener:
    port = listener.getsockname()[1]
configuration = directory / "thumbor.conf"
configuration.write_text(
    f"""
ALLOW_UNSAFE_URL = True
UPLOAD_ENABLED = True
UPLOAD_MAX_SIZE = 64 * 1024 * 1024
UPLOAD_PHOTO_STORAGE = "thumbor.storages.file_storage"
FILE_STORAGE_ROOT_PATH = {str(directory / "originals")!r}
STORAGE = "thumbor.storages.file_storage"
RESULT_STORAGE = "thumbor.result_storages.file_storage"
RESULT_STORAGE_FILE_STORAGE_ROOT_PATH = {str(directory / "results")!r}
RESULT_STORAGE_STORES_UNSAFE = True
RESPECT_ORIENTATION = True
QUALITY = 82
PROGRESSIVE_JPEG = False
"""
)
thumbor = Path(sys.executable).parent / "thumbor"
cpus = len(os.sched_getaffinity(0))
options = ["--ip", "127.0.0.1", "--port", str(port), "--conf", str(configuration), "--processes", str(cpus)]
process = os.spawnv(os.P_NOWAIT, str(thumbor), [str(thumbor), *options, "--log-level", "error"])
limit = time.monotonic() + 20
while True:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        break
    except OSError:
        if time.monotonic() > limit:
            sys.exit("thumbor does not answer")
        time.sleep(0.05)
print(f"thumbor: serving on http://127.0.0.1:{port}", flush=True)
os.waitpid(process, 0)
