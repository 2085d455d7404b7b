"""Every built-in plugin keeps every rule of its kind, and each rule is found broken where it is."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from rich.console import Console

from tests import broken_plugins as broken
from tests.tiny import builtin_registry
from workbench.conformance import check, check_path, launchers
from workbench.conformance.check import RULES
from workbench.conformance.examine import examine
from workbench.conformance.reference_parts import ReferenceDecoder
from workbench.conformance.rules import Rule, Subject, expect
from workbench.errors import UserError
from workbench.hookspecs import KINDS
from workbench.registry import Entry, Registry


def needs(entry: Entry) -> Sequence[pytest.MarkDecorator]:
    """Skips a plugin whose packages are not installed."""
    packages: Sequence[str] = getattr(entry.factory, "packages", ())
    missing = [each for each in packages if not list(importlib.metadata.distributions(name=each))]
    return [pytest.mark.skip(f"{entry.name} needs {', '.join(missing)}: pip install workbench[...]")] if missing else []


# They want packages that nothing else here needs and take many seconds to start: `workbench check` tries them.
OTHER_TOOLS = ("mlflow", "wandb")
BUILT_IN = [
    pytest.param(entry.kind, entry.name, {}, marks=needs(entry), id=f"{entry.kind}-{entry.name}")
    for entry in builtin_registry().entries()
    if not any(option.required for option in entry.options.values())  # what needs files has tests of its own
    and entry.name not in OTHER_TOOLS
]
OPTIONS = [
    ("encoder", "vit", {"stem_depth": 2, "patch_size": 8, "width": 32, "depth": 1}),
    ("encoder", "clip", {"class_token": True, "layer": -1, "width": 32, "depth": 2}),
    ("connector", "mlp", {"hidden": 5}),
    ("connector", "resampler", {"queries": 3, "depth": 1, "heads": 2}),
    ("connector", "pixel_shuffle", {"factor": 1}),
    ("connector", "qformer", {"queries": 3, "width": 24, "depth": 3, "every": 3}),
    ("fusion", "cross_attention", {"every": 2, "heads": 2}),
    ("language_model", "gpt", {"layer_norm": True, "width": 32, "depth": 2}),
    ("language_model", "llama", {"key_value_heads": 2, "tied": False, "width": 32, "depth": 2, "mlp_width": 48}),
    ("adapter", "lora", {"rank": 2, "dropout": 0.1, "targets": ["language_model.*", "connector.*"]}),
    ("adapter", "full", {"targets": ["fusion.*"]}),
    ("quantizer", "int8", {"include": ["language_model.*"], "exclude": ["*mlp*"]}),
    ("launcher", "local", {"workers": 1, "memory_gb": 1.0}),
    ("dataset", "easy_vqa", {"shift": 4, "flip": True, "background": 10.0}),
]

BROKEN = [
    ("encoder", broken.NotBuilt, "it can be built with these options"),
    ("encoder", broken.OnADevice, "it can be planned without memory"),
    ("encoder", broken.KeepsTheMode, "any image becomes a tensor of its image size"),
    ("encoder", broken.DividesByTheSpread, "any image becomes a tensor of its image size"),
    ("encoder", broken.WrongShape, "tokens have the declared shape"),
    ("encoder", broken.PoolsWrongly, "pool gives one vector for each image"),
    ("encoder", broken.NormalisesTheBatch, "an image is encoded the same in any batch"),
    ("encoder", broken.HasAnUnusedLayer, "gradients reach every parameter"),
    ("encoder", broken.Blind, "another image gives other tokens"),
    ("encoder", broken.Blind, "another image changes the loss"),
    ("encoder", broken.Noisy, "it gives the same each time"),
    ("encoder", broken.OnceInFifty, "it gives the same each time"),
    ("encoder", broken.EveryFiftieth, "it gives the same each time"),
    ("encoder", broken.EveryOtherDay, "it gives the same each time"),
    ("encoder", broken.SometimesDraws, "it gives the same each time"),
    ("encoder", broken.SetsTheSeed, "it gives the same each time"),
    ("encoder", broken.KeepsTheFirstAnswer, "it gives the same each time"),
    ("encoder", broken.WritesOverItsAnswers, "it gives the same each time"),
    ("encoder", broken.DrawsItsWeightsElsewhere, "it gives the same each time"),
    ("encoder", broken.DrawsItsWeightsElsewhere, "training again gives the same weights"),
    ("encoder", broken.NotFinite, "its numbers are finite"),
    ("encoder", broken.ShrinksImages, "images stay as they were"),
    ("encoder", broken.CentresInPlace, "images stay as they were"),
    ("encoder", broken.CentresInPlaceToTrain, "images stay as they were"),
    ("encoder", broken.SharesItsWeights, "a copy and a pickle use their own weights"),
    ("encoder", broken.Forgetful, "saved weights compute the same in a new model"),
    ("connector", broken.SinglePrecision, "it trains in bf16"),
    ("connector", broken.WiderThanItSays, "tokens have the declared shape"),
    ("connector", broken.CentresTheBatch, "an image is connected the same in any batch"),
    ("connector", broken.BatchNormalises, "rows do not mix in training"),
    ("connector", broken.DoublesTokens, "tokens stay as they were"),
    ("fusion", broken.ReturnsHiddenAlone, "blocks get back what they read"),
    ("fusion", broken.WritesOverWhatItReadsToAnswer, "what it is given stays as it was"),
    ("fusion", broken.AddsInPlace, "what it is given stays as it was"),
    ("fusion", broken.ScalesItsVision, "what it is given stays as it was"),
    ("fusion", broken.BatchStatistics, "rows do not mix"),
    ("fusion", broken.RunningStatistics, "rows do not mix in training"),
    ("fusion", broken.LooksAtOtherRows, "rows do not mix"),
    ("fusion", broken.FusesOnceInFifty, "it gives the same each time"),
    ("fusion", broken.ReadsTheAnswer, "no answer token is read ahead"),
    ("fusion", broken.MixesTheSequence, "no answer token is read ahead"),
    ("fusion", broken.ReadsOtherQuestions, "questions of an image do not reach each other"),
    ("fusion", broken.StartsOpen, "a new fusion leaves the decoder as it was"),
    ("fusion", broken.CountsPlaces, "questions are answered in a row as if each stood alone"),
    ("fusion", broken.CountsPlaces, "answers from the cache equal the full pass"),
    ("fusion", broken.SeesNothingToNaN, "a prompt with nothing visible gives no nan"),
    ("fusion", broken.AveragesTheImages, "prepare gives one entry for each set of images"),
    ("fusion", broken.LooksAtWhatIsNotThere, "rows with fewer images are read as if each stood alone"),
    ("fusion", broken.LooksAtTheFirstImage, "every image of a row changes the loss"),
    ("fusion", broken.ForgetsTheSegments, "the text keeps its places in the sequence"),
    ("language_model", broken.Recurrent, "a token sees what the mask shows and nothing else"),
    ("language_model", broken.StateSpace, "a token sees what the mask shows and nothing else"),
    ("language_model", broken.AddsToItsEmbeddings, "what it is given stays as it was"),
    ("language_model", broken.DecodesOnceInFifty, "it gives the same each time"),
    ("language_model", broken.LooksAhead, "a token sees what the mask shows and nothing else"),
    ("language_model", broken.LooksAhead, "no answer token is read ahead"),
    ("language_model", broken.ShiftsTokens, "a token sees what the mask shows and nothing else"),
    ("language_model", broken.IgnoresPositions, "a token stands where its position says"),
    ("language_model", broken.SeesAWindowOfPlaces, "a token stands where its position says"),
    ("language_model", broken.IgnoresPositions, "questions are answered in a row as if each stood alone"),
    ("language_model", broken.KeepsNoCache, "the cache gives what one pass gives"),
    ("language_model", broken.PicksTheFirst, "hidden at gives what forward gives there"),
    ("language_model", broken.RegistersTwice, "blocks and attentions are there once"),
    ("language_model", broken.TrainsItsTokenizerAnew, "it can be built again from its saved tokenizer"),
    ("adapter", broken.AdaptsOnceInFifty, "an adapted model gives the same each time"),
    ("adapter", broken.AdaptsInPlace, "what its layers are given stays as it was"),
    ("adapter", broken.AdaptsTheBatch, "rows do not mix"),
    ("adapter", broken.StartsLoud, "it starts as nothing"),
    ("adapter", broken.Freezes, "attaching leaves requires grad alone"),
    ("adapter", broken.ReturnsAll, "it returns parameters of the model that all train"),
    ("adapter", broken.ReturnsNothing, "it returns parameters of the model that all train"),
    ("adapter", broken.NeverMerges, "merging keeps the outputs and restores the names"),
    ("adapter", broken.NeverUnmerges, "unmerging restores it to the bit"),
    ("quantizer", broken.RoundsOnceInFifty, "a quantized model gives the same each time"),
    ("quantizer", broken.RoundsInPlace, "what its layers are given stays as it was"),
    ("quantizer", broken.RoundsByChance, "the same weights give the same bits"),
    ("quantizer", broken.Doubles, "the model gets smaller"),
    ("quantizer", broken.Halves, "outputs stay within tolerance"),
    ("quantizer", broken.Inexact, "outputs stay within tolerance"),
    ("quantizer", broken.CutsOff, "gradients pass through when it says so"),
    ("quantizer", broken.SaysNoBits, "it says how many bits a weight has"),
    ("dataset", broken.SameIds, "ids are unique"),
    ("dataset", broken.SameImages, "splits share no image"),
    ("dataset", broken.NoQuestions, "examples are whole"),
    ("dataset", broken.WrongPlaces, "examples are whole"),
    ("dataset", broken.GreyImages, "images open"),
    ("dataset", broken.Restless, "examples and fingerprint are the same each time"),
    ("dataset", broken.DrawsElsewhere, "augmenting is drawn from the given random alone"),
    ("dataset", broken.ListsAnswers, "examples are whole"),
    ("dataset", broken.AsksOtherwiseTomorrow, "examples and fingerprint are the same each time"),
    ("dataset", broken.HandsOutItsImage, "what it hands out is not kept"),
    ("dataset", broken.HandsOutItsList, "what it hands out is not kept"),
    ("dataset", broken.ShowsAnotherOnceInFifty, "an image is the same each time"),
    ("metric", broken.SortsPredictions, "predictions stay as they were"),
    ("metric", broken.LowersAnswers, "predictions stay as they were"),
    ("metric", broken.ScoresOnceInFifty, "it gives the same each time"),
    ("metric", broken.OneForAll, "every prediction gets a number"),
    ("metric", broken.UpsideDown, "perfect answers get the best value"),
    ("metric", broken.Percents, "a share lies between 0 and 1"),
    ("metric", broken.ComparesThem, "a score depends on no other answer"),
    ("metric", broken.CountsTheBatch, "a score depends on no other answer"),
    ("metric", broken.TakesTheFirst, "counts add up to the metric"),
    ("metric", broken.GrowsWithTheQuestions, "counts add up to the metric"),
    ("launcher", broken.DoesItItself, "every job is done once and told"),
    ("launcher", broken.HidesDeath, "a worker that dies is told and replaced"),
    ("launcher", broken.StopsNothing, "a job can be stopped"),
    ("launcher", broken.LeavesWorkers, "closing ends every worker"),
    ("tracker", broken.RoundsTheMetrics, "what it is told stays as it was"),
    ("tracker", broken.WantsATraining, "it can be closed before anything happened"),
    ("tracker", broken.NamesFilesByLabels, "it takes a whole run"),
    ("tracker", broken.ScattersFiles, "files go into one folder of its own"),
]


@pytest.mark.parametrize(("kind", "name", "options"), BUILT_IN + OPTIONS)
def test_every_built_in_plugin_keeps_every_rule(kind, name, options):
    findings = list(check(builtin_registry(), kind, name, **options))
    assert len(findings) == len(RULES[kind])
    assert [f"{finding.title}: {finding.explanation}" for finding in findings if not finding.passed] == []


@pytest.mark.parametrize(("kind", "factory", "rule"), BROKEN)
def test_a_broken_rule_is_found(kind, factory, rule, monkeypatch):
    monkeypatch.setattr(launchers, "SOON", 0.5)  # what stays stays, however long it is waited for
    [check_of_rule] = [each for each in RULES[kind] if each.title == rule]
    [finding] = examine(Subject(Entry(kind, "mine", factory, factory.__module__, "broken_plugins.py")), [check_of_rule])
    assert not finding.passed
    assert len(finding.explanation) > 20


class LeavesQuestionsOut(broken.Counting):
    """Of yes/no questions alone, as F1 and recall are; the others have the score of a wrong answer."""

    def scores(self, predictions):
        return [float(each.example.group == "yes/no" and each.answer in each.example.answers) for each in predictions]

    def counts(self, predictions):
        asked = [float(each.example.group == "yes/no") for each in predictions]
        return list(zip(self.scores(predictions), asked, strict=True))


class Bounded(ReferenceDecoder):
    """Says itself that it cannot read further."""

    context = 40

    def __init__(self, corpus, width=64):
        super().__init__(corpus, width)
        self.places = torch.nn.Embedding(40, width)

    def forward(self, embeds, positions, mask, cache=None):
        return super().forward(embeds + self.places(positions), positions, mask, cache)


@pytest.mark.parametrize(("kind", "factory"), [("metric", LeavesQuestionsOut), ("language_model", Bounded)])
def test_what_is_unusual_and_right_keeps_every_rule(kind, factory):
    findings = examine(Subject(Entry(kind, "mine", factory, factory.__module__, "mine.py")), RULES[kind])
    assert [f"{finding.title}: {finding.explanation}" for finding in findings if not finding.passed] == []


HEARD = (broken.Noisy, broken.WrongShape, broken.Recurrent, broken.BatchStatistics, broken.ReadsTheAnswer)
ONE_CAUSE = [each for each in BROKEN if each[1] in (*HEARD, broken.LowersAnswers)]


@pytest.mark.parametrize(("kind", "factory", "rule"), ONE_CAUSE)
def test_one_cause_is_told_once(kind, factory, rule):
    subject = Subject(Entry(kind, "mine", factory, factory.__module__, "broken_plugins.py"))
    findings = list(examine(subject, RULES[kind]))
    [finding] = [finding for finding in findings if not finding.passed]
    assert finding.title == rule
    assert len(findings) + len(finding.untried) == len(RULES[kind])
    assert f"(And so {len(finding.untried)} other rules could not be tried.)" in finding.why


@pytest.mark.parametrize("kind", KINDS)
def test_a_rule_comes_after_those_it_needs(kind):
    seen = []
    for rule in RULES[kind]:
        assert set(rule.needs) <= set(seen), rule.title
        assert rule.check not in seen
        seen.append(rule.check)


def test_a_rule_that_needs_one_which_was_not_tried_is_not_tried():
    def first(subject):
        expect(False, "it is broken")

    def second(subject):
        raise AssertionError("this rule could say nothing")

    def third(subject):
        raise AssertionError("nor could this one")

    def apart(subject):
        pass

    rules = [Rule(first), Rule(second, (first,)), Rule(apart), Rule(third, (second,))]
    subject = Subject(builtin_registry().entries("metric")[0])
    broken_one, kept = examine(subject, rules)
    assert (broken_one.title, broken_one.untried) == ("first", ("second", "third"))
    assert (kept.title, kept.passed) == ("apart", True)


def test_a_fusion_is_tried_beside_a_decoder_whose_width_its_heads_divide():
    assert next(check(builtin_registry(), "fusion", "cross_attention", heads=6)).passed


def test_a_plugin_that_cannot_be_built_is_tried_no_further():
    registry = Registry()
    registry.add(Entry("encoder", "mine", broken.NotBuilt, "here", "tests/broken_plugins.py"))
    [finding] = check(registry, "encoder", "mine")
    assert finding.explanation.startswith("it raised ZeroDivisionError: no encoder today (broken_plugins.py, line")


def test_every_kind_has_rules():
    assert set(RULES) == set(KINDS)


def test_wrong_options_are_the_callers_mistake():
    with pytest.raises(UserError, match="does not fit gated.heads"):
        check(builtin_registry(), "fusion", "gated", heads=0)


GOOD = """
from workbench import Metric, hookimpl

class Always(Metric):
    def scores(self, predictions):
        return [float(each.answer in each.example.answers) for each in predictions]

@hookimpl
def register_metrics(register):
    register("always", Always)
"""


def shown(path, kind=None) -> tuple[bool, str]:
    console = Console(width=200, record=True)
    kept = check_path(path, kind, console)
    return kept, console.export_text()


def test_a_users_file_is_checked_and_what_is_wrong_is_told(tmp_path):
    file = tmp_path / "always.py"
    file.write_text(GOOD)
    kept, text = shown(file)
    assert (kept, text.strip()) == (True, "metric always: 9 of 9 rules kept")
    file.write_text(GOOD.replace("float(", "-float("))
    kept, text = shown(tmp_path)
    assert not kept
    assert "metric always: 8 of 9 rules kept" in text
    assert "perfect answers get the best value: perfect answers get [-1.0" in text


def test_a_plugin_that_is_not_loaded_fails_the_check(tmp_path):
    (tmp_path / "broken.py").write_text("import a_package_nobody_has")
    kept, text = shown(tmp_path)
    assert not kept
    assert "a_package_nobody_has" in text


def test_a_plugin_that_needs_an_option_is_left_to_its_own_test(tmp_path):
    (tmp_path / "always.py").write_text(
        GOOD.replace("    def scores", "    def __init__(self, *, path: str): ...\n\n    def scores")
    )
    kept, text = shown(tmp_path)
    assert kept
    assert "not checked, since it needs path" in text


def test_the_built_in_plugins_of_a_kind_can_be_checked():
    kept, text = shown(None, "metric")
    assert kept
    assert text.count("rules kept") == len(builtin_registry().entries("metric"))


def test_a_built_in_plugin_can_be_checked_by_its_file():
    kept, text = shown(Path(__file__).parents[2] / "plugins/metrics/loss.py")
    assert (kept, text.strip()) == (True, "metric loss: 9 of 9 rules kept")


def test_nothing_to_check_is_the_users_mistake(tmp_path):
    with pytest.raises(UserError, match="no plugin in"):
        shown(tmp_path)
    with pytest.raises(UserError, match="Did you mean 'fusion'"):
        shown(tmp_path, "fusions")
