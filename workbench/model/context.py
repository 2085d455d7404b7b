"""A decoder's last position, and what would go beyond it when it is asked: behind it an embedding has no row."""

from __future__ import annotations

from workbench.contracts.fusion import Inputs
from workbench.errors import UserError


def check_context(context: int | None, inputs: Inputs, longest: int = 1) -> None:
    """Whether a decoder of so many positions can read the inputs, and write `longest` tokens behind each prompt; the
    last one that it writes it need not read. Raises `UserError` with the numbers."""
    if context is None or inputs.positions.is_meta:
        return
    reads = int(inputs.positions.max()) + 1
    prompt = int(inputs.positions.masked_fill(~inputs.prompt, -1).max()) + 1
    if max(reads, prompt + longest - 1) <= context:
        return
    images = int(inputs.image.sum(1).max())
    told = f"the language model reads {context} tokens at most, and the prompt has {prompt}, {images} of images"
    if prompt <= context and reads <= context:
        raise UserError(
            f"{told}: an answer of {longest} is too long. Set max_new_tokens to {context - prompt + 1} or less"
        )
    more = f" ({reads} with its answer)" if reads > prompt else ""
    raise UserError(f"{told}{more}. Ask a shorter question, or show fewer images")
