"""Options that several commands share, and how files, moments and requests are read."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from estimator.cards import shipped, shipped_card
from estimator.cli.terminal import CommandFailed
from estimator.errors import RateCardNotFound
from estimator.rates import RateCard, RateCardBook
from estimator.wire.requests import RunRequest

CARD_DEFAULT = "observed"

DatasetArgument = Annotated[
    Path,
    typer.Argument(metavar="DATASET", help="A .jsonl, .jsonl.gz, .csv, .csv.gz or .parquet file.", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document, amounts as decimal text.")]
CardOption = Annotated[
    str,
    typer.Option(
        "--card",
        metavar="NAME|PATH",
        help="A shipped rate card (example, observed), a .toml or .json file, or a folder of them.",
    ),
]
PricedAtOption = Annotated[
    str | None,
    typer.Option(
        "--at",
        metavar="MOMENT",
        help="Price under the card in force then: ISO 8601 with a zone, such as 2026-01-31T09:00:00Z.",
    ),
]
RequestOption = Annotated[
    str | None,
    typer.Option("--request", metavar="FILE|-", help="The request as JSON, from a file or from standard input."),
]
MapOption = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="ROLE=COLUMN",
        help="prompt, chat, completion, context (repeatable), universal_prompt or image.",
    ),
]
LengthOption = Annotated[
    str | None, typer.Option("--length", help="minimal, concise, detailed or extensive.", metavar="TIER")
]
GroundingOption = Annotated[
    bool | None, typer.Option("--grounding/--no-grounding", help="Ground answers in a web search.")
]
SafetyOption = Annotated[
    list[str] | None,
    typer.Option("--safety", metavar="CATEGORY", help="violence, self_harm, harassment, hate or sexual; repeatable."),
]
MaxRowsOption = Annotated[
    int | None, typer.Option("--max-rows", metavar="ROWS", help="Process at most this many rows.")
]
RecipeOption = Annotated[
    list[str] | None,
    typer.Option("--recipe", metavar="NAME", help="Turn a recipe on, such as reasoning_traces; repeatable."),
]
NoRecipeOption = Annotated[
    list[str] | None,
    typer.Option("--no-recipe", metavar="NAME", help="Turn off a recipe that the card turns on; repeatable."),
]
DiscountOption = Annotated[str | None, typer.Option("--discount", metavar="NAME", help="A discount of the rate card.")]
VoucherOption = Annotated[str | None, typer.Option("--voucher", metavar="NAME", help="A voucher of the rate card.")]


def parse_moment(text: str | None, option: str = "--at") -> datetime | None:
    """An aware moment in UTC from ISO 8601 text; None where none was given. Raises `CommandFailed`."""
    if text is None:
        return None
    example = "Write it with a zone, such as 2026-01-31T09:00:00Z."
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise CommandFailed("moment_invalid", f"{option}: {text!r} is no ISO 8601 date and time. {example}") from None
    if moment.utcoffset() is None:
        raise CommandFailed("moment_invalid", f"{option}: {text!r} has no time zone. {example}")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise CommandFailed(
            "moment_invalid", f"{option}: {text!r} is out of range. Give a moment within the years 1 to 9999."
        ) from None


def read_book(source: str) -> RateCardBook:
    """The rate cards that `--card` names: one that ships, a file's, or a folder's."""
    if Path(source).is_dir():
        return RateCardBook.from_folder(source)
    return RateCardBook([read_card(source)])


def read_card(source: str) -> RateCard:
    """The rate card of a shipped name or of a file. Raises `RateCardNotFound` and `RateCardInvalid`."""
    if source in shipped():
        return shipped_card(source)
    if Path(source).suffix.lower() in {".toml", ".json"} or Path(source).exists():
        return RateCard.from_file(source)
    names = ", ".join(shipped())
    raise RateCardNotFound(
        source,
        f"No rate card {source!r} ships with the package, and no such file exists. "
        f"Use one of {names}, or the path of a .toml or .json file.",
    )


def card_in_force(book: RateCardBook, at: datetime | None) -> RateCard:
    """The book's card at a moment; without a moment, the book's only card whatever its dates."""
    if at is not None:
        return book.at(at)
    if len(book.cards) > 1:
        raise CommandFailed(
            "moment_missing", "The folder holds several rate cards. Say with --at which moment to price."
        )
    return book.cards[0]


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """The parts of a request that have options; each overrides the same part of `--request`."""

    source: str | None = None
    mapping: Sequence[str] | None = None
    length: str | None = None
    grounding: bool | None = None
    safety: Sequence[str] | None = None
    max_rows: int | None = None
    recipes_on: Sequence[str] | None = None
    recipes_off: Sequence[str] | None = None
    key: str | None = None

    def read(self, *, estimate: bool | None = None) -> RunRequest:
        """The request, checked. Raises `RequestRejected`, and `CommandFailed` for text that is not JSON."""
        body = {} if self.source is None else _read_json(self.source)
        for path, value in self._overrides(estimate):
            _put(body, path, value)
        return RunRequest.from_wire(body)

    def _overrides(self, estimate: bool | None) -> Iterable[tuple[tuple[str, ...], Any]]:
        values: list[tuple[tuple[str, ...], Any]] = [
            (("brand_controls", "length"), self.length),
            (("brand_controls", "hallucination_mitigation"), self.grounding),
            (("brand_controls", "safety_categories"), list(self.safety) if self.safety else None),
            (("job_specification", "max_rows"), self.max_rows),
            (("job_specification", "idempotency_key"), self.key),
            (("estimate",), estimate),
        ]
        values += [(("column_mapping", role), column) for role, column in _roles(self.mapping or ()).items()]
        on, off = self.recipes_on or (), self.recipes_off or ()
        twice = sorted(set(on) & set(off))
        if twice:
            raise CommandFailed(
                "usage", f"Recipe {twice[0]!r} is both on and off. Give --recipe or --no-recipe, not both."
            )
        values += [(("recipe_specification", "recipes", name), name in on) for name in (*on, *off)]
        return [(path, value) for path, value in values if value is not None]


def _roles(pairs: Sequence[str]) -> dict[str, Any]:
    roles: dict[str, Any] = {}
    for pair in pairs:
        role, equals, column = pair.partition("=")
        if not (role and equals and column):
            raise CommandFailed("usage", f"--map {pair!r} names no role and column. Write it as prompt=COLUMN.")
        if role == "context":
            roles.setdefault(role, []).append(column)
        elif role in roles:
            raise CommandFailed("usage", f"--map gives {role} twice. Only context can have several columns.")
        else:
            roles[role] = column
    return roles


def _put(body: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set a value deep in a body. Parts of the wrong kind stay as they are, and the request is refused for them."""
    *parents, name = path
    for parent in parents:
        if body.get(parent) is None:
            body[parent] = {}
        if not isinstance(body[parent], dict):
            return
        body = body[parent]
    body[name] = value


def _read_json(source: str) -> dict[str, Any]:
    where = "on standard input" if source == "-" else f"in {source!r}"
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
        body = json.loads(text, parse_float=Decimal, parse_constant=_refuse_constant)
    except OSError as error:
        problem = f"cannot be read ({error.strerror or type(error).__name__}). Check its path."
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 at byte {error.start}. Save it as UTF-8."
    except (ValueError, RecursionError) as error:
        problem = f"is not JSON ({error}). Correct that place."
    else:
        if isinstance(body, dict):
            return body
        problem = 'is not a JSON object. Write it as {"brand_controls": {"length": "detailed"}}, for example.'
    raise CommandFailed("request_unreadable", f"The request {where} {problem}")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")


def check_place(path: Path | None) -> None:
    """Refuse a file that cannot be written, before a long reading. Raises `CommandFailed`."""
    if path is None:
        return
    if path.is_dir():
        raise CommandFailed("unwritable", f"{str(path)!r} is a folder. Name a file to write.")
    if not path.parent.is_dir():
        raise CommandFailed("unwritable", f"The folder {str(path.parent)!r} does not exist. Make it, or name another.")
