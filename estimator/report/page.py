"""The page of a report: figures and tables in one HTML file that loads nothing."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from estimator.errors import ExtraMissing
from estimator.files.writing import written_whole

if TYPE_CHECKING:
    from estimator.scenarios.results import Comparison


def render_report(comparison: Comparison, *, title: str = "Rate cards compared") -> str:
    """The HTML of a comparison: the totals, the parts of each card, who pays more, months, and every table.

    Pure: the same comparison gives the same text. Raises `ExtraMissing` without the extra `report`.
    """
    template = _template()
    from estimator.report import figures

    changes: list[dict[str, Any]] = [
        {
            "name": change.card.name,
            "id": change.card.id,
            "is_alone": len(comparison.changes) == 1,
            "figures": list(figures.of_change(comparison, change)),
            "movers": figures.movers(change),
        }
        for change in comparison.changes
    ]
    text: str = template.render(
        title=title,
        comparison=comparison,
        summary=figures.summary(comparison),
        timeline=figures.timeline(comparison),
        changes=changes,
        dimensions=figures.by_dimension(comparison),
    )
    return text


def write_report(path: Path | str, comparison: Comparison, *, title: str = "Rate cards compared") -> None:
    """Write `render_report` to a file: whole, or not at all."""
    text = render_report(comparison, title=title)
    with written_whole(path) as file:
        file.write(text)


@cache
def _template() -> Any:
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise ExtraMissing("An HTML report", "report") from error
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    source = files("estimator.report").joinpath("page.html").read_text(encoding="utf-8")
    return environment.from_string(source)
