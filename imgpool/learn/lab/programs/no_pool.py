"""No pool at all: each job gets a thread of its own, at once."""

from __future__ import annotations

import threading

from imgpool.learn.lab.experiment import Experiment
from imgpool.learn.lab.work import pause, work


def main(lab: Experiment) -> None:
    """As many threads as there are jobs."""
    threads = []
    for job in range(1, lab.jobs + 1):
        pause(lab.gap_ms)
        thread = threading.Thread(target=work, args=(job, lab.kind, lab.length_ms), name=f"thread-{job}")
        thread.start()
        threads.append(thread)
    for thread in threads:
        thread.join()
