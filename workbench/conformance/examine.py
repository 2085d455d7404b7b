"""Tries the rules on a plugin, and tells what breaks one from what only keeps it from being tried here."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from workbench.conformance.random_numbers import random_states_restored
from workbench.conformance.rules import Broken, Check, Rule, Subject
from workbench.devices.threads import one_thread
from workbench.errors import UserError
from workbench.registry import Plugin


class CannotCheck(UserError):
    """The plugin cannot be tried here: it needs a package, a file, a download or a GPU, or refuses these options."""


@dataclass(frozen=True)
class RuleResult:
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


def examine(subject: Subject, rules: Sequence[Rule]) -> Iterator[RuleResult]:
    """Try the rules in their order, but those that need a broken one; `CannotCheck` where it cannot be tried here."""
    out: set[Check] = set()  # broken, or not tried
    for place, rule in enumerate(rules):
        if rule.check in out:
            continue
        result = _try(subject, rule)
        if not result.passed:
            out.add(rule.check)
            result = replace(result, untried=tuple(_given_up(rules[place + 1 :], out)))
        yield result


def _given_up(rules: Sequence[Rule], out: set[Check]) -> Iterator[str]:
    """The titles of the rules that need one which is `out`, and put them there too."""
    for rule in rules:
        if rule.check not in out and not out.isdisjoint(rule.needs):
            out.add(rule.check)
            yield rule.title


def _try(subject: Subject, rule: Rule) -> RuleResult:
    with random_states_restored(), one_thread():
        try:
            rule.check(subject)
        except Broken as broken:
            return RuleResult(rule.title, False, str(broken))
        except (Exception, SystemExit) as error:  # a plugin is anyone's code: whatever it raises breaks the rule
            if (reason := _obstacle(error, building=not rule.needs)) is not None:
                raise CannotCheck(reason) from error
            return RuleResult(
                rule.title, False, f"it raised {type(error).__name__}: {error}{_place(error, subject.plugin)}"
            )
    return RuleResult(rule.title, True)


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


def _place(error: BaseException, plugin: Plugin) -> str:
    """Where in the plugin's own file it happened, else where it was noticed."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if plugin.source.endswith(Path(frame.filename).name)]
    frame = (own or frames)[-1]
    return f" ({Path(frame.filename).name}, line {frame.lineno}: {frame.line})"
