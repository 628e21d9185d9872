"""`imgpool serve` that is told to stop just after the fork: `python tests/early_stop_server.py --data-dir DATA ...`.

The real server, whose gunicorn process has its master stopped, and begins to start when the master's SIGTERM has come.
"""

from __future__ import annotations

import os
import signal
import sys

from faulty_server import settings_of
from imgpool.server.application import Application
from imgpool.server.worker import Worker


class StoppedEarly(Worker):
    """A gunicorn process that is told to stop before it listens to signals."""

    def init_process(self) -> None:
        come, coming = os.pipe()
        os.set_blocking(coming, False)
        signal.set_wakeup_fd(coming)
        os.kill(os.getppid(), signal.SIGTERM)
        os.read(come, 1)
        signal.set_wakeup_fd(-1)
        super().init_process()


class EarlyStop(Application):
    def load_config(self) -> None:
        super().load_config()
        self.cfg.set("worker_class", StoppedEarly)


if __name__ == "__main__":
    EarlyStop(settings_of(sys.argv[1:])).run()
