"""One trial: a frozen value that says everything about one training and evaluation, and its id.

Holds no torch, so that experiment files can be checked and planned without it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, PositiveInt, model_validator

Part = Literal["encoder", "connector", "fusion", "language_model", "adapter"]
PARTS: tuple[Part, ...] = ("encoder", "connector", "fusion", "language_model", "adapter")
COMPONENTS = ("dataset", "encoder", "connector", "fusion", "language_model", "adapter", "quantizer")

CHOOSES = ("only", "run")  # settings of a phase that say whether it takes place, and nothing of what it does
DEFAULT_TEXT = "default"

_CANONICAL = json.JSONEncoder(sort_keys=True, default=list)

Rate = Annotated[FiniteFloat, Field(gt=0)]
Share = Annotated[FiniteFloat, Field(ge=0, le=1)]
AUTO = "auto"  # the precision that the device takes by itself


class Checkpoint(str):
    """The type of an option that names weights: a file or folder, relative to the experiment file, or else a hub id, as
    `org/name` or, to stay with a commit, `org/name@commit`."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """To be checked as a text."""
        return handler.generate_schema(Annotated[str, Field(min_length=1), AfterValidator(cls)])

    def below(self, folder: Path) -> str:
        """The file or folder, if there is one; else as it is written."""
        there = folder / Path(self).expanduser()
        return str(there) if there.exists() else str(self)


class Settings(BaseModel):
    """Frozen, strict, and without unknown keys. What is in `does_not_count` is left out of a trial's spec."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    does_not_count: ClassVar[tuple[str, ...]] = ()

    def spec(self) -> dict[str, Any]:
        """As it stands in a record."""
        return self.model_dump(mode="json", exclude=set(self.does_not_count))

    @cached_property
    def spec_text(self) -> str:
        """The spec as canonical JSON, made once for all trials that share it."""
        return canonical(self.spec())

    def model_copy(self, **changes: Any) -> Self:
        """A copy that makes its own `spec_text`."""
        copied = super().model_copy(**changes)
        vars(copied).pop("spec_text", None)
        return copied

    def computed_in(self, precision: str) -> Self:
        """The same, with this precision where it was left to the device."""
        automatic = getattr(self, "precision", None) == AUTO
        return self.model_copy(update={"precision": precision}) if automatic else self


class Phase(Settings):
    """One stretch of training: what trains, on what, for how long, at which rates."""

    does_not_count: ClassVar[tuple[str, ...]] = CHOOSES

    name: str = Field(description="what the report calls it", min_length=1)
    objective: Literal["answers", "contrastive"] = Field(
        default="answers",
        description="answers: next token of the answer; contrastive: image-text InfoNCE of the encoder",
    )
    tasks: tuple[str, ...] = Field(
        default=("questions",), description="tasks of the dataset, such as questions, captions", min_length=1
    )
    train: tuple[Part, ...] = Field(description="the parts that train; all others are frozen", min_length=1)
    epochs: Annotated[FiniteFloat, Field(gt=0)] | None = Field(
        default=None, description="passes over the images; or give steps"
    )
    steps: PositiveInt | None = Field(default=None, description="optimizer steps; or give epochs")
    data_share: Annotated[FiniteFloat, Field(gt=0, le=1)] = Field(
        default=1.0, description="share of the training images that is used, the same one for every seed"
    )
    batch: PositiveInt = Field(default=32, description="images a step")
    questions: PositiveInt | None = Field(
        default=None, description="at most so many examples of an image a step; all by default"
    )
    rate: Rate | dict[Part, Rate] = Field(
        default=1e-3, description="peak learning rate of AdamW, for all parts or by part"
    )
    warmup: Share = Field(default=0.05, description="share of the steps in which the rate rises")
    final_rate: Share = Field(default=0.0, description="where the cosine ends, as a share of the peak rate")
    weight_decay: Annotated[FiniteFloat, Field(ge=0)] = Field(
        default=0.05, description="of matrices; vectors have none"
    )
    clip: Rate | None = Field(default=1.0, description="largest gradient norm; null for no clipping")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default=AUTO,
        description="auto: bf16 where the device multiplies it natively, else fp32; bf16, fp16: autocast; weights stay"
        " fp32, and fp16 scales its gradients",
    )
    accumulate: PositiveInt = Field(
        default=1, description="pieces in which a batch is worked through: less memory, the same gradient"
    )
    compile: bool = Field(default=False, description="torch.compile: pays after some hundred steps")
    quantized: bool = Field(
        default=False, description="quantize before this phase, not at the end: adapters train on frozen narrow weights"
    )
    held_out: Annotated[FiniteFloat, Field(ge=0, lt=1)] = Field(
        default=0.0, description="share of the training images that do not train but validate, chosen by the seed"
    )
    validate_every: PositiveInt | None = Field(
        default=None, description="steps between validations; null for one at the end"
    )
    patience: PositiveInt | None = Field(
        default=None, description="stop after so many validations without a lower loss; null for never"
    )
    keep_best: Annotated[int, Field(ge=0)] = Field(
        default=0, description="keep the weights of so many lowest validation losses, and the last"
    )
    finish_with: Literal["best", "last"] = Field(
        default="last", description="the weights that go on: of the lowest validation loss, or the last"
    )
    only: dict[str, str | tuple[str, ...]] = Field(
        default={}, description="run this phase only for these components, as {encoder: clip}"
    )
    run: bool = Field(default=True, description="false leaves the phase out: an axis asks what it is worth")

    @model_validator(mode="after")
    def _has_one_length(self) -> Phase:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give either 'epochs' or 'steps'")
        return self

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Phase:
        watches = [name for name in ("validate_every", "patience", "keep_best") if getattr(self, name)]
        if watches and not self.held_out:
            raise ValueError(f"'{watches[0]}' needs a validation: write 'held_out: 0.1' or another share")
        if self.patience and not self.validate_every:
            raise ValueError("'patience' needs 'validate_every': the steps between validations")
        if self.finish_with == "best" and not self.keep_best:
            raise ValueError("'finish_with: best' needs 'keep_best: 1' or more")
        if self.accumulate > self.batch:
            raise ValueError(f"a batch of {self.batch} cannot be cut into {self.accumulate} pieces: lower 'accumulate'")
        return self

    @model_validator(mode="after")
    def _contrast_trains_the_encoder(self) -> Phase:
        if self.objective == "contrastive" and self.train != ("encoder",):
            raise ValueError("a contrastive phase trains the encoder alone: write 'train: [encoder]'")
        if self.objective == "contrastive" and self.quantized:
            raise ValueError("a contrastive phase trains the encoder's own weights: leave out 'quantized'")
        return self


class Evaluation(Settings):
    """How a trained model is asked."""

    split: str = Field(default="test", description="split of the dataset")
    task: str = Field(default="questions", description="task of the dataset")
    limit: PositiveInt | None = Field(default=None, description="only the first so many images")
    batch: PositiveInt = Field(default=64, description="images at once")
    max_new_tokens: PositiveInt = Field(default=8, description="longest answer, in tokens")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default=AUTO, description="auto: bf16 where the device multiplies it natively, else fp32; bf16: autocast"
    )
    text: str = Field(
        default="",
        description="plain text whose perplexity the decoder alone has before and after training: a file, or 'default'",
    )
    withhold: Share = Field(
        default=0.05, description="share of the answers that are withheld since their images look strangest"
    )


@dataclass(frozen=True)
class Component:
    """A plugin by name, with every option it runs with, paths as they are written: relative to `folder`.

    An option may hold components itself, by name.
    """

    kind: str
    name: str
    options: Mapping[str, Any]
    folder: Path = field(default=Path(), compare=False)

    def spec(self) -> dict[str, Any]:
        """As it stands in a record: the same wherever the experiment file lies."""
        return {"name": self.name, **{name: _plain(value) for name, value in self.options.items()}}

    @cached_property
    def spec_text(self) -> str:
        """The spec as canonical JSON, made once for all trials that share it."""
        return canonical(self.spec())

    def arguments(self) -> dict[str, Any]:
        """The options with paths that lead somewhere from here."""
        return {name: _anchored(value, self.folder) for name, value in self.options.items()}

    def written(self, file: Path) -> str:
        """How the experiment file could name `file`: by its hub id, or relative to the experiment file, unless that
        names files by where they lie on this machine."""
        for hub_id in self.hub_ids():
            if f"models--{hub_id.partition('@')[0].replace('/', '--')}" in file.parts:
                return f"{hub_id}/{file.name}"
        absolute = any(file.is_relative_to(place) for place in _absolute(dict(self.options)))
        return str(file) if absolute else os.path.relpath(file, self.folder)

    def hub_ids(self) -> list[str]:
        """The checkpoints among its options that lie nowhere here."""
        values = [value for value in self.options.values() if isinstance(value, Checkpoint)]
        return [str(value) for value in values if not (self.folder / Path(value).expanduser()).exists()]

    def parts(self) -> Iterator[Component]:
        """The components among its options, and theirs."""
        for value in self.options.values():
            for each in value.values() if isinstance(value, Mapping) else ():
                if isinstance(each, Component):
                    yield from (each, *each.parts())


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
    outside: Component | None = None  # the dataset whose images the model should find strange

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
        return _short_hash(f"{{{members}}}")

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


def trains_quantized(phases: Iterable[Phase]) -> bool:
    """Whether the model is quantized before one of these phases: from there on it is."""
    return any(phase.quantized for phase in phases)


def digest(value: Any) -> str:
    """A short hash of plain JSON values; the order of keys does not matter."""
    return _short_hash(canonical(value))


def canonical(value: Any) -> str:
    """Plain JSON values as a text that is the same for equal ones."""
    return _CANONICAL.encode(value)


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _plain(value: Any) -> Any:
    """An option's value as JSON has it."""
    match value:
        case Component():
            return value.spec()
        case Path():
            return value.as_posix()
        case dict():
            return {key: _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value] if any(isinstance(each, Path) for each in value) else value
    return value


def _absolute(value: Any) -> Iterator[Path]:
    """The files and folders in an option's value that do not depend on where the experiment file lies."""
    match value:
        case Path() | Checkpoint() if Path(value).expanduser().is_absolute():
            yield Path(value).expanduser()
        case dict() | tuple():
            for each in value.values() if isinstance(value, dict) else value:
                yield from _absolute(each)


def _anchored(value: Any, folder: Path) -> Any:
    """An option's value with its paths below the folder."""
    match value:
        case Path():
            return folder / value.expanduser()
        case Checkpoint():
            return value.below(folder)
        case dict():
            return {key: _anchored(each, folder) for key, each in value.items()}
        case tuple():
            return tuple(_anchored(each, folder) for each in value)
    return value
