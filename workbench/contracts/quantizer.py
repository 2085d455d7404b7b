"""What a quantizer provides: a trained model made smaller."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from workbench.ingredient import Pretrainable

FULL_BITS = 32.0  # of a weight that no quantizer has changed


class Quantizer(Pretrainable):
    """Makes a trained model smaller. Factory: `Quantizer(*, options)`."""

    kind: ClassVar[str] = "quantizer"

    bits: float
    """Of a quantized weight; `FULL_BITS` where nothing is changed."""
    differentiable: bool = False
    """Whether gradients pass through its layers to what comes before them: a phase that is `quantized` needs that."""

    def quantize(self, model: nn.Module) -> None:
        """Change `model` in place. Narrow weights are buffers, so that the bytes counted are the true ones.

        The same weights and seed give the same bits again: weights of files are quantized anew where a model is built.
        A `QuantizedLinear` in place of each linear layer lets adapters work beside it.
        """
        raise NotImplementedError
