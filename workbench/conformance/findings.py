"""What a contract test is: a function whose name is the rule, and that raises `Broken` where it is not kept."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from workbench.registry import Entry


class Broken(Exception):
    """A rule is not kept; the message says what is wrong and what to change."""


@dataclass(frozen=True)
class Finding:
    """One rule, whether the plugin keeps it, and if not, what is wrong and what to change."""

    title: str
    passed: bool
    explanation: str = ""


@dataclass(frozen=True)
class Subject:
    """The plugin under test, with the options it is tested with."""

    entry: Entry
    options: Mapping[str, Any] = field(default_factory=dict)

    def build(self, *positional: Any) -> Any:
        """A new component, with the same random weights each time."""
        torch.manual_seed(2)
        return self.entry.factory(*positional, **self.options)

    @cached_property
    def shared(self) -> Any:
        """One component for rules that only look at it, where building is slow and takes no positional arguments."""
        return self.build()


Check = Callable[[Subject], None]


def expect(kept: bool, otherwise: str) -> None:
    """Raise `Broken` with the explanation unless the rule is kept."""
    if not kept:
        raise Broken(otherwise)


def examine(subject: Subject, checks: Sequence[Check]) -> Iterator[Finding]:
    """Try every rule. Where the first is broken (it cannot be built), the others could say nothing new."""
    for number, check in enumerate(checks):
        finding = _try(subject, check)
        yield finding
        if number == 0 and not finding.passed:
            return


def _try(subject: Subject, check: Check) -> Finding:
    title = check.__name__.replace("_", " ")
    with torch.random.fork_rng(devices=()), _one_thread():
        try:
            check(subject)
        except Broken as broken:
            return Finding(title, False, str(broken))
        except (Exception, SystemExit) as error:  # a plugin is anyone's code: whatever it raises is a finding
            return Finding(title, False, f"it raised {type(error).__name__}: {error}{_place(error, subject.entry)}")
    return Finding(title, True)


@contextmanager
def _one_thread() -> Iterator[None]:
    """On tensors this small, threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _place(error: BaseException, entry: Entry) -> str:
    """Where in the plugin's own file it happened, else where it was noticed."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if entry.source.endswith(Path(frame.filename).name)]
    frame = (own or frames)[-1]
    return f" ({Path(frame.filename).name}, line {frame.lineno}: {frame.line})"
