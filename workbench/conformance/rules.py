"""What a contract test is: a rule named after its function, which raises `Broken` where it is not kept.

Rules stand in the order in which their results tell most, and say which others have to be kept for them to mean
anything: where those are broken, they are not tried, and the one cause is told once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import torch

from workbench.registry import Plugin

Made = TypeVar("Made")


class Broken(Exception):
    """A rule is not kept; the message says what is wrong and what to change."""


@dataclass(frozen=True)
class Subject:
    """The plugin under test, with the options it is tested with, beside reference parts of that text width."""

    plugin: Plugin
    options: Mapping[str, Any] = field(default_factory=dict)
    width: int = 64
    beside: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    """What builds a part of another kind, in place of the reference part."""
    _made: dict[Callable[..., Any], Any] = field(default_factory=dict, repr=False, compare=False)

    def build(self, *positional: Any) -> Any:
        """A new component, with the same random weights each time."""
        torch.manual_seed(2)
        return self.plugin.factory(*positional, **self.options)

    def once(self, make: Callable[[Subject], Made]) -> Made:
        """What `make` gives, made once for all rules that only look at it."""
        if make not in self._made:
            self._made[make] = make(self)
        return self._made[make]

    def hold(self, make: Callable[[Subject], Made], made: Made) -> None:
        """Let rules find this where `make` would make it."""
        self._made[make] = made

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
