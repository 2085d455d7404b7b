"""Which stage goes first: the one that the longest chain of work hangs on."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.runs.costs import Costs
    from workbench.runs.plan import Plan

SHARE = 0.01  # of the time of a run, for looking at costs anew


class Priority:
    """How long the work is that hangs on each stage of a plan, by what is known of costs so far."""

    def __init__(self, plan: Plan, costs: Costs):
        self.plan = plan
        self.costs = costs
        self._chains: dict[str, float] = {}
        self._needs: dict[str, list[str]] = {}  # by key, those needed first
        self._looked_at: tuple[int, int] | None = None
        self._not_before = 0.0

    def look_again(self) -> bool:
        """Look at costs anew where another kind of stage was timed, or a stage came in; returns whether that was so.
        What was never timed is taken to last as long as the others on average. Of all the time of a run a small share
        is spent on this, however many kinds there are."""
        now = self.costs.kinds_timed, len(self.plan.missing)
        began = time.monotonic()
        came_in = self._looked_at is None or now[1] != self._looked_at[1]
        if now == self._looked_at or (began < self._not_before and not came_in):
            return False
        self._looked_at = now
        told = {key: self.costs.seconds(stage) for key, stage in self.plan.missing.items()}
        known = [each for each in told.values() if each is not None]
        usual = sum(known) / len(known) if known else 1.0
        seconds = {key: usual if each is None else each for key, each in told.items()}
        if came_in:
            self._needs = _in_order({key: list(self.plan.needs(stage)) for key, stage in self.plan.missing.items()})
        self._chains = _longest_chains(self._needs, seconds)
        self._not_before = began + (time.monotonic() - began) / SHARE
        return True

    def chain(self, key: str) -> float:
        """The seconds of the longest chain that begins with this stage."""
        return self._chains[key]


def longest_chains(needs: Mapping[str, Collection[str]], seconds: Mapping[str, float]) -> dict[str, float]:
    """By key: the seconds of the longest chain that begins with a piece of work, itself included.

    `needs` are the keys that have to be done before; those without `seconds` are done. Work with the longest chain goes
    first, so that no worker is left alone with it at the end: the upward rank of HEFT with equal processors (Topcuoglu,
    Hariri and Wu 2002, https://doi.org/10.1109/71.993206, section 4.1).
    """
    return _longest_chains(_in_order(needs), seconds)


def _in_order(needs: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
    """The same, in an order in which what has to be done before comes first."""
    return {key: list(needs.get(key, ())) for key in TopologicalSorter(needs).static_order()}


def _longest_chains(in_order: Mapping[str, Collection[str]], seconds: Mapping[str, float]) -> dict[str, float]:
    chains = dict(seconds)
    for key, needs in reversed(list(in_order.items())):
        for before in needs:
            if before in chains:
                chains[before] = max(chains[before], seconds[before] + chains[key])
    return chains
