"""Which stage runs on which node: where a slot is free, and memory beside what runs there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.contracts.launcher import Node


class Placement:
    """The running stages by node, and what they take there."""

    def __init__(self) -> None:
        self._placed: dict[str, tuple[str, float]] = {}  # key -> node and bytes
        self._running: Counter[str] = Counter()  # stages by node
        self._taken: Counter[str] = Counter()  # bytes by node
        self._alone: set[str] = set()  # keys of stages that run alone on their node
        self._reserved: dict[str, str] = {}  # node -> key of a stage that waits until nothing runs there
        self._kept_free: dict[str, str] = {}  # node -> key of the stage that runs alone there

    def with_room(self, nodes: Sequence[Node]) -> list[Node]:
        """The nodes that have a slot left."""
        return [node for node in nodes if self._running[node.name] < node.slots]

    def node_for(self, key: str, memory: float, nodes: Sequence[Node]) -> Node | None:
        """Where the stage may run now, of several the emptiest; None where there is no room."""
        fitting = [node for node in nodes if self._fits(key, memory, node)]
        if not fitting and key in self._alone:
            self._reserve(key, memory, nodes)
        return max(fitting, key=lambda node: node.slots - self._running[node.name], default=None)

    def put(self, key: str, memory: float, node: Node) -> None:
        """The stage runs there, and takes so many bytes."""
        self._placed[key] = node.name, memory
        self._running[node.name] += 1
        self._taken[node.name] += memory  # pyright: ignore[reportArgumentType]
        if key in self._alone:
            self._kept_free[node.name] = key
            self._reserved = {name: other for name, other in self._reserved.items() if other != key}

    def free(self, key: str) -> None:
        """The stage runs no more."""
        node, memory = self._placed.pop(key)
        self._running[node] -= 1
        self._taken[node] = self._taken[node] - memory if self._running[node] else 0  # pyright: ignore[reportArgumentType]
        if self._kept_free.get(node) == key:
            del self._kept_free[node]

    def keep_alone(self, key: str) -> None:
        """It may have lacked memory that others took, or wants several devices: nothing runs beside it on its node any
        more."""
        self._alone.add(key)

    def begin_round(self) -> None:
        """From here on, stages come by in their order of urgency."""
        self._reserved.clear()

    def _reserve(self, key: str, memory: float, nodes: Sequence[Node]) -> None:
        """Nothing less urgent begins on the node that is soonest empty."""
        able = [node for node in nodes if node.memory is None or memory <= node.memory]
        free = [node for node in able if node.slots and node.name not in {*self._reserved, *self._kept_free}]
        if free:
            self._reserved[min(free, key=lambda node: self._running[node.name]).name] = key

    def _fits(self, key: str, memory: float, node: Node) -> bool:
        running = self._running[node.name]
        if running >= node.slots or node.name in self._kept_free or (running and key in self._alone):
            return False
        if self._reserved.get(node.name, key) != key:
            return False
        return node.memory is None or self._taken[node.name] + memory <= node.memory
