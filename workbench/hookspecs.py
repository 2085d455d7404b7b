"""Every hook of the workbench: one for each kind of plugin.

A plugin file implements the hook of its kind and calls `register` once for each name it offers::

    from workbench import Fusion, hookimpl

    class Mine(Fusion): ...

    @hookimpl
    def register_fusions(register):
        register("mine", Mine)

Positional parameters of the factory come from the workbench, keyword-only parameters from the YAML.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pluggy

hookspec = pluggy.HookspecMarker("workbench")
hookimpl = pluggy.HookimplMarker("workbench")

Register = Callable[[str, Callable[..., Any]], None]

KINDS = (
    "encoder",
    "connector",
    "fusion",
    "language_model",
    "adapter",
    "quantizer",
    "dataset",
    "metric",
    "launcher",
    "tracker",
)


@hookspec
def register_encoders(register: Register) -> None:
    """Image encoders: images [P,3,H,W] -> image tokens [P,N,Dv]."""


@hookspec
def register_connectors(register: Register) -> None:
    """Connectors: image tokens [P,N,Dv] -> [P,M,D]."""


@hookspec
def register_fusions(register: Register) -> None:
    """Fusions: how the decoder sees the image, in its sequence (scheme A) or its blocks (scheme B)."""


@hookspec
def register_language_models(register: Register) -> None:
    """Causal decoders with their tokenizer."""


@hookspec
def register_adapters(register: Register) -> None:
    """Adapters: which parameters of a trained model are tuned further."""


@hookspec
def register_quantizers(register: Register) -> None:
    """Quantizers: fewer bits a weight after training."""


@hookspec
def register_datasets(register: Register) -> None:
    """Datasets: images, questions, answers."""


@hookspec
def register_metrics(register: Register) -> None:
    """Metrics: one score for each answer."""


@hookspec
def register_launchers(register: Register) -> None:
    """Launchers: where stages run."""


@hookspec
def register_trackers(register: Register) -> None:
    """Trackers: other tools that show a run."""


def hook_name(kind: str) -> str:
    """`"fusion"` -> `"register_fusions"`."""
    return f"register_{kind}s"
