"""Texts from data, labels and answers among them, stay text wherever they are written: in CSV, Markdown and LaTeX.

What a spreadsheet would work out, a Markdown page link, format or show as an image, and LaTeX run, is marked as text.
HTML is escaped by the template engine.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

from workbench.reports.number_format import MINUS, NOTHING

# https://owasp.org/www-community/attacks/CSV_Injection
FORMULA = re.compile(r"[=+\-@\t\n＝＋－＠]")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
# Brackets that hold a number, or two, stand in every interval and make no link unless one of these follows.
BOUNDS = r"\[[\d\s.,%+−–-]*\](?![(\[:])"
MEANING = re.compile(rf"({BOUNDS})|([\\|*_`~$\[\]])|(<)|&(?=#?\w+;)")
ADDRESS = re.compile(r"(?<=:)//|(?<=\bwww)\.", re.IGNORECASE)  # of which GitHub makes a link
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    MINUS: "$-$",
    "†": r"$\dagger$",
    NOTHING: "--",
}


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Rows as a CSV file; a text that a spreadsheet would take for a formula has a single quote before it."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([_no_formula(cell) for cell in row] for row in rows)
    return out.getvalue()


def markdown(text: str) -> str:
    """Text of data as a Markdown page shows it, in a cell or within a line."""
    return ADDRESS.sub(r"\\\g<0>", _marked_up(text))


def markdown_paragraph(text: str) -> str:
    """Sentences of our own with texts of data in them, at the beginning of a line, where more has a meaning: headings,
    lists, quotations. An address that they tell may be followed."""
    escaped = _marked_up(text)
    number = re.match(r"\d+(?=[.)](\s|$))", escaped)
    if number:
        return f"{number[0]}\\{escaped[number.end() :]}"
    return f"\\{escaped}" if re.match(r"[>#+=-]", escaped) else escaped


def markdown_code(text: str) -> str:
    """Text as code within a line, whatever backticks it has."""
    line = _one_line(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    room = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{room}{line}{room}{fence}"


def latex(text: str) -> str:
    """Text as LaTeX shows it. A bracket or star at its beginning is held apart from the line break before it."""
    line = _one_line(text)
    escaped = "".join("-{}" if pair == "--" else LATEX.get(pair[0], pair[0]) for pair in _pairs(line))
    return f"{{{line[0]}}}{escaped[1:]}" if line[:1] in ("[", "*") else escaped


def _no_formula(cell: Any) -> Any:
    if not isinstance(cell, str) or NUMBER.fullmatch(cell):
        return cell
    text = cell.replace("\r\n", "\n").replace("\r", "\n")  # a lone one would begin a row, as nobody quotes it
    return f"'{text}" if FORMULA.match(text) else text


def _marked_up(text: str) -> str:
    return MEANING.sub(_marked, _one_line(text))


def _marked(found: re.Match[str]) -> str:
    bounds, letter, less = found[1], found[2], found[3]
    if bounds is not None:
        return bounds
    if letter is not None:
        return f"\\{letter}"
    return "&lt;" if less is not None else "&amp;"


def _one_line(text: str) -> str:
    """Without line breaks and other control characters, which end a cell or a paragraph."""
    return CONTROL.sub(" ", " ".join(text.splitlines()))


def _pairs(text: str) -> Iterable[str]:
    """Each letter with the next one."""
    return (text[place : place + 2] for place in range(len(text)))
