"""Which stage goes first: the one that the longest chain of work hangs on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.runs.costs import Costs
    from workbench.runs.plan import AnyStage, Plan


class Priority:
    """Puts the stages of a plan in order, by what is known of their costs so far."""

    def __init__(self, plan: Plan, costs: Costs):
        self.plan = plan
        self.costs = costs
        self._chains: dict[str, float] = {}
        self._looked_at: tuple[int, int] | None = None

    def sort(self, stages: Iterable[AnyStage]) -> list[AnyStage]:
        """Longest chains first; equal ones stay as they are. They are looked at anew whenever another kind of stage was
        timed, or a stage came in. What was never timed is taken to last as long as the others on average."""
        now = self.costs.kinds_timed, len(self.plan.missing)
        if now != self._looked_at:
            self._looked_at = now
            told = {key: self.costs.seconds(stage) for key, stage in self.plan.missing.items()}
            known = [each for each in told.values() if each is not None]
            usual = sum(known) / len(known) if known else 1.0
            seconds = {key: usual if each is None else each for key, each in told.items()}
            needs = {key: list(self.plan.needs(stage)) for key, stage in self.plan.missing.items()}
            self._chains = longest_chains(needs, seconds)
        return sorted(stages, key=lambda stage: -self._chains[stage.key])


def longest_chains(needs: Mapping[str, Collection[str]], seconds: Mapping[str, float]) -> dict[str, float]:
    """By key: the seconds of the longest chain that begins with a piece of work, itself included.

    `needs` are the keys that have to be done before; those without `seconds` are done. Work with the longest chain goes
    first, so that no worker is left alone with it at the end: the upward rank of HEFT with equal processors (Topcuoglu,
    Hariri and Wu 2002, https://doi.org/10.1109/71.993206, section 4.1).
    """
    chains = dict(seconds)
    for key in reversed(list(TopologicalSorter(needs).static_order())):
        for before in needs.get(key, ()):
            if before in chains:
                chains[before] = max(chains[before], seconds[before] + chains[key])
    return chains
