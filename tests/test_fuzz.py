"""The fuzzing in `benchmarks/fuzz.py` goes on working: a few of its cases, and faults that it has to find."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SAID = "error: tiny.yaml:3: base.dataset: there is no annotation file rows.csv\n"


@pytest.fixture
def fuzz(monkeypatch: pytest.MonkeyPatch):
    """The benchmark as a module, among its neighbours."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import fuzz

    return fuzz


@pytest.mark.parametrize("only", ["odd values", "swapped trials"])
def test_a_case_of_a_kind_has_no_fault(tmp_path, only):
    words = ["--only", only, "--cases", "1", "--seconds", "60", "--keep", str(tmp_path)]
    told = subprocess.run(
        [sys.executable, ROOT / "benchmarks/fuzz.py", *words], cwd=ROOT, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stdout + told.stderr
    [outcome] = tmp_path.glob("cases/*/outcome.json")
    tried = json.loads(outcome.read_text())
    assert tried["change"] and all(each["code"] in (0, 1, 2) for each in tried["endings"])
    assert f"| {only} | 1 | {len(tried['endings'])} |" in told.stdout


@pytest.mark.parametrize(
    ("code", "errors", "faults"),
    [
        (0, "", []),
        (2, SAID, []),
        (2, "error: --set seeds=a: seeds: this must be a list\n  such as [0]\n", []),
        (2, "error: there is no task\n", ["without a place"]),
        (2, f"{SAID}and something else\n", ["without a place"]),
        (1, "Traceback (most recent call last):\nKeyError: 1\n", ["traceback"]),
        (139, "", ["traceback"]),
        (70, "", ["traceback"]),
        (-1, "", ["hang"]),
    ],
)
def test_faults_of_an_ending_are_found(fuzz, code, errors, faults):
    ending = fuzz.Ending(["plan", "tiny.yaml"], code, 0.1, "", errors)
    assert fuzz.faults_of(fuzz.Tried("odd values", "odd_values-0", endings=[ending])) == faults


def test_a_damaged_trial_that_is_taken_for_whole_is_found(fuzz, tmp_path):
    from fuzzing.results import taken_for_whole

    file = tmp_path / "results/tiny/trials/0123456789ab/predictions.jsonl"
    page = tmp_path / "results/tiny/report/report.html"
    page.parent.mkdir(parents=True)
    page.write_text("<p>all is well</p>")
    ending = fuzz.Ending(["verify"], 0, 0.1, "", "")
    assert taken_for_whole(tmp_path, file, ending)
    assert taken_for_whole(tmp_path, file, fuzz.Ending(["plan"], 0, 0.1, "2 trials, 2 done, 0 failed", ""))
    assert taken_for_whole(tmp_path, file, fuzz.Ending(["report"], 0, 0.1, "", ""))
    page.write_text("<p>the results are damaged (trials/0123456789ab: predictions.jsonl)</p>")
    assert not taken_for_whole(tmp_path, file, fuzz.Ending(["report"], 0, 0.1, "", ""))
    assert not taken_for_whole(tmp_path, file, fuzz.Ending(["plan"], 0, 0.1, "2 trials, 1 done, 0 failed", ""))


def test_the_same_seed_makes_the_same_case(fuzz, tmp_path, monkeypatch):
    from random import Random

    from workbench.registry import load_registry

    kinds = fuzz.makers(load_registry(), tmp_path, ["odd values", "odd text"])
    for kind, make in kinds.items():
        made = []
        for name in ("a", "b"):
            folder = tmp_path / f"{kind} {name}"
            folder.mkdir()
            made.append((make(Random(5), folder).change, (folder / "mutant.yaml").read_bytes()))
        assert made[0] == made[1]
