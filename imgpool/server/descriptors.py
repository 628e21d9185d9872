"""File descriptors: how many connections fit beside the files that the service itself needs."""

from __future__ import annotations

import resource

from imgpool.config import MOST_RECEIVING, Settings

MOST_CONNECTIONS = 4096
OWN_FILES = 96  # database, listener, poller, pipes and logs, modules that are loaded late
FILES_PER_WORKER = 8  # pipes of a decoder child, the variants being written
LEAST_CONNECTIONS = 16


def connections(settings: Settings) -> int:
    """Raise the soft limit as far as allowed, and return how many clients may be connected at once. Beyond that,
    those that have waited longest make way for new ones. The service's own files come first: an upload that was
    admitted must find a descriptor for its original.
    """
    own = OWN_FILES + FILES_PER_WORKER * settings.workers + 2 * min(settings.queue_capacity, MOST_RECEIVING)
    wanted = MOST_CONNECTIONS + own
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(LEAST_CONNECTIONS, min(MOST_CONNECTIONS, soft - own))
