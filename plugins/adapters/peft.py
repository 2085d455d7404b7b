"""Every adapter of Hugging Face peft that lives in single layers: DoRA, IA3, VeRA, LoHa, OFT, FourierFT ..."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor, nn

from workbench import (
    Adapter,
    QuantizedLinear,
    UserError,
    adapted_part,
    adapter_files,
    hookimpl,
    is_adaptable,
    part_with,
    read_adapter,
    replace_modules,
    write_adapter,
)

from ._peft_settings import CONVERT, check_config, check_method, check_settings
from ._peft_state import NAME, PeftState, in_common, in_files, less_its_beginning
from ._stand_in import StandIn
from ._targets import ATTENTION
from ._vocabulary import tokens_of, with_new_tokens

# What peft raises of settings and models that it does not take, and where another library is not installed.
FAULTS = (AttributeError, ImportError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)
Setting = bool | int | float | str


class PeftAdapter(Adapter):
    """Any method of peft (https://huggingface.co/docs/peft) that lives in single layers: lora, ia3, loha, lokr, oft ...

    The settings `{r: 8, use_dora: true}` of `lora` make DoRA (https://arxiv.org/abs/2402.09353).
    """

    packages = ("peft",)

    def __init__(
        self,
        *,
        method: Annotated[str, Field(description="peft's name of the method: lora, ia3, loha, lokr, oft ...")] = "lora",
        settings: Annotated[
            dict[str, Setting] | None,
            Field(description="settings of the method's config in peft, as {r: 8, use_dora: true}"),
        ] = None,
        targets: Annotated[
            tuple[str, ...], Field(description="wildcards over names of linear layers: those that are adapted")
        ] = ATTENTION,
        start: Annotated[
            Path | None,
            Field(description="folder in peft's format to begin with, instead of method, settings and targets"),
        ] = None,
    ):
        self.method = method
        self.settings = settings or {}
        self.targets = targets
        self.start = start
        self.config: Any = None
        self.common: dict[str, nn.Module] = {}
        self.trained: list[nn.Parameter] = []
        self.replaced: list[nn.Parameter] = []
        self.beginning: dict[str, Tensor] = {}  # A and B, where the decoder is less what these were

    @classmethod
    def files(cls, options: Mapping[str, Any]) -> Sequence[Path]:
        """What peft wrote of the adapter it begins with; none where it begins anew."""
        return adapter_files(options["start"])

    def attach(self, model: nn.Module) -> list[nn.Parameter]:
        """Put the method's layers in the place of every target; returns what they train."""
        peft = _peft()
        if self.start is not None:
            return self._attach_read(model, self.start)
        targets = {name: module for name, module in model.named_modules() if name and is_adaptable(module)}
        chosen = [name for name in targets if any(fnmatchcase(name, target) for target in self.targets)]
        if not chosen:
            raise UserError(
                f"no linear layer matches targets {list(self.targets)} of the adapter 'peft'. Write wildcards over"
                f" names such as {', '.join(list(targets)[:8]) or '(no linear layer)'}"
            )
        known = {kind.value.lower(): kind for kind in peft.mapping.PEFT_TYPE_TO_CONFIG_MAPPING}
        if self.method not in known:
            raise UserError(f"peft has no method '{self.method}'. It has: {', '.join(sorted(known))}")
        kind = known[self.method]
        check_method(self.method, peft.mapping.PEFT_TYPE_TO_TUNER_MAPPING.get(kind), peft.tuners.tuners_utils.BaseTuner)
        check_settings(self.method, self.settings)
        config = peft.mapping.PEFT_TYPE_TO_CONFIG_MAPPING[kind]

        def make(settings: Mapping[str, Any]) -> Any:
            return config(target_modules=chosen, **_usual(config), **settings)

        try:
            made = make(self.settings)
        except FAULTS as error:
            raise UserError(f"peft does not take these settings of '{self.method}': {error}") from error
        layers = {name: targets[name] for name in chosen}
        trained = self._inject(model, made)
        stand_in = StandIn(layers)
        stand_in.check_settings(make, self.settings)
        stand_in.check_merge(made)
        _check_shared(model, stand_in, made)
        if not stand_in.is_read_as_saved(made):
            if self.method != "lora" or made.use_dora:
                raise UserError(f"'{self.method}' with {self.settings} begins by chance: nobody could read it again")
            found = PeftState(model, self.common, made).weights()
            self.beginning = {name: each.detach().clone() for name, each in found.items()}
        return trained

    def merge(self, model: nn.Module) -> None:
        """Put plain layers, with what was learned folded in, in the place of the adapted ones; quantized ones stay."""
        merged: dict[nn.Module, nn.Module] = {}
        for wrapper in _whole(model):
            trained = wrapper.modules_to_save[NAME]
            vars(trained)["_adapted"] = (wrapper, dict(trained._parameters))
            merged[wrapper] = trained
        for layer in _adapted(model).values():
            base = layer.get_base_layer()
            if isinstance(base, QuantizedLinear):
                continue
            before = dict(base._parameters)
            for name, each in before.items():  # peft adds where a weight lies, and another layer may share that
                if each is not None:
                    base._parameters[name] = nn.Parameter(each.detach().clone(), each.requires_grad)
            layer.merge()
            vars(base)["_adapted"] = (layer, before)  # in a tuple, so that it is not registered as a part
            merged[layer] = base
        replace_modules(model, merged)

    def unmerge(self, model: nn.Module) -> None:
        """Put the adapted layers back, bit for bit: peft would subtract what it added."""
        back = {}
        for base in [module for module in model.modules() if "_adapted" in vars(module)]:
            layer, before = vars(base).pop("_adapted")
            device = next(base.parameters()).device
            base._parameters.update(before)
            back[base] = layer.to(device)
            if hasattr(layer, "get_base_layer"):
                layer.merged_adapters.clear()
        replace_modules(model, back)

    def save(self, model: nn.Module, folder: Path) -> None:
        """Write what was trained in peft's own format."""
        own = {id(each) for each in self.trained}
        named = [name for name, each in model.named_parameters() if id(each) in own]
        part, beginning = adapted_part(model, [*_adapted(model), *named])
        weights = PeftState(part, self.common, self.config).weights()
        config = {**self.config.to_dict(), "inference_mode": True, "base_model_name_or_path": None}
        if self.beginning:
            first = {name.removeprefix(beginning): each for name, each in self.beginning.items()}
            weights, config = less_its_beginning(weights, first, config)
        config["target_modules"] = sorted(name.removeprefix(beginning) for name in _adapted(model))
        write_adapter(folder, {name: _plain(value) for name, value in config.items()}, weights)

    def _attach_read(self, model: nn.Module, folder: Path) -> list[nn.Parameter]:
        peft = _peft()
        if self.settings or self.targets != ATTENTION:
            raise UserError(f"the adapter in {folder} has its own settings and targets: leave out those beside 'start'")
        _, weights = read_adapter(folder)
        config = peft.PeftConfig.from_pretrained(str(folder))
        check_config(config, folder)
        part = part_with(model, weights, folder)
        trained = self._inject(part, config)
        stand_in = StandIn({name: layer.get_base_layer() for name, layer in _adapted(part).items()})
        stand_in.check_merge(config)
        _check_shared(part, stand_in, config)
        if not stand_in.is_read_as_saved(config):
            raise UserError(f"the adapter in {folder} began by chance, and changed the decoder's weights: {CONVERT}")
        self._load(part, weights, {id(each) for each in trained}, folder)
        return trained

    def _load(self, part: nn.Module, weights: dict[str, Tensor], trained: set[int], folder: Path) -> None:
        """What the file holds, with a row for every token; all of it, and nothing is left as it began."""
        state = PeftState(part, self.common, self.config)
        own = state.shapes()
        tokens = tokens_of(part)
        full = {name: with_new_tokens(each, own.get(name, each.shape), tokens) for name, each in weights.items()}
        unequal = [name for name, each in full.items() if each.shape != own.get(name, each.shape)]
        if unequal:
            name = unequal[0]
            raise UserError(
                f"the adapter in {folder} is of another model, or of one with more tokens: {name} is"
                f" {tuple(full[name].shape)} there and {tuple(own[name])} here"
            )
        self._renew(part, full.keys(), trained)
        unexpected, missing = state.load(full)
        if unexpected:
            raise UserError(f"the adapter in {folder} is of another model: it has {unexpected[0]}")
        own_names: dict[int, list[str]] = {}  # several where layers have it in common
        for name, each in state.model.named_parameters(remove_duplicate=False):
            if id(each) in trained:
                own_names.setdefault(id(each), []).append(name)
        lacking = sorted(names[0] for names in own_names.values() if missing.issuperset(names))
        if lacking:
            raise UserError(f"the adapter in {folder} is of another model: it lacks {in_files(lacking[0])}")

    def _renew(self, part: nn.Module, names: Iterable[str], trained: set[int]) -> None:
        """Put new parameters in the place of those that are no adapter's and that the file has as well, as a resized
        embedding: they are no longer what the decoder's files hold. The old ones are kept, since ids tell these."""
        own = {in_files(name): each for name, each in part.named_parameters()}
        self.replaced = [own[name] for name in names if name in own and id(own[name]) not in trained]
        new = {id(each): nn.Parameter(each.detach().clone(), each.requires_grad) for each in self.replaced}
        for module in part.modules():
            for name, each in module._parameters.items():
                if each is not None and id(each) in new:
                    module._parameters[name] = new[id(each)]

    def _inject(self, model: nn.Module, config: Any) -> list[nn.Parameter]:
        """peft freezes all the rest, but for biases that its config lets train; what trains is left as it was, since
        the phase decides."""
        peft = _peft()
        flags = {parameter: parameter.requires_grad for parameter in model.parameters()}
        config.inference_mode = False
        try:
            tuner = peft.mapping.PEFT_TYPE_TO_TUNER_MAPPING[config.peft_type](model, config, adapter_name=NAME)
        except FAULTS as error:
            planned = isinstance(error, RuntimeError) and any(each.is_meta for each in flags)
            reason = "it looks at the numbers of weights, which a plan has not" if planned else str(error)
            raise UserError(f"peft cannot put '{config.peft_type.value.lower()}' on this model: {reason}") from error
        self.config = config
        self.common = in_common(tuner)
        self.trained = [each for each in model.parameters() if each.requires_grad]
        for parameter, flag in flags.items():
            parameter.requires_grad_(flag)
        return self.trained


def _peft() -> Any:
    try:
        import peft
        import peft.mapping
        import peft.tuners.tuners_utils
    except ImportError as error:
        raise UserError("the adapter 'peft' needs peft: pip install workbench[peft]") from error
    return peft


def _usual(config: Any) -> dict[str, Any]:
    """What a method's config needs so that the method can be put on any layers, and starts as nothing."""
    fields = config.__dataclass_fields__
    usual: dict[str, Any] = {"feedforward_modules": []} if "feedforward_modules" in fields else {}
    if "init_weights" in fields and fields["init_weights"].default is False:  # FourierFT's spectrum, drawn at random
        usual["init_weights"] = True
    return usual


def _adapted(model: nn.Module) -> dict[str, Any]:
    """peft's layers by name."""
    return {name: module for name, module in model.named_modules() if hasattr(module, "get_base_layer")}


def _check_shared(model: nn.Module, stand_in: StandIn, config: Any) -> None:
    """`UserError` for a method that changes weights where it begins, beside one that another layer uses as well."""
    uses = Counter(id(each) for module in model.modules() for each in module._parameters.values())
    bases = {name: layer.get_base_layer()._parameters.get("weight") for name, layer in _adapted(model).items()}
    shared = [name for name, weight in bases.items() if weight is not None and uses[id(weight)] > 1]
    if shared and stand_in.changes_weights(config):
        raise UserError(
            f"the adapter changes the weight of {shared[0]} where it begins, which another layer uses as well, such as"
            " the embedding: leave that layer out, or begin another way, as with init_lora_weights: true"
        )


def _whole(model: nn.Module) -> list[Any]:
    """What peft puts around layers that train as a whole beside the adapter."""
    return [module for module in model.modules() if hasattr(module, "modules_to_save")]


def _plain(value: Any) -> Any:
    """What JSON can hold."""
    if isinstance(value, (set, tuple)):
        return sorted(value)
    return getattr(value, "value", value)


@hookimpl
def register_adapters(register):
    """Any method of the library peft, by its name there."""
    register("peft", PeftAdapter)
