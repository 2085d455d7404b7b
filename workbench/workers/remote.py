"""Launchers whose workers run on other machines: all that they have in common, whatever the engine that starts them.

The engine (Ray, Slurm, ssh, Kubernetes) only starts a command somewhere and ends it. The command calls back, and that
connection is the truth about a worker: jobs and news go through it, and when it is cut the worker is lost, whatever the
engine believes.
"""

from __future__ import annotations

import itertools
import logging
import secrets
import selectors
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing import Pipe
from typing import Any

from workbench.contracts.launcher import Advance, Crew, Finished, Job, Launcher, Node, Printed, Reason
from workbench.errors import UserError, first_of
from workbench.workers.failure import lost
from workbench.workers.line import SILENCE, Line, Switchboard, keep_alive, own_address
from workbench.workers.members import Member, Needs, Place, key_file
from workbench.workers.messages import Beat, End, Introduction, Ready, Unfit, Welcome

IDLE = 60.0  # seconds that a worker nobody needs is kept
LOOK = 1.0  # seconds between two looks at workers that have not called yet
TRIES = 2  # times in a row that workers may fail to start at a place

log = logging.getLogger(__name__)


class RemoteLauncher(Launcher):
    """To be subclassed with `places`, `start`, `alive` and `kill`, and if the engine knows more with `fate`.

    `workers`: how many at most. `address` and `port`: of this machine, as the others reach it; by default found, and
    any that is free.
    """

    elsewhere = True

    def __init__(
        self, workers: int | None = None, needs: Needs | None = None, address: str | None = None, port: int = 0
    ):
        self.workers, self.needs, self.address, self.port = workers, needs or Needs(), address, port

    def places(self) -> Sequence[Place]:
        """Where workers can be started now; asked again as workers are needed."""
        raise NotImplementedError

    def start(self, place: Place, needs: Needs, command: Sequence[str]) -> Any:
        """Have a command run there, with so much for it alone; returns at once with what `alive` and `kill` are given.
        `UserError` where the engine refuses it."""
        raise NotImplementedError

    def alive(self, handle: Any) -> bool:
        """Whether the command runs, or may still begin to; asked about workers that have not called yet."""
        raise NotImplementedError

    def kill(self, handle: Any) -> None:
        """End the command at once; what has ended already is no error."""
        raise NotImplementedError

    def fate(self, handle: Any) -> tuple[Reason, str]:
        """Why a worker is gone: one of the reasons of `lost`, and the engine's words, as far as it knows."""
        return Reason.LOST, ""

    def open(self, crew: Crew) -> None:
        """Wait for calls; workers are started as they are needed."""
        if crew.folder is None:
            raise UserError("a launcher on several machines needs a folder that all of them see")
        self._crew, key = crew, secrets.token_bytes(32)
        self._members: dict[str, Member] = {}
        self._gone: dict[str, Member] = {}  # lost, and may call again: clusters start a job again that they preempted
        self._names = itertools.count(1)
        self._failed: Counter[str] = Counter()  # in a row, by name of a place
        self._unfit: dict[str, str] = {}  # name of a place -> why no worker of it can be used
        self._news: deque[Advance | Printed | Finished] = deque()
        self._called: deque[Line] = deque()
        self._woken, self._wake = Pipe(duplex=False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._looked = self._start_after = 0.0
        self._switchboard = self._reachable(key)
        self._key_file = key_file(crew.folder, key)
        self._beats = keep_alive(lambda: [each.line for each in list(self._members.values()) if each.line])

    def slots(self) -> int:
        """How many jobs can run at once: as many as workers are there."""
        return sum(node.slots for node in self.nodes())

    def nodes(self) -> Sequence[Node]:
        """Where workers are, and how many at each; none yet where some are expected."""
        found: dict[str, Node] = {}
        for member in self._members.values():
            before = found.get(member.node, Node(member.node, 0, member.place.memory))
            found[member.node] = Node(before.name, before.slots + member.ready, before.memory)
        return list(found.values())

    def expect(self, jobs: int) -> None:
        """Start workers for them, as many as there may be; those that nobody needs for a while are let go."""
        wanted = jobs if self.workers is None else min(jobs, self.workers)
        idle = [each for each in self._members.values() if each.idle]
        for member in idle[: max(0, len(self._members) - wanted)]:
            if time.monotonic() - member.idle_since > IDLE:
                self._let_go(member)
        if len(self._members) < wanted and time.monotonic() >= self._start_after:
            before = len(self._members)
            self._start_members(wanted - before)
            if len(self._members) == before:  # all places are taken
                self._start_after = time.monotonic() + LOOK

    def waits_for(self) -> str:
        """How many workers were asked for and have not called."""
        missing = sum(not member.ready for member in self._members.values())
        return f"{missing} of {len(self._members)} workers have not started yet" if missing else ""

    def begin(self, job: Job) -> None:
        """Give a job to an idle worker of the node; one that died just now is news."""
        member = next((each for each in self._members.values() if each.idle and each.node == job.node), None)
        if member is None or member.line is None:
            self._news.append(lost(job.key, Reason.LOST, f"the worker at {job.node} is gone"))
            return
        member.job = job
        with suppress(OSError):  # `news` tells of that as of any other
            member.line.send(job)

    def news(self, timeout: float) -> Iterator[Advance | Printed | Finished]:
        """What the workers say; one whose line is cut, or who says nothing any more, is lost."""
        for key, _ in self._selector.select(0 if self._news else timeout):
            if key.fileobj is self._woken:
                self._woken.recv_bytes()
                self._register_callers()
            elif (member := self._members.get(key.data)) is not None:
                self._hear(member)
        self._look_after_members()
        while self._news:
            yield self._news.popleft()

    def ask_to_end(self) -> None:
        """Of those who have a job."""
        for member in self._members.values():
            if member.job is not None and member.line is not None:
                with suppress(OSError):
                    member.line.send(End())

    def stop(self, key: str) -> None:
        """End the worker that does this job."""
        for member in [each for each in self._members.values() if each.job is not None and each.job.key == key]:
            self._let_go(member)

    def close(self) -> None:
        """Hang up, which every worker ends by, and have the engine end what has not called yet."""
        self._switchboard.close()
        self._beats.set()
        for member in [*self._members.values(), *self._gone.values()]:  # a cluster may start a lost one again
            self._let_go(member)
        self._key_file.unlink(missing_ok=True)
        self._selector.close()

    def _reachable(self, key: bytes) -> Switchboard:
        address = self.address or own_address()
        try:
            return Switchboard(address, key, self._welcome, self.port)
        except OSError as error:
            raise UserError(
                f"no worker can call {address}{f', port {self.port}' if self.port else ''}: {error.strerror or error}."
                " Give the launcher an address of this machine, and a port that is free"
            ) from error

    def _start_members(self, count: int) -> None:
        places = [place for place in self.places() if place.name not in self._unfit]
        there = Counter(member.place.name for member in self._members.values())
        for _ in range(count):
            place = max(places, key=lambda each: each.workers - there[each.name], default=None)
            if place is None or place.workers <= there[place.name]:
                break
            there[place.name] += 1
            self._start_member(place)
        if not self._members and (not places or self._unfit.keys() >= {place.name for place in places}):
            told = first_of(f"{name}: {reason}" for name, reason in self._unfit.items())
            raise UserError(f"no worker can be started ({told or 'there is no place for one'})")

    def _start_member(self, place: Place) -> None:
        name = str(next(self._names))
        where = [self._switchboard.address, str(self._switchboard.port), str(self._key_file), name]
        try:
            handle = self.start(place, self.needs, [sys.executable, "-m", "workbench.workers.member", *where])
        except UserError as error:
            self._note_failure(place, str(error), certain=True)
        else:
            self._members[name] = Member(name, place, handle)

    def _welcome(self, line: Line) -> None:
        """Somebody has called and knows the key; runs in a thread of the switchboard."""
        self._called.append(line)
        self._wake.send_bytes(b"!")

    def _register_callers(self) -> None:
        while self._called:
            line = self._called.popleft()
            try:
                caller = line.recv()
                member = self._expected(caller)
                if member is None:  # let go meanwhile
                    line.close()
                    continue
                line.send(Welcome(self._crew, self.needs.threads))
            except (OSError, EOFError):
                line.close()
                continue
            member.line, member.host = line, caller.host
            self._selector.register(line, selectors.EVENT_READ, member.name)

    def _expected(self, caller: Introduction) -> Member | None:
        """Who it is; None for one that is not wanted any more."""
        again = self._gone.pop(caller.name, None)
        if again is not None:
            self._members[again.name] = Member(again.name, again.place, again.handle)
        member = self._members.get(caller.name)
        return member if member is not None and member.line is None else None

    def _hear(self, member: Member) -> None:
        """Take in all that it has said so far."""
        line = member.line
        try:
            while line is not None and line.has_news():
                self._take(member, line.recv())
                line = member.line
        except (OSError, EOFError) as error:
            self._lose(member, str(error))

    def _take(self, member: Member, message: Any) -> None:
        if isinstance(message, Ready):
            member.ready, member.idle_since = True, time.monotonic()
            self._failed.pop(member.place.name, None)
        elif isinstance(message, Unfit):
            self._let_go(member)
            self._note_failure(member.place, f"{member.host} {first_of(message.reasons)}", not member.place.apart)
        elif isinstance(message, Finished):
            self._news.append(message)
            member.job, member.idle_since = None, time.monotonic()
            reason = (message.error or {}).get("reason")
            if reason == Reason.START:
                self._note_failure(
                    member.place, f"{member.host} {(message.error or {})['message']}", not member.place.apart
                )
            if message.last or reason == Reason.START:
                self._let_go(member)
        elif not isinstance(message, Beat):
            self._news.append(message)

    def _look_after_members(self) -> None:
        """Of those that say nothing, and those that have not called: whether anything may still come."""
        now = time.monotonic()
        if now - self._looked < LOOK:
            return
        self._looked = now
        for member in list(self._members.values()):
            if member.line is not None and now - member.line.heard > SILENCE:
                self._lose(member, f"it has said nothing for {SILENCE:g} seconds")
            elif member.line is None and not self.alive(member.handle):
                _, told = self.fate(member.handle)
                self._let_go(member)
                self._note_failure(member.place, told or "a worker ended before it had called")

    def _note_failure(self, place: Place, told: str, certain: bool = False) -> None:
        """Where it would certainly be the same again, or was, no other worker is started."""
        self._failed[place.name] += 1
        if self._failed[place.name] >= TRIES or certain:
            self._unfit[place.name] = told
            log.warning("no stage runs at %s: %s", place.name, told)

    def _lose(self, member: Member, told: str) -> None:
        """The line is cut: what it did is lost, and if it lives on it finds that out itself."""
        reason, words = self.fate(member.handle)
        if member.job is not None:
            message = f"the worker at {member.host or member.node} was lost: {words or told or 'it has hung up'}"
            # One that ended by itself in the middle of a job was ended by the job.
            self._news.append(lost(member.job.key, None if reason == Reason.START else reason, message))
        elif not member.ready:
            self._note_failure(member.place, words or told or "a worker ended before it was ready")
        self._hang_up(member)
        self._gone[member.name] = member

    def _let_go(self, member: Member) -> None:
        self._hang_up(member)
        self.kill(member.handle)

    def _hang_up(self, member: Member) -> None:
        self._members.pop(member.name, None)
        if member.line is not None:
            with suppress(KeyError, ValueError):
                self._selector.unregister(member.line)
            member.line.close()
        member.line, member.ready = None, False
