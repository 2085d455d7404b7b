"""What a part says of itself so that transformers' LLaVA can be made of it. No torch code of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class TransformersPart:
    """A part in the terms of `LlavaForConditionalGeneration`.

    config: what transformers' own class of the part is built from, `model_type` included; weights: under the names of
    that class; settings: keys of `LlavaConfig` that depend on the part; files: further JSON files by name.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Any] = field(default_factory=dict)
