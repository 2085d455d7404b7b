"""Whether verdicts hold: simulated studies whose truth is known, judged by the reports' own functions.

python benchmarks/coverage.py [--quick] [--studies 200] [--only TEXT] [--others] [--out FILE.json]

Of each setting it tells how often a 95 % interval covers the truth (of differences to the baseline, of means); how
many tables, headlines, tables of dependences and whole pages tell anything that is not so; and how many true
differences are told. With 200 studies an error of 5 % is known to about 1.5 percentage points. Resamples of images are
400 here and 2,000 in a report, which changes nothing on average. `baseline alone` and `equal spread` are ours as an
experiment may declare it; `before` is the rule that reports had, to tell what a newer one finds beyond it; `--others`
holds ours against what others make of some of the same studies.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from coverage_figures import OWN, RULES, measured
from coverage_settings import TO_FIND, settings, side_by_side
from verdict_rules import TABLE

STUDIES, RESAMPLES, QUICK = 200, 400, 20
USUAL = ("ours", "before")  # where there is something to find, ours as it may be declared as well
COLUMNS = {
    "differences": "differences covered",
    "means": "means covered",
    "table": "false tables",
    "headline": "false headlines",
    "dependence": "false dependences",
    "page": "false pages",
    "power": "found",
    "dependences found": "dependences found",
    "width": "± points",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=STUDIES)
    parser.add_argument("--resamples", type=int, default=RESAMPLES)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} studies of each setting")
    parser.add_argument("--only", default="", help="settings whose name, or group's, has this text")
    parser.add_argument("--others", action="store_true", help="side by side with other rules, on some of the settings")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    studies = QUICK if chosen.quick else chosen.studies
    every = {"side by side": side_by_side()} if chosen.others else settings()
    groups = {
        group: [each for each in found if chosen.only in each.name or chosen.only in group]
        for group, found in every.items()
    }
    os.environ["OMP_NUM_THREADS"] = "1"  # of the workers, which are started anew
    print(f"{studies} studies of each setting, {chosen.resamples} resamples; percent")
    rows: list[dict[str, Any]] = []
    with ProcessPoolExecutor(chosen.workers, mp_context=get_context("spawn")) as pool:
        for group, found in groups.items():
            rules = list(RULES if chosen.others else OWN if group == TO_FIND else USUAL)
            measure = partial(measured, rules=rules, studies=studies, resamples=chosen.resamples)
            new = [row for of_setting in pool.map(measure, found) for row in of_setting]
            rows += [{"group": group, **row} for row in new]
            if new and chosen.others:
                for figure in (TABLE, "differences", "power"):
                    print(f"\n### {COLUMNS[figure]}\n\n{compared(new, figure)}")
            elif new:
                print(f"\n### {group}\n\n{table(new, rules)}", flush=True)
    if chosen.out:
        chosen.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def table(rows: Sequence[dict[str, Any]], rules: Sequence[str]) -> str:
    """Markdown, a line for each setting, without columns in which there is nothing: all figures of the first rule, of
    the others false tables and what they found."""
    columns = [(rules[0], name, heading) for name, heading in COLUMNS.items()]
    for rule in rules[1:]:
        columns += [(rule, name, f"{rule}: {COLUMNS[name]}") for name in (TABLE, "power")]
    by_setting = _by_setting(rows)
    shown = [
        column
        for column in columns
        if not all(math.isnan(found[column[0]][column[1]]) for found in by_setting.values())
    ]
    lines = [["setting", *(heading for _, _, heading in shown)], ["---", *["---:"] * len(shown)]]
    for setting, found in by_setting.items():
        lines.append([setting, *(_shown(found[rule][name], name) for rule, name, _ in shown)])
    return _markdown(lines)


def compared(rows: Sequence[dict[str, Any]], figure: str) -> str:
    """Markdown, a line for each setting in which there is that figure, a column for each rule."""
    lines = [["setting", *RULES], ["---", *["---:"] * len(RULES)]]
    for setting, found in _by_setting(rows).items():
        if not math.isnan(found["ours"][figure]):
            lines.append([setting, *(_shown(found[rule][figure], figure) for rule in RULES)])
    return _markdown(lines)


def _by_setting(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """The row of each rule."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["setting"], {})[row["rule"]] = row
    return found


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shown(value: float, name: str) -> str:
    if math.isnan(value):
        return ""
    return f"{value:.1f}" if name == "width" else f"{100 * value:.0f}"


if __name__ == "__main__":
    main()
