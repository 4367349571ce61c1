"""The site: Markdown pages, and the reference of the Python API from docstrings.

Build it with every warning an error: `python -m sphinx -W --keep-going docs build/docs`.
"""

from __future__ import annotations

import importlib
import inspect
import re
from enum import Enum
from importlib.metadata import version as version_of
from typing import Any

from pydantic import BaseModel
from sphinx.application import Sphinx

from estimator.errors import EstimatorError
from ledger.errors import LedgerError

project = "run-credits"
copyright = "the run-credits contributors"  # noqa: A001  # the name that Sphinx reads
version = release = version_of("run-credits")

# Imported here, as a program imports them: autodoc's own way, with `TYPE_CHECKING` true, breaks pydantic's models.
for package in (
    "estimator.report",
    "estimator.calibration",
    "ledger.fastapi",
    "ledger.finance",
    "ledger.testing.machine",
):
    importlib.import_module(package)

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["__pycache__"]
smartquotes = False  # options are written with two dashes
html_theme = "furo"
html_title = f"run-credits {release}"
html_show_sphinx = False
html_copy_source = False

myst_heading_anchors = 3

autodoc_default_options = {"members": True, "member-order": "bysource", "exclude-members": "model_config"}
autodoc_typehints = "none"  # signatures are shown as they are written: see `show_written_signature`
python_maximum_signature_line_length = 100

_INDENTED = re.compile(r"^ {4,}\S")
_ANNOTATED = re.compile(r"Annotated\[([^,\[\]]+(?:\[[^\]]*\])?),.*\]$")
_WRITTEN = [
    (re.compile(r"<(\w+)\.(\w+): '[^']*'>"), r"\1.\2"),
    (re.compile(r": '((?:[^'\\]|\\.)*)'"), r": \1"),
    (re.compile(r"ForwardRef\('([^']*)'\)"), r"\1"),
    (re.compile(r"<factory>"), "..."),
]
_CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)(\w?)")


def read_as_markdown(app: Sphinx, what: str, name: str, subject: Any, options: Any, lines: list[str]) -> None:
    """Turn what docstrings write as Markdown does into what Sphinx reads: `code`, and indented examples and tables."""
    shown: list[str] = []
    is_literal = False
    for number, line in enumerate(lines):
        begins = _INDENTED.match(line) is not None and number > 0 and not lines[number - 1].strip()
        if begins and not is_literal and not line.lstrip().startswith((">>>", "- ")):
            shown += ["::", ""]
            is_literal = True
        elif line.strip() and not line.startswith(" "):
            is_literal = False
        shown.append(line if is_literal else _CODE.sub(_as_literal, line))
    lines[:] = shown


def _as_literal(found: re.Match[str]) -> str:
    code, letter = found.groups()
    return f"``{code}``\\ {letter}" if letter else f"``{code}``"


def add_what_a_class_holds(app: Sphinx, what: str, name: str, subject: Any, options: Any, lines: list[str]) -> None:
    """Add to a docstring the fields of a model, the values of an enumeration, or the code and fields of an error."""
    if not isinstance(subject, type):
        return
    if issubclass(subject, BaseModel):
        lines += ["", *(_field_line(subject, field) for field in subject.model_fields), ""]
    elif issubclass(subject, Enum):
        lines += ["", f"Values: {', '.join(f'``{member.value}``' for member in subject)}.", ""]
    elif issubclass(subject, EstimatorError | LedgerError):
        fields = [
            field for kind in subject.__mro__ for field in _annotations(kind) if field not in ("code", "status_hint")
        ]
        held = f" Fields: {', '.join(f'``{field}``' for field in fields)}." if fields else ""
        lines += ["", f"Code ``{subject.code}``, HTTP status {subject.status_hint}.{held}", ""]


def _annotations(kind: type) -> dict[str, Any]:
    """What one of the project's own classes annotates itself, as its source writes it."""
    return inspect.get_annotations(kind) if kind.__module__.partition(".")[0] in ("estimator", "ledger") else {}


def _field_line(model: type[BaseModel], name: str) -> str:
    field = model.model_fields[name]
    written = next((str(found[name]) for kind in model.__mro__ if name in (found := _annotations(kind))), "")
    kind = _ANNOTATED.sub(r"\1", written)
    ending = ", required." if field.is_required() else "."
    return f"- ``{name}``: ``{kind}``{ending} {field.description or ''}"


def show_written_signature(
    app: Sphinx, what: str, name: str, subject: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str, str] | None:
    """Show the annotations of a signature as its source writes them; none for models, enumerations and errors."""
    if isinstance(subject, type) and issubclass(subject, BaseModel | BaseException | Enum):
        return "", ""
    if what not in ("function", "method", "class"):
        return None
    try:
        found = inspect.signature(subject)
    except (TypeError, ValueError):
        return None
    own = [one for one in found.parameters.values() if what != "method" or one.name not in ("self", "cls")]
    text = str(found.replace(parameters=own, return_annotation=inspect.Signature.empty))
    for pattern, shown in _WRITTEN:
        text = pattern.sub(shown, text)
    answer = found.return_annotation
    if what == "class" or answer is inspect.Signature.empty:
        return text, ""
    return text, answer.strip("'\"") if isinstance(answer, str) else inspect.formatannotation(answer)


def leave_out_the_places_of_a_tuple(app: Sphinx, what: str, name: str, subject: Any, skip: bool, options: Any) -> Any:
    """A named tuple's fields stand in its signature; their own docstrings say nothing."""
    return True if str(inspect.getdoc(subject)).startswith("Alias for field number") else None


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls first."""
    app.connect("autodoc-process-docstring", read_as_markdown, priority=400)
    app.connect("autodoc-process-docstring", add_what_a_class_holds, priority=900)
    app.connect("autodoc-skip-member", leave_out_the_places_of_a_tuple)
    app.connect("autodoc-process-signature", show_written_signature)
    return {"parallel_read_safe": True}
