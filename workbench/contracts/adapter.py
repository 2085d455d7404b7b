"""What an adapter provides: which parameters of a trained model are tuned further."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from torch import nn

from workbench.ingredient import Pretrainable


class Adapter(Pretrainable):
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

    def save(self, model: nn.Module, folder: Path) -> None:
        """Write what was trained to a new folder in the format of Hugging Face peft, for `workbench export` where the
        adapter is kept apart; by default nothing is written."""
