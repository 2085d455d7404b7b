"""Training on quantized weights: the adapter learns, the narrow weights stay to the bit, whatever is built again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.pretrained import reference, save
from tests.small import PLUGINS, SMALL, load, run_here, small_registry
from tests.tiny import builtin_registry
from tests.training.phases import data_for
from workbench.config.experiment import load_experiment
from workbench.errors import UserError
from workbench.inference.export import export, read_exported
from workbench.inference.load_trial import load_trial
from workbench.inference.pipeline import Pipeline, open_image
from workbench.layers.mlp import MLP
from workbench.model.build import CompositionError, build_dataset, corpus_of
from workbench.model.restore import restore
from workbench.registry import load_registry
from workbench.runs.compatibility import Compatibility
from workbench.runs.planner import Planner
from workbench.storage.artifacts import ArtifactStore
from workbench.storage.records import read_predictions
from workbench.training.loop import train
from workbench.training.resume import Snapshots

DECODER = "{name: gpt, width: 16, depth: 1, heads: 2, vocabulary_size: 300}"
TUNE = "    - {name: tune, train: [encoder, connector, fusion, language_model], steps: 2, batch: 4, precision: fp32}\n"
PHASES = """\
    - {name: align, train: [encoder, connector, fusion, language_model], steps: 4, batch: 4}
    - {name: adapt, train: [connector, adapter], steps: 40, batch: 8, rate: 0.02, quantized: true}
    - {name: again, train: [adapter], steps: 4, batch: 8, rate: 0.01}
"""
TEXT = (
    SMALL.replace(TUNE, PHASES)
    .replace("adapter: full", "adapter: {name: lora, rank: 4, targets: ['language_model.*']}")
    .replace("quantizer: none", "quantizer: {name: int8, include: ['language_model.*']}")
)


def run_all(folder: Path, text: str) -> Path:
    assert not run_here(load(folder, text=text), folder / "results").failed
    return folder


@pytest.fixture(scope="module")
def native(tmp_path_factory) -> Path:
    return run_all(tmp_path_factory.mktemp("native"), TEXT)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory) -> Path:
    """The decoder comes from a file, and no phase trains it."""
    folder = tmp_path_factory.mktemp("pretrained")
    save(reference("Llama"), folder / "llama")
    text = TEXT.replace(DECODER, f"{{name: llama, checkpoint: {folder / 'llama'}}}")
    return run_all(folder, text.replace("fusion, language_model], steps", "fusion], steps"))


def summaries(folder: Path) -> dict[str, dict[str, Any]]:
    found = [json.loads(file.read_text()) | {"folder": file.parent} for file in folder.glob("results/*/*/stage.json")]
    return {each["phase"]: each for each in found if "phase" in each}  # of features there are some as well


def weights_of(folder: Path, phase: str) -> dict[str, Tensor]:
    return load_file(summaries(folder)[phase]["folder"] / "weights.safetensors")


def the_trial(folder: Path) -> Path:
    (trial,) = (folder / "results/small/trials").iterdir()
    return trial


def finished(folder: Path) -> Any:
    return load_trial(str(the_trial(folder)), folder / "results", [PLUGINS])


def plain_name(name: str) -> str:
    """The name that a tensor of an adapted layer has without the adapter."""
    return name.replace(".base.", ".")


def test_the_adapter_learns(native):
    lines = (the_trial(native) / "curve.jsonl").read_text().splitlines()
    curve = [each["loss"] for each in map(json.loads, lines) if each["phase"] == "adapt"]
    assert sum(curve[-5:]) < 0.7 * sum(curve[:5])


def test_the_narrow_weights_are_those_of_the_phase_before_and_stay_to_the_bit(native):
    before = weights_of(native, "align")
    twin = torch.nn.ModuleDict({"mlp": MLP(16, 64)})
    twin.load_state_dict({
        name.removeprefix("language_model.layers.0."): each
        for name, each in before.items() if name.startswith("language_model.layers.0.mlp.")
    })  # fmt: skip
    builtin_registry().create("quantizer", "int8").quantize(twin)
    for phase in ("adapt", "again"):
        kept = {plain_name(name): each for name, each in weights_of(native, phase).items()}
        for name, each in twin.state_dict().items():
            assert torch.equal(kept[f"language_model.layers.0.{name}"], each), name
        assert all(torch.equal(kept[name], each) for name, each in before.items() if name in kept and "encoder" in name)
    assert not torch.equal(
        weights_of(native, "adapt")["connector.projection.weight"], before["connector.projection.weight"]
    )


def test_narrow_weights_of_a_file_are_not_kept_but_made_again(pretrained):
    for phase in ("adapt", "again"):
        kept = weights_of(pretrained, phase)
        assert any("lora_A" in name for name in kept)
        assert not [name for name in kept if name.startswith("language_model.") and "lora" not in name]
    model = finished(pretrained).model()
    assert model.get_buffer("language_model.model.layers.0.mlp.up_proj.base.weight_int8").dtype == torch.int8


@pytest.mark.parametrize("which", ["native", "pretrained"])
def test_a_finished_trial_answers_as_in_its_evaluation_and_so_does_its_export(which, tmp_path, request):
    folder = request.getfixturevalue(which)
    found = finished(folder)
    export(found, tmp_path / "out")
    again = read_exported(tmp_path / "out", [PLUGINS])
    assert json.loads((tmp_path / "out/config.json").read_text())["adapter"] == "separate"
    own, theirs = found.model().state_dict(), again.model().state_dict()
    assert own.keys() == theirs.keys()
    assert all(torch.equal(own[name], each) for name, each in theirs.items())
    told = read_predictions(the_trial(folder)).query("condition == 'image'")
    dataset = build_dataset(found.trial, small_registry())
    for key, rows in list(told.groupby("image"))[:3]:
        dataset.image(str(key)).save(tmp_path / "it.png")
        asked = Pipeline(again.model(), again.trial).answers([open_image(tmp_path / "it.png")], list(rows["question"]))
        assert asked == list(rows["answer"])


def test_what_was_quantized_first_cannot_be_a_llava_folder(pretrained, tmp_path):
    with pytest.raises(UserError, match="quantized before it was trained: leave out --llava"):
        export(finished(pretrained), tmp_path / "out", llava=True)


def test_a_record_counts_parameters_as_they_were_and_bytes_as_they_are(native):
    found = finished(native)
    model, metrics = found.model(), found.record.metrics
    weights = model.state_dict()
    learned = sum(each.numel() for name, each in weights.items() if "lora_" in name)
    (trial,) = load(native, text=TEXT).trials
    sizes = Compatibility(small_registry()).sizes_of([trial])[trial.id]
    assert metrics["parameters"] == sizes.parameters + learned
    assert sizes.trainable == metrics["trainable_parameters"] == learned
    distinct = {id(each): each for each in model.state_dict(keep_vars=True).values()}.values()
    assert metrics["bytes"] == sum(each.nbytes for each in distinct) < 3 * metrics["parameters"]


def test_snapshots_leave_out_the_narrow_weights_and_a_killed_phase_ends_with_the_same_bits(native, tmp_path):
    (trial,) = load(tmp_path, text=TEXT).trials
    store, dataset = ArtifactStore(native / "results/artifacts"), build_dataset(trial, small_registry())

    def adapted(snapshots: Snapshots | None, stop: int | None = None) -> dict[str, Tensor]:
        before = store.read(summaries(native)["align"]["folder"].name)
        corpus = corpus_of(trial, dataset, before.tokenizer_file)
        built = restore(before, trial, trial.phases[:2], small_registry(), corpus)

        def on_step(step: Any) -> None:
            if step.step == stop:
                raise KeyboardInterrupt

        phase = trial.phases[1].model_copy(update={"steps": 5})
        train(built.model, built.adapted, phase, data_for(built.model), 0, on_step, snapshots, built.packed)
        return built.model.state_dict()

    whole = adapted(None)
    with pytest.raises(KeyboardInterrupt):
        adapted(Snapshots(tmp_path / "steps", every=0), stop=4)
    found = Snapshots(tmp_path / "steps", every=0).newest()
    assert found is not None and found.step == 3
    assert any("lora_A" in name for name in found.tensors)
    assert not [name for name in found.tensors if "int8" in name or "scale" in name.split(".")]
    resumed = adapted(Snapshots(tmp_path / "steps", every=0))
    assert all(torch.equal(each, resumed[name]) for name, each in whole.items())


REFUSED = {
    "the decoder's own weights": (
        TEXT.replace("train: [connector, adapter]", "train: [language_model]"),
        "phase 'adapt' trains the language_model, whose layers are quantized: train the adapter",
    ),
    "an adapter that was there before": (
        TEXT.replace("rate: 0.02, quantized: true", "rate: 0.02").replace(
            "rate: 0.01}", "rate: 0.01, quantized: true}"
        ),
        "phase 'again' is quantized, but an earlier one put the adapter on",
    ),
    "a quantizer without gradients": (
        TEXT.replace("{name: int8, include: ['language_model.*']}", "halves"),
        "no gradient passes through its layers.*leave out the phases' 'quantized'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_train_is_refused_before_anything_runs(tmp_path, case):
    text, message = REFUSED[case]
    (tmp_path / "plugins").mkdir()
    scaffold = Path(__file__).parents[2] / "workbench/cli/templates/quantizer.py"
    (tmp_path / "plugins/halves.py").write_text(scaffold.read_text().replace("new_plugin", "halves"))
    (tmp_path / "small.yaml").write_text(text)
    registry = load_registry([PLUGINS, tmp_path / "plugins"])
    with pytest.raises(CompositionError, match=message):
        Compatibility(registry).sizes_of(load_experiment(tmp_path / "small.yaml", registry).trials)


def test_a_contrastive_phase_is_not_quantized(tmp_path):
    text = TEXT.replace("train: [connector, adapter]", "objective: contrastive, train: [encoder]")
    with pytest.raises(Exception, match="leave out 'quantized'"):
        load(tmp_path, text=text)


@pytest.mark.parametrize(("include", "reads"), [("language_model.*", True), ("encoder.*", False)])
def test_features_of_the_plain_encoder_serve_phases_that_leave_it_plain(tmp_path, include, reads):
    text = TEXT.replace("language_model.*']}\n  phases", f"{include}']}}\n  phases").replace("steps: 40", "epochs: 4")
    experiment = load(tmp_path, text=text)
    plan = Planner(experiment, small_registry(), tmp_path / "results").plan()
    adapt = next(stage for stage in plan.chains[experiment.trials[0].id] if stage.name == "adapt")
    assert bool(plan.features.get(adapt.key)) == reads
