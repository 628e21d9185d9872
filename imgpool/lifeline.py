"""A process that ends with the one that started it, however that ended: `kill -9` runs no code that could clear up.

Owns nothing; asks the kernel, which only Linux has such a wish for. Elsewhere nothing happens here, and what is started
has to notice by itself. Standard library alone, and little of it: run as a program it costs 10 ms.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the *thread* that started it ends; `parent` is that thread's process.

    Stays so when the process becomes another program, and does not pass to its children.
    """
    if sys.platform != "linux":
        return
    import ctypes  # not for `bound`, which every start of a server imports

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the call above
        os._exit(0)


def bound(command: list[str]) -> list[str]:
    """The command, as a process that ends with the thread that starts it."""
    return [sys.executable, "-S", "-P", __file__, str(os.getpid()), *command]


if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - what `bound` was given
