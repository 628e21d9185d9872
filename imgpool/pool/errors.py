"""What can go wrong in a pool, each thing once and by name.

Owns the exceptions of this package. Never re-derives one from a message's text: each class means one
situation, so that a caller can tell "full" from "closed" from "too late" with `except` alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imgpool.pool.team.diagnosis import Mistake, Wait


class PoolError(Exception):
    """Anything that this package raises on purpose."""


class ChannelError(PoolError):
    """A channel could not do what was asked."""


class ChannelClosed(ChannelError):
    """The channel takes nothing more (sending), or has nothing more to give (receiving)."""


class ChannelFull(ChannelError):
    """No free place right now. Another attempt later may succeed."""


class ChannelEmpty(ChannelError):
    """Nothing to receive right now, but something may still come."""


class ChannelTimeout(ChannelError, TimeoutError):
    """The caller's own time limit passed before the channel could serve it; nothing was sent or taken."""


class SlotUsed(ChannelError):
    """A slot was sent or given back before: it is good for one item."""


class ContextDone(PoolError):
    """Base of the two ways in which a context ends; catch it to handle both alike."""


class Cancelled(ContextDone):
    """Somebody called `cancel()` on the context or on one of its parents."""


class DeadlineExceeded(ContextDone, TimeoutError):
    """The context's deadline, or a parent's, has passed."""


class DeadlockError(PoolError):
    """Every thread of a team waits, for good, for another of them; none of them is left waiting.

    `str(error)` says who waits for what and which mistake that is. For programs: `waits`, one for each thread;
    `mistake`, the name of the mistake.
    """

    def __init__(self, message: str, waits: tuple[Wait, ...], mistake: Mistake) -> None:
        super().__init__(message)
        self.waits = waits
        self.mistake = mistake


class NotInTeam(PoolError, RuntimeError):
    """A thread that does not take part in a team used one of the team's channels or pools."""


class PoolFull(PoolError):
    """The jobs channel has no free place, and the policy says not to wait for one."""


class PoolClosed(PoolError):
    """The pool does not admit jobs: not started yet, draining, aborted or ended."""


class SubmitTimeout(PoolError, TimeoutError):
    """No place became free within the time that the caller was ready to wait."""
