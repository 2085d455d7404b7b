"""Which stage goes first, tried on simulated workers."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence

from workbench.runs.priority import longest_chains

Needs = Mapping[str, Sequence[str]]


def time_of(order: Sequence[str], needs: Needs, seconds: Mapping[str, float], workers: int) -> float:
    """When all is done: whoever is free takes the first piece of work in `order` that can begin."""
    waiting, running, done, now = list(order), {}, set(), 0.0
    while waiting or running:
        for key in [key for key in waiting if done.issuperset(needs[key])][: workers - len(running)]:
            waiting.remove(key)
            running[key] = now + seconds[key]
        now = min(running.values())
        done |= {key for key, end in running.items() if end == now}
        running = {key: end for key, end in running.items() if end > now}
    return now


def longest_first(needs: Needs, seconds: Mapping[str, float]) -> list[str]:
    chains = longest_chains(needs, seconds)
    return sorted(seconds, key=lambda key: -chains[key])


def best(needs: Needs, seconds: Mapping[str, float], workers: int) -> float:
    """Of every order there is."""
    return min(time_of(order, needs, seconds, workers) for order in itertools.permutations(seconds))


def test_a_chain_is_as_long_as_its_longest_way_to_an_end():
    needs = {"a": [], "b": ["a"], "c": ["a", "done before"], "d": ["b", "c"], "e": []}
    seconds = {"a": 1.0, "b": 2.0, "c": 5.0, "d": 1.0, "e": 3.0}
    assert longest_chains(needs, seconds) == {"a": 7.0, "b": 3.0, "c": 6.0, "d": 1.0, "e": 3.0}
    assert longest_chains({}, {}) == {}


def test_a_long_training_that_comes_last_in_the_file_begins_first():
    """Four trials; only the last one's training is long, and its evaluation too."""
    trials = {"a": (1.0, 1.0), "b": (1.0, 1.0), "c": (1.0, 1.0), "d": (4.0, 2.0)}
    needs = {key: before for name in trials for key, before in ((f"{name}1", []), (f"{name}2", [f"{name}1"]))}
    seconds = {f"{name}{number}": each for name, both in trials.items() for number, each in enumerate(both, 1)}
    assert longest_first(needs, seconds)[0] == "d1"
    assert time_of(longest_first(needs, seconds), needs, seconds, 2) == best(needs, seconds, 2) == 6.0
    by_phase = sorted(seconds, key=lambda key: key[1])  # all trainings in the order of the file, then all evaluations
    assert time_of(by_phase, needs, seconds, 2) == 7.0


def test_on_random_grids_it_loses_little_against_the_best_order_and_less_than_the_order_of_the_file():
    chance = random.Random(0)
    ours, theirs = [], []
    for _ in range(30):
        needs: dict[str, list[str]] = {}
        for number in range(6):
            needs[str(number)] = [str(each) for each in range(number) if chance.random() < 0.3]
        seconds = {key: chance.choice([1.0, 1.0, 2.0, 5.0]) for key in needs}
        shortest = best(needs, seconds, 2)
        ours.append(time_of(longest_first(needs, seconds), needs, seconds, 2) / shortest)
        theirs.append(time_of(list(seconds), needs, seconds, 2) / shortest)
    assert sum(ours) / len(ours) < 1.02
    assert max(ours) < 1.2
    assert sum(theirs) / len(theirs) > sum(ours) / len(ours) + 0.03
