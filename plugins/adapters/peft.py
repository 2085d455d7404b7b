"""Every adapter of Hugging Face peft that lives in single layers: DoRA, IA3, VeRA, LoHa, OFT, FourierFT ..."""

from __future__ import annotations

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
from ._stand_in import StandIn
from ._targets import ATTENTION
from ._vocabulary import tokens_of, with_new_tokens

NAME = "default"  # what peft calls an adapter that has no name
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
        self.trained: list[nn.Parameter] = []
        self.replaced: list[nn.Parameter] = []

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
        except (TypeError, ValueError) as error:
            raise UserError(f"peft does not take these settings of '{self.method}': {error}") from error
        layers = {name: targets[name] for name in chosen}
        trained = self._inject(model, made)
        stand_in = StandIn(layers)
        stand_in.check_settings(make, self.settings)
        stand_in.check_merge(made)
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
        peft = _peft()
        own = {id(each) for each in self.trained}
        named = [name for name, each in model.named_parameters() if id(each) in own]
        part, beginning = adapted_part(model, [*_adapted(model), *named])
        part.peft_config = {NAME: self.config}  # pyright: ignore[reportArgumentType]
        weights = peft.get_peft_model_state_dict(part, save_embedding_layers=False)
        config = {**self.config.to_dict(), "inference_mode": True, "base_model_name_or_path": None}
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
        if not stand_in.is_read_as_saved(config):
            raise UserError(f"the adapter in {folder} began by chance, and changed the decoder's weights: {CONVERT}")
        part.peft_config = {NAME: self.config}  # pyright: ignore[reportArgumentType]
        self._load(part, weights, {id(each) for each in trained}, folder)
        return trained

    def _load(self, part: nn.Module, weights: dict[str, Tensor], trained: set[int], folder: Path) -> None:
        """What the file holds, with a row for every token; all of it, and nothing is left as it began."""
        own = {_in_files(name): weight.shape for name, weight in part.state_dict().items()}
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
        report = _peft().set_peft_model_state_dict(part, full)
        if report.unexpected_keys:
            raise UserError(f"the adapter in {folder} is of another model: it has {report.unexpected_keys[0]}")
        named = {name for name, each in part.named_parameters() if id(each) in trained}
        lacking = sorted(named.intersection(report.missing_keys))
        if lacking:
            raise UserError(f"the adapter in {folder} is of another model: it lacks {_in_files(lacking[0])}")

    def _renew(self, part: nn.Module, names: Iterable[str], trained: set[int]) -> None:
        """Put new parameters in the place of those that are no adapter's and that the file has as well, as a resized
        embedding: they are no longer what the decoder's files hold. The old ones are kept, since ids tell these."""
        own = {_in_files(name): each for name, each in part.named_parameters()}
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
            peft.mapping.PEFT_TYPE_TO_TUNER_MAPPING[config.peft_type](model, config, adapter_name=NAME)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise UserError(f"peft cannot put '{config.peft_type.value.lower()}' on this model: {error}") from error
        self.config = config
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


def _whole(model: nn.Module) -> list[Any]:
    """What peft puts around layers that train as a whole beside the adapter."""
    return [module for module in model.modules() if hasattr(module, "modules_to_save")]


def _in_files(name: str) -> str:
    """peft's name of a weight in its files."""
    return name.replace(".modules_to_save", "").replace(f".{NAME}", "")


def _plain(value: Any) -> Any:
    """What JSON can hold."""
    if isinstance(value, (set, tuple)):
        return sorted(value)
    return getattr(value, "value", value)


@hookimpl
def register_adapters(register):
    """Any method of the library peft, by its name there."""
    register("peft", PeftAdapter)
