"""Every adapter of Hugging Face peft that lives in single layers: DoRA, IA3, VeRA, LoHa, OFT, FourierFT ..."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from torch import nn

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

from ._targets import ATTENTION

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

    @classmethod
    def files(cls, options: Mapping[str, Any]) -> Sequence[Path]:
        """What peft wrote of the adapter it begins with; none where it begins anew."""
        return adapter_files(options["start"])

    def attach(self, model: nn.Module) -> list[nn.Parameter]:
        """Put the method's layers in the place of every target; returns what they train."""
        peft = _peft()
        if self.start is not None:
            return self._attach_read(model, self.start)
        targets = [name for name, module in model.named_modules() if name and is_adaptable(module)]
        chosen = [name for name in targets if any(fnmatchcase(name, target) for target in self.targets)]
        if not chosen:
            raise UserError(
                f"no linear layer matches targets {list(self.targets)} of the adapter 'peft'. Write wildcards over"
                f" names such as {', '.join(targets[:8]) or '(no linear layer)'}"
            )
        known = {kind.value.lower(): config for kind, config in peft.mapping.PEFT_TYPE_TO_CONFIG_MAPPING.items()}
        if self.method not in known:
            raise UserError(f"peft has no method '{self.method}'. It has: {', '.join(sorted(known))}")
        config = known[self.method]
        try:
            made = config(target_modules=chosen, **_usual(config) | self.settings)
        except (TypeError, ValueError) as error:
            raise UserError(f"peft does not take these settings of '{self.method}': {error}") from error
        return self._inject(model, made)

    def merge(self, model: nn.Module) -> None:
        """Put plain layers, with what was learned folded in, in the place of the adapted ones; quantized ones stay."""
        merged = {}
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
            device = base.get_parameter("weight").device
            base._parameters.update(before)
            layer.to(device).merged_adapters.clear()
            back[base] = layer
        replace_modules(model, back)

    def save(self, model: nn.Module, folder: Path) -> None:
        """Write what was trained in peft's own format."""
        peft = _peft()
        part, beginning = adapted_part(model, _adapted(model))
        part.peft_config = {NAME: self.config}  # pyright: ignore[reportArgumentType]
        weights = peft.get_peft_model_state_dict(part, save_embedding_layers=False)
        config = {**self.config.to_dict(), "inference_mode": True, "base_model_name_or_path": None}
        config["target_modules"] = sorted(name.removeprefix(beginning) for name in _adapted(model))
        write_adapter(folder, {name: _plain(value) for name, value in config.items()}, weights)

    def _attach_read(self, model: nn.Module, folder: Path) -> list[nn.Parameter]:
        peft = _peft()
        _, weights = read_adapter(folder)
        part = part_with(model, weights, folder)
        trained = self._inject(part, peft.PeftConfig.from_pretrained(str(folder)))
        part.peft_config = {NAME: self.config}  # pyright: ignore[reportArgumentType]
        report = peft.set_peft_model_state_dict(part, weights)
        if report.unexpected_keys:
            raise UserError(f"the adapter in {folder} is of another model: it has {report.unexpected_keys[0]}")
        return trained

    def _inject(self, model: nn.Module, config: Any) -> list[nn.Parameter]:
        """peft freezes all the rest; what trains is left as it was, since the phase decides."""
        peft = _peft()
        flags = {parameter: parameter.requires_grad for parameter in model.parameters()}
        config.inference_mode = False
        try:
            peft.mapping.PEFT_TYPE_TO_TUNER_MAPPING[config.peft_type](model, config, adapter_name=NAME)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise UserError(f"peft cannot put '{config.peft_type.value.lower()}' on this model: {error}") from error
        self.config = config
        trained = [each for each in model.parameters() if each not in flags and each.requires_grad]
        for parameter, flag in flags.items():
            parameter.requires_grad_(flag)
        return trained


def _peft() -> Any:
    try:
        import peft
        import peft.mapping
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


def _plain(value: Any) -> Any:
    """What JSON can hold."""
    if isinstance(value, (set, tuple)):
        return sorted(value)
    return getattr(value, "value", value)


@hookimpl
def register_adapters(register):
    """Any method of the library peft, by its name there."""
    register("peft", PeftAdapter)
