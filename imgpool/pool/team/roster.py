"""The roster of a team: who takes part, who waits for good, and whether all do.

Owns the members and their waits, and the moment of a deadlock. Never gives a false alarm, because of three rules that
it enforces rather than assumes:

- only members use the team's channels and pools, and only members bring in new members, so nobody can come from outside
  to help: a thread that is not a member gets `NotInTeam`;
- a wait counts only if it is for good: no time limit, and no context that anybody else could end;
- a member that does anything else (computes, sleeps, waits for a lock) counts as running.

So when all wait, all wait for ever. The reverse does not hold: a deadlock through something else than the team's
channels goes unseen. Ctrl-C breaks any wait; it may come in the very moment of an alarm, and then both are raised.

Costs nothing to those who are not in a team. Lock order: this one, then a channel's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from imgpool.pool.errors import DeadlockError, NotInTeam
from imgpool.pool.team.diagnosis import Wait, diagnose


@dataclass(frozen=True)
class Blocked:
    """A wait for good, as the roster sees it. `lasts` takes no lock; `describe` and `release` may take a channel's."""

    lasts: Callable[[], bool]
    describe: Callable[[str], Wait]
    release: Callable[[], None]


class Member:
    """One thread that takes part. Written under the roster's lock."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.blocked: Blocked | None = None
        self.ended = False


class Roster:
    """The members of one team. Every method may be called from any thread; only `wait_for_...` block."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)  # a member has ended, or a deadlock was found
        self._here = threading.local()
        self._members: list[Member] = []  # those that have not ended, in the order of their coming
        self._deadlock: DeadlockError | None = None
        self.errors: list[tuple[str, BaseException]] = []  # what members died of

    # -- members -----------------------------------------------------------------------------------

    def me(self) -> Member:
        """Return the calling thread's member, or raise `NotInTeam`."""
        member: Member | None = getattr(self._here, "member", None)
        if member is None or member.ended:
            raise NotInTeam(
                f"thread {threading.current_thread().name!r} takes no part in this team, so it must not use the team's "
                "channels and pools: start it with team.start()"
            )
        return member

    def enter(self, name: str) -> Member:
        """Make the calling thread the first member, or a further one that `expect` has announced."""
        member = self.expect(name)
        self._here.member = member
        return member

    def expect(self, name: str) -> Member:
        """Count in a member whose thread is about to start."""
        member = Member(name)
        with self._lock:
            self._members.append(member)
        return member

    def leave(self, member: Member, error: BaseException | None = None) -> None:
        """Count out a member, because its thread ends (or did not start)."""
        with self._lock:
            member.ended = True
            self._members.remove(member)
            if error is not None:
                self.errors.append((member.name, error))
            self._changed.notify_all()
            self._look()

    def thread(self, target: Callable[..., object], args: tuple[Any, ...], name: str, **options: Any) -> TeamThread:
        """Return a thread that becomes a member when a member starts it. Takes what `threading.Thread` takes."""
        return TeamThread(self, target, args, name, **options)

    def members_of(self, threads: Iterable[threading.Thread]) -> list[Member]:
        """Return the members that these threads are or were."""
        return [each.member for each in threads if isinstance(each, TeamThread) and each.member is not None]

    def become(self, member: Member) -> None:
        """Tell the roster, in a new member's thread, who that is."""
        self._here.member = member

    # -- waits -------------------------------------------------------------------------------------

    @contextmanager
    def waiting(self, blocked: Blocked) -> Iterator[None]:
        """While in here the calling member waits for good. If with it all members do, all are released at once.

        After a deadlock nothing blocks any more: whoever would is released at once too.
        """
        member = self.me()
        try:
            with self._lock:
                member.blocked = blocked
                if self._deadlock is not None:
                    blocked.release()
                else:
                    self._look()
            yield
        finally:
            with self._lock:
                member.blocked = None

    def wait_for_end(self, of: list[Member] | None = None) -> None:
        """Block until these have ended, or all other members. Raises `DeadlockError` if not, and after one."""
        member = self.me()

        def left() -> Iterator[Member]:
            return (each for each in self._members if each is not member and (of is None or each in of))

        def lasts() -> bool:
            return next(left(), None) is not None

        released = False  # and not merely "deadlocked": the others were released too, and may have ended by now

        def release() -> None:
            nonlocal released
            released = True
            self._changed.notify_all()

        with self._lock:
            if self._deadlock is not None:  # whether or not they have come to their end by now
                raise self.deadlock()
            member.blocked = Blocked(
                lasts,
                lambda who: Wait(who, "join", until_ended=tuple(each.name for each in left())),
                release,
            )
            try:
                self._look()
                while lasts() and not released:
                    self._changed.wait()
            finally:
                member.blocked = None
            if released:
                raise self.deadlock()

    def wait_for_release(self) -> None:
        """After a deadlock, or when everything is closed: block until all other members have come to their end."""
        member = self.me()
        with self._lock:
            while self._members != [member]:
                self._changed.wait()

    def deadlock(self) -> DeadlockError:
        """Return the error of the deadlock that was found: a new one for each thread, since each gets a traceback."""
        found = self._deadlock
        assert found is not None  # noqa: S101 - asked by those only whom it released
        error = DeadlockError(str(found), found.waits, found.mistake)
        error.__cause__ = found.__cause__
        return error

    @property
    def deadlocked(self) -> bool:
        """True once a deadlock was found."""
        return self._deadlock is not None

    def _look(self) -> None:
        """Raise the alarm if all members wait. Called, with the lock held, whenever one has begun to wait or ended.

        Why reading one wait after the other is enough: nobody leaves `waiting` meanwhile, for that takes our lock. Who
        has been served and not yet woken no longer `lasts`; and who has neither been served nor woken serves nobody.
        So if none of them was served before its turn came, none can have been served by another.
        """
        if self._deadlock is not None or not self._members:
            return
        for member in self._members:
            if member.blocked is None or not member.blocked.lasts():
                return
        self._deadlock = diagnose(
            tuple(member.blocked.describe(member.name) for member in self._members if member.blocked is not None),
            tuple(f"{name} ended early with {type(error).__name__}: {error}" for name, error in self.errors),
        )
        if self.errors:
            self._deadlock.__cause__ = self.errors[0][1]
        for member in self._members:
            if member.blocked is not None:
                member.blocked.release()


class TeamThread(threading.Thread):
    """A daemon thread that is a member from before its start until its target has ended."""

    def __init__(
        self, roster: Roster, target: Callable[..., object], args: tuple[Any, ...], name: str, daemon: bool = True
    ) -> None:
        super().__init__(name=name, daemon=daemon)
        self._roster = roster
        self._work: tuple[Callable[..., object], tuple[Any, ...]] | None = (target, args)
        self.member: Member | None = None

    def start(self) -> None:
        """Start it; only a member may. Raises `NotInTeam`, or RuntimeError when the system gives no more threads."""
        self._roster.me()
        self.member = self._roster.expect(self.name)
        try:
            super().start()
        except BaseException:
            self._roster.leave(self.member)
            raise

    def run(self) -> None:
        """Run the target. What it raises is kept for whoever ends the team; a deadlock is told there anyway."""
        member, work = self.member, self._work
        self._work = None
        assert member is not None  # noqa: S101 - set by start()
        assert work is not None  # noqa: S101 - a thread runs once
        self._roster.become(member)
        error: BaseException | None = None
        try:
            work[0](*work[1])
        except BaseException as caught:
            error = caught
        del work
        self._roster.leave(member, None if isinstance(error, DeadlockError) and self._roster.deadlocked else error)
