"""One point of the grid: everything that the outcome of a training depends on, as a frozen value with an id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from workbench.config.component import COMPONENTS, Component
from workbench.config.phase import DEFAULT_TEXT, Evaluation, Phase
from workbench.storage.hashing import canonical, short_hash


def components_of(trial: Trial) -> Iterator[Component]:
    """Every plugin that a trial runs, metrics and the outside dataset included, and those among their options. One may
    come twice."""
    for component in (*trial.components.values(), *trial.metrics, *filter(None, [trial.outside])):
        yield component
        yield from component.parts()


@dataclass(frozen=True)
class Trial:
    """One point of the grid. `axes` is what the report groups by: axis name -> label of this trial's value."""

    experiment: str
    axes: Mapping[str, str]
    components: Mapping[str, Component]
    phases: tuple[Phase, ...]
    metrics: tuple[Component, ...]
    evaluation: Evaluation
    prompt: str
    seed: int
    outside: Component | None = None  # `evaluation.outside`: a dataset whose images the model should find strange

    def __post_init__(self) -> None:
        """The dataset holds out what the evaluation says, whoever makes the trial: nobody trains on it by mistake."""
        dataset = self.components.get("dataset")
        if dataset is not None and dataset.withheld != self.evaluation.held_out:
            withheld = replace(dataset, withheld=self.evaluation.held_out)
            object.__setattr__(self, "components", {**self.components, "dataset": withheld})

    def spec(self) -> dict[str, Any]:
        """Everything the outcome depends on, as plain JSON values."""
        return {
            **{kind: self.components[kind].spec() for kind in COMPONENTS},
            "phases": [phase.spec() for phase in self.phases],
            "metrics": [metric.spec() for metric in self.metrics],
            "evaluation": {**self.evaluation.spec(), **self._outside()},
            "prompt": self.prompt,
            "seed": self.seed,
        }

    @cached_property
    def id(self) -> str:
        """The digest of the spec: equal trials have equal ids, in any experiment. Its canonical JSON is put together
        from that of its parts, which thousands of trials share."""
        texts = {kind: self.components[kind].spec_text for kind in COMPONENTS}
        texts["phases"] = f"[{', '.join(phase.spec_text for phase in self.phases)}]"
        texts["metrics"] = f"[{', '.join(metric.spec_text for metric in self.metrics)}]"
        texts["evaluation"] = self.evaluation.spec_text
        if self.outside:
            texts["evaluation"] = canonical({**self.evaluation.spec(), **self._outside()})
        texts["prompt"], texts["seed"] = canonical(self.prompt), canonical(self.seed)
        members = ", ".join([f'"{name}": {texts[name]}' for name in sorted(texts)])
        return short_hash(f"{{{members}}}")

    def asked(self, split: str) -> Trial:
        """The same trained model, asked about another split: what was held out of its training still is."""
        return replace(self, evaluation=self.evaluation.model_copy(update={"split": split}))

    @cached_property
    def elsewhere(self) -> Trial:
        """The same trial with the outside dataset as its data."""
        return replace(self, components={**self.components, "dataset": self.outside or self.components["dataset"]})

    @property
    def text_file(self) -> Path | None:
        """The file of plain text that the decoder is tried on; None for the default text or none."""
        if self.evaluation.text in ("", DEFAULT_TEXT):
            return None
        return self.components["language_model"].folder / Path(self.evaluation.text).expanduser()

    def _outside(self) -> dict[str, Any]:
        return {"outside": self.outside.spec()} if self.outside else {}

    @property
    def label(self) -> str:
        """The axes in words, as `vit, gated, int8`."""
        return ", ".join(self.axes.values()) or "base"
