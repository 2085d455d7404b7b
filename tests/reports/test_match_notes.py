"""A page says by what its variants were matched, what was set for that, and how near it came."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.made_results import change_summary, write_results
from workbench.cli.report import make_report
from workbench.reports.match_notes import match_lines, match_sentences


def told(by: str, fusion: str, reached: float, aimed: float, **settings: int) -> dict[str, Any]:
    named = {name.replace("__", "."): value for name, value in settings.items()}
    return {"by": by, "axes": {"fusion": fusion}, "settings": named, "reached": reached, "aimed": aimed}


PARAMETERS = [
    told("parameters", "concat", 1_000_000, 1_000_000),
    told("parameters", "gated", 1_021_000, 1_000_000, language_model__width=104),
    told("parameters", "bidirectional", 996_000, 1_000_000, language_model__width=104),
    told("parameters", "cross", 1_002_000, 1_000_000, language_model__width=112),
]
FLOPS = [told("flops", "concat", 2e12, 2e12), told("flops", "gated", 1.996e12, 2e12, phases__tune__steps=1234)]


def test_the_sentence_tells_what_was_set_where_and_the_widest_deviation():
    [sentence] = match_sentences(PARAMETERS)
    assert sentence == (
        "Variants were matched by parameters: all are within 2.1 % of the baseline's 1,000,000 parameters. Set for"
        " that: language_model.width=104 in gated (2.1 % more) and bidirectional (0.40 % less);"
        " language_model.width=112 in cross (0.20 % more)."
    )


def test_each_quantity_has_its_sentence():
    sentences = match_sentences([*PARAMETERS, *FLOPS])
    assert len(sentences) == 2
    assert sentences[1] == (
        "Variants were matched by flops: all are within 0.20 % of the baseline's 2.00 TFLOPs of training. Set for that:"
        " phases.tune.steps=1234 in gated (0.20 % less)."
    )


def test_variants_that_are_equal_as_they_are_written_are_called_that():
    same = [told("parameters", name, 5000, 5000) for name in ("one", "other")]
    assert match_sentences(same) == [
        "Variants were matched by parameters: all are exactly at the baseline's 5,000 parameters, as they are written."
    ]
    assert match_sentences([]) == []


def test_a_plan_has_a_line_for_each_variant():
    lines = list(match_lines(PARAMETERS))
    assert lines[0] == "matched by parameters: concat: as it is written, 1,000,000 parameters (equal)"
    assert lines[1] == "matched by parameters: gated: language_model.width=104, 1,021,000 parameters (2.1 % more)"


def test_many_variants_are_named_as_far_as_a_sentence_goes():
    many = [told("parameters", f"v{number}", 1000 + number, 1000, width=number) for number in range(1, 30)]
    [sentence] = match_sentences(many)
    assert sentence.count(" in v") == 12
    assert "17 more stand in experiment.json" in sentence


def test_the_page_says_it_and_one_without_a_match_says_nothing(tmp_path: Path):
    folder = write_results(tmp_path, images=40)
    before = make_report(folder).read_text(encoding="utf-8")
    assert "matched by" not in before
    change_summary(folder, matched=PARAMETERS)
    page = make_report(folder).read_text(encoding="utf-8")
    assert "Variants were matched by parameters" in page
    assert "language_model.width=104 in gated" in page
