"""What a family of transformers makes of the last hidden state: logits, by its own code."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class FamilyHead:
    """The end of a decoder's own forward pass, which begins at hidden states that are given to it.

    Some families scale or bound their logits, or have a layer before the matrix; each does it in its own code, which
    is run as it is, with a stand-in in place of everything before.
    """

    def __init__(self, decoder: Any, base: str):
        self.kind = type(decoder)
        self.base = base
        plain = vars(nn.Module())
        self.settings = {name: each for name, each in vars(decoder).items() if name not in plain}

    def is_product(self, decoder: Any) -> bool:
        """Whether it gives to the bit what the last matrix alone gives, and so can be left out."""
        product = decoder.get_output_embeddings()
        if product.weight.is_meta:
            return True
        if product.weight.shape[1] != decoder.config.hidden_size:
            return False
        hidden = torch.linspace(-3, 3, 2 * product.weight.shape[1], dtype=product.weight.dtype).view(1, 2, -1)
        with torch.no_grad():
            told, plain = self.logits(dict(decoder.named_children()), hidden), product(hidden)
        return told.shape == plain.shape and torch.equal(told, plain)

    def logits(self, parts: Mapping[str, nn.Module], hidden: Tensor) -> Tensor:
        """The decoder's direct parts by name, hidden [..., D] -> logits [..., V]."""
        decoder: Any = object.__new__(self.kind)
        nn.Module.__init__(decoder)
        vars(decoder).update(self.settings)
        flat = hidden.reshape(1, -1, hidden.shape[-1])
        decoder._modules.update({**parts, self.base: _Given(parts[self.base], flat)})
        logits = decoder(inputs_embeds=flat).logits
        return logits.view(*hidden.shape[:-1], logits.shape[-1])


def logits_of_transformers(config: Any, weights: Mapping[str, Tensor], ids: Tensor) -> Tensor:
    """ids [R,T] -> logits [R,T,V] of a model of these weights as transformers makes it, with its plain attention."""
    from transformers import AutoModelForCausalLM

    config = copy.deepcopy(config)
    config._attn_implementation = "eager"
    model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
    model.load_state_dict(weights)
    with torch.no_grad():
        return model.eval()(ids, use_cache=False).logits


class _Given(nn.Module):
    """Stands in the place of all that comes before the head, and gives hidden states that are there already."""

    def __init__(self, base: nn.Module, hidden: Tensor):
        super().__init__()
        self.of = (base,)  # not as a part of it
        self.hidden = hidden

    def __getattr__(self, name: str) -> Any:
        found = getattr(vars(self)["of"][0], name)  # numbers that a family's head asks for
        return self if isinstance(found, nn.Module) else found  # some families call a part of the part

    def forward(self, *_: Any, **__: Any) -> _Output:
        """Whatever it is asked -> its hidden states [1,T,D]."""
        return _Output(self.hidden)


class _Output:
    """Has hidden states, and None for whatever else a family may pass on."""

    def __init__(self, hidden: Tensor):
        self.last_hidden_state = hidden

    def __getitem__(self, place: int) -> Tensor | None:
        return None if place else self.last_hidden_state

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):  # what Python itself asks for
            raise AttributeError(name)
