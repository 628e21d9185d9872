"""thumbor makes a variant when it is asked for one: "done" is when the upload and both variants have been answered."""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

SIDES = (1600, 256)


class Clients:
    """So many at once, each with one photo after the other, for some seconds."""

    def __init__(self, url: str, photos: list[Path]) -> None:
        self._address = urlsplit(url).netloc
        self._bodies = itertools.cycle([photo.read_bytes() for photo in photos])
        self.times: list[float] = []
        self.failed = 0

    def run(self, users: int, seconds: float) -> float:
        """Returns how long it took until the last had its answer."""
        began = time.monotonic()
        until = began + seconds
        crew = [threading.Thread(target=self._client, args=[until]) for _ in range(users)]
        for thread in crew:
            thread.start()
        for thread in crew:
            thread.join()
        return time.monotonic() - began

    def _client(self, until: float) -> None:
        while (began := time.monotonic()) < until:
            if self._upload_and_fetch(next(self._bodies)):
                self.times.append(time.monotonic() - began)
            else:
                self.failed += 1

    def _upload_and_fetch(self, body: bytes) -> bool:
        connection = http.client.HTTPConnection(self._address, timeout=60)
        try:
            connection.request("POST", "/image", body=body, headers={"Content-Type": "image/jpeg"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 201:
                return False
            image_id = (answer.headers["Location"] or "").split("/")[2]
            for side in SIDES:
                connection.request("GET", f"/unsafe/fit-in/{side}x{side}/{image_id}")
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    return False
            return True
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
