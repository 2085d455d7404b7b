"""What a method of peft does, seen on small layers of the same kinds, which have numbers even while a plan has none.

Seen before anything trains: whether the method can be merged, whether each setting has an effect, and whether what is
saved of it is read back as it was.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

from workbench import UserError, is_conv1d, linear_sizes

from ._peft_state import NAME, PeftState, in_common

MOST = 256  # inputs or outputs of a layer here
TOLERANCE = 0.01  # of an output's length
CONFIG = "peft_config"
COMMON = "_in_common"  # in an adapted stand-in: what its layers have in common
OF_FILES = ("save_",)  # settings about what is written


class StandIn:
    """Layers of a model, by their names and as it has them, one of each kind, to try a method of peft on."""

    def __init__(self, layers: Mapping[str, nn.Module]):
        kinds: dict[tuple, str] = {}
        for name, layer in layers.items():
            if isinstance(layer, nn.Linear | nn.Embedding) or is_conv1d(layer):
                kinds.setdefault((type(layer), getattr(layer, "bias", None) is None), name)
        self.layers = {name: layers[name] for name in kinds.values()}

    def check_settings(self, make: Callable[[Mapping[str, Any]], Any], settings: Mapping[str, Any]) -> None:
        """`UserError` for a setting without which the method is the same, as `make` builds its config."""

        def without_effect() -> str | None:
            whole = self._print(make(settings))
            for name, value in settings.items():
                others = {key: each for key, each in settings.items() if key != name}
                usual = getattr(_tried(lambda others=others: make(others)), name, value)
                if usual != value and not name.startswith(OF_FILES) and self._print(make(others)) == whole:
                    return name
            return None

        name = _with_numbers(without_effect)
        if name is not None:
            raise UserError(
                f"the setting {name}: {settings[name]} of the adapter 'peft' has no effect on the layers it is put on:"
                " leave it out"
            )

    def check_merge(self, config: Any) -> None:
        """`UserError` where the method cannot be merged into these layers, or that changes what they compute."""

        def problem() -> str | None:
            adapted = self._adapted(config, seed=1)
            if adapted is None:
                return None
            _shake(adapted)
            try:
                before = _outputs(adapted)
            except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
                return f"peft's method does not work on such layers: {error}"
            for name, layer in _layers(adapted).items():
                base = layer.get_base_layer()
                try:
                    layer.merge()
                    after = base(_input(base))
                except (AttributeError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
                    return f"peft cannot merge it into {name}: {error}"
                if not _near(after, before[name]):
                    return f"merged into {name} it computes something else"
            return None

        found = _with_numbers(problem)
        if found is not None:
            raise UserError(
                f"{found.rstrip('.')}. Trials are evaluated with their adapter merged: take other settings or targets"
            )

    def is_read_as_saved(self, config: Any) -> bool:
        """Whether a layer computes what it did once its saved weights are on one that began with another seed. What
        changes the weights of the model by chance, as `pissa_niter_4` does, cannot be had again."""

        def same() -> bool:
            first, second = self._adapted(config, seed=1), self._adapted(config, seed=2)
            if first is None or second is None:
                return True
            _shake(first)
            PeftState(second, vars(second)[COMMON], config).load(
                PeftState(first, vars(first)[COMMON], config).weights()
            )
            before = _outputs(first)
            return all(_near(each, before[name]) for name, each in _outputs(second).items())

        return _with_numbers(same)

    def changes_weights(self, config: Any) -> bool:
        """Whether the method changes a layer's own weight where it begins, as PiSSA does, which takes a part of it."""

        def changed() -> bool:
            adapted = self._adapted(config, seed=1)
            if adapted is None:
                return False
            torch.manual_seed(0)
            plain: dict[str, Any] = {name: _small(layer) for name, layer in self.layers.items()}
            found = {name: layer.get_base_layer().weight for name, layer in _layers(adapted).items()}
            return any(not torch.equal(weight, plain[name].weight) for name, weight in found.items())

        return _with_numbers(changed)

    def _adapted(self, config: Any, seed: int) -> nn.Module | None:
        """The layers with the method on them; None where it does not go on such small ones."""
        import peft.mapping

        torch.manual_seed(0)
        root = nn.Module()
        for name, layer in self.layers.items():
            parent = root
            *before, last = name.split(".")
            for part in before:
                if part not in parent._modules:
                    parent.add_module(part, nn.Module())
                parent = parent.get_submodule(part)
            parent.add_module(last, _small(layer))
        torch.manual_seed(seed)
        config = copy.deepcopy(config)
        config.target_modules = list(self.layers)
        if getattr(config, "modules_to_save", None):
            config.modules_to_save = None
        tuner: Any = peft.mapping.PEFT_TYPE_TO_TUNER_MAPPING[config.peft_type]
        try:
            vars(root)[COMMON] = in_common(tuner(root, config, adapter_name=NAME))
        except (AttributeError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError):
            return None
        return root.eval()

    def _print(self, config: Any) -> Any:
        """All that tells two adapted stand-ins apart."""
        adapted = self._adapted(config, seed=1)
        if adapted is None:
            return object()  # equal to no other
        modules = [(name, type(each).__name__, _plain_attributes(each)) for name, each in adapted.named_modules()]
        state = adapted.state_dict(keep_vars=True)
        return modules, [(name, each.requires_grad, each.tolist()) for name, each in state.items()]


def _small(layer: nn.Module) -> nn.Module:
    """A layer of its kind, at most `MOST` wide, with random weights."""
    if isinstance(layer, nn.Embedding):
        return nn.Embedding(min(MOST, layer.num_embeddings), min(MOST, layer.embedding_dim))
    inputs, outputs = (min(MOST, size) for size in linear_sizes(layer))
    if is_conv1d(layer):
        kind: Any = type(layer)
        return kind(outputs, inputs)
    return nn.Linear(inputs, outputs, bias=layer._parameters.get("bias") is not None)


def _plain_attributes(module: nn.Module) -> str:
    plain = bool, int, float, str, dict, tuple, list
    told = {name: value for name, value in vars(module).items() if isinstance(value, plain) and name != CONFIG}
    return str({name: value for name, value in told.items() if not name.startswith("_")})


def _layers(adapted: nn.Module) -> dict[str, Any]:
    return {name: module for name, module in adapted.named_modules() if hasattr(module, "get_base_layer")}


def _shake(adapted: nn.Module) -> None:
    """As if it had learned something."""
    generator = torch.Generator().manual_seed(3)
    for each in adapted.parameters():
        if each.requires_grad and each.is_floating_point():
            each.data = each.data + 0.1 * torch.randn(each.shape, generator=generator)


def _outputs(adapted: nn.Module) -> dict[str, Tensor]:
    return {name: layer(_input(layer.get_base_layer())) for name, layer in _layers(adapted).items()}


def _input(base: Any) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    if isinstance(base, nn.Embedding):
        return torch.randint(base.num_embeddings, (2, 5), generator=generator)
    return torch.randn((2, 5, linear_sizes(base)[0]), generator=generator)


def _near(output: Tensor, other: Tensor) -> bool:
    return bool((output - other).norm() <= TOLERANCE * other.norm())


def _tried(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except (TypeError, ValueError):
        return None


def _with_numbers(look: Callable[[], Any]) -> Any:
    """What `look` finds in a thread of its own: a plan's, where tensors are on the meta device and nothing is drawn,
    is as it was. Random numbers go on as if nothing had been drawn."""

    def looked() -> Any:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what peft says of the model itself it says where that is adapted
            return look()

    with torch.random.fork_rng(devices=[]), ThreadPoolExecutor(1) as thread:
        return thread.submit(looked).result()
