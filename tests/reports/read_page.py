"""A report's page as a reader sees it: its text, its addresses, and whether its tags close."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

from workbench.registry import Registry
from workbench.reports.page import render
from workbench.reports.results_data import read_study
from workbench.reports.tables import all_tables

VOID = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
    """Collects text, addresses and tags, and holds that tags close in order."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]):
        if tag not in VOID:
            self.open.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]

    def handle_endtag(self, tag: str):
        assert self.open.pop() == tag

    def handle_data(self, data: str):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))


def page_of(folder: Path, registry: Registry | None = None) -> Page:
    """The page without its plots, which take the most time and have tests of their own."""
    study = read_study(folder, resamples=50)
    return Page(render(study, all_tables(study), [], registry))
