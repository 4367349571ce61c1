"""The charts of a report, drawn by Vega-Altair as SVG, so that a report runs no script in the browser.

Colours are variables of the page, so that a chart is dark, light or black on paper as the page is. Amounts become
floats here, as positions in a drawing; the figures that people read are exact texts.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from estimator.errors import ExtraMissing

try:
    import altair
    import vl_convert  # noqa: F401  # draws what altair describes
except ImportError as error:
    raise ExtraMissing("An HTML report", "report") from error

WIDE, NARROW = 700, 330
"""Widths of a chart, in pixels: for a page, and for a phone."""

DEARER, CHEAPER, SAME = "dearer", "cheaper", "the same"
_SIDES = {DEARER: "var(--dearer)", CHEAPER: "var(--cheaper)", SAME: "var(--same)"}
_LINES = ["var(--ink)", "var(--dearer)", "var(--cheaper)", "var(--same)"]
_DASHES = [[1, 0], [6, 3], [2, 2], [8, 2, 2, 2]]
_LABEL_SHARE = 0.4
_BAR_HEIGHT = 22
_CHARACTER = 7.4
"""The most pixels that a character takes in common fonts: the reader's fonts differ from those of this machine."""

Draw = Callable[[int], str]
"""A chart as SVG, for a width."""


def waterfall(bars: Sequence[tuple[str, Decimal, Decimal, str]], width: int) -> str:
    """Bars from one reached amount to the next: (label, from, to, what to write)."""
    values = [
        {"label": label, "start": float(start), "end": float(end), "text": text, "side": _side(end - start)}
        for label, start, end, text in bars
    ]
    return _bars(values, width, "Change in credits", ("start", "end"))


def movers(bars: Sequence[tuple[str, Decimal, str]], width: int) -> str:
    """Bars to both sides of zero: (label, change, what to write)."""
    values = [
        {"label": label, "start": 0, "end": float(delta), "text": text, "side": _side(delta)}
        for label, delta, text in bars
    ]
    return _bars(values, width, "Change in credits", ("start", "end"))


def counts(bars: Sequence[tuple[str, int, str]], what: str, width: int) -> str:
    """Bars of how many there are: (label, count, side)."""
    values = [
        {"label": label, "start": 0, "end": count, "text": f"{count:,}", "side": side} for label, count, side in bars
    ]
    return _bars(values, width, what.capitalize(), ("start", "end"))


def lines(points: Sequence[tuple[str, str, Decimal]], cards: Sequence[str], width: int) -> str:
    """A line for each card through the amounts of the months: (month, card, amount)."""
    values = [{"month": month, "card": card, "credits": float(amount)} for month, card, amount in points]
    colours = [_LINES[number % len(_LINES)] for number in range(len(cards))]
    dashes = [_DASHES[number % len(_DASHES)] for number in range(len(cards))]
    legend = altair.Legend(title=None, orient="top", columns=1, labelLimit=width - 60)
    chart = (
        altair.Chart(altair.InlineData(values=values))
        .mark_line(point=True)
        .encode(
            x=altair.X("month:O", title=None, axis=altair.Axis(labelAngle=-45, labelOverlap=True)),
            y=altair.Y("credits:Q", title="Credits", scale=altair.Scale(zero=True), axis=_amounts()),
            color=altair.Color(
                "card:N", sort=list(cards), scale=altair.Scale(domain=list(cards), range=colours)
            ).legend(legend),
            strokeDash=altair.StrokeDash(
                "card:N", sort=list(cards), scale=altair.Scale(domain=list(cards), range=dashes)
            ).legend(legend),
        )
        .properties(height=240)
    )
    return _svg(chart, width)


def _side(delta: Decimal) -> str:
    return DEARER if delta > 0 else CHEAPER if delta < 0 else SAME


def _amounts() -> Any:
    return altair.Axis(labelExpr="format(datum.value, '~s')", tickCount=4)


def _bars(values: list[dict[str, Any]], width: int, title: str, ends: tuple[str, str]) -> str:
    """Horizontal bars, which leave room for their labels also on a phone, in the order given."""
    values = [value | {"label": _shortened(value["label"], width), "row": row} for row, value in enumerate(values)]
    extent = _CHARACTER * max(len(value["label"]) for value in values)
    least, most = _domain(values, ends, width - extent)
    # By position: two shortened labels may be equal.
    labels = json.dumps([value["label"] for value in values])
    axis = altair.Axis(
        labelExpr=f"{labels}[datum.value]", labelLimit=0, minExtent=extent, maxExtent=extent, ticks=False
    )
    base = altair.Chart(altair.InlineData(values=values)).encode(y=altair.Y("row:O", title=None, axis=axis))
    bar = base.mark_bar().encode(
        x=altair.X(f"{ends[0]}:Q", title=title, axis=_amounts(), scale=altair.Scale(domain=[least, most])),
        x2=f"{ends[1]}:Q",
        color=altair.Color("side:N", legend=None, scale=altair.Scale(domain=list(_SIDES), range=list(_SIDES.values()))),
    )
    written = base.transform_calculate(place=f"max(datum.{ends[0]}, datum.{ends[1]})").mark_text(align="left", dx=4)
    written = written.encode(x="place:Q", text="text:N")
    return _svg(altair.layer(bar, written).properties(height=_BAR_HEIGHT * len(values)), width)


def _shortened(label: str, width: int) -> str:
    most = int(width * _LABEL_SHARE / _CHARACTER)
    return label if len(label) <= most else f"{label[: most - 1]}\u2026"


def _domain(values: list[dict[str, Any]], ends: tuple[str, str], width: float) -> tuple[float, float]:
    """The bounds of an axis over the bars, with room on the right for the text beside them."""
    least = min([0.0, *(value[end] for value in values for end in ends)])
    most = max([0.0, *(value[end] for value in values for end in ends)])
    written = _CHARACTER * (2 + max(len(value["text"]) for value in values))
    return least, most + (most - least or 1) * written / max(width - written, width / 3)


def _svg(chart: Any, width: int) -> str:
    drawn = (
        chart.properties(width=width, autosize=altair.AutoSizeParams(type="fit-x", contains="padding"))
        .configure(background="transparent", font="system-ui, sans-serif")
        .configure_view(stroke=None)
        .configure_axis(
            labelColor="var(--ink)",
            titleColor="var(--muted)",
            titleFontWeight="normal",
            gridColor="var(--grid)",
            domainColor="var(--grid)",
            tickColor="var(--grid)",
            labelFontSize=12,
            titleFontSize=12,
        )
        .configure_legend(labelColor="var(--ink)", labelFontSize=12)
        .configure_text(color="var(--ink)", fontSize=12)
    )
    with io.StringIO() as drawing:
        drawn.save(drawing, format="svg")
        return drawing.getvalue()
