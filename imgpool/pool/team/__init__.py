"""A team: threads that work together over channels of their own, and are told when they wait for each other for ever.

Read in this order: diagnosis, roster, channel, pool, team. Built upon the pattern, which works without it.
"""

from imgpool.pool.team.team import Team

__all__ = ["Team"]
