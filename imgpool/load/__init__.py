"""Load testing a live imgpool, and comparing it: `imgpool load`, `imgpool compare`, `imgpool bench`.

A client like any other: knows the HTTP contract and nothing of the service's insides. Locust and gevent, which change
the standard library of the process that imports them, are imported by `users` and `run` only, and only in the process
of `imgpool load`.
"""

from pathlib import Path

#: For `locust -f`.
LOCUSTFILE = Path(__file__).with_name("locustfile.py")
