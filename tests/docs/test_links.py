"""What the pages point to is there: files, headings, names of the packages, tests, extras."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, anchors, codes, links, name_of

CHECKED = [*PAGES, ROOT / "benchmarks" / "README.md"]
_PATH = re.compile(r"(?:estimator|ledger|tests|docs|benchmarks|\.ci)/[\w./-]*")
_TEST = re.compile(r"(tests/[\w./]+\.py)::(\w+)")
_NAME = re.compile(r"((?:ledger|estimator)(?:\.\w+)+)(?:\(.*)?")
_MODULE = re.compile(r"python -m ((?:tests|benchmarks)(?:\.\w+)*)")
_EXTRA = re.compile(r"run-credits\[([\w,]+)\]|\bextra `(\w+)`|'\.\[([\w,]+)\]'")

every_page = pytest.mark.parametrize("page", CHECKED, ids=name_of)


@every_page
def test_every_link_leads_to_a_file_and_to_one_of_its_headings(page: Path) -> None:
    for link in links(page):
        if re.match(r"https?://|mailto:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@every_page
def test_every_path_that_is_mentioned_exists(page: Path) -> None:
    for code in codes(page):
        if _PATH.fullmatch(code):
            assert (ROOT / code).exists(), code
    for module in _MODULE.findall(page.read_text(encoding="utf-8")):
        assert importlib.util.find_spec(module) is not None, module


@cache
def named_tests(path: Path) -> set[str]:
    """The names of a file's test functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@every_page
def test_every_test_that_is_named_exists(page: Path) -> None:
    for code in codes(page):
        if found := _TEST.fullmatch(code):
            path, test = found.groups()
            assert test in named_tests(ROOT / path), code


def test_each_promise_names_a_test_that_fails_when_it_is_broken() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = page.partition("\n## The promises\n")[2].partition("\n## ")[0]
    promises = re.split(r"^### ", section, flags=re.MULTILINE)[1:]
    assert len(promises) == 12
    assert [promise.splitlines()[0] for promise in promises if "`tests/" not in promise] == []


@pytest.mark.parametrize("package", ["estimator", "ledger"])
def test_every_folder_of_a_package_is_on_the_page_of_the_architecture(package: str) -> None:
    page = codes(ROOT / "docs" / "architecture.md")
    folders = {f"{package}/{init.parent.name}/" for init in (ROOT / package).glob("*/__init__.py")}
    assert folders - set(page) == set()


def found(name: str) -> bool:
    """Whether a dotted name leads to a module, or to something in one."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            subject = importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        for part in parts[end:]:
            if not hasattr(subject, part):
                return False
            subject = getattr(subject, part)
        return True
    return False


@every_page
def test_every_name_of_the_packages_that_is_mentioned_exists(page: Path) -> None:
    names = {match[1] for code in codes(page) if (match := _NAME.fullmatch(code)) and not code.endswith(".py")}
    assert {name for name in names if not found(name)} <= {"ledger.account_id"}  # a setting of PostgreSQL


@every_page
def test_every_extra_that_is_mentioned_can_be_installed(page: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    mentioned = _EXTRA.findall(page.read_text(encoding="utf-8"))
    extras = {extra for groups in mentioned for group in groups if group for extra in group.split(",")}
    assert extras <= set(project["optional-dependencies"])
