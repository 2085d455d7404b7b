"""The place of a difference and both texts, in tables and pages; images are no part of it."""

from __future__ import annotations

import time

import pytest

from workbench.verification.text_differences import Difference, differences

IMAGE = '<p>a</p>\n<img src="data:image/png;base64,AAAA" alt="the image asked about">\n<p>b</p>\n'
NO_IMAGE = '<p>a</p>\n<p class="no-image" title="it is gone">no image</p>\n<p>b</p>\n'


def found(name: str, there: str, wanted: str) -> list[tuple[str, str]]:
    return [(each.place, each.told) for each in differences(name, there.encode(), wanted.encode())]


@pytest.mark.parametrize("name", ["a.csv", "a.md", "a.html"])
def test_equal_texts_differ_nowhere(name):
    assert found(name, "a,b\n1,2\n", "a,b\n1,2\n") == []


def test_a_number_in_another_last_digit_is_the_same_and_in_another_tenth_is_not():
    assert found("a.csv", "a\n0.30000000000000004\n", "a\n0.3\n") == []
    assert found("a.csv", "a\n0.3000001\n", "a\n0.3\n") == [
        ("row 1, column 'a'", "'0.3000001' stands there, '0.3' should")
    ]


def test_rows_headings_and_cells_that_are_too_many_or_too_few_are_told():
    assert found("a.csv", "a\n1\n2\n", "a\n1\n") == [("row 2", "'2' stands there, and no such row should")]
    assert found("a.csv", "a\n", "a\n1\n") == [("row 1", "it is missing, '1' should stand there")]
    assert found("a.csv", "b\n1\n", "a\n1\n") == [("the headings", "'b' stands there, 'a' should")]
    assert found("a.csv", "a\n1,2\n", "a\n1\n") == [("row 1", "it has 2 cells, 1 should stand there")]


def test_of_a_page_the_words_that_differ_are_told():
    there, wanted = "<p>one</p>\n<p>int8 is <b>better</b></p>\n", "<p>one</p>\n<p>int8 is <b>worse</b></p>\n"
    assert found("a.html", there, wanted) == [("line 2", "'int8 is better' stands there, 'int8 is worse' should")]
    marked = found("a.html", '<p class="a">one</p>', '<p class="b">one</p>')
    assert marked == [("line 1", """'<p class="a">one</p>' stands there, '<p class="b">one</p>' should""")]


def test_an_image_that_cannot_be_shown_here_is_no_difference():
    assert found("a.html", IMAGE, NO_IMAGE) == []
    assert found("a.html", IMAGE, IMAGE.replace("AAAA", "BBBB")) == []
    assert found("a.html", IMAGE, NO_IMAGE.replace("<p>b", "<p>c")) == [("line 3", "'b' stands there, 'c' should")]


def test_long_pages_are_compared_in_time():
    lines = [f"<tr>{place}</tr>\n<td>\n" for place in range(4000)]
    other = [*lines[:10], "<p>new</p>\n", *lines[10:3000], "<p>newer</p>\n", *lines[3000:]]
    started = time.perf_counter()
    told = differences("a.html", "".join(other).encode(), "".join(lines).encode())
    assert time.perf_counter() - started < 5
    assert told[0] == Difference("line 21", "'new' stands there, '10' should")
