"""Linear layers in the forms they come in: plain, GPT-2's turned one, quantized; and one put in another's place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn


class AsOne(Protocol):
    """Several linear layers as one product of the rows they all read."""

    def __call__(self, hidden: Tensor) -> Sequence[Tensor]:
        """hidden [..., I] -> what each layer makes of it [..., O]."""
        ...

    @property
    def product(self) -> Callable[[Tensor], Tensor]:
        """hidden [..., I] -> the same, one behind the other [..., all O]."""
        ...


class Joinable(nn.Module):
    """A linear layer that can be multiplied as one with others of its kind (`SideBySide`)."""

    joined: AsOne | None = None
    """Set by `ready_to_answer` on the first of layers that are one product while a model answers; read by `beside`."""

    def joined_with(self, others: Sequence[Any]) -> Callable[[Tensor], Tensor]:
        """What makes the outputs of this layer and others of its class, one behind the other. A class that does not
        override it is never joined."""
        raise NotImplementedError


class QuantizedLinear(Joinable, nn.Linear):
    """What a quantizer puts in a linear layer's place, so that adapters can work beside it.

    A subclass keeps the weight in buffers and gives `dequantized` and `forward`. The weight never trains.
    """

    like: Tensor

    def __init__(self, linear: nn.Module):
        nn.Module.__init__(self)
        weight = linear.get_parameter("weight")
        self.in_features, self.out_features = linear_sizes(linear)
        self.register_parameter("bias", linear._parameters["bias"])
        # Empty: its type, which follows `model.to(...)`, is that of the weight read as numbers.
        self.register_buffer("like", weight.detach().new_empty(0), persistent=False)
        self.train(linear.training)

    @property
    def weight(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The weight dequantized [out,in], for code that multiplies by itself."""
        return self.dequantized(self.like.dtype)

    def dequantized(self, kind: torch.dtype) -> Tensor:
        """The weight [out,in] as numbers of that type, made anew and kept nowhere."""
        raise NotImplementedError

    def forward(self, input: Tensor) -> Tensor:
        """input [...,in] -> [...,out]."""
        raise NotImplementedError


def product_type(input: Tensor) -> torch.dtype:
    """The type in which a plain linear layer would multiply: that of the surrounding autocast, or the input's own."""
    device = input.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else input.dtype


def is_conv1d(module: nn.Module) -> bool:
    """Whether it is the linear layer of GPT-2 in transformers, whose weight is [in,out]."""
    return f"{type(module).__module__}.{type(module).__name__}" == "transformers.pytorch_utils.Conv1D"


def embedding_factor(module: nn.Module) -> Tensor | None:
    """What an embedding of transformers multiplies its rows by, as Gemma's does; None of any other layer."""
    kind = type(module)
    of_transformers = kind.__module__.startswith("transformers.") and kind.__name__.endswith("ScaledWordEmbedding")
    return module._buffers.get("embed_scale") if of_transformers else None


def is_plain_linear(module: nn.Module) -> bool:
    """Whether it computes as a linear layer whose weight is a parameter: a subclass may do something of its own."""
    return is_conv1d(module) or (isinstance(module, nn.Linear) and type(module).forward is nn.Linear.forward)


def is_adaptable(module: nn.Module) -> bool:
    """Whether an adapter can stand beside it. What torch's own attention multiplies by itself, passing by `forward`,
    is a subclass of `nn.Linear` and none of these."""
    return type(module) is nn.Linear or is_conv1d(module) or isinstance(module, QuantizedLinear)


def linear_sizes(module: nn.Module) -> tuple[int, int]:
    """The number of inputs and of outputs of any of these layers."""
    if is_conv1d(module):
        inputs, outputs = module.get_parameter("weight").shape
        return inputs, outputs
    return int(module.in_features), int(module.out_features)  # pyright: ignore[reportArgumentType]


def replace_modules(model: nn.Module, new: Mapping[nn.Module, nn.Module]) -> None:
    """Put another module in the place of each that `new` has, wherever it stands: a shared one stays shared."""
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if child is not None and child in new:
                parent._modules[name] = new[child]
