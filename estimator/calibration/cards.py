"""The text of a card with other minutes; everything else, comments too, stays as its author wrote it."""

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
    from collections.abc import Callable

    from estimator.rates import MinutesModel

_TABLES = ("factors", "p95_factors")


def card_text(source: str) -> tuple[str, str]:
    """The text of a shipped card or of a file, with its own line ends, and how such files end: `.toml` or `.json`.

    Raises `RateCardNotFound`.
    """
    if source in shipped():
        return files("estimator.cards").joinpath(f"{source}.toml").read_text(encoding="utf-8"), ".toml"
    path = Path(source)
    try:
        return path.read_bytes().decode("utf-8"), path.suffix.lower()
    except OSError as error:
        message = f"The rate card file {source!r} cannot be read: {error.strerror or error}. Check its path."
        raise RateCardNotFound(source, message) from None


def with_minutes(text: str, suffix: str, model: MinutesModel) -> str:
    """A card's text with the minutes of a model in place of its own.

    Comments stay, those of minutes that stay included. A JSON text is laid out anew.

    Raises `RateCardInvalid` where the text is no card, or its minutes are written in a way that cannot be replaced;
    `ExtraMissing` without the extra `calibration`.
    """
    content = _content(model)
    if suffix == ".json":
        before = RateCard.from_json(text)
        card = json.loads(text, parse_float=Decimal)
        changed = json.dumps(card | {"minutes": content}, indent=2, default=format_credits, ensure_ascii=False) + "\n"
        return _checked(changed, RateCard.from_json, before, model)
    before = RateCard.from_toml(text)
    written = _with_table(text, content)
    return _checked(_ended_like(text, written), RateCard.from_toml, before, model)


def _content(model: MinutesModel) -> dict[str, Any]:
    amounts = {"start": model.start, "row": model.row, "p95_factor": model.p95_factor}
    content: dict[str, Any] = {name: format_credits(amount) for name, amount in amounts.items()}
    content["parallel"] = model.parallel
    for name in _TABLES:
        if table := getattr(model, name):
            content[name] = {key: format_credits(amount) for key, amount in table.items()}
    return content


def _checked(changed: str, read: Callable[[str], RateCard], before: RateCard, model: MinutesModel) -> str:
    """The text, if its card differs from the one before in nothing but the minutes."""
    if read(changed) != before.model_copy(update={"minutes": model}):
        message = "are written in a way that cannot be replaced. Write them as one table, [minutes], at the card's end."
        raise RateCardInvalid((Issue("minutes", "unreadable", message),))
    return changed


def _ended_like(text: str, changed: str) -> str:
    """The changed text with the line ends of the text, and one at its end."""
    changed = changed.replace("\r\n", "\n").rstrip("\n") + "\n"
    return changed.replace("\n", "\r\n") if "\r\n" in text else changed


def _with_table(text: str, content: dict[str, Any]) -> str:
    try:
        import tomlkit
    except ImportError as error:
        raise ExtraMissing("Writing a card", "calibration") from error
    document = tomlkit.parse(text)
    if not _is_plain(document.get("minutes")):
        document.pop("minutes", None)
        document["minutes"] = tomlkit.table()
    minutes: Any = document["minutes"]
    if not all(_is_plain(minutes[name]) for name in minutes if name in _TABLES):
        for name in _TABLES:
            minutes.pop(name, None)
    rest = _taken_off(_last_table(minutes))
    for name in [name for name in minutes if name not in content]:
        minutes.remove(name)
    for name, value in content.items():
        if isinstance(value, dict):
            _fill(minutes, name, value)
        else:
            minutes[name] = value
    last = _last_table(minutes)
    for item in rest or [tomlkit.nl()]:
        last.add(item)
    return tomlkit.dumps(document)


def _is_plain(table: Any) -> bool:
    """True for a table with a header line, not an inline table."""
    from tomlkit.items import Table

    return isinstance(table, Table)


def _fill(minutes: Any, name: str, values: dict[str, str]) -> None:
    """Give one of the tables within the minutes these values, and no others."""
    import tomlkit

    if name not in minutes:
        last = _last_table(minutes)
        if last.value.body:
            last.add(tomlkit.nl())
        minutes.add(name, tomlkit.table())
    table = minutes[name]
    for key in [key for key in table if key not in values]:
        table.remove(key)
    for key, value in values.items():
        table[key] = value


def _last_table(minutes: Any) -> Any:
    """The table whose lines are the last of the minutes."""
    inner = [minutes[name] for name in minutes if name in _TABLES]
    return inner[-1] if inner else minutes


def _taken_off(table: Any) -> list[Any]:
    """Take off the empty lines and comments at the end of a table: they belong to what follows."""
    from tomlkit.items import Null

    body = table.value.body
    rest: list[Any] = []
    while body and body[-1][0] is None:
        rest.insert(0, body.pop()[1])
    return [item for item in rest if not isinstance(item, Null)]  # the remains of removed values
