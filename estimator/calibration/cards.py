"""A card's text with other minutes in it, and everything else, comments too, as its author left it."""

from __future__ import annotations

import json
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from estimator.cards import shipped
from estimator.credits import format_credits
from estimator.errors import ExtraMissing, Issue, RateCardInvalid, RateCardNotFound
from estimator.rates import RateCard

if TYPE_CHECKING:
    from estimator.rates import MinutesModel


def card_text(source: str) -> tuple[str, str]:
    """The text of a shipped card or of a file, and how such files end: `.toml` or `.json`.

    Raises `RateCardNotFound`.
    """
    if source in shipped():
        return files("estimator.cards").joinpath(f"{source}.toml").read_text(encoding="utf-8"), ".toml"
    path = Path(source)
    try:
        return path.read_text(encoding="utf-8"), path.suffix.lower()
    except OSError as error:
        message = f"The rate card file {source!r} cannot be read: {error.strerror or error}. Check its path."
        raise RateCardNotFound(source, message) from None


def with_minutes(text: str, suffix: str, model: MinutesModel) -> str:
    """A card's text with the minutes of a model in place of its own.

    Raises `RateCardInvalid` where what comes out is no card, `ExtraMissing` without the extra `calibration`.
    """
    content = _content(model)
    if suffix == ".json":
        card = json.loads(text, parse_float=Decimal)
        changed = json.dumps(card | {"minutes": content}, indent=2, default=format_credits, ensure_ascii=False) + "\n"
        RateCard.from_json(changed)
        return changed
    changed = _with_table(text, content)
    if RateCard.from_toml(changed).minutes != model:
        raise RateCardInvalid((Issue("minutes", "unreadable", "could not be replaced. Put them into one table."),))
    return changed


def _content(model: MinutesModel) -> dict[str, Any]:
    amounts = {"start": model.start, "row": model.row, "p95_factor": model.p95_factor}
    content: dict[str, Any] = {name: format_credits(amount) for name, amount in amounts.items()}
    content["parallel"] = model.parallel
    for name in ("factors", "p95_factors"):
        if table := getattr(model, name):
            content[name] = {key: format_credits(amount) for key, amount in table.items()}
    return content


def _with_table(text: str, content: dict[str, Any]) -> str:
    try:
        import tomlkit
    except ImportError as error:
        raise ExtraMissing("Writing a card", "calibration") from error
    document = tomlkit.parse(text)
    table = tomlkit.table()
    for name, value in content.items():
        if isinstance(value, dict):
            inner = tomlkit.table()
            for key, amount in value.items():
                inner.add(key, amount)
            table.add(name, inner)
        else:
            table.add(name, value)
    document["minutes"] = table
    return tomlkit.dumps(document)


__all__ = ["card_text", "with_minutes"]
