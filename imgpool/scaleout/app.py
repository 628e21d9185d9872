"""For Celery's own commands: `celery -A imgpool.scaleout.app worker`, `inspect`, `flower`. Settings come from the
environment, or the file that IMGPOOL_CONFIG names. Importing this module makes the application and connects to nothing.
"""

from __future__ import annotations

from imgpool.config import load
from imgpool.scaleout.worker import Worker

app = Worker(load()).app
