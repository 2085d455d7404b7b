"""An adapter exported apart from the decoder is what peft itself puts on that decoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.plugins.test_huggingface import logits, some_ids
from tests.pretrained import VOCABULARY, reference, save
from tests.small import PLUGINS, SMALL, CommandLine, load, run_here
from workbench.inference.export import read_exported
from workbench.inference.load_trial import load_trial

PHASES = """\
    - {name: align, train: [connector], steps: 1, batch: 4}
    - {name: adapt, train: [connector, adapter], steps: 3, batch: 4, rate: 0.05}
"""
TARGETS = '["language_model.*q_proj", "language_model.*down_proj"]'
GRID = f"""\
grid:
  adapter:
    - {{name: lora, rank: 2, targets: {TARGETS}}}
    - {{name: peft, settings: {{r: 2, use_dora: true}}, targets: {TARGETS}}}
    - {{name: peft, method: fourierft, settings: {{n_frequency: 30}}, targets: {TARGETS}}}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """Trials with a pretrained decoder that stays as it is, and an adapter on it."""
    folder = tmp_path_factory.mktemp("finished")
    save(reference("Llama"), folder / "llama")
    start, _, rest = SMALL.partition("    - {name: tune")
    decoders = ", ".join(f"{{name: {name}, checkpoint: {folder / 'llama'}}}" for name in ("huggingface", "llama"))
    experiment = load(folder, text=start + PHASES + rest.partition("\n")[2] + GRID + f"  language_model: [{decoders}]")
    assert not run_here(experiment, folder / "results").failed
    return folder


@torch.no_grad()
def test_peft_puts_an_exported_adapter_on_the_decoder_beside_it(finished, tmp_path, monkeypatch, capsys):
    workbench = CommandLine(finished, monkeypatch, capsys)
    trials = sorted((finished / "results/small/trials").iterdir())
    assert len(trials) == 6
    for number, trial in enumerate(trials):
        out = tmp_path / str(number)
        assert workbench("export", trial, out, "--plugins", PLUGINS, "--separate-adapter").code == 0
        base: Any = AutoModelForCausalLM.from_pretrained(out / "language_model")
        before = base.eval()(some_ids()).logits
        theirs = peft.PeftModel.from_pretrained(base, str(out / "adapter_peft")).eval()(some_ids()).logits
        assert not torch.allclose(before, theirs, atol=1e-3)
        for model in (load_trial(str(trial), finished, [PLUGINS]).model(), read_exported(out, [PLUGINS]).model()):
            own = logits(model.language_model, some_ids())[..., :VOCABULARY]
            torch.testing.assert_close(own, theirs, atol=2e-5, rtol=1e-4)
        assert workbench("export", trial, tmp_path / f"merged{number}", "--plugins", PLUGINS).code == 0
        merged = read_exported(tmp_path / f"merged{number}", [PLUGINS]).model().state_dict()
        whole = model.state_dict()
        assert merged.keys() == whole.keys()
        assert all(torch.equal(merged[name], whole[name]) for name in whole)
