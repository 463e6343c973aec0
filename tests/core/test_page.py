from __future__ import annotations

import html.parser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from browser import Browser
from helpers import Decay, decay_set

import kerasjoint
from kerasjoint import ArgumentError, ProblemSet
from kerasjoint.methods import LockstepLBFGS
from kerasjoint.page import MOST_ROWS, Page

EVIL = "<script>alert('x')</script>&\"<img src=x onerror=alert(1)>"
COLUMN = "Array.from(document.querySelectorAll('tbody tr'), row => row.cells[{}].textContent)"


class Tags(html.parser.HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), name
            assert name not in ("src", "href") or value.startswith("data:"), value

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "name": ["b", "a", "c10", "c9", ""],
            "loss": [2.5e-9, 1e3, np.inf, np.nan, -3.0],
            "share": ["9.0 [1, 20]", "80.5 [70, 90]", "", "100.0 [97, 100]", "9.0 [1, 20]"],
        }
    )


def test_every_text_is_escaped() -> None:
    page = Page(EVIL)
    page.heading(EVIL)
    page.text(EVIL)
    page.code(EVIL)
    page.table(pd.DataFrame({EVIL: [EVIL]}))
    page.figure(b"png", EVIL)
    page.pairs({EVIL: EVIL})
    found = Tags(page.html())
    assert found.tags.count("script") == 1
    assert found.tags.count("img") == 1
    assert found.text.count(EVIL) == 10


def test_numbers_keep_their_value_for_sorting(table: pd.DataFrame) -> None:
    page = Page("numbers")
    page.table(table.assign(count=[1, 2, 3, 4, 5], flag=True))
    text = page.html()
    assert '<td class="number" data-value="2.5e-09">2.5e-09</td>' in text
    assert '<td class="number" data-value="Infinity">inf</td>' in text
    assert '<td class="number" data-value="3.0">3</td>' in text
    assert "<td>True</td>" in text
    assert "<td></td>" in text


def test_of_very_many_rows_the_first_are_shown() -> None:
    page = Page("long")
    page.table(pd.DataFrame({"k": range(MOST_ROWS + 1)}))
    found = Tags(page.html())
    assert found.tags.count("tr") == MOST_ROWS + 1
    assert "The first 2,000 of 2,001 rows." in found.text


def test_a_page_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "page.html"
    target.write_text("old")

    def full(self, *arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(kerasjoint.KerasjointError, match="No space left"):
        Page("new").write(target)
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.parametrize("width", [1280, 390])
def test_in_a_browser_tables_sort_and_nothing_complains(table, tmp_path, width) -> None:
    page = Page("sorting")
    page.table(table)
    path = page.write(tmp_path / "page.html")
    with Browser(path, tmp_path / "profile", width) as browser:

        def sorted_by(column: int, times: int = 1) -> list[str]:
            for _ in range(times):
                browser.evaluate(f"document.querySelectorAll('thead button')[{column}].click()")
            return browser.evaluate(COLUMN.format(column))

        assert sorted_by(0) == ["a", "b", "c9", "c10", ""]
        assert sorted_by(1) == ["-3", "2.5e-09", "1000", "inf", ""]
        assert sorted_by(1) == ["inf", "1000", "2.5e-09", "-3", ""]
        assert browser.evaluate("document.querySelectorAll('th')[1].getAttribute('aria-sort')") == "descending"
        assert sorted_by(2) == ["9.0 [1, 20]", "9.0 [1, 20]", "80.5 [70, 90]", "100.0 [97, 100]", ""]
        # The page itself never scrolls sideways: wide tables do.
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        assert browser.messages == []


def test_a_report_of_solutions(tmp_path: Path) -> None:
    problem_set = decay_set(Decay(), n=4)
    few = LockstepLBFGS(max_iterations=1).solve(problem_set)
    path = kerasjoint.report({"few": few, EVIL: LockstepLBFGS().solve(problem_set)}, tmp_path / "decay.html")
    found = Tags(path.read_text())
    assert found.tags.count("img") == 4 + 2 * 2
    assert found.tags.count("table") == 1 + 1 + 2 + 1
    assert EVIL in found.text
    assert kerasjoint.environment.versions()["tensorflow"] in found.text
    assert f"{few.xi[0, 0]:.4g}" in found.text
    assert "standard error rate" in found.text
    unjudged = LockstepLBFGS(max_iterations=1).solve(ProblemSet(problem_set.problem, problem_set.x, problem_set.y))
    kerasjoint.report(unjudged, path, title="alone")
    assert Tags(path.read_text()).tags.count("img") == 1 + 2


def test_bad_arguments_are_refused_by_name(tmp_path: Path) -> None:
    for path in (tmp_path / "page.txt", tmp_path / "none" / "page.html", 3):
        with pytest.raises(ArgumentError, match=r"path: expected"):
            kerasjoint.report({}, path)
    with pytest.raises(ArgumentError, match="solutions: expected a Solution, or a dict of them by name"):
        kerasjoint.report({}, tmp_path / "page.html")
