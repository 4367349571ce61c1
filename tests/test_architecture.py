"""The direction of the imports, what pure code may not touch, and how large a file and a folder may be."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import estimator
import ledger

ROOTS = {name: Path(str(package.__file__)).parent for name, package in (("estimator", estimator), ("ledger", ledger))}
MODULES = [path for root in ROOTS.values() for path in sorted(root.rglob("*.py"))]

DATABASES = {"sqlalchemy", "sqlmodel", "alembic", "psycopg", "asyncpg", "sqlite3"}
IMPURE = {"rich", "time", "random", "secrets", "os", "uuid", "socket", "threading", "asyncio"}
CLOCK_CALLS = {"now", "utcnow", "today", "time", "monotonic", "getenv", "urandom"}

IMPURE_FOLDERS_OF_ESTIMATOR = {"cli", "files"}
"""What reads and writes for people. Every other folder of `estimator`, and its top level, is pure."""
PURE_FOLDERS_OF_LEDGER = {"model", "commands", "book", "rules", "accounting"}


def name_of(path: Path) -> str:
    """The path of a file or folder as `package/module.py`."""
    root = next(root for root in ROOTS.values() if path.is_relative_to(root))
    return str(path.relative_to(root.parent))


def imported(path: Path) -> Iterator[str]:
    """The full names of what a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_pure(path: Path) -> bool:
    """True for a module that must give the same answer for the same arguments, for ever: its folder says so."""
    package, folder, *_ = Path(name_of(path)).parts
    if package == "ledger":
        return folder in PURE_FOLDERS_OF_LEDGER
    return folder not in IMPURE_FOLDERS_OF_ESTIMATOR


def holds_amounts(path: Path) -> bool:
    """False for what fits lengths of time, and for what draws."""
    root = ROOTS["estimator"]
    return not path.is_relative_to(root / "calibration") and path != root / "report" / "charts.py"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_in_one_direction(path: Path) -> None:
    """The contracts of import-linter say more; this holds for what no folder may ever import."""
    packages = {name.partition(".")[0] for name in imported(path)}
    if path.is_relative_to(ROOTS["estimator"]):
        assert "ledger" not in packages
        assert not packages & DATABASES
    assert not packages & {"tests", "benchmarks"}


@pytest.mark.parametrize("path", [path for path in MODULES if is_pure(path)], ids=name_of)
def test_pure_code_has_no_clock_no_chance_no_environment_and_no_database(path: Path) -> None:
    """Neither imported nor called."""
    assert not {name.partition(".")[0] for name in imported(path)} & (IMPURE | DATABASES)
    called = {
        node.func.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert not called & CLOCK_CALLS


PURE_MODULES = [path for path in MODULES if path.is_relative_to(ROOTS["ledger"]) and is_pure(path)]


@pytest.mark.parametrize("path", PURE_MODULES, ids=name_of)
def test_pure_code_of_the_ledger_asks_nothing_impure_for_help(path: Path) -> None:
    """What a pure module imports from the ledger is pure as well, so no clock or database is reached in two steps."""
    parts = {tuple(name.split(".")[:2]) for name in imported(path) if name.startswith("ledger")}
    assert {name[1] for name in parts if len(name) > 1} <= PURE_FOLDERS_OF_LEDGER | {"errors"}


@pytest.mark.parametrize("path", [path for path in MODULES if is_pure(path) and holds_amounts(path)], ids=name_of)
def test_no_float_is_near_an_amount(path: Path) -> None:
    """A float may be read from a request exactly or written to the wire, each in one place; divisions are exact."""
    conversions = {"credits.py": 1, "requests.py": 1}
    of_fractions = {"pricing.py": 2}
    schema_bounds = {"requests.py": 1}
    tree = ast.parse(path.read_text())
    literals = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, float)]
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float"
    ]
    assert len(literals) <= schema_bounds.get(path.name, 0)
    divisions = [node for node in ast.walk(tree) if isinstance(node, ast.Div)]
    assert len(calls) <= conversions.get(path.name, 0)
    assert len(divisions) <= of_fractions.get(path.name, 0)


LINES_MAX = 440
FUNCTION_LINES_MAX = 70
FILES_MAX = 16
MIGRATIONS = ROOTS["ledger"] / "schema" / "migrations" / "versions"
"""Revisions are never changed once they have run somewhere, so no measure holds for them."""


@pytest.mark.parametrize("path", [path for path in MODULES if not path.is_relative_to(MIGRATIONS)], ids=name_of)
def test_files_and_functions_are_short_enough_to_read(path: Path) -> None:
    """A file of about 400 lines, a function of at most 70."""
    text = path.read_text()
    assert len(text.splitlines()) <= LINES_MAX
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = [node.name for node in functions if (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES_MAX]
    assert long == []


FOLDERS = sorted({path.parent for path in MODULES} - {MIGRATIONS})


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_a_folder_is_one_subject_that_its_first_lines_say(folder: Path) -> None:
    """Few enough files for a listing to be read, and a docstring that says the subject and what may be imported."""
    assert len([path for path in folder.glob("*.py") if path.name != "__init__.py"]) <= FILES_MAX
    said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
    assert said is not None


def classes(package: Path) -> Iterator[tuple[str, str]]:
    """The classes and public aliases of types that the files of a package define, each with its file."""
    for path in sorted(package.rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                yield node.name, name_of(path)
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name, is_call = node.targets[0].id, isinstance(node.value, ast.Call)  # a TypeVar is a call
                if name[0].isupper() and not name.isupper() and "_" not in name and not is_call:
                    yield name, name_of(path)


@pytest.mark.parametrize("package", ROOTS.values(), ids=lambda root: root.name)
def test_no_class_has_the_name_of_another_one_of_its_package(package: Path) -> None:
    """One thing, one word."""
    files: dict[str, list[str]] = {}
    for name, file in classes(package):
        files.setdefault(name, []).append(file)
    assert {name: places for name, places in files.items() if len(places) > 1} == {}


def asks_for_a_dialect(path: Path) -> list[int]:
    """The lines on which a module compares the name of a dialect or of a driver."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Compare):
            sides = [ast.unparse(side) for side in (node.left, *node.comparators)]
            if any(side.endswith(("dialect.name", "dialect.driver", "get_backend_name()")) for side in sides):
                found.append(node.lineno)
    return found


@pytest.mark.parametrize("path", [path for path in MODULES if path.is_relative_to(ROOTS["ledger"])], ids=name_of)
def test_no_code_decides_by_the_name_of_a_dialect(path: Path) -> None:
    """It asks what the database can do, which the table in `ledger/schema/databases.py` says."""
    assert asks_for_a_dialect(path) == []


def test_importing_the_estimator_loads_no_database_library() -> None:
    code = (
        "import sys; before = set(sys.modules); import estimator; "
        f"sys.exit(bool({DATABASES!r} & (set(sys.modules) - before)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_both_packages_are_marked_as_typed() -> None:
    assert all((root / "py.typed").exists() for root in ROOTS.values())


@pytest.mark.parametrize("package", [estimator, ledger], ids=lambda package: package.__name__)
def test_the_public_names_exist_once(package: ModuleType) -> None:
    """Their order is the linter's to hold: constants, classes, functions, each sorted."""
    assert len(package.__all__) == len(set(package.__all__))
    assert [name for name in package.__all__ if not hasattr(package, name)] == []
