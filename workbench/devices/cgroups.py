"""What Linux' control groups leave a process: a container has less memory, and less of the cores, than its machine.

A group's limit holds for all groups below it, so every group counts from the process's own up to the root, of version 2
(https://docs.kernel.org/admin-guide/cgroup-v2.html) and of version 1
(https://docs.kernel.org/admin-guide/cgroup-v1/memory.html, https://docs.kernel.org/scheduler/sched-bwc.html).
A container sees those from its own group down; no more can be known there. `root` is where `proc` and `sys` lie.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

V1, V2 = "cgroup", "cgroup2"  # types of file systems
# Lines of /proc/self/cgroup, of /proc/self/mountinfo (proc(5)) and of memory.stat.
GROUP = re.compile(r"[^:]*:([^:]*):(.*)")
MOUNT = re.compile(r"\S+ \S+ \S+ (\S+) (\S+)(?: .*)? - (\S+)(?: \S+(?: (\S+).*)?)?")
COUNT = re.compile(r"(\w+) ([0-9]+)")
NONE = 2**60  # bytes: a limit of version 1 as large as this is none


def memory_left(root: Path = Path("/")) -> int | None:
    """Bytes that the tightest group still allows; None where no group limits them."""
    return min((left for folder in _groups(root, "memory") for left in _memory_left_in(folder)), default=None)


def cores_allowed(root: Path = Path("/")) -> float | None:
    """Seconds of computing that the tightest group allows in each second; None where no group limits them."""
    return min((cores for folder in _groups(root, "cpu") for cores in _cores_allowed_in(folder)), default=None)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folder of the process's own group with that controller, and of all groups above it that can be seen."""
    own = {}  # controller -> path of the group; version 2 has one group for all, under an empty name
    for controllers, path in _matches(GROUP, root / "proc/self/cgroup"):
        own |= dict.fromkeys(controllers.split(","), path)
    for *places, kind, options in _matches(MOUNT, root / "proc/self/mountinfo"):
        top, point = (_unescaped(each) for each in places)
        path = own.get("") if kind == V2 else own.get(controller)
        if path is not None and (kind == V2 or (kind == V1 and controller in options.split(","))):
            yield from _upwards(root / point.lstrip("/"), top, path)


def _upwards(mount: Path, top: str, path: str) -> Iterator[Path]:
    """From the folder of the group at `path` up to the folder `mount`, which shows the group at `top`."""
    folder, group = mount, PurePosixPath(path)
    if group.is_relative_to(top) and ".." not in group.parts:  # else it lies outside of what is shown here
        folder = mount / group.relative_to(top)
    yield folder
    while folder != mount:
        folder = folder.parent
        yield folder


def _memory_left_in(folder: Path) -> Iterator[int]:
    """By version 2, whose groups are slowed down at `high` and killed at `max`, and by version 1."""
    used = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes") or 0
    kept = {name: count for name, count in _matches(COUNT, folder / "memory.stat")}
    # Files that were read stay in memory until it is wanted for something else. Version 1 counts groups below apart.
    used -= int(kept.get("total_inactive_file", kept.get("inactive_file", 0)))
    for name in ("memory.max", "memory.high", "memory.limit_in_bytes"):
        limit = _number(folder / name)
        if limit is not None and limit < NONE:
            yield max(0, limit - used)


def _cores_allowed_in(folder: Path) -> Iterator[float]:
    """Quota and period in microseconds: in one file of version 2, in two of version 1."""
    both = " ".join(_lines(folder / "cpu.max"))
    apart = " ".join([*_lines(folder / "cpu.cfs_quota_us"), *_lines(folder / "cpu.cfs_period_us")])
    for quota, _, period in (words.partition(" ") for words in (both, apart)):
        if _is_number(quota) and _is_number(period) and int(period):  # neither "max" nor "-1", which are no limit
            yield int(quota) / int(period)


def _unescaped(text: str) -> str:
    """Of a path in `mountinfo`, where a space is written as `\\040`."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def _number(file: Path) -> int | None:
    """What a file says, where it is there and says a number."""
    text = " ".join(_lines(file))
    return int(text) if _is_number(text) else None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _matches(form: re.Pattern[str], file: Path) -> list[tuple[str, ...]]:
    """What lines of that form say; what others say is for whoever knows them."""
    return [found.groups(default="") for line in _lines(file) if (found := form.fullmatch(line))]


def _lines(file: Path) -> list[str]:
    """A group has the files of the controllers that are switched on for it, and other systems have none."""
    try:
        text = file.read_text(encoding="utf-8", errors="surrogateescape")  # paths may be of any bytes
    except (OSError, ValueError):  # a path of such bytes is none
        return []
    return [line for line in text.split("\n") if line]
