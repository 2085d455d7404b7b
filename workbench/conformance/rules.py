"""What a contract test is: a rule named after its function, which raises `Broken` where it is not kept.

Rules stand in the order in which their findings tell most, and say which others have to be kept for them to mean
anything: where those are broken, they are not tried, and the one cause is told once.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch

from workbench.conformance.chances import chance_restored
from workbench.errors import UserError
from workbench.registry import Entry

Made = TypeVar("Made")


class Broken(Exception):
    """A rule is not kept; the message says what is wrong and what to change."""


class CannotCheck(UserError):
    """The plugin cannot be tried here: it needs a package, a file, a download or a GPU, or refuses these options."""


@dataclass(frozen=True)
class Finding:
    """One rule, whether the plugin keeps it, and if not, what is wrong and what to change.

    `untried` are the titles of the rules that could not be tried for it.
    """

    title: str
    passed: bool
    explanation: str = ""
    untried: tuple[str, ...] = ()

    @property
    def why(self) -> str:
        """The explanation, and how much else hangs on it."""
        count = len(self.untried)
        others = f" (And so {count} other rule{'s' if count > 1 else ''} could not be tried.)" if count else ""
        return self.explanation + others


@dataclass(frozen=True)
class Subject:
    """The plugin under test, with the options it is tested with, beside reference parts of that text width."""

    entry: Entry
    options: Mapping[str, Any] = field(default_factory=dict)
    width: int = 64
    _made: dict[Callable[..., Any], Any] = field(default_factory=dict, repr=False, compare=False)

    def build(self, *positional: Any) -> Any:
        """A new component, with the same random weights each time."""
        torch.manual_seed(2)
        return self.entry.factory(*positional, **self.options)

    def once(self, make: Callable[[Subject], Made]) -> Made:
        """What `make` gives, made once for all rules that only look at it."""
        if make not in self._made:
            self._made[make] = make(self)
        return self._made[make]

    @property
    def shared(self) -> Any:
        """One component for rules that only look at it, where building is slow and takes no positional arguments."""
        return self.once(Subject.build)


Check = Callable[[Subject], None]


@dataclass(frozen=True)
class Rule:
    """A check, and those that have to be kept for it to say anything of its own."""

    check: Check
    needs: tuple[Check, ...] = ()

    @cached_property
    def title(self) -> str:
        """The rule in words."""
        return self.check.__name__.replace("_", " ")


def in_turn(*checks: Check) -> tuple[Rule, ...]:
    """Rules each of which is tried only where all before it are kept."""
    return tuple(Rule(check, checks[:place]) for place, check in enumerate(checks))


def after(kept: Sequence[Rule], *checks: Check) -> tuple[Rule, ...]:
    """Rules that are tried only where all of `kept` are; they need nothing of each other."""
    return tuple(Rule(check, tuple(rule.check for rule in kept)) for check in checks)


def expect(kept: bool, otherwise: str) -> None:
    """Raise `Broken` with the explanation unless the rule is kept."""
    if not kept:
        raise Broken(otherwise)


def examine(subject: Subject, rules: Sequence[Rule]) -> Iterator[Finding]:
    """Try the rules in their order, but those that need a broken one; `CannotCheck` where it cannot be tried here."""
    out: set[Check] = set()  # broken, or not tried
    for place, rule in enumerate(rules):
        if rule.check in out:
            continue
        finding = _try(subject, rule)
        if not finding.passed:
            out.add(rule.check)
            finding = replace(finding, untried=tuple(_given_up(rules[place + 1 :], out)))
        yield finding


def _given_up(rules: Sequence[Rule], out: set[Check]) -> Iterator[str]:
    """The titles of the rules that need one which is `out`, and put them there too."""
    for rule in rules:
        if rule.check not in out and not out.isdisjoint(rule.needs):
            out.add(rule.check)
            yield rule.title


def _try(subject: Subject, rule: Rule) -> Finding:
    with chance_restored(), _one_thread():
        try:
            rule.check(subject)
        except Broken as broken:
            return Finding(rule.title, False, str(broken))
        except (Exception, SystemExit) as error:  # a plugin is anyone's code: whatever it raises is a finding
            if (reason := _obstacle(error, building=not rule.needs)) is not None:
                raise CannotCheck(reason) from error
            return Finding(
                rule.title, False, f"it raised {type(error).__name__}: {error}{_place(error, subject.entry)}"
            )
    return Finding(rule.title, True)


def _obstacle(error: BaseException, building: bool) -> str | None:
    """Why a plugin cannot be tried, if that is what an error tells. Where it has only to be built, what it says to the
    user and what the system refuses (a file, the network) are such reasons; later they are its own faults."""
    told = f"{type(error).__name__}: {error}".partition("\n")[0]
    causes = list(_causes(error))
    if any(isinstance(each, ImportError) for each in causes):
        return f"it needs a package that is not installed ({told})"
    if any(isinstance(each, MemoryError | torch.OutOfMemoryError) for each in causes):
        return f"there is not enough memory ({told})"
    if any(_wants_gpu(each) for each in causes):
        return f"it needs a GPU, and rules are tried on the CPU ({told})"
    if building and isinstance(error, UserError):
        return str(error)
    if building and any(isinstance(each, OSError) for each in causes):
        return f"it needs a file or a download ({told})"
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and those it came from."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)


def _wants_gpu(error: BaseException) -> bool:
    """Whether it came from torch looking for a GPU."""
    own = str(Path(torch.cuda.__file__).parent)
    return any(frame.f_code.co_filename.startswith(own) for frame, _ in traceback.walk_tb(error.__traceback__))


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
