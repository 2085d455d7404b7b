"""Components that cannot be used, or only in a certain way."""

from __future__ import annotations

from typing import cast

import torch

from workbench import Adapter, Connector, Encoder, LanguageModel, Quantizer, UserError, VisionShape, hookimpl


class Picky(Connector):
    """Takes no encoder."""

    def __init__(self, vision: VisionShape, text_width: int):
        super().__init__()
        raise UserError(f"it takes tokens 7 wide, not {vision.width}; use another connector")


class Buggy(Connector):
    """Has a bug in its constructor."""

    def __init__(self, vision: VisionShape, text_width: int):
        super().__init__()
        self.shape = {}["shape"]


class Numerical(Encoder):
    """Looks at numbers while it is built, which the meta device has none of."""

    def __init__(self, *, width: int = 16):
        super().__init__()
        self.image_size = 16
        self.shape = VisionShape(width, 4)
        rates = [float(each) for each in torch.linspace(0, 0.1, 3)]
        self.layers = torch.nn.ModuleList(torch.nn.Linear(width, width) for _ in rates)

    def transform(self, image):
        return torch.zeros(3, 16, 16)

    def forward(self, images):
        return images.new_zeros(len(images), 4, self.shape.width)


class Staring(Numerical):
    """Looks at numbers whenever it encodes, not when it is built."""

    def forward(self, images):
        """[P,3,H,W] -> [P,N,Dv]."""
        return super().forward(images) * bool(images.isfinite().all())


class Weighing(Adapter):
    """Looks at weights to decide what trains: the larger half."""

    def attach(self, model):
        parameters = list(model.parameters())
        return [each for each in parameters if float(each.detach().abs().max()) > 0]


class Measuring(Quantizer):
    """Looks at weights, and changes nothing."""

    bits = 32.0

    def quantize(self, model):
        if any(float(each.detach().abs().max()) > 1e6 for each in model.parameters()):
            raise UserError("a weight is too large")


class Multiples(Quantizer):
    """Takes models of certain widths alone, as packed kernels do, and changes nothing."""

    bits = 32.0

    def __init__(self, *, of: int):
        self.of = of

    def quantize(self, model):
        width = cast(LanguageModel, model.language_model).shape.width
        if width % self.of:
            raise UserError(f"the width {width} is no multiple of {self.of}")


@hookimpl
def register_connectors(register):
    register("picky", Picky)
    register("buggy", Buggy)


@hookimpl
def register_encoders(register):
    register("numerical", Numerical)
    register("staring", Staring)


@hookimpl
def register_adapters(register):
    register("weighing", Weighing)


@hookimpl
def register_quantizers(register):
    register("measuring", Measuring)
    register("multiples", Multiples)
