"""No quantization: the weights as they were trained."""

from __future__ import annotations

from torch import nn

from workbench import Quantizer, hookimpl


class NoQuantizer(Quantizer):
    """Leaves every weight as it was trained, in 32 bits: what quantizers are held against."""

    bits = 32.0
    differentiable = True

    def quantize(self, model: nn.Module) -> None:
        """Change nothing."""


@hookimpl
def register_quantizers(register):
    """The quantizer that does nothing."""
    register("none", NoQuantizer)
