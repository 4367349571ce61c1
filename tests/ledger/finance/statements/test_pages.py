"""Statements as pages: nothing but text, whatever the names hold, and a name for each account's page."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

import ledger
from ledger.finance import (
    AccountingPeriod,
    PeriodStatements,
    StatementLine,
    read_statement,
    write_statement_page,
    write_statement_pages,
)
from ledger.finance.statements.pages import file_name
from tests.estimator.report.test_in_browser import browse
from tests.ledger.conftest import START, later
from tests.ledger.finance.conftest import AWKWARD
from tests.ledger.finance.statements.test_reading import run, settle

TAG = "</li><script>alert(1)</script>\u202e"


class Page(HTMLParser):
    """A page's tags, links and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text += f"{data.strip()} "


def page(session: Session, name: str, zone: str = "UTC") -> Page:
    out = StringIO()
    write_statement_page(read_statement(session, name, until=later(100)), out, zone=ZoneInfo(zone))
    return Page(out.getvalue())


@pytest.fixture
def tagged(session: Session) -> Session:
    """An account whose id, dataset and key are markup, with a settled run, and a hold that has lapsed unrecorded."""
    ledger.open_account(session, TAG, at=START)
    ledger.grant_credits(session, TAG, 500, key=TAG, at=START)
    settle(session, TAG, run(session, TAG, 1_200, later(1), dataset=TAG), 1_190, later(2))
    ledger.grant_credits(session, TAG, Decimal("0.000001"), expires_at=later(9), at=later(3))
    return session


def test_a_page_is_text_whatever_names_hold(tagged: Session) -> None:
    found = page(tagged, TAG, "Europe/Berlin")
    assert not found.tags & {"script", "img", "svg", "iframe"}
    assert set(found.links) == {"data:,"}
    shown = TAG.replace("\u202e", "\\u202e")
    assert f"Statement of {shown}" in found.text
    for expected in (
        f"key {shown}",
        "rate card example",
        "Length: detailed",
        "1,190",
        "2026-03-01 01:00:02 CET",
        "held → consumed",
        "available → expired 0.000001",
        "not recorded yet",
        "before 2026-03-01 01:01:40 CET, in Europe/Berlin",
    ):
        assert expected in " ".join(found.text.split()), expected


def test_a_page_is_written_as_its_entries_are_read(tagged: Session) -> None:
    statement = read_statement(tagged, TAG, until=later(100))
    lines, taken, written_before = statement.lines, [], []
    out = StringIO()

    def watched() -> Iterator[StatementLine]:
        for line in lines:
            written_before.append(out.tell())
            taken.append(line)
            yield line

    statement.lines = watched()
    write_statement_page(statement, out)
    assert len(taken) == statement.count
    assert len(set(written_before)) == len(written_before)


def test_a_folder_has_a_page_for_each_account_and_the_totals(months: Engine, tmp_path: Path) -> None:
    with Session(months) as session:
        found = PeriodStatements(session, AccountingPeriod.parse("2026-04"))
        folder = tmp_path / "pages"
        folder.mkdir()
        write_statement_pages(found, folder)
    index = Page((folder / "index.html").read_text(encoding="utf-8"))
    names = {file_name(name) for name in AWKWARD}
    assert {path.name for path in folder.iterdir()} == names | {"index.html"}
    assert set(index.links) == names | {"data:,"}
    assert len({name.lower() for name in names}) == len(AWKWARD)
    assert all(name.isascii() and name == Path(name).name for name in names)
    text = " ".join(index.text.split())
    assert f"{len(AWKWARD)} statements" in text
    assert f"{found.totals.entries} entries" in text


@pytest.mark.external
@pytest.mark.parametrize("width", [390, 1200])
def test_a_browser_shows_a_page_no_wider_than_the_window(tagged: Session, tmp_path: Path, width: int) -> None:
    out = StringIO()
    write_statement_page(read_statement(tagged, TAG, until=later(100)), out)
    script = "<script>document.title = document.documentElement.scrollWidth</script></body>"
    text = out.getvalue().replace("</body>", script).replace("default-src 'none'", "script-src 'unsafe-inline'")
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    frame = tmp_path / "frame.html"
    frame.write_text(
        f"<iframe src='page.html' width='{width}' height='800' style='border: 0'"
        " onload='document.title = this.contentDocument.title'></iframe>"
    )
    seen = browse(frame, "--allow-file-access-from-files", "--dump-dom", "--virtual-time-budget=5000")
    assert f"<title>{width}</title>" in seen


@pytest.mark.external
def test_a_page_is_printed(tagged: Session, tmp_path: Path) -> None:
    path, printed = tmp_path / "page.html", tmp_path / "page.pdf"
    with path.open("w", encoding="utf-8") as out:
        write_statement_page(read_statement(tagged, TAG, until=later(100)), out)
    browse(path, f"--print-to-pdf={printed}")
    assert printed.read_bytes().startswith(b"%PDF-")
