"""A small model that behaves as one of a checkpoint does: its own class and flags, a few narrow layers of each kind.

What is wrong with a family of models shows in such a one as in the real one, in a fraction of a second and without its
weights: a plan can try it.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import torch
from torch import nn

from workbench.checkpoints.small_layers import Layers
from workbench.checkpoints.small_widths import Widths
from workbench.checkpoints.transformers_models import quiet_transformers, transformers_for

VOCABULARY = 288  # tokens: more than the 256 bytes
WINDOW = 4  # tokens that a window or a chunk holds: short texts go beyond it
POSITIONS = 2048  # as many as a table of learned positions may cost
EXPERTS, CHOSEN, FACTORS = 4, 2, 8
MOST_PARAMETERS = 3_000_000
SPREAD, CLOSED = 0.2, 1e-3  # of drawn vectors; below it a gate lets nothing through
MOST_WORDS = 300  # letters of another program's message
# Sizes that are numbers of tokens of a text, and the place from which on a family scales by position.
WINDOWS = re.compile(
    r"^(sliding_window|sliding_window_size|attention_window_size|keep_window_size|local_attention(_window_len)?"
    r"|attention_chunk_size|mamba_chunk_size|chunk_size|index_topk|index_topk_blocks|index_block_size|block_size"
    r"|floor_scale|log_scaling_n_floor|indexer_budget)$"
)
PLACES = re.compile(r"^(n_positions|n_ctx|max_seq_len|model_max_length|max_(target_|source_)?position(s|_embeddings))$")
EXPERT_COUNTS = re.compile(r"^(moe_)?(n|num)(_routed|_local)?_experts$|^zero_expert_num$")
EXPERT_CHOICES = re.compile(r"^(moe_(top_?k|k)|moe_top_k|num_experts_per_tok(en)?|top_k_experts|topk)$")
GROUPS = ("n_group", "num_expert_group", "indexer_compress_ratio")


def small_likeness(config: Any, vocabulary: int = VOCABULARY) -> Any:
    """The config of a small model of the same class and flags as `config`, which stays as it is.

    It keeps one layer of each kind, heads in the same groups, sliding windows and chunks of 4 tokens, and whatever is
    no size. `ValueError` says why there is no such model.
    """
    kind = getattr(config, "model_type", "") or type(config).__name__
    transformers = transformers_for(kind)
    try:
        with quiet_transformers():
            small = _shrunk(config, vocabulary)
            small.validate()
            with torch.device("meta"):
                model = transformers.AutoModelForCausalLM.from_config(copy.deepcopy(small))  # it writes in it
    except Exception as error:  # a family's own code raises whatever it likes
        reason = " ".join(str(error).split())[:MOST_WORDS]
        raise ValueError(f"no small likeness of a {kind} could be built: {type(error).__name__}: {reason}") from error
    parameters = sum(each.numel() for each in model.parameters())
    if parameters > MOST_PARAMETERS:
        raise ValueError(
            f"the small likeness of a {kind} has {parameters:,} parameters, more than {MOST_PARAMETERS:,}: a size of"
            " its config is unknown here"
        )
    return small


def small_decoder(folder: Path, vocabulary: int = VOCABULARY) -> Any:
    """A small decoder of a checkpoint's configuration with telling weights; none of its own is read. `ValueError` says
    why there is none."""
    transformers = transformers_for(str(folder))
    with quiet_transformers():
        config = small_likeness(transformers.AutoConfig.from_pretrained(folder), vocabulary)
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    draw_telling_weights(model)
    return model.eval()


def small_tower(folder: Path, blocks: int) -> Any:
    """A vision tower of a checkpoint's configuration with so many blocks and telling weights; none of its own is read.
    One of stages keeps them all. `ValueError` says why there is none."""
    transformers = transformers_for(str(folder))
    try:
        with quiet_transformers():
            config = transformers.AutoConfig.from_pretrained(folder)
            config = copy.deepcopy(getattr(config, "vision_config", config))
            if isinstance(getattr(config, "num_hidden_layers", None), int) and not hasattr(config, "depths"):
                config.num_hidden_layers = min(config.num_hidden_layers, blocks)
            model = transformers.AutoModel.from_config(config, dtype=torch.float32)
    except Exception as error:  # as above
        reason = " ".join(str(error).split())[:MOST_WORDS]
        raise ValueError(f"no small likeness of {folder} could be built: {type(error).__name__}: {reason}") from error
    draw_telling_weights(model)
    return model.eval()


def draw_telling_weights(model: nn.Module, seed: int = 0) -> None:
    """Draw weights in which nothing hides: none is 0 or 1 as norms, gates and biases are at the start.

    A scale of its own that a family gives to a vector stays about as large, so that no rounding grows.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if not weight.is_floating_point():
                continue
            noise = torch.randn(weight.shape, generator=generator).to(weight)
            if weight.dim() < 2 or "norm" in name:
                weight.copy_(torch.where(weight.abs() < CLOSED, SPREAD * noise, weight * (1 + SPREAD * noise)))
            else:
                weight.copy_(noise / weight[0].numel() ** 0.5)


def _shrunk(config: Any, vocabulary: int) -> Any:
    """A copy, narrower, shorter and with fewer layers; configs within it as well."""
    small = copy.deepcopy(config)
    fields, overrides = dict(vars(config)), _overrides(config)
    layers = Layers(config, fields, overrides)
    widths = Widths(fields, list(overrides.values()))
    places = [fields[name] for name in fields if PLACES.match(name) and isinstance(fields[name], int)]
    shorter = min(POSITIONS / max([POSITIONS, *places]), 1.0)
    shrink = _Shrink(widths, shorter, vocabulary, fields.get("vocab_size") or vocabulary)
    if overrides:
        small.per_layer_config = None
    for name, value in fields.items():
        if name.startswith("_"):
            continue
        vars(small)[name] = shrink.field(name, layers.kept_of(name, value))
    layers.count_in(small)
    kept = layers.renumbered(overrides)
    if kept:
        small.per_layer_config = {
            layer: {name: shrink.field(name, value) for name, value in each.items()} for layer, each in kept.items()
        }
    vars(small).pop("quantization_config", None)
    return small


def _overrides(config: Any) -> dict[int, dict[str, Any]]:
    """What single layers have in place of the config's own values."""
    told = config.to_dict().get("per_layer_config") or {}
    return {int(layer): dict(values) for layer, values in told.items()}


class _Shrink:
    """How every field of one config becomes smaller, by its name."""

    def __init__(self, widths: Widths, shorter: float, vocabulary: int, had: int):
        self.widths, self.shorter, self.vocabulary, self.had = widths, shorter, vocabulary, had

    def field(self, name: str, value: Any) -> Any:
        """The value that the field has in the small config."""
        if hasattr(value, "to_dict") and hasattr(value, "model_type"):
            own = "hidden_size" in vars(value) or "d_model" in vars(value)
            return _shrunk(value, self.vocabulary) if own else self._within(value)
        if isinstance(value, dict):
            return {key: self.field(_named_in(name, key), each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return self._list(name, value)
        if isinstance(value, bool) or not isinstance(value, int):
            return value
        return self._number(name, value)

    def _within(self, config: Any) -> Any:
        """A part of a config that has no width of its own."""
        small = copy.deepcopy(config)
        for name, value in vars(config).items():
            if not name.startswith("_"):
                vars(small)[name] = self.field(name, value)
        return small

    def _list(self, name: str, values: Any) -> Any:
        if name.endswith("_factor") and len(values) > FACTORS // 2:  # one for each pair of turned channels
            return _spread(values, self.widths.turned(len(values)))
        if name.endswith("_section"):
            return _shared_out(values, self.widths.turned(sum(values)))
        return type(values)(self.field(name, each) for each in values)

    def _number(self, name: str, value: int) -> int:
        if "vocab" in name:
            return self._tokens(value)
        if re.search(r"token_ids?$", name):
            return value if value < self.vocabulary else value % WINDOW
        if WINDOWS.match(name):
            return min(value, WINDOW)
        if name == "compress_rates":
            return min(value, 2 * WINDOW)
        if PLACES.match(name) or name == "original_max_position_embeddings":
            return max(1, int(value * self.shorter))
        if EXPERT_COUNTS.match(name):
            return min(value, EXPERTS)
        if EXPERT_CHOICES.match(name):
            return min(value, CHOSEN)
        if name in GROUPS:
            return min(value, CHOSEN)
        if name == "topk_group":
            return min(value, 1)
        return self.widths.small(name, value)

    def _tokens(self, value: int) -> int:
        """A number of tokens, in the same order to the vocabulary as it was; small ones count something else."""
        if value <= 16:
            return value
        return self.vocabulary if value >= self.had else max(1, self.vocabulary - 8)


def _named_in(name: str, key: Any) -> str:
    """What a value in a dictionary is called: by its own key, where that is no layer and no kind of layer."""
    return key if isinstance(key, str) and name != "compress_rates" else name


def _spread(values: Any, count: int) -> list[Any]:
    """So many of the values, evenly."""
    return [values[place * len(values) // count] for place in range(count)]


def _shared_out(values: Any, total: int) -> list[int]:
    """Whole numbers in about the same shares, `total` together."""
    shares = [each * total / sum(values) for each in values]
    floors = [int(each) for each in shares]
    order = sorted(range(len(values)), key=lambda place: floors[place] - shares[place])
    for place in order[: total - sum(floors)]:
        floors[place] += 1
    return floors
