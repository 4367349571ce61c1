"""The page for contributors names only what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ("CONTRIBUTING.md", "SECURITY.md", ".github/pull_request_template.md")
pytestmark = pytest.mark.skipif(not (ROOT / ".ci").exists(), reason="the tests alone, without the checkout they are of")
_PATH = re.compile(r"[\w.-]+/[\w./-]*|[\w-]+\.(?:md|toml|ya?ml)|\.ci/run")


def paths_of(page: str) -> list[str]:
    """Each path that a page has between backticks."""
    quoted = re.findall(r"`([^`\n]+)`", (ROOT / page).read_text(encoding="utf-8"))
    return [word for text in quoted for word in text.split() if _PATH.fullmatch(word) and not word.startswith(".venv")]


@pytest.mark.parametrize("page", PAGES)
def test_every_path_that_a_page_names_exists(page: str) -> None:
    """A folder or a file, from the top of the checkout."""
    assert [path for path in paths_of(page) if not (ROOT / path).exists()] == []


def test_the_pages_for_contributors_name_paths_at_all() -> None:
    """So that a change of their marks does not turn the test above into none."""
    assert len(set(paths_of("CONTRIBUTING.md"))) > 40


@pytest.mark.parametrize("name", ["bug.yml", "idea.yml", "config.yml"])
def test_the_templates_of_issues_are_there(name: str) -> None:
    """Where a host of repositories looks for them."""
    assert (ROOT / ".github/ISSUE_TEMPLATE" / name).exists()
