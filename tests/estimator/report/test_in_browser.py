"""The report in a real browser, on a page and on a phone, without a network."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from estimator.report import write_report
from tests.estimator.report.compared import comparison

pytestmark = pytest.mark.external
_NAMES = ("chromium", "chromium-browser", "google-chrome")


def browse(path: Path, *arguments: str) -> str:
    """Open a file in headless Chromium; answers its output."""
    program = next((found for name in _NAMES if (found := shutil.which(name))), None)
    assert program is not None, "Chromium is needed: apt-get install chromium"
    command = [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", *arguments]
    done = subprocess.run([*command, path.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.html"
    write_report(path, comparison())
    return path


def test_the_page_is_understood_as_it_was_written(report: Path) -> None:
    seen = browse(report, "--dump-dom")
    assert seen.count("<svg") == 10
    assert "90,071,992,547,419.930001" in seen
    assert "&lt;script&gt;alert(1)" in seen


@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_is_no_wider_than_the_window(report: Path, tmp_path: Path, width: int) -> None:
    script = "<script>document.title = document.documentElement.scrollWidth</script></body>"
    text = report.read_text(encoding="utf-8").replace("</body>", script)
    measured = tmp_path / "measured.html"
    measured.write_text(text.replace("default-src 'none'", "script-src 'unsafe-inline'"), encoding="utf-8")
    # Inside a frame, as a window is never narrower than its own furniture.
    frame = tmp_path / "frame.html"
    frame.write_text(
        f"<iframe src='measured.html' width='{width}' height='800' style='border: 0'"
        " onload='document.title = this.contentDocument.title'></iframe>"
    )
    seen = browse(frame, "--allow-file-access-from-files", "--dump-dom", "--virtual-time-budget=5000")
    assert f"<title>{width}</title>" in seen


def test_it_is_drawn_and_printed(report: Path, tmp_path: Path) -> None:
    picture, printed = tmp_path / "report.png", tmp_path / "report.pdf"
    browse(report, f"--screenshot={picture}", "--window-size=800,1200")
    assert struct.unpack(">II", picture.read_bytes()[16:24]) == (800, 1200)
    assert picture.stat().st_size > 20_000
    browse(report, f"--print-to-pdf={printed}")
    assert printed.read_bytes().startswith(b"%PDF-")
