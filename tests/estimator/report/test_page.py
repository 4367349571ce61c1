"""The report says the same in charts, sentences and tables, exactly, and needs nothing but itself."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import pytest

from estimator.report import figures, render_report, write_report
from estimator.scenarios.results import Group, Groups
from tests.estimator.report.compared import CARDS, comparison


class Reader(HTMLParser):
    """Collects the tags, the text and the tables' cells of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.append(data.strip())


@pytest.fixture(scope="module")
def page() -> Reader:
    return Reader(render_report(comparison()))


def test_amounts_are_exact_also_where_no_double_holds_them(page: Reader) -> None:
    assert "90,071,992,547,419.930001" in page.words
    assert "90,071,992,547,408.930001" in page.words
    assert "+1.5" in page.words


def test_what_people_named_is_text_and_never_markup(page: Reader) -> None:
    assert "<script>alert(1)</script>" in page.words
    assert CARDS[1] in page.words
    assert not {"script", "b"} & {tag for tag, _ in page.tags}


def test_every_chart_has_its_text_and_its_figures(page: Reader) -> None:
    charts_shown = [attrs["aria-label"] for tag, attrs in page.tags if attrs.get("role") == "img" and tag == "div"]
    assert len(charts_shown) == 2 * 5
    assert all(text in page.words for text in charts_shown)
    assert sum(tag == "details" for tag, _ in page.tags) == 5
    assert sum(tag == "svg" for tag, _ in page.tags) == 10


def test_nothing_is_loaded_from_anywhere(page: Reader) -> None:
    loading = [
        (tag, name, value)
        for tag, attrs in page.tags
        for name, value in attrs.items()
        if name in ("src", "href", "xlink:href", "action") and not str(value).startswith(("data:", "#"))
    ]
    assert loading == []
    assert not re.search(r"@import|url\((?!#)", render_report(comparison()))


def test_the_same_comparison_gives_the_same_page() -> None:
    assert render_report(comparison()) == render_report(comparison())


def test_dimensions_that_the_runs_lack_are_left_out() -> None:
    (change,) = comparison().changes
    bare = replace(change, accounts=None, account_distribution=(), dearer_accounts=(), cheaper_accounts=(), steps=())
    page = Reader(render_report(replace(comparison(), changes=(bare,), groups={})))
    assert sum(tag == "figure" for tag, _ in page.tags) == 1
    assert "By dimension" not in page.words


def test_a_long_table_says_how_much_is_left_out() -> None:
    rows = tuple(Group(f"a{n:03d}", 1, Decimal(1), (Decimal(2),)) for n in range(figures.GROUPS_MAX + 4))
    page = Reader(render_report(replace(comparison(), groups={"account": Groups("account", CARDS, rows)})))
    assert "4 more have smaller changes; the CSV has them all." in page.words
    assert f"a{figures.GROUPS_MAX:03d}" not in page.words


def test_a_report_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    write_report(path, comparison())
    before = path.read_text(encoding="utf-8")
    assert before == render_report(comparison())

    def fail(self: Path, _target: Path) -> None:
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        write_report(path, replace(comparison(), runs=4))
    assert path.read_text(encoding="utf-8") == before
    assert list(tmp_path.iterdir()) == [path]
