"""The reference has every public name, and the page of the command line is the commands' own help."""

from __future__ import annotations

import importlib
import importlib.util
import re

from tests.docs.pages import ROOT

PACKAGES = (
    "estimator",
    "estimator.calibration",
    "estimator.report",
    "estimator.scenarios",
    "ledger",
    "ledger.fastapi",
    "ledger.finance",
    "ledger.finance.reconciliation",
    "ledger.testing",
)
_DIRECTIVE = re.compile(r"^\.\. (?:auto(?:class|exception|function)|py:data):: (\S+)\.(\w+)$", flags=re.MULTILINE)


def documented() -> list[tuple[str, str]]:
    """Module and name of everything that the reference has a directive for."""
    pages = sorted((ROOT / "docs" / "reference").glob("*.md"))
    return [found for page in pages for found in _DIRECTIVE.findall(page.read_text(encoding="utf-8"))]


def test_every_public_name_of_every_package_is_documented() -> None:
    subjects = [getattr(importlib.import_module(module), name) for module, name in documented()]
    for package in PACKAGES:
        module = importlib.import_module(package)
        missing = [name for name in module.__all__ if not any(getattr(module, name) is subject for subject in subjects)]
        assert missing == [], package


def test_nothing_is_documented_twice_or_without_being_public() -> None:
    found = documented()
    assert len(found) == len(set(found))
    for module, name in found:
        public = getattr(importlib.import_module(module), "__all__", None)
        assert public is None or name in public, f"{module}.{name}"


def test_the_page_of_the_command_line_is_what_the_commands_say_today() -> None:
    """Where it is not: run `python docs/command_line.py`."""
    spec = importlib.util.spec_from_file_location("command_line_page", ROOT / "docs" / "command_line.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.PAGE.read_text(encoding="utf-8") == script.page()
