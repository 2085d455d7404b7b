"""Broken experiment files and `--set`s: each message names the place, the key, and what to write instead."""

from __future__ import annotations

import copy

import pytest

from tests.experiment_files import GOOD, GRID, fake_registry, load
from workbench.config.experiment import ExperimentError, load_experiment
from workbench.config.yaml_source import parse_yaml, write_yaml
from workbench.errors import UserError

TUNE = "      epochs: 2\n      rate: 1e-3\n"

# What is broken: text of the good file, what stands there instead (`#!` marks the line the message must name),
# the key the message must name, and a part of its advice.
BROKEN_KEYS = {
    "unknown top-level key": ("metrics:", "metric: [right] #!\nmetrics:", "metric", "Did you mean 'metrics'?"),
    "component at the top level": ("base:", "fusion: glue #!\nbase:", "fusion", "Indent it under 'base:'"),
    "phases at the top level": ("base:", "phases: [] #!\nbase:", "phases", "Indent it under 'base:'"),
    "top-level key inside base": (
        "base:\n",
        "base:\n  prompt: '{question}' #!\n",
        "base.prompt",
        "Move it out of base",
    ),
    "unknown key in base": ("base:\n", "base:\n  fusoin: glue #!\n", "base.fusoin", "Did you mean 'fusion'?"),
    "key given twice": ("base:\n", "base:\n  fusion: glue\n", "base.fusion", "in lines 3 and 7. Keep one"),
    "unknown key in a phase": (
        "epochs: 2",
        "epoch: 2 #!\n      steps: 1",
        "base.phases.tune.epoch",
        "Did you mean 'epochs'?",
    ),
    "unknown key in evaluation": (GRID, "evaluation:\n  limits: 3 #!\n", "evaluation.limits", "Did you mean 'limit'?"),
    "base is missing": (GOOD, "metrics: [right] #!\n", "", "'base' is missing. Write 'base: ...'"),
    "metrics are missing": ("question:", "#!\nquestion:", "", "'metrics' is missing. Write 'metrics: ...'"),
    "base is a list": (GOOD, "base: [glue] #!\nmetrics: [right]\n", "base", "a mapping, as {key: value}"),
    "name with a separator": ("question:", "name: ../other #!\nquestion:", "name", "Give another 'name': letters"),
    "name is a number": ("question:", "name: 2026 #!\nquestion:", "name", "this must be a text, not 2026"),
    "name that is taken": ("question:", "name: artifacts #!\nquestion:", "name", "taken by the workbench"),
    "name is empty": ("question:", "name: ''  #!\nquestion:", "name", "Give another 'name'"),
    "question is a list": ("Which glue holds best?", "[a, b] #!", "question", "this must be a text"),
}
BROKEN_PARTS = {
    "unknown plugin": ("fusion: glue", "fusion: gluu #!", "base.fusion", "Did you mean 'glue'? Known:"),
    "unknown plugin with options": (
        "{name: eye, depth: 3}",
        "{name: eey} #!",
        "base.encoder.name",
        "Did you mean 'eye'?",
    ),
    "plugin of another kind": ("fusion: glue", "fusion: wire #!", "base.fusion", "a plugin of another kind: connector"),
    "plugin's name is missing": ("name: eye, ", "width: 3, ", "base.encoder", "Write 'NAME' or '{name: NAME"),
    "plugin's name is a number": ("fusion: glue", "fusion: 3 #!", "base.fusion", "3 is no fusion. Write 'NAME'"),
    "component is missing": ("  fusion: glue\n", "", "base", "Write 'fusion: NAME' in base"),
    "component is empty": ("fusion: glue", "fusion: ", "base", "Write 'fusion: NAME' in base"),
    "unknown option": ("depth: 3", "dephts: 3", "base.encoder.dephts", "Did you mean 'depth'? Options: depth, width"),
    "option is a text": ("depth: 3", "depth: '3'", "base.encoder.depth", "'3' does not fit eye.depth (int)"),
    "option is a fraction": ("depth: 3", "depth: 3.5", "base.encoder.depth", "3.5 does not fit eye.depth (int)"),
    "option is not a number": (
        "encoder: {name: eye, depth: 3}",
        "encoder: {name: lens, zoom: .nan} #!",
        "base.encoder.zoom",
        "",
    ),
    "option is missing": ("fusion: glue", "fusion: nails #!", "base.fusion", "needs the option 'count' (int)"),
    "phases are a mapping": (
        GOOD[GOOD.index("phases:") : GOOD.index("grid:")],
        "phases: {name: tune} #!\n",
        "base.phases",
        "each beginning with '- name: NAME'",
    ),
    "unknown metric": ("[right]", "[rigth] #!", "metrics.0", "Did you mean 'right'?"),
    "unknown option of a metric": (
        "[right]",
        "[{name: close, tolerence: 1}] #!",
        "metrics.close.tolerence",
        "Did you mean 'tolerance'?",
    ),
    "no metric": ("[right]", "[] #!", "metrics", "this must not be empty"),
    "metric twice": ("[right]", "[right, right] #!", "metrics.1", "the metric 'right' is given twice. Keep one"),
    "metrics are a word": (
        "[right]",
        "right #!",
        "metrics",
        "this must be a list, not the text 'right': write [right]",
    ),
}
LAST = "name: tune\n      train: [encoder, fusion]\n      epochs: 2"
BROKEN_PHASES = {
    "rate is not a number": ("rate: 1e-3", "rate: .nan #!", "base.phases.tune.rate", "a finite number, not nan"),
    "rate is infinite": ("rate: 1e-3", "rate: .inf #!", "base.phases.tune.rate", "a finite number, not inf"),
    "rate is negative": ("rate: 1e-3", "rate: -1e-3 #!", "base.phases.tune.rate", "greater than 0, not -0.001"),
    "rate is a word": ("rate: 1e-3", "rate: fast #!", "base.phases.tune.rate", "a number or a mapping"),
    "rate of an unknown part": (
        "rate: 1e-3",
        "rate: {encoder: 1e-3, fusoin: 1e-3} #!",
        "base.phases.tune.rate.fusoin",
        "Did you mean 'fusion'?",
    ),
    "rate of a part that does not train": (
        "rate: 1e-3",
        "rate: {encoder: 1e-3, fusion: 1e-3, connector: 1e-3} #!",
        "base.phases.tune.rate.connector",
        "does not train, so it has no rate. The phase trains: encoder, fusion",
    ),
    "no rate for a part that trains": (
        "rate: 1e-3",
        "rate: {encoder: 1e-3} #!",
        "base.phases.tune.rate",
        "no rate for 'fusion'",
    ),
    "epochs are negative": ("epochs: 2", "epochs: -2 #!", "base.phases.tune.epochs", "greater than 0, not -2"),
    "epochs are a text": ("epochs: 2", "epochs: two #!", "base.phases.tune.epochs", "a number, not the text 'two'"),
    "steps are a fraction": ("steps: 5", "steps: 5.5 #!", "base.phases.align.steps", "a whole number, not 5.5"),
    "epochs and steps": (
        "- name: tune",
        "- name: tune #!\n      steps: 3",
        "base.phases.tune",
        "either 'epochs' or 'steps'",
    ),
    "neither epochs nor steps": (
        "name: align\n      train: [connector]\n      steps: 5",
        "name: align #!\n      train: [connector]",
        "base.phases.align",
        "either 'epochs' or",
    ),
    "parts that train are missing": (
        "name: align\n      train: [connector]",
        "name: align #!",
        "base.phases.align",
        "Write 'train: ...'",
    ),
    "batch is zero": ("epochs: 2", "epochs: 2\n      batch: 0 #!", "base.phases.tune.batch", "greater than 0, not 0"),
    "warm-up is more than all": (
        "epochs: 2",
        "epochs: 2\n      warmup: 5 #!",
        "base.phases.tune.warmup",
        "at most 1, not 5",
    ),
    "unknown precision": (
        "epochs: 2",
        "epochs: 2\n      precision: fp8 #!",
        "base.phases.tune.precision",
        "one of: auto, fp32, bf16, fp16",
    ),
    "all images are held out": (
        "epochs: 2",
        "epochs: 2\n      held_out: 1 #!",
        "base.phases.tune.held_out",
        "less than 1, not 1",
    ),
    "compile is a word": (
        "epochs: 2",
        "epochs: 2\n      compile: inductor #!",
        "base.phases.tune.compile",
        "this must be true or false, not the text 'inductor'",
    ),
    "patience without a validation": (
        LAST,
        LAST.replace("tune", "tune #!") + "\n      patience: 3",
        "base.phases.tune",
        "'patience' needs a validation: write 'held_out: 0.1' or another share",
    ),
    "patience without an interval": (
        LAST,
        LAST.replace("tune", "tune #!") + "\n      held_out: 0.1\n      patience: 3",
        "base.phases.tune",
        "'patience' needs 'validate_every': the steps between validations",
    ),
    "the best of none": (
        LAST,
        LAST.replace("tune", "tune #!") + "\n      held_out: 0.1\n      finish_with: best",
        "base.phases.tune",
        "'finish_with: best' needs 'keep_best: 1' or more",
    ),
    "more pieces than images": (
        LAST,
        LAST.replace("tune", "tune #!") + "\n      batch: 4\n      accumulate: 5",
        "base.phases.tune",
        "a batch of 4 cannot be cut into 5 pieces: lower 'accumulate'",
    ),
    "unknown objective": (
        "epochs: 2",
        "epochs: 2\n      objective: answer #!",
        "base.phases.tune.objective",
        "'answers'?",
    ),
    "contrastive phase of other parts": (
        "- name: tune",
        "- name: tune #!\n      objective: contrastive",
        "base.phases.tune",
        "write 'train: [encoder]'",
    ),
    "unknown part trains": (
        "[encoder, fusion]",
        "[encoder, fuson] #!",
        "base.phases.tune.train.1",
        "Did you mean 'fusion'?",
    ),
    "part that trains is a word": ("[connector]", "connector #!", "base.phases.align.train", "write [connector]"),
    "nothing trains": ("[connector]", "[] #!", "base.phases.align.train", "this must not be empty"),
    "two phases of one name": ("name: align", "name: tune", "base.phases.tune.name", "two phases are called 'tune'"),
    "phase with a dot in its name": ("name: align", "name: a.b #!", "base.phases.a.b.name", "Use letters, digits"),
    "only for an unknown kind": (
        "steps: 5",
        "steps: 5\n      only: {encodr: eye} #!",
        "base.phases.align.only.encodr",
        "'encoder'?",
    ),
    "only for an unknown plugin": (
        "steps: 5",
        "steps: 5\n      only: {encoder: eey} #!",
        "base.phases.align.only.encoder",
        "'eye'?",
    ),
}
BROKEN_AXES = {
    "unknown value": ("rough]", "rogh] #!", "grid.quantizer.1", "Did you mean 'rough'?"),
    "unknown option of a value": (
        "rough]",
        "{name: rough, bit: 4}] #!",
        "grid.quantizer.rough.bit",
        "Did you mean 'bits'?",
    ),
    "value twice": ("rough]", "rough, {name: exact}] #!", "grid.quantizer.exact", "is there twice. Keep one"),
    "number twice": (
        GRID,
        "grid:\n  encoder.depth: [1, 2, 1] #!\n",
        "grid.encoder.depth.2",
        "the value 1 is there twice",
    ),
    "axis without values": (
        "[exact, rough]",
        "[] #!",
        "grid.quantizer",
        "Write 'quantizer: [first, second]', or remove it",
    ),
    "axis that is no list": ("[exact, rough]", "rough #!", "grid.quantizer", "not the text 'rough': write [rough]"),
    "axis of no kind": (GRID, "grid:\n  quantiser: [exact] #!\n", "grid.quantiser", "Did you mean 'quantizer'?"),
    "axis that says base": (GRID, "grid:\n  base.fusion: [glue] #!\n", "grid.base.fusion", "Write 'fusion'"),
    "seeds as an axis of grid": (GRID, "grid:\n  seed: [0, 1] #!\n", "grid.seed", "Write 'seeds: [0, 1, 2]'"),
    "axis of an unknown option": (
        GRID,
        "grid:\n  fusion.dept: [1] #!\n",
        "grid.fusion.dept.0",
        "Did you mean 'depth'?",
    ),
    "axis of an unknown phase": (
        GRID,
        "grid:\n  phases.tun.epochs: [1] #!\n",
        "grid.phases.tun.epochs",
        "Did you mean 'tune'?",
    ),
    "axis of an unknown setting": (GRID, "grid:\n  phases.tune.epoch: [1] #!\n", "grid.phases.tune.epoch", "'epochs'?"),
    "axis with a wrong value": (
        GRID,
        "grid:\n  phases.tune.epochs: [1, 0] #!\n",
        "grid.phases.tune.epochs.1",
        "greater than 0",
    ),
    "axis of evaluation with a wrong value": (
        GRID,
        "grid:\n  evaluation.batch: [big] #!\n",
        "grid.evaluation.batch.0",
        "a whole",
    ),
    "option that only some plugins have": (
        GRID,
        "grid:\n  fusion: [glue, tape]\n  fusion.depth: [2] #!\n",
        "grid.fusion.depth.0",
        "Exclude these trials (exclude: [{fusion: tape}]), or write the values out",
    ),
    "option set twice": (
        GRID,
        "grid:\n  fusion: [{name: glue, depth: 3}]\n  fusion.depth: [2] #!\n",
        "grid.fusion.depth.0",
        "Remove one of them",
    ),
    "grid that is far too large": (
        GRID,
        f"grid: #!\n  encoder.depth: {list(range(1, 999))}\n  encoder.width: {list(range(1, 999))}\n",
        "grid",
        "more than 100,000 trials",
    ),
    "value that is the default": (GRID, "grid: #!\n  fusion: [glue, {name: glue, depth: 1}]\n", "grid", "are the same"),
    "labels of no axis": (GRID, GRID + "labels: {quantiser: [a, b]} #!\n", "labels.quantiser", "mean 'quantizer'?"),
    "fewer labels than values": (GRID, GRID + "labels: {quantizer: [a]} #!\n", "labels.quantizer", "for 2 values"),
    "label twice": (GRID, GRID + "labels: {quantizer: [a, a]} #!\n", "labels.quantizer.1", "called 'a'. Give each"),
    "label that is a number": (GRID, GRID + "labels: {quantizer: [a, 1]} #!\n", "labels.quantizer.1", "must be a text"),
    "variant twice": (GRID, "variants: [{fusion: glue}, {fusion: glue}] #!\n", "variants", "these trials are the same"),
    "variant that sets nothing": (GRID, "variants: [{}] #!\n", "variants.0", "Write {axis: value}"),
    "axis of grid and variants": (
        GRID,
        GRID + "variants: [{quantizer: rough}] #!\n",
        "variants.0.quantizer",
        "Remove one",
    ),
    "unknown axis of a variant": (
        GRID,
        "variants: [{fusoin: glue}] #!\n",
        "variants.0.fusoin",
        "Did you mean 'fusion'?",
    ),
    "pattern of no axis": (GRID, GRID + "exclude: [{quantiser: rough}] #!\n", "exclude.0.quantiser", "'quantizer'?"),
    "pattern of no value": (
        GRID,
        GRID + "exclude: [{quantizer: rogh}] #!\n",
        "exclude.0.quantizer",
        "Did you mean 'rough'?",
    ),
    "pattern that matches twice the same": (
        GRID,
        GRID + "exclude:\n  - {quantizer: rough, seed: 0}\n  - {quantizer: 3} #!\n",
        "exclude.1.quantizer",
        "Values: exact, rough",
    ),
    "empty pattern": (GRID, GRID + "exclude: [{}] #!\n", "exclude.0", "Write {axis: value}"),
    "everything excluded": (GRID, GRID + "exclude: [{seed: 0}] #!\n", "exclude", "Exclude fewer"),
    "baseline of no axis": (GRID, GRID + "baseline: {fusion: glue} #!\n", "baseline.fusion", "Axes: quantizer, seed"),
    "baseline of no value": (GRID, GRID + "baseline: {quantizer: exakt} #!\n", "baseline.quantizer", "'exact'?"),
    "baseline that is excluded": (
        GRID,
        GRID + "exclude: [{quantizer: rough}]\nbaseline: {quantizer: rough} #!\n",
        "baseline",
        "Write the values of one of the trials",
    ),
    "baseline that means several": (
        GRID,
        "grid:\n  fusion: [{name: glue, depth: 1}, {name: glue, depth: 2}]\nbaseline: {fusion: glue} #!\n",
        "baseline.fusion",
        "Write one of: 'glue(depth=1)', 'glue(depth=2)'",
    ),
    "seeds are a number": (GRID, "seeds: 3 #!\n", "seeds", "this must be a list"),
    "seed twice": (GRID, "seeds: [0, 1, 0] #!\n", "seeds.2", "the value 0 is there twice. Keep one"),
    "seed is negative": (GRID, "seeds: [0, -1] #!\n", "seeds.1", "at least 0, not -1"),
    "seed is a text": (GRID, "seeds: [zero] #!\n", "seeds.0", "a whole number, not the text 'zero'"),
    "no seeds": (GRID, "seeds: [] #!\n", "seeds", "this must not be empty"),
    "prompt without the question": (GRID, "prompt: '<image>' #!\n", "prompt", "as <image>{question}"),
    "prompt with an unknown field": (GRID, "prompt: '{question} {answr}' #!\n", "prompt", "'{answr}' is not filled in"),
    "prompt is a number": (GRID, "prompt: 3 #!\n", "prompt", "this must be a text"),
}
BROKEN = {**BROKEN_KEYS, **BROKEN_PARTS, **BROKEN_PHASES, **BROKEN_AXES}

# What is broken: the text of the file, the line and column the message must name, and a part of its advice.
BROKEN_YAML = {
    "tab": ("base:\n\tfusion: glue\n", "2: column 1", "Indent and separate with spaces"),
    "colon in a text": ("question: what: why\n", "1: column 15", "Put text that holds ': ' in quotes"),
    "indentation": ("base:\n    a: 1\n  b: 2\n", "3: column 3", "Indent keys of one mapping equally"),
    "open list": ("metrics: [right\nbase: 1\n", "2: column 5", "a '[' is not closed"),
    "open mapping": ("base: {fusion: glue\ngrid: 1\n", "2: column 5", "a '{' is not closed"),
    "open quotation mark": ("question: 'why\nbase: 1\n", "3: column 1", "(it began in line 1)"),
    "key without a colon": ("base: 1\nmetrics\ngrid: 2\n", "3: column 1", "Write 'key: value'"),
    "unknown alias": ("base: *glue\n", "1: column 7", "Put text that begins with '*' in quotes"),
    "second document": ("base: 1\n---\nbase: 2\n", "2: column 1", "Keep one experiment in a file"),
    "sign that begins nothing": ("question: @home\n", "1: column 11", "Put it in quotes"),
    "control character": ("question: a\x07\n", "1", "Remove it"),
    "empty file": ("", "1", "the file is empty. Write keys: name, question, base"),
    "only a comment": ("# to be written\n", "1", "the file is empty"),
    "list at the top": ("- fusion\n", "1", "Write keys: name, question, base"),
    "python object": (
        "base: !!python/object/apply:os.system [ls]\n",
        "1",
        "tags such as '!!python/object/apply:os.system'",
    ),
    "alias of itself": ("base: &a {fusion: *a}\n", "1", "Write the value out"),
    "merge key": ("base: {<<: {fusion: glue}}\n", "1", "Write the keys out"),
    "list as a key": ("[a, b]: 1\n", "1", "A key is a word"),
    "too deep": ("base: " + "[" * 3000, "1", "Close the brackets you opened"),
    "aliases that explode": (
        "\n".join(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}' if level else '1'] * 9)}]" for level in range(9)),
        "6",
        "counting what aliases (*) repeat",
    ),
}

# What is broken: the override, the key the message must name, and a part of its advice.
BROKEN_OVERRIDES = {
    "no equals sign": ("seeds", "", "Write --set key=value"),
    "no key": ("=3", "", "Write --set key=value"),
    "two dots": ("base..encoder=3", "", "Write --set key=value"),
    "unknown key": ("sedes=[1]", "sedes: ", "Did you mean 'seeds'?"),
    "component without base": ("fusion=tape", "fusion: ", "Indent it under 'base:'"),
    "unknown plugin": ("base.fusion=tap", "base.fusion: ", "Did you mean 'tape'?"),
    "unknown option": ("base.encoder.widht=3", "base.encoder.widht: ", "Did you mean 'width'?"),
    "wrong type": ("base.encoder.width=wide", "base.encoder.width: ", "'wide' does not fit eye.width (int)"),
    "unknown phase": (
        "phases.tun.epochs=1",
        "",
        "base.phases has no 'tun'. Did you mean 'tune'? There are: align, tune",
    ),
    "unknown setting of a phase": ("phases.tune.epoch=1", "base.phases.tune.epoch: ", "Did you mean 'epochs'?"),
    "negative epochs": ("phases.tune.epochs=-1", "base.phases.tune.epochs: ", "greater than 0, not -1"),
    "setting of a single value": ("question.text=3", "", "'question' is a single value"),
    "YAML that is broken": ("grid.fusion=[glue", "column ", "a '[' is not closed"),
    "axis that is no list": ("grid.fusion=glue", "grid.fusion: ", "write [glue]"),
    "empty axis": ("grid.quantizer=[]", "grid.quantizer: ", "Write 'quantizer: [first, second]'"),
    "unknown value": ("grid.fusion=[glue, tap]", "grid.fusion.1: ", "Did you mean 'tape'?"),
    "setting of a number": ("base.encoder.depth.x=1", "", "'base.encoder.depth' is a single value"),
    "name with a separator": ("name=a/b", "name: ", "Give another 'name'"),
}


def message_of(folder, text: str, *overrides: str) -> str:
    with pytest.raises(ExperimentError) as error:
        load(folder, text, *overrides)
    assert isinstance(error.value, UserError)
    return str(error.value)


def problems_of(message: str) -> list[str]:
    """The lines of a message, without indented lines that say which plugins could not be loaded."""
    return [line for line in message.splitlines() if not line.startswith(" ")]


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_experiment_is_refused_with_its_line_its_key_and_advice(tmp_path, broken):
    good, bad, key, advice = BROKEN[broken]
    assert good in GOOD
    text = GOOD.replace(good, bad, 1)
    if broken == "metrics are missing":
        text = text.replace("metrics: [right]\n", "")
    lines = text.splitlines()
    marked = [number for number, line in enumerate(lines, start=1) if "#!" in line]
    message = message_of(tmp_path, text)
    assert advice in message
    assert len(problems_of(message)) == 1, "one mistake, one line"
    place = f"{tmp_path / 'holds.yaml'}:"
    assert message.startswith(place + (f"{marked[0]}: {key}" if marked else ""))
    assert key in message


@pytest.mark.parametrize("broken", BROKEN_YAML)
def test_broken_yaml_is_refused_with_its_line_in_plain_words(tmp_path, broken):
    text, where, advice = BROKEN_YAML[broken]
    message = message_of(tmp_path, text)
    assert f"holds.yaml:{where}: " in message
    assert advice in message


@pytest.mark.parametrize("broken", BROKEN_OVERRIDES)
def test_a_broken_override_is_refused_with_its_key_and_advice(tmp_path, broken):
    override, key, advice = BROKEN_OVERRIDES[broken]
    message = message_of(tmp_path, GOOD, override)
    assert message.startswith(f"--set {override}: {key}")
    assert advice in message
    assert len(problems_of(message)) == 1


def test_all_problems_are_reported_at_once_in_the_order_of_the_file(tmp_path):
    text = (
        GOOD.replace("fusion: glue", "fusion: gluu")
        .replace("depth: 3", "depht: 3")
        .replace("steps: 5", "steps: 5.5")
        .replace("epochs: 2", "epochs: -2\n      batch: 0")
        .replace("[exact, rough]", "[exact, ruff]")
        .replace("[right]", "[rigth]")
        + "seeds: [-1]\nprompt: why\nsedes: 1\n"
    )
    lines = message_of(tmp_path, text, "evaluation.limit=0").splitlines()
    expected = [
        "4: base.encoder.depht",
        "6: base.fusion",
        "13: base.phases.align.steps",
        "16: base.phases.tune.epochs",
        "17: base.phases.tune.batch",
        "20: grid.quantizer.1",
        "21: metrics.0",
        "22: seeds.0",
        "23: prompt",
        "24: sedes",
    ]
    assert [line.split("holds.yaml:")[1].split(": ")[0] for line in lines[:-1]] == [
        each.split(": ")[0] for each in expected
    ]
    assert all(each in line for each, line in zip(expected, lines, strict=False))
    assert lines[-1].startswith("--set evaluation.limit=0: evaluation.limit: this must be greater than 0")


def test_several_broken_overrides_are_reported_at_once(tmp_path):
    lines = message_of(tmp_path, GOOD, "seeds", "phases.tun.epochs=1", "grid=[").splitlines()
    assert [line.split(": ")[0] for line in lines] == ["--set grid=[", "--set phases.tun.epochs=1", "--set seeds"]


@pytest.mark.parametrize(
    ("content", "place"), [(b"question: ok\nname: \xff\xfe\n", "2"), ("name: ö".encode("utf-16"), "1")]
)
def test_a_file_that_is_not_utf_8_is_refused_with_its_line(tmp_path, content, place):
    path = tmp_path / "holds.yaml"
    path.write_bytes(content)
    with pytest.raises(ExperimentError, match=rf"holds.yaml:{place}: the file is not UTF-8 text. Save it"):
        load_experiment(path, fake_registry())


def test_a_file_that_is_not_there_is_refused_with_the_nearest_one(tmp_path):
    (tmp_path / "holds.yaml").write_text(GOOD)
    with pytest.raises(ExperimentError, match=r"hodls.yaml: there is no such file. Did you mean 'holds.yaml'\?"):
        load_experiment(tmp_path / "hodls.yaml", fake_registry())


def test_a_folder_that_is_not_there_is_said_to_be_missing(tmp_path):
    with pytest.raises(ExperimentError, match=r"There is no folder .*nowhere either"):
        load_experiment(tmp_path / "nowhere" / "holds.yaml", fake_registry())


def test_a_folder_is_refused_with_the_files_in_it(tmp_path):
    (tmp_path / "holds.yaml").write_text(GOOD)
    with pytest.raises(ExperimentError, match=r"this is a folder. Give one experiment file in it \(holds.yaml\)"):
        load_experiment(tmp_path, fake_registry())


def test_a_file_whose_name_cannot_name_results_needs_a_name_of_its_own(tmp_path):
    path = tmp_path / ".hidden.yaml"
    path.write_text(GOOD)
    with pytest.raises(ExperimentError, match=r".hidden.yaml:1: name: '.hidden' cannot name the results folder"):
        load_experiment(path, fake_registry())
    assert load_experiment(path, fake_registry(), ["name=seen"]).name == "seen"


STRANGE = [None, True, -1, 1e400, "", "a.b", "x" * 300, [], {}, [[]], {"name": []}, {"": 1}, {"fusion.": [1]}, 10**40]


def ways(value, way=()) -> list[tuple]:
    """The way to every value in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way, *(found for key, item in inner for found in ways(item, (*way, key)))]


@pytest.mark.parametrize("strange", STRANGE, ids=lambda value: str(value)[:12])
def test_whatever_stands_where_is_either_read_or_refused_in_words(tmp_path, strange):
    text = (
        GOOD
        + "variants: [{adapter: slim, adapter.rank: 3}, {adapter: whole}]\nexclude: [{quantizer: rough, seed: 1}]\n"
    )
    text += "seeds: [0, 1]\nbaseline: {adapter: whole}\nevaluation: {limit: 3}\n"
    load(tmp_path, text)
    good = parse_yaml(text, "good").value
    for way in ways(good)[1:]:
        bad = here = copy.deepcopy(good)
        for key in way[:-1]:
            here = here[key]
        here[way[-1]] = strange
        try:
            load(tmp_path, write_yaml(bad))
        except ExperimentError as error:
            assert "holds.yaml:" in str(error)
