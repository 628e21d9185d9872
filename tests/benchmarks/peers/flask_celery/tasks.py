"""The Celery half: one task for each image, in prefork workers, with Redis as broker and result store.

Tuned as Celery's documentation says for long tasks: one task fetched at a time, acknowledged when it is done, and the
fair strategy (see serve.py). Pillow as its own documentation says: `thumbnail` first, which has a JPEG decoded at
reduced size, and the turn after it, on few pixels. With `PEER_AS_FIRST_WRITTEN=1` the turn comes first, as in most code
that one finds.
"""

from __future__ import annotations

import os

from celery import Celery
from PIL import Image, ImageOps

redis = os.environ["PEER_REDIS"]
app = Celery("tasks", broker=redis, backend=redis)
app.conf.update(
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    result_expires=3600,
)
TURN_FIRST = os.environ.get("PEER_AS_FIRST_WRITTEN") == "1"


@app.task
def make_variants(path: str) -> str:
    with Image.open(path) as image:
        picture = ImageOps.exif_transpose(image) if TURN_FIRST else image
        picture.thumbnail((1600, 1600))
        if not TURN_FIRST:
            picture = ImageOps.exif_transpose(picture)
        picture.save(f"{path}-large.jpg", quality=82)
        picture.thumbnail((256, 256))
        picture.save(f"{path}-thumb.jpg", quality=82)
    return path
