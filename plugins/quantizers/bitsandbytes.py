"""bitsandbytes: LLM.int8, and 4-bit weights (NF4, FP4) on which adapters train, as QLoRA does."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from workbench import QuantizedLinear, Quantizer, UserError, hookimpl, linear_sizes, product_type, replace_modules

from ._layers import Exclude, Include, chosen, untied_linear_layers, weight_of

BLOCK, OUTER_BLOCK = 64, 256  # weights that share a scale, and scales that share a scale of their own
EIGHT_BITS = "int8"
CODES = ("code", "absmax_code")
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class BitsAndBytesQuantizer(Quantizer):
    """Linear layers, also those of GPT-2 in transformers, by the kernels of bitsandbytes.

    `nf4` and `fp4` keep 4 bits a weight (Dettmers et al. 2023, https://arxiv.org/abs/2305.14314, section 3); `int8` is
    LLM.int8 (Dettmers et al. 2022, https://arxiv.org/abs/2208.07339, section 3): rows and weights in 8 bits, columns of
    inputs in which a number is above `threshold` in 16. Adapters train on all three, in a phase that is `quantized`.
    Embeddings, heads that share their weights, convolutions and all the rest stay as they are.
    """

    packages = ("bitsandbytes",)
    differentiable = True

    def __init__(
        self,
        *,
        scheme: Annotated[
            Literal["nf4", "fp4", "int8"],
            Field(description="nf4, fp4: 4 bits a weight, one scale for every 64; int8: LLM.int8"),
        ] = "nf4",
        double_quantization: Annotated[
            bool, Field(description="keep the scales of 4-bit weights in 8 bits as well")
        ] = True,
        compute: Annotated[
            Literal["fp32", "bf16", "fp16"] | None,
            Field(description="type in which 4-bit weights are multiplied; null: that of the input"),
        ] = None,
        threshold: Annotated[
            float, Field(description="int8: columns of inputs with a number above it are multiplied in 16 bits")
        ] = 6.0,
        include: Include = ("*",),
        exclude: Exclude = (),
    ):
        self.scheme = scheme
        self.double_quantization = double_quantization
        self.compute = None if compute is None else TYPES[compute]
        self.threshold = threshold
        self.include = include
        self.exclude = exclude
        self.bits = 8.0 if scheme == EIGHT_BITS else 4.0

    def quantize(self, model: nn.Module) -> None:
        """Put layers with narrow weights in the place of those chosen."""
        _bitsandbytes()
        layers = chosen(untied_linear_layers(model), self.include, self.exclude, "bitsandbytes")
        odd = [name for name, layer in layers.items() if linear_sizes(layer)[0] % 2]
        if odd and self.scheme != EIGHT_BITS:
            raise UserError(
                f"4-bit weights stand two in a byte, and {', '.join(odd[:4])} have an odd number of inputs: leave them"
                f" out (exclude: {odd}), or take scheme: int8"
            )
        replace_modules(model, {layer: self._layer(layer) for layer in layers.values()})

    def _layer(self, layer: nn.Module) -> QuantizedLinear:
        if self.scheme == EIGHT_BITS:
            return Int8Linear(layer, self.threshold)
        return FourBitLinear(layer, self.scheme, self.double_quantization, self.compute)


class FourBitLinear(QuantizedLinear):
    """4-bit weights, two a byte [out*in/2,1], with `absmax` [blocks], the largest of every 64 in a row.

    With double quantization `absmax` is in 8 bits, and `absmax_scale` [blocks/256] and `absmax_mean` make it the number
    it stands for. `code` [16] and `absmax_code` [256] are of the format, the same for all layers, and not kept.
    """

    weight_4bit: Tensor
    absmax: Tensor

    def __init__(self, linear: nn.Module, scheme: str, double: bool, compute: torch.dtype | None):
        super().__init__(linear)
        self.scheme = scheme
        self.nested = double
        self.compute = compute
        for name, tensor in _four_bits(weight_of(linear), scheme, double).items():
            self.register_buffer(name, tensor, persistent=name not in CODES)

    def dequantized(self, kind: torch.dtype) -> Tensor:
        """The weight [out,in] as numbers of that type."""
        return _bitsandbytes().functional.dequantize_4bit(self.weight_4bit, self._state(kind))

    def forward(self, input: Tensor) -> Tensor:
        """input [...,in] -> [...,out], by bitsandbytes, which passes a gradient on to the input."""
        kind = self.compute or product_type(input)
        bias = None if self.bias is None else self.bias.to(kind)
        with torch.autocast(input.device.type, enabled=False):
            product = _bitsandbytes().matmul_4bit(input.to(kind), self.weight_4bit, self._state(kind), bias=bias)
        return product.to(product_type(input))

    def extra_repr(self) -> str:
        """Sizes as `nn.Linear` prints them, and the scheme of the weights."""
        return f"{super().extra_repr()}, {self.scheme}"

    def _state(self, kind: torch.dtype) -> Any:
        """What bitsandbytes wants to know of the weight. Made anew, so that it follows the buffers to any device."""
        functions = _bitsandbytes().functional
        buffers: dict[str, Any] = self._buffers
        second = None
        if self.nested:
            second = functions.QuantState(
                absmax=buffers["absmax_scale"], code=buffers["absmax_code"], blocksize=OUTER_BLOCK, dtype=torch.float32
            )
        return functions.QuantState(
            absmax=self.absmax,
            shape=torch.Size((self.out_features, self.in_features)),
            code=buffers["code"],
            blocksize=BLOCK,
            quant_type=self.scheme,
            dtype=kind,
            offset=buffers.get("absmax_mean"),
            state2=second,
        )


class Int8Linear(QuantizedLinear):
    """8-bit weights [out,in] with the largest of each row [out], by LLM.int8 in fp16. Where a gradient is asked for,
    dequantized instead, as bitsandbytes itself does on a CPU."""

    weight_int8: Tensor
    absmax: Tensor

    def __init__(self, linear: nn.Module, threshold: float):
        super().__init__(linear)
        self.threshold = threshold
        weight = weight_of(linear)
        if weight.is_meta:  # a plan asks for shapes: there are no numbers
            rows, absmax = (
                torch.empty_like(weight, dtype=torch.int8),
                weight.new_empty(len(weight), dtype=torch.float32),
            )
        else:
            rows, absmax, _ = _bitsandbytes().functional.int8_vectorwise_quant(weight.half())
        self.register_buffer("weight_int8", rows)
        self.register_buffer("absmax", absmax)

    def dequantized(self, kind: torch.dtype) -> Tensor:
        """The weight [out,in] as numbers of that type."""
        return self.weight_int8.to(kind) * (self.absmax / 127).to(kind)[:, None]

    def forward(self, input: Tensor) -> Tensor:
        """input [...,in] -> [...,out]."""
        kind = product_type(input)
        if input.requires_grad and torch.is_grad_enabled():
            bias = None if self.bias is None else self.bias.to(kind)
            return functional.linear(input.to(kind), self.dequantized(kind), bias)
        package = _bitsandbytes()
        state = package.MatmulLtState(CB=self.weight_int8, SCB=self.absmax)
        state.has_fp16_weights = state.is_training = False
        bias = None if self.bias is None else self.bias.half()
        rows = input.reshape(-1, self.in_features).half()
        with torch.autocast(input.device.type, enabled=False):
            product = package.matmul(rows, self.weight_int8, state=state, threshold=self.threshold, bias=bias)
        return product.to(kind).view(*input.shape[:-1], -1)


def _four_bits(weight: Tensor, scheme: str, double: bool) -> dict[str, Tensor]:
    """The buffers of a weight [out,in]."""
    if weight.is_meta:  # a plan asks for shapes: there are no numbers
        return _shapes(weight, double)
    packed, state = _bitsandbytes().functional.quantize_4bit(
        weight.contiguous(), blocksize=BLOCK, compress_statistics=double, quant_type=scheme
    )
    found = {"weight_4bit": packed, "absmax": state.absmax, "code": state.code}
    if double:
        second = state.state2
        found |= {"absmax_scale": second.absmax, "absmax_code": second.code, "absmax_mean": state.offset}
    return found


def _shapes(weight: Tensor, double: bool) -> dict[str, Tensor]:
    """The buffers without numbers."""

    def empty(count: int, kind: torch.dtype = torch.float32) -> Tensor:
        return weight.new_empty(count, dtype=kind)

    blocks = -(-weight.numel() // BLOCK)
    found = {
        "weight_4bit": empty((weight.numel() + 1) // 2, torch.uint8)[:, None],
        "absmax": empty(blocks, torch.uint8 if double else torch.float32),
        "code": empty(16),
    }
    if double:
        found |= {"absmax_scale": empty(-(-blocks // OUTER_BLOCK)), "absmax_code": empty(256)}
        found |= {"absmax_mean": weight.new_empty((), dtype=torch.float32)}
    return found


def _bitsandbytes() -> Any:
    try:
        import bitsandbytes
    except ImportError as error:
        raise UserError("the quantizer 'bitsandbytes' needs it: pip install workbench[bitsandbytes]") from error
    return bitsandbytes


@hookimpl
def register_quantizers(register):
    """What bitsandbytes has."""
    register("bitsandbytes", BitsAndBytesQuantizer)
