"""Weights that a model has under several names, as an output head that shares those of the embedding, and what becomes
of them where an adapter beside one of the layers is merged: that layer then has a weight of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import nn


def shared_weights(model: nn.Module) -> list[list[str]]:
    """The names of each parameter that has more than one."""
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return [each for each in names.values() if len(each) > 1]


def separate_weights(model: nn.Module, together: Iterable[Sequence[str]]) -> None:
    """Give names that share a parameter in `model`, and are in no list of `together` side by side, one each: copies of
    the one they had."""
    where = {name: number for number, names in enumerate(together) for name in names}
    for names in shared_weights(model):
        apart: dict[int | str, list[str]] = {}
        for name in names:
            apart.setdefault(where.get(name, name), []).append(name)
        for others in list(apart.values())[1:]:
            old = model.get_parameter(others[0])
            own = nn.Parameter(old.detach().clone(), old.requires_grad)
            for name in others:
                module, _, last = name.rpartition(".")
                model.get_submodule(module)._parameters[last] = own


def separated(model: nn.Module, before: Iterable[Sequence[str]]) -> dict[str, tuple[str, int]]:
    """The weights that share nothing any more of those that shared one `before`: by name, what each shared it with, and
    how many numbers it holds."""
    found = {}
    own = dict(model.named_parameters(remove_duplicate=False))
    for names in before:
        first = next((name for name in names if name in own), None)
        seen = set() if first is None else {id(own[first])}
        for name in names:
            if name in own and first is not None and id(own[name]) not in seen:
                seen.add(id(own[name]))
                found[name] = (first, own[name].numel())
    return found
