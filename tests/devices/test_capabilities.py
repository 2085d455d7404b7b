"""Fast paths are taken where the processor has them, and the suite's own paths hold on lesser ones."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from workbench.devices.capabilities import has_int8_rows, instructions, multiplies, multiplies_int8, packs
from workbench.devices.device import find_device
from workbench.errors import UserError

ROOT = Path(__file__).parents[2]
SOURCES = sorted(file.relative_to(ROOT) for place in ("workbench", "plugins") for file in ROOT.glob(f"{place}/**/*.py"))
# What torch and oneDNN can be told to leave alone reaches their own questions to the processor; the rest is overridden.
LESSER = {
    "AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
    "no vectors": {"ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default"},
    "AVX2 by name": {"WORKBENCH_CPU": "avx2"},
    "another architecture": {"WORKBENCH_CPU": "plain"},
}
LAYERS = ["tests/layers/test_prepared_linear.py"]
MODELS = [*LAYERS, "tests/plugins/test_quantizers.py", "tests/evaluation/test_evaluate.py"]
# Runs of experiments take the longest: they are done once where torch is told what to leave alone, once where only the
# override says it.
WHOLE_RUNS = ["tests/runs/test_auto_precision.py"]
LESSER_PATHS = {
    "AVX2": MODELS + WHOLE_RUNS,
    "no vectors": MODELS,
    "AVX2 by name": LAYERS,
    "another architecture": LAYERS + WHOLE_RUNS,
}
# One interpreter loads everything and computes nothing; what is forked from it has yet to ask for its processor.
PROGRAM = """
import json, os, sys
import pytest, torch, workbench.runs.forkserver_preload, tests.small
from workbench.devices.capabilities import has_int8_rows, instructions, multiplies, multiplies_int8, packs

for processor, environment, kernel, paths in json.loads(sys.argv[1]):
    if not os.fork():
        ended = 1
        try:
            os.environ.update(environment)
            has = (multiplies("cpu", torch.bfloat16), packs(torch.bfloat16), multiplies_int8(), has_int8_rows())
            assert has == (False, False, False, kernel), has
            assert "AVX512" not in instructions(), instructions()
            ended = pytest.main(["-p", "no:cacheprovider", *paths])
        finally:
            print(processor, "ends with", int(ended), flush=True)
            os._exit(ended)
    os.wait()
"""


def on(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """A new Python with these variables of its environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    command = [sys.executable, "-c", *words]
    told = {**kept, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(command, cwd=ROOT, env=told, capture_output=True, text=True, check=False)


def test_what_depends_on_the_processor_holds_on_lesser_ones():
    lesser = [
        (processor, environment, processor.startswith("AVX2") and has_int8_rows(), LESSER_PATHS[processor])
        for processor, environment in LESSER.items()
    ]
    ran = on({}, PROGRAM, json.dumps(lesser))
    for processor in LESSER:
        assert f"\n{processor} ends with 0\n" in ran.stdout, ran.stdout[-8000:] + ran.stderr[-2000:]


def test_products_of_int8_are_exact_where_that_is_said():
    numbers = torch.randint(-127, 128, (64, 288), dtype=torch.int8, generator=torch.Generator().manual_seed(0))
    exact = numbers.long() @ numbers.long().T
    found = torch._int_mm(numbers, numbers.T)  # pyright: ignore[reportPrivateImportUsage]
    assert torch.equal(found.long(), exact) or not multiplies_int8()


PRECISIONS = (*(f"base.phases.{phase}.precision" for phase in ("contrast", "tune")), "evaluation.precision")
COMMANDS = [
    ["plan", "experiments/quickstart.yaml"],
    ["run", "experiments/quickstart.yaml", *[word for each in PRECISIONS for word in ("--set", f"{each}=fp32")]],
    ["check", "plugins/metrics/exact_match.py"],
]


def test_a_processor_that_nobody_knows_is_refused_before_anything_begins(tmp_path):
    results = tmp_path / "results"
    program = f"""
import sys
from workbench.cli.main import main
for words in {COMMANDS}:
    sys.argv[1:] = [*words, *(["--results", {str(results)!r}] if words[0] == "run" else [])]
    try:
        main()
    except SystemExit as ended:
        print(words[0], ended.code)
"""
    told = on({"WORKBENCH_CPU": "i386"}, program)
    assert told.stdout.split("\n") == ["plan 2", "run 2", "check 2", ""]
    assert told.stderr.count("WORKBENCH_CPU=i386: there is no such processor. Write avx2 or plain") == len(COMMANDS)
    assert not results.exists()


def test_fp32_is_multiplied_everywhere_and_no_capability_is_claimed_that_was_not_tried():
    assert multiplies("cpu", torch.float32)
    assert multiplies("meta", torch.float32) and not multiplies("meta", torch.bfloat16)
    assert ("bf16" in instructions()) == multiplies("cpu", torch.bfloat16)
    weight = torch.randn(24, 40)
    for kind in (kind for kind in (torch.float32, torch.bfloat16) if packs(kind)):
        blocks = torch.ops.mkldnn._reorder_linear_weight(weight.to(kind), 16)
        made = torch.ops.mkldnn._linear_pointwise(torch.eye(40, dtype=kind), blocks, None, "none", [], "")
        torch.testing.assert_close(made, weight.to(kind).T)


@pytest.mark.parametrize("file", SOURCES, ids=str)
def test_the_processor_is_asked_in_one_place_and_a_private_kernel_called_only_where_that_was_asked(file):
    nodes = list(ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))))
    named = {each.attr for each in nodes if isinstance(each, ast.Attribute)}
    imported = {alias.name for each in nodes if isinstance(each, ast.ImportFrom) for alias in each.names}
    if file.name != "capabilities.py":
        assert not named & {"get_cpu_capability", "get_capabilities", "is_bf16_supported", "_is_avx512_bf16_supported"}
        kernels = named & {"_weight_int8pack_mm", "_reorder_linear_weight", "_linear_pointwise", "_int_mm"}
        assert not kernels or imported & {"has_int8_rows", "multiplies_int8", "packs"}


def test_a_device_that_is_not_there_is_told_in_one_sentence():
    absent = "xpu" if torch.backends.mps.is_available() else "mps"
    with pytest.raises(UserError) as told:
        find_device(absent)
    assert str(told.value).startswith(f"--device {absent}: there is no such device here (")
    assert str(told.value).endswith("). Use cpu, cuda, mps or auto")
    assert len(str(told.value)) < 200
