"""Which layers of a model a small one keeps: one of each kind, in their order."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from typing import Any

DEPTHS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", "encoder_layers", "num_blocks")
LEAST, MOST = 2, 8
FIRST = re.compile(
    r"^(first_k_dense_replace|num_dense_layers|num_hash_layers|moe_layer_start_index|max_window_layers|n_input_layers)$"
)
LAST = ("num_kv_shared_layers", "n_output_layers")
NUMBERS = re.compile(r"(_ids|_indices|_idxs|^moe_layers|^mlp_only_layers)$")  # lists of the numbers of layers
PERIODS = re.compile(r"(_period|_step|_interval|_every_n_layers|_group_size|_pattern)$")
NO_LAYERS = re.compile(r"(multipliers|limit|factor|section)$")


class Layers:
    """The layers of a config that a small one keeps.

    Two are of a kind where every list with a value for each layer has the same for both, and every bound lies on the
    same side of both. Where a number says that each so-manieth layer is another, the first so many are kept.
    """

    def __init__(self, config: Any, fields: Mapping[str, Any], overrides: Mapping[int, Mapping[str, Any]]):
        self.fields = fields
        self.counts = [name for name in DEPTHS if isinstance(fields.get(name), int)]
        self.depth: int = next((fields[name] for name in self.counts), 0)
        kinds = [self._kind(layer, overrides.get(layer, {})) for layer in range(self.depth)]
        found = sorted({kind: layer for layer, kind in reversed(list(enumerate(kinds)))}.values())
        period = max((self._period(name, value) for name, value in fields.items()), default=1)
        if period > 1:
            found = list(range(min(self.depth, max(period, found[-1] + 1 if 0 < len(found) <= MOST else 0))))
        more = [layer for layer in range(self.depth) if layer not in found]
        self.kept = sorted([*found, *more[: max(0, LEAST - len(found))]])[: max(MOST, period)]

    def kept_of(self, name: str, value: Any) -> Any:
        """A field as it is for the layers that are kept: its list shorter, its numbers of layers renumbered."""
        if self._is_by_layer(name, value):
            return type(value)(value[layer] for layer in self.kept)
        if isinstance(value, list | tuple) and NUMBERS.search(name) and all(isinstance(each, int) for each in value):
            return type(value)(place for place, layer in enumerate(self.kept) if layer in value)
        if isinstance(value, bool) or not isinstance(value, int):
            return value
        if FIRST.match(name):
            return sum(layer < value for layer in self.kept)
        if name in LAST:
            return sum(layer >= self.depth - value for layer in self.kept)
        if name == "moe_layer_end_index":
            return sum(layer <= value for layer in self.kept) - 1 if value >= 0 else value
        return value

    def count_in(self, small: Any) -> None:
        """Write how many they are."""
        for name in self.counts:
            vars(small)[name] = len(self.kept)
        if "n_recurrent_layers" in self.fields:
            own = vars(small)
            own["n_recurrent_layers"] = len(self.kept) - own["n_input_layers"] - own["n_output_layers"]
        if "num_layers_per_stack" in self.fields:  # its depth counts how often layers are passed
            passes = self.depth // self.fields["num_layers_per_stack"]
            vars(small)["num_layers_per_stack"] = LEAST
            vars(small)["num_hidden_layers"] = LEAST * passes

    def renumbered(self, overrides: Mapping[int, Mapping[str, Any]]) -> dict[int, Mapping[str, Any]]:
        """What single layers have of their own, for those that are kept."""
        return {place: overrides[layer] for place, layer in enumerate(self.kept) if layer in overrides}

    def _kind(self, layer: int, own: Mapping[str, Any]) -> Hashable:
        told: list[Any] = [repr(sorted(own.items()))]
        for name, value in self.fields.items():
            if self._is_by_layer(name, value):
                told.append(repr(value[layer]))
            elif isinstance(value, list | tuple) and NUMBERS.search(name):
                told.append(layer in value)
            elif isinstance(value, int) and FIRST.match(name):
                told.append(layer < value)
            elif isinstance(value, int) and name in LAST:
                told.append(layer >= self.depth - value)
        return tuple(told)

    def _is_by_layer(self, name: str, value: Any) -> bool:
        if name.startswith("_") or NUMBERS.search(name) or NO_LAYERS.search(name):
            return False
        return isinstance(value, list | tuple) and len(value) == self.depth > 0

    def _period(self, name: str, value: Any) -> int:
        if name == "block_types" and isinstance(value, list | tuple):
            return len(value)
        counts = isinstance(value, int) and not isinstance(value, bool)
        return value if counts and not name.startswith("_") and PERIODS.search(name) and value <= MOST else 1
