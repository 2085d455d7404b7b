"""How wide a small model is: few heads in the same groups, narrow heads, and every other width in about its share."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

HEADS = re.compile(r"heads?(_per_layer)?$|^num_query_groups$|^o_groups$")
HEAD_WIDTHS = re.compile(r"head_?dim$|(^|_)d_head$|^rotary_dim$|^kv_channels$")
WIDTHS = re.compile(r"size|dim|width|rank|inner|dff|n_embd|d_model|d_state|d_ssm|d_rel|channels?$")
WIDTH = ("hidden_size", "n_embd", "d_model")
GROUPS = ("n_groups", "mamba_n_groups", "mamba_ngroups")
PARTS = ("mamba", "linear_", "index")  # what has heads of its own, beside those of attention
LEAST, LEAST_HEADS, MOST_HEADS, STEP, STATE = 32, 2, 32, 8, 8


class Widths:
    """The sizes of a small model, from those of a large one.

    `fields` are the config's, `others` those that single layers have in their place. Numbers of heads and widths of
    heads keep their ratios, within attention and within every other part; where all share one head of keys and values,
    few share it.
    """

    def __init__(self, fields: Mapping[str, Any], others: Sequence[Mapping[str, Any]]):
        self.fields = fields
        every = [*_numbers(fields), *(each for own in others for each in _numbers(own))]
        self.width: int = next((fields[name] for name in WIDTH if isinstance(fields.get(name), int)), 0)
        self._heads: dict[str, tuple[int, int]] = {}
        self._head_widths: dict[str, tuple[int, int]] = {}
        for part in ("", *PARTS):
            counts = [value for name, value in every if _is_heads(name) and _part(name) == part and value > 1]
            if counts:
                apart = 1 if len(set(counts)) > 1 else 2
                self._heads[part] = (min(counts), LEAST_HEADS * apart)
            widths = [value for name, value in every if HEAD_WIDTHS.search(name) and _part(name) == part]
            if part == "" and self.width and self._attention_heads():
                widths += [] if _has_own(fields) else [self.width // self._attention_heads()]
            if widths:
                self._head_widths[part] = (min(widths), STEP)
        self._widen_heads()
        self.small_width = self._small_width()

    def small(self, name: str, value: int) -> int:
        """A size by its name; what is no size stays."""
        if _is_heads(name):
            return self._count(name, value)
        if name in GROUPS:
            return min(value, LEAST_HEADS)
        if HEAD_WIDTHS.search(name):
            return self._head(value, _part(name))
        if name == "mamba_d_ssm":
            return self._inner("mamba")
        if not WIDTHS.search(name) or value <= STEP:
            return value
        if "state" in name:
            return STATE
        return self._share(value)

    def turned(self, pairs: int) -> int:
        """How many pairs of channels a small head turns, where a large one turns so many."""
        large, little = self._head_widths[""]
        return max(1, pairs * little // large)

    def _share(self, value: int) -> int:
        """A width in its share of the model's; the same where it is the same, and a whole multiple where it is one."""
        exact = value * self.small_width / (self.width or value)
        if exact % STEP == 0 and STEP <= exact <= 4 * self.small_width:
            return int(exact)
        return max(STEP, min(4 * self.small_width, round(exact / STEP) * STEP))

    def _count(self, name: str, value: int) -> int:
        if value <= 1:
            return value
        if _part(name) == "mamba" and self._is_expanded():
            return self._expansion() * self.small_width // self._head(self._mamba_head(), "mamba")
        least, becomes = self._heads[_part(name)]
        return min(MOST_HEADS, max(1, math.ceil(value * becomes / least)))

    def _head(self, value: int, part: str) -> int:
        least, becomes = self._head_widths[part]
        return 2 * max(1, round(value * becomes / least / 2))

    def _attention_heads(self) -> int:
        names = ("num_attention_heads", "n_head", "n_heads", "decoder_attention_heads")
        return next((self.fields[name] for name in names if isinstance(self.fields.get(name), int)), 0)

    def _ratio(self) -> float:
        """How wide all heads are together, in widths of the model."""
        heads, own = self._attention_heads(), _own_head(self.fields)
        return heads * own / self.width if heads and own and self.width else 1.0

    def _widen_heads(self) -> None:
        """Wide enough that some channels turn where only a share does, and that the model is not too narrow."""
        if "" not in self._head_widths:
            return
        share, heads, ratio = _turned_share(self.fields), self._attention_heads(), self._ratio()
        least, becomes = self._head_widths[""]
        own = _own_head(self.fields) or (self.width // heads if heads else least)
        for wider in range(becomes, 16 * becomes, 4):
            self._head_widths[""] = (least, wider)
            head = self._head(own, "")
            turned = int(head * share)
            together = head * self._count("num_attention_heads", heads) / (ratio if ratio in (1.0, 2.0) else 1.0)
            if turned >= 2 and turned % 2 == 0 and (together >= LEAST and together == int(together)):
                return

    def _small_width(self) -> int:
        heads = self._attention_heads()
        if not heads or not self.width:
            return 2 * LEAST
        few, ratio = self._count_of_attention(heads), self._ratio()
        own = _own_head(self.fields) or self.width // heads
        together = few * self._head(own, "") if "" in self._head_widths else 2 * LEAST
        if ratio in (1.0, 2.0) and "qk_nope_head_dim" not in self.fields:
            return int(together / ratio)
        step = math.lcm(16, few)
        width = math.ceil(2 * LEAST / step) * step
        return width if width != together else width + step

    def _count_of_attention(self, heads: int) -> int:
        least, becomes = self._heads.get("", (heads, heads))
        return min(MOST_HEADS, max(1, math.ceil(heads * becomes / least)))

    def _is_expanded(self) -> bool:
        """Whether the heads of a state space are together so many times as wide as the model."""
        heads = next((value for name, value in self.fields.items() if _part(name) == "mamba" and _is_heads(name)), 0)
        return bool(self._mamba_head()) and heads * self._mamba_head() == self._expansion() * self.width

    def _expansion(self) -> int:
        return int(self.fields.get("mamba_expand") or self.fields.get("expand") or 2)

    def _mamba_head(self) -> int:
        names = ("mamba_d_head", "mamba_headdim", "mamba_head_dim")
        return next((self.fields[name] for name in names if isinstance(self.fields.get(name), int)), 0)

    def _inner(self, part: str) -> int:
        count = next(name for name in self.fields if _part(name) == part and _is_heads(name))
        return self._count(count, self.fields[count]) * self._head(self._mamba_head(), part)


def _part(name: str) -> str:
    if HEAD_WIDTHS.search(name) and name.startswith("index"):
        return ""  # it turns as many channels as attention does
    return next((part for part in PARTS if part in name), "")


def _is_heads(name: str) -> bool:
    return HEADS.search(name) is not None and HEAD_WIDTHS.search(name) is None


def _numbers(fields: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Whole numbers above 0 by name, those in lists and in parts of a config as well."""
    for name, value in fields.items():
        if name.startswith("_"):
            continue
        if hasattr(value, "to_dict"):
            if "hidden_size" not in vars(value):
                yield from _numbers(vars(value))
        else:
            for each in value if isinstance(value, Iterable) and not isinstance(value, str | dict) else [value]:
                if isinstance(each, int) and not isinstance(each, bool) and each > 0:
                    yield name, each


def _own_head(fields: Mapping[str, Any]) -> int:
    names = ("head_dim", "attention_head_dim")
    return next((fields[name] for name in names if isinstance(fields.get(name), int)), 0)


def _has_own(fields: Mapping[str, Any]) -> bool:
    return bool(_own_head(fields)) or "qk_nope_head_dim" in fields


def _turned_share(fields: Mapping[str, Any]) -> float:
    """The share of a head's channels that are turned by the position."""
    told = fields.get("rope_parameters") or {}
    found = [told, *(each for each in told.values() if isinstance(each, dict))]
    shares = [each["partial_rotary_factor"] for each in found if each.get("partial_rotary_factor")]
    return min([*shares, float(fields.get("partial_rotary_factor") or 1.0)])
