"""Uploads one file with tuspy: `python upload.py ENDPOINT FILE`. Prints its address in the end."""

import sys
from pathlib import Path

from tusclient.client import TusClient

endpoint, file = sys.argv[1:]
with Path(file).open("rb") as stream:
    uploader = TusClient(endpoint).uploader(
        file_stream=stream,
        metadata={"filename": Path(file).name},
        chunk_size=1 << 30,  # all that is left, in each request
        retries=400,  # a server may take its time to start again; it calls itself for each
        retry_delay=0.3,  # type: ignore[arg-type]  # it sleeps for so long, whatever its annotation says
    )
    uploader.upload()
    print(f"done {uploader.url}")
