"""How a phase trains and how a model is evaluated: what may be set, and what it means."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, PositiveInt, model_validator

from workbench.config.component import Part
from workbench.storage.conditions import USUAL, Control
from workbench.storage.hashing import canonical
from workbench.storage.splits import HELD_OUT

CHOOSES = ("only", "run")  # settings of a phase that say whether it takes place, and nothing of what it does
DEFAULT_TEXT = "default"
Rate = Annotated[FiniteFloat, Field(gt=0)]
Share = Annotated[FiniteFloat, Field(ge=0, le=1)]
AUTO = "auto"  # the precision that the device takes by itself


class Settings(BaseModel, frozen=True):
    """Frozen, strict, and without unknown keys. What is in `does_not_count` is left out of a trial's spec."""

    model_config = ConfigDict(extra="forbid", strict=True)
    does_not_count: ClassVar[tuple[str, ...]] = ()

    def spec(self) -> dict[str, Any]:
        """Every setting as plain JSON values, as a record and the keys of stages have it."""
        return self.model_dump(mode="json", exclude=set(self.does_not_count))

    @cached_property
    def spec_text(self) -> str:
        """The spec as canonical JSON, made once for all trials that share it."""
        return canonical(self.spec())

    def __hash__(self) -> int:
        return hash(self.spec_text)

    def model_copy(self, **changes: Any) -> Self:
        """A copy that makes its own `spec_text`."""
        copied = super().model_copy(**changes)
        vars(copied).pop("spec_text", None)
        return copied


class Phase(Settings, frozen=True):
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
    devices: PositiveInt = Field(
        default=1, description="devices that share a batch, each in `accumulate` pieces: the gradient of the whole"
    )
    strategy: Literal["ddp", "fsdp"] = Field(
        default="ddp",
        description="ddp: every device holds the whole model; fsdp: a part of each weight, gradient and moment",
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
    validate_with: tuple[str, ...] = Field(
        default=(),
        description="metrics of the experiment that a validation takes as well, of answers about the images held out",
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

    def spec(self) -> dict[str, Any]:
        """Without `validate_with` where it names nothing, and `devices` where there is one: such a trial keeps the id
        it had before there was that."""
        left_out = set() if self.devices > 1 else {"devices", "strategy"}
        left_out |= set() if self.validate_with else {"validate_with"}
        return {name: value for name, value in super().spec().items() if name not in left_out}

    @property
    def pieces(self) -> int:
        """The micro-batches of a batch, over all devices."""
        return self.devices * self.accumulate

    def computed_in(self, precision: str) -> Self:
        """The same, with this precision where it was left to the device."""
        return self.model_copy(update={"precision": precision}) if self.precision == AUTO else self

    @model_validator(mode="after")
    def _has_one_length(self) -> Phase:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give either 'epochs' or 'steps'")
        return self

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Phase:
        watches = [name for name in ("validate_every", "validate_with", "patience", "keep_best") if getattr(self, name)]
        if watches and not self.held_out:
            raise ValueError(f"'{watches[0]}' needs a validation: write 'held_out: 0.1' or another share")
        if self.patience and not self.validate_every:
            raise ValueError("'patience' needs 'validate_every': the steps between validations")
        if self.finish_with == "best" and not self.keep_best:
            raise ValueError("'finish_with: best' needs 'keep_best: 1' or more")
        return self

    @model_validator(mode="after")
    def _has_an_image_for_every_piece(self) -> Phase:
        if self.accumulate > self.batch:
            raise ValueError(f"a batch of {self.batch} cannot be cut into {self.accumulate} pieces: lower 'accumulate'")
        if self.pieces > self.batch:
            pieces = f", each in {self.accumulate} pieces" if self.accumulate > 1 else ""
            raise ValueError(
                f"a batch of {self.batch} cannot be shared by {self.devices} devices{pieces}: lower 'devices', or raise"
                " 'batch'"
            )
        return self

    @model_validator(mode="after")
    def _can_be_shared_by_devices(self) -> Phase:
        if self.devices > 1 and self.objective == "contrastive":
            raise ValueError(
                "a contrastive phase tells each image from all others of its batch, which no device has whole:"
                " leave out 'devices'"
            )
        if self.devices > 1 and self.compile:
            raise ValueError("'compile' and 'devices' do not go together: leave one of them out")
        return self

    @model_validator(mode="after")
    def _contrast_trains_the_encoder(self) -> Phase:
        if self.objective == "contrastive" and self.train != ("encoder",):
            raise ValueError("a contrastive phase trains the encoder alone: write 'train: [encoder]'")
        if self.objective == "contrastive" and self.validate_with:
            raise ValueError("a contrastive phase has no answers that a metric could score: leave out 'validate_with'")
        if self.objective == "contrastive" and self.quantized:
            raise ValueError("a contrastive phase trains the encoder's own weights: leave out 'quantized'")
        return self


class Evaluation(Settings, frozen=True):
    """How a trained model is asked: which examples, how many at once, for how long an answer, in which precision."""

    split: str = Field(
        default=HELD_OUT,
        description="split of the dataset; held_out: training images that no phase trains on, to make choices on",
    )
    held_out: Annotated[FiniteFloat, Field(ge=0, lt=1)] = Field(
        default=0.1,
        description="share of the training images that is held out of everything; without it 0 where another split is"
        " asked",
    )
    task: str = Field(default="questions", description="task of the dataset")
    limit: PositiveInt | None = Field(
        default=None,
        description="only so many images, drawn by a fixed seed: the same in every trial; more hold fewer",
    )
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
    controls: tuple[Control, ...] = Field(
        default=USUAL,
        description="what is shown in place of the right image: prior (no model: the most frequent training answer),"
        " mean_image, other_answer, no_image (even grey, out of distribution), shuffled",
    )
    gain_against: Control | None = Field(
        default=None, description="the control that the visual gain is told against; null: the first of controls"
    )

    @property
    def gain_control(self) -> Control | None:
        """The control that the visual gain is told against; None where there is no control."""
        return self.gain_against or next(iter(self.controls), None)

    def spec(self) -> dict[str, Any]:
        """Without the controls where they are the usual ones, and what is held out where nothing is: such a trial keeps
        the id it had before there was that. A named `gain_against` is the same as one that is left to the order."""
        told = {name: value for name, value in super().spec().items() if name != "held_out" or value}
        if self.controls == USUAL and self.gain_control == USUAL[0]:
            del told["controls"], told["gain_against"]
        else:
            told["gain_against"] = self.gain_control
        return told

    @model_validator(mode="after")
    def _tells_its_gain_against_one_of_its_controls(self) -> Evaluation:
        twice = [name for place, name in enumerate(self.controls) if name in self.controls[:place]]
        if twice:
            raise ValueError(f"'controls' names {twice[0]} twice: write it once")
        if self.gain_against is not None and self.gain_against not in self.controls:
            raise ValueError(
                f"'gain_against' is {self.gain_against}, which is not among the controls: add it to 'controls', or name"
                f" one of {', '.join(self.controls) or 'them (there are none)'}"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _trains_on_everything_else(cls, written: Any) -> Any:
        """Who asks another split and says no share has all images train."""
        if not isinstance(written, dict):
            return written
        share = {"held_out": 0.0} if written.get("split", HELD_OUT) != HELD_OUT else {}
        # What is checked from here on is no JSON any more, in which a list is a tuple.
        return share | {name: tuple(each) if isinstance(each, list) else each for name, each in written.items()}

    @model_validator(mode="after")
    def _holds_out_what_it_asks(self) -> Evaluation:
        if self.split == HELD_OUT and not self.held_out:
            raise ValueError(
                f"'split: {HELD_OUT}' asks images that are held out: write 'held_out: 0.1', or another share"
            )
        return self

    def computed_in(self, precision: str) -> Self:
        """The same, with this precision where it was left to the device."""
        return self.model_copy(update={"precision": precision}) if self.precision == AUTO else self


def trains_quantized(phases: Iterable[Phase]) -> bool:
    """Whether the model is quantized before one of these phases: from there on it is."""
    return any(phase.quantized for phase in phases)
