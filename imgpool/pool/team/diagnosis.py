"""The diagnosis of a deadlock: from who waits for what, to the mistake that is behind it.

Owns the words. Looks only at what it is given: waits of threads that are all blocked for good, and what each channel's
two ends have been used by. Runs no code of the caller's: an item is told by its number or its type, never by its repr.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from imgpool.pool.errors import DeadlockError
from imgpool.pool.events import Job, Result
from imgpool.pool.statistics import ChannelStatistics

Mistake = Literal[
    "not collected", "nobody on the other side", "not closed", "slot forgotten", "thread died", "waiting in a circle"
]


@dataclass(frozen=True, slots=True)
class Ends:
    """One channel at the moment of the deadlock, and who ever tried to send to it or to receive from it."""

    statistics: ChannelStatistics
    senders: frozenset[str]
    receivers: frozenset[str]

    @property
    def name(self) -> str:
        """The channel's."""
        return self.statistics.name

    def __str__(self) -> str:
        """Say why a call on it waits."""
        now = self.statistics
        if now.capacity == 0:
            return f"{now.name} has no buffer"
        held = f"{now.buffered + now.reserved} of {now.capacity}"
        if now.reserved:
            return f"{now.name} buffer holds {held}, {now.reserved} of them reserved and still empty"
        return f"{now.name} buffer full, {held}" if now.buffered else f"{now.name} is empty and not closed"


@dataclass(frozen=True, slots=True)
class Wait:
    """One blocked thread. `item` is what it sends, `until_ended` the threads whose end it waits for."""

    who: str
    action: Literal["send", "reserve", "receive", "join"]
    channel: Ends | None = None
    item: str | None = None
    until_ended: tuple[str, ...] = ()


def told(item: object) -> str:
    """Name an item without running its code."""
    if isinstance(item, Result):
        return f"the result of job {item.job.number}"
    if isinstance(item, Job):
        return f"job {item.number}"
    if type(item) in (int, float, bool) or item is None:
        return repr(item)
    if type(item) is str:
        return repr(item if len(item) <= 40 else item[:39] + "…")
    return f"a {type(item).__name__}"


def together(names: list[str]) -> str:
    """Join names: workers of one kind as "workers 1-3", others with commas."""
    groups: dict[str, list[int]] = {}
    for name in names:
        match = re.fullmatch(r"(.*?)[ -]([0-9]{1,9})", name)
        groups.setdefault(match[1] if match else name, []).extend([int(match[2])] if match else [])
    parts = []
    for kind, numbers in groups.items():
        numbers.sort()
        # Consecutive numbers share their distance to their place in the list.
        runs = [[n for _, n in run] for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])]
        shown = ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
        parts.append(kind if not numbers else f"{kind} {shown}" if len(numbers) == 1 else f"{kind}s {shown}")
    return ", ".join(parts)


def diagnose(waits: tuple[Wait, ...], died: tuple[str, ...]) -> DeadlockError:
    """Return the error to raise in every thread that waits. `died`: "NAME ended early with ERROR" for each that did."""
    facts = [*_grouped(waits), *(["nobody receives"] if _sending(waits) else []), *died]
    mistake, advice = _died() if died else _mistake(waits)
    return DeadlockError(f"deadlock: {'; '.join(facts)}. {advice}", waits, mistake)


def _sending(waits: tuple[Wait, ...]) -> list[Ends]:
    return [wait.channel for wait in waits if wait.action in ("send", "reserve") and wait.channel is not None]


def _grouped(waits: tuple[Wait, ...]) -> list[str]:
    """Return a sentence for each group of threads that wait for the same."""
    groups: dict[tuple[str, str], list[Wait]] = {}
    for wait in waits:
        groups.setdefault((wait.action, wait.channel.name if wait.channel else ""), []).append(wait)
    return [_sentence(group) for group in groups.values()]


def _sentence(group: list[Wait]) -> str:
    first, one = group[0], len(group) == 1
    who = f"{together([wait.who for wait in group])} {'waits' if one else 'wait'}"
    if first.action == "join":
        return f"{who} for the end of {together(list(first.until_ended))}"
    what = {"receive": "receive", "reserve": "reserve a place", "send": f"send {first.item}" if one else "send"}
    return f"{who} to {what[first.action]}: {first.channel}"


def _died() -> tuple[Mistake, str]:
    return "thread died", "Whoever has died neither sends nor receives any more: mend that error first."


def _mistake(waits: tuple[Wait, ...]) -> tuple[Mistake, str]:
    for wait in waits:
        if wait.channel is not None and wait.channel.statistics.reserved:
            return "slot forgotten", (
                f"A slot of {wait.channel.name} was reserved, and neither sent nor given back: "
                "hold slots in a `with` block."
            )
    if sending := _sending(waits):
        return _not_received(sending)
    if any(wait.action == "receive" for wait in waits):
        return _not_closed(waits)
    return "waiting in a circle", "Each waits for the end of another: only who started threads should wait for them."


def _not_received(sending: list[Ends]) -> tuple[Mistake, str]:
    # The cause is where the chain of full channels ends: a channel from which nobody has ever received.
    root = min(sending, key=lambda channel: len(channel.receivers))
    late = "" if not root.receivers else f" ({together(sorted(root.receivers))} did before, but waits now)"
    if root.statistics.capacity == 0:
        return "nobody on the other side", (
            f"Nobody receives from {root.name}{late}, and without a buffer a send ends only when somebody receives: "
            "receive in another thread, or give it a buffer."
        )
    return "not collected", (
        f"Nobody collects from {root.name}{late}: collect in another thread while jobs are sent. A larger buffer only "
        "moves the moment: sending everything first ends well only while jobs <= workers + both buffers."
    )


def _not_closed(waits: tuple[Wait, ...]) -> tuple[Mistake, str]:
    receiving = [wait for wait in waits if wait.action == "receive" and wait.channel is not None]
    # The first member made the team, and usually sends the jobs: what the others wait for is the cause.
    causes = [wait for wait in receiving if wait.who != waits[0].who] or receiving
    channel = causes[0].channel
    assert channel is not None  # noqa: S101 - see above
    names = [wait.who for wait in causes if wait.channel == channel]
    who, waits_on = together(names), "waits" if len(names) == 1 else "wait"
    if not channel.senders and len(waits) == 1:
        return "nobody on the other side", f"{who} is alone: no other thread is left that could send to {channel.name}."
    if channel.senders and channel.senders.isdisjoint(wait.who for wait in waits):
        return "not closed", (
            f"{who} {waits_on} for more than was sent, and all who sent to {channel.name} have ended without closing "
            f"it: receive as often as was sent, or close {channel.name} after the last send."
        )
    return "not closed", (
        f"{channel.name} was never closed, so {who} cannot know that nothing more comes: "
        f"call close() after the last send to {channel.name}."
    )
