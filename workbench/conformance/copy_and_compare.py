"""Copies and comparisons of whatever goes into a plugin and comes out of it: tensors, images, examples, texts."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy
import torch
from PIL import Image
from torch import Tensor


def copied(value: Any) -> Any:
    """A copy that shares nothing that can be changed."""
    match value:
        case Tensor():
            return value.detach().clone()
        case Image.Image():
            return value.copy()
        case dict():
            return {key: copied(each) for key, each in value.items()}
        case list() | tuple():
            return type(value)(copied(each) for each in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{each.name: copied(getattr(value, each.name)) for each in fields(value) if each.init})
    return copy.deepcopy(value)


def same(first: Any, second: Any) -> bool:
    """Whether two values are equal to the last bit; NaN equals NaN."""
    if type(first) is not type(second):
        return False
    match first:
        case Tensor():
            return first.shape == second.shape and first.dtype == second.dtype and _equal(first, second)
        case numpy.ndarray():
            return bool(numpy.array_equal(first, second, equal_nan=first.dtype.kind in "fc"))
        case Image.Image():
            return (first.mode, first.size, first.tobytes()) == (second.mode, second.size, second.tobytes())
        case Mapping():
            return first.keys() == second.keys() and all(same(each, second[key]) for key, each in first.items())
        case list() | tuple():
            return len(first) == len(second) and all(map(same, first, second))
        case float():
            return first == second or (first != first and second != second)
    if is_dataclass(first):
        return all(same(getattr(first, each.name), getattr(second, each.name)) for each in fields(first))
    if type(first).__eq__ is object.__eq__ and hasattr(first, "__dict__"):
        return same(vars(first), vars(second))
    return bool(first == second)


def _equal(first: Tensor, second: Tensor) -> bool:
    return torch.equal(first, second) or bool(((first == second) | (first.isnan() & second.isnan())).all())
