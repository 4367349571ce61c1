"""The rate cards that ship with the package.

`observed` restates the only rates known in public, inferred and not official; `example` is fictional and uses
every dimension a card can have. An operator writes their own.
"""

from __future__ import annotations

from functools import cache

from estimator.errors import RateCardNotFound
from estimator.rates import RateCard
from estimator.sentences import nearest

_NAMES = ("example", "observed")


def shipped() -> dict[str, RateCard]:
    """Every shipped card by name."""
    return {name: _read(name) for name in _NAMES}


def shipped_card(name: str) -> RateCard:
    """The shipped card of a name. Raises `RateCardNotFound`."""
    if name not in _NAMES:
        raise RateCardNotFound(name, f"No rate card named {name!r} ships with the package. {nearest(name, _NAMES)}")
    return _read(name)


@cache
def _read(name: str) -> RateCard:
    from importlib.resources import files  # imported here: a tenth of the package's import time

    return RateCard.from_toml(files(__name__).joinpath(f"{name}.toml").read_text(encoding="utf-8"))


__all__ = ["shipped", "shipped_card"]
