"""What an adapter provides: which parameters of a trained model are tuned further."""

from __future__ import annotations

from typing import ClassVar

from torch import nn


class Adapter:
    """Changes which parameters of a trained model are tuned further. Factory: `Adapter(*, options)`."""

    kind: ClassVar[str] = "adapter"

    def attach(self, model: nn.Module) -> list[nn.Parameter]:
        """Change `model` in place, without changing what it computes; returns the parameters that train.

        It leaves `requires_grad` alone: the phase decides what else trains.
        """
        raise NotImplementedError

    def merge(self, model: nn.Module) -> None:
        """Fold what was trained into the plain weights: names and shapes as before `attach`."""

    def unmerge(self, model: nn.Module) -> None:
        """Undo `merge`."""
