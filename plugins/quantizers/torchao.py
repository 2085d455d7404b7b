"""torchao: PyTorch's own quantization, with weights in 8 or 4 bits and activations in 8 if wanted."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from workbench import (
    QuantizedLinear,
    Quantizer,
    UserError,
    hookimpl,
    linear_sizes,
    multiplies_int8,
    product_type,
    replace_modules,
)

from ._layers import Exclude, Include, chosen, untied_linear_layers, weight_of

Scheme = Literal["int8_weight_only", "int8_dynamic", "int4_weight_only", "fp8_weight_only", "fp8_dynamic"]
INT4, INT4_SCALES = "int4_weight_only", "scale_and_zero"
PACKED_OUTPUTS = 16  # of int4: outputs come in groups of so many
FP8 = (torch.float8_e4m3fn, torch.float8_e5m2)  # kept as bytes, since torch cannot pickle them
FP8_HARDWARE = (8, 9)  # the compute capability from which a GPU multiplies fp8


class TorchaoQuantizer(Quantizer):
    """Linear layers, also those of GPT-2 in transformers, by torchao (https://docs.pytorch.org/ao).

    `int8_weight_only`, `fp8_weight_only` (e4m3) and `int4_weight_only` keep narrow weights, one scale for each output,
    of int4 one for every `group_size` weights of it. `int8_dynamic` and `fp8_dynamic` also round what comes in.
    Adapters train on the first two, in a phase that is `quantized`: through the others no gradient passes.
    `fp8_dynamic` needs a GPU that multiplies fp8, `int8_dynamic` a processor that multiplies int8 (VNNI) or a GPU; int4
    is packed for the device it is made on. Embeddings, heads that share their weights, convolutions and all the rest
    stay as they are.
    """

    packages = ("torchao",)

    def __init__(
        self,
        *,
        scheme: Annotated[
            Scheme, Field(description="format of the weights; dynamic: that of the layers' inputs too, one scale a row")
        ] = "int8_weight_only",
        group_size: Annotated[
            Literal[32, 64, 128], Field(description="int4_weight_only: inputs of a layer that share a scale")
        ] = 64,
        include: Include = ("*",),
        exclude: Exclude = (),
    ):
        self.scheme: Scheme = scheme
        self.group_size = group_size
        self.include = include
        self.exclude = exclude
        self.bits = 4.0 if scheme == INT4 else 8.0
        self.differentiable = scheme in ("int8_weight_only", "fp8_weight_only")

    def quantize(self, model: nn.Module) -> None:
        """Put layers with torchao's weights in the place of those chosen."""
        _quantization()
        layers = chosen(untied_linear_layers(model), self.include, self.exclude, "torchao")
        if self.scheme == INT4:
            self._check_sizes(layers)
        device = next(iter(layers.values())).get_parameter("weight").device
        if self.scheme == "fp8_dynamic":
            _check_fp8(device)
        if self.scheme == "int8_dynamic":
            _check_int8(device)
        replace_modules(model, {layer: self._layer(layer) for layer in layers.values()})

    def _check_sizes(self, layers: dict[str, nn.Module]) -> None:
        unfit = {}
        for name, layer in layers.items():
            inputs, outputs = linear_sizes(layer)
            if inputs % self.group_size or outputs % PACKED_OUTPUTS:
                unfit[name] = f"{name} ({inputs} inputs, {outputs} outputs)"
        if unfit:
            raise UserError(
                f"int4_weight_only needs layers whose inputs are a multiple of the group size {self.group_size} and"
                f" whose outputs are one of {PACKED_OUTPUTS}; it cannot pack {', '.join(list(unfit.values())[:4])}."
                f" Leave them out (exclude: {list(unfit)}), or choose another 'group_size'"
            )

    def _layer(self, layer: nn.Module) -> TorchaoLinear:
        weight = weight_of(layer)
        if self.scheme == "fp8_dynamic":
            weight = weight.bfloat16()  # torchao's kernel takes nothing else, nor do the inputs
        if self.scheme == INT4 and weight.is_meta:
            return TorchaoLinear(layer, Tensor, _int4_shapes(weight, self.group_size), None)
        if self.scheme == INT4 and weight.is_cuda:
            weight = weight.bfloat16()  # all that torchao's kernel takes
        plain = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
        plain.weight = nn.Parameter(weight, requires_grad=False)
        _quantization().quantize_(plain, self._config(weight.device))
        made: Any = plain.weight
        names, settings = made.__tensor_flatten__()
        tensors = {name: getattr(made, name) for name in names}
        return TorchaoLinear(
            layer, type(made), tensors, settings, weight.dtype if self.scheme == "fp8_dynamic" else None
        )

    def _config(self, device: torch.device) -> Any:
        """torchao's own settings, without those it would change of torch.compile: these hold for all the process."""
        package = _quantization()
        match self.scheme:
            case "int8_weight_only":
                return package.Int8WeightOnlyConfig(set_inductor_config=False)
            case "int8_dynamic":
                return package.Int8DynamicActivationInt8WeightConfig(set_inductor_config=False)
            case "fp8_weight_only":
                return package.Float8WeightOnlyConfig(set_inductor_config=False)
            case "fp8_dynamic":
                return package.Float8DynamicActivationFloat8WeightConfig(
                    granularity=package.PerRow(), set_inductor_config=False
                )
            case _:
                return _int4_config(device, self.group_size)


class TorchaoLinear(QuantizedLinear):
    """The tensors that one of torchao's weights is made of, as buffers, put together again to multiply.

    So they are counted, copied, saved and moved like all others. `made` is torchao's class of weights, `settings` what
    it has beside its tensors, `within` the type it multiplies in where that is not the input's.
    """

    def __init__(
        self,
        linear: nn.Module,
        made: type[Tensor],
        tensors: dict[str, Tensor],
        settings: Any,
        within: torch.dtype | None = None,
    ):
        super().__init__(linear)
        self.within = within
        self.made: Any = made
        self.settings = settings
        self.names = tuple(tensors)
        self.fp8 = {name: tensor.dtype for name, tensor in tensors.items() if tensor.dtype in FP8}
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor.view(torch.uint8) if name in self.fp8 else tensor)

    def dequantized(self, kind: torch.dtype) -> Tensor:
        """The weight [out,in] as numbers of that type: what becomes of the identity, whatever the class."""
        with torch.no_grad():
            identity = torch.eye(self.in_features, dtype=self._within(kind), device=self.like.device)
            return functional.linear(identity, self._whole()).T.to(kind)

    def forward(self, input: Tensor) -> Tensor:
        """input [...,in] -> [...,out]."""
        kind = product_type(input)
        within = self._within(kind)
        bias = None if self.bias is None else self.bias.to(within)
        return functional.linear(input.to(within), self._whole(), bias).to(kind)

    def _within(self, kind: torch.dtype) -> torch.dtype:
        """The type to multiply in: int4 takes that of its scales alone."""
        return self.get_buffer(INT4_SCALES).dtype if INT4_SCALES in self.names else self.within or kind

    def _whole(self) -> Tensor:
        tensors = {name: self.get_buffer(name) for name in self.names}
        tensors |= {name: tensors[name].view(kind) for name, kind in self.fp8.items()}
        return self.made.__tensor_unflatten__(tensors, self.settings, None, None)


def _int4_config(device: torch.device, group_size: int) -> Any:
    package = _quantization()
    if device.type == "cuda":
        return package.Int4WeightOnlyConfig(
            group_size=group_size, int4_packing_format="tile_packed_to_4d", set_inductor_config=False
        )
    if device.type != "cpu" or not hasattr(torch.ops.aten, "_weight_int4pack_mm_for_cpu"):
        raise UserError(f"torchao has no int4 kernel for the device '{device.type}': take int8_weight_only")
    from torchao.prototype.quantization.int4 import (  # pyright: ignore[reportMissingImports]
        PrototypeInt4WeightOnlyConfig,
    )

    return PrototypeInt4WeightOnlyConfig(group_size=group_size, set_inductor_config=False)


def _int4_shapes(weight: Tensor, group_size: int) -> dict[str, Tensor]:
    """The tensors of an int4 weight [out,in] without numbers, which are all that a plan asks for."""
    outputs, inputs = weight.shape
    scales = weight.new_empty(inputs // group_size, outputs, 2)
    return {"qdata": weight.new_empty(outputs, inputs // 2, dtype=torch.uint8), INT4_SCALES: scales}


def _check_fp8(device: torch.device) -> None:
    able = torch.cuda.is_available() and torch.cuda.get_device_capability() >= FP8_HARDWARE
    if not able or device.type == "cpu":
        raise UserError(
            "fp8_dynamic needs a GPU that multiplies fp8 (compute capability 8.9 or more): take fp8_weight_only or"
            " int8_dynamic"
        )


def _check_int8(device: torch.device) -> None:
    on_gpu = torch.cuda.is_available() and device.type != "cpu"
    if not on_gpu and not multiplies_int8():
        raise UserError(
            "int8_dynamic needs a processor that multiplies int8 by int8 (VNNI), or a GPU: here sums overflow, and"
            " layers would be wrong by a third without a word. Take int8_weight_only"
        )


def _quantization() -> Any:
    try:
        import torchao.quantization  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UserError("the quantizer 'torchao' needs it: pip install workbench[torchao]") from error
    return torchao.quantization


@hookimpl
def register_quantizers(register):
    """What torchao has."""
    register("torchao", TorchaoQuantizer)
