"""What one forward pass of a vision-language model hands to the fusion inside its decoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

Method = Callable[..., Any]


@dataclass
class FusionPass:
    """What one forward pass hands to the hooks: the image as each block sees it, and the prompt.

    `by_block` keeps what each block saw while the prompt was read; answering from the cache reuses it. `places` [R,L]
    are those where alone the last hidden state is wanted, None for all. Who looks on says with `watch` what is called
    in the place of a method of the fusion inside the decoder, and so knows what it does and what the decoder itself.
    `bare` [R] are rows of text alone, which no fusion changes; None where there are none.
    """

    vision: Any
    prompt: Tensor | None
    by_block: dict[int, Any] = field(default_factory=dict)
    places: Tensor | None = None
    watch: Callable[[Method], Method] | None = None
    bare: Tensor | None = None

    def watched(self, method: Method) -> Method:
        """A method of the fusion as the hooks call it."""
        return method if self.watch is None else self.watch(method)
