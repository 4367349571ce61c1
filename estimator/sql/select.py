"""A card's program as one SELECT: the price table inlined, then the program's steps, each computed from those before.

The statement has the steps of the program, folded for the columns of the table, and no rule of its own. It fails
for a run that has no price; `diagnosis_sql` lists such runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from estimator.columns import COLUMNS, MODALITIES, NULLABLE, RESULT, WORDS, present_columns
from estimator.columns.price_tables import (
    CODES,
    DIGITS,
    EXPANSION,
    STRIDES,
    SWITCHES,
    Amounts,
    PriceTable,
    known_inputs,
    named_inputs,
    price_inputs,
    price_table,
)
from estimator.errors import FrameInvalid, Issue
from estimator.programs.folding import fold
from estimator.programs.program import Op, Program
from estimator.rates.sections import PPM
from estimator.sql.dialects import Dialect, find_dialect, is_name
from estimator.sql.fences import fences

if TYPE_CHECKING:
    from estimator.rates import RateCard

_PREFIX = "step_"
_OPERATIONS: Mapping[Op, str] = {
    Op.ADD: "{} + {}",
    Op.SUB: "{} - {}",
    Op.MUL: "{} * {}",
    Op.MIN: "LEAST({}, {})",
    Op.MAX: "GREATEST({}, {})",
    Op.GREATER: "CASE WHEN {} > {} THEN 1 ELSE 0 END",
}


def sql(
    card: RateCard,
    dialect: str,
    columns: Iterable[str] = COLUMNS,
    *,
    table: str = "runs",
    keep: Sequence[str] = (),
    untested: bool = False,
) -> str:
    """One SELECT that prices a table of runs to the micro-credit that `estimate` gives.

    Args:
        card: what to price under.
        dialect: `duckdb`, `postgresql`, `spark` (with ANSI mode or without), or, only as `untested`, `bigquery`.
        columns: which columns the table has, as `estimator.columns` lists them; others are not looked at.
        table: its name, with its schema's before a dot if need be, spelled as the engine keeps it.
        keep: further columns to carry along, such as an account.
        untested: write SQL that was never executed, too.

    Returns:
        A statement, without a semicolon, of the columns kept, those priced, and `credits_micro` (64 bits). It
        fails, naming the first problem that it meets, where a run has no price: a null or an unknown word, rows
        beyond the card's `rows_max`, a configuration that the card does not price.

    Raises:
        DialectUnknown: no SQL is written for the engine, or none that was ever executed.
        FrameInvalid: columns are missing or misspelt, or a name cannot be written.
    """
    query = _Query(card, find_dialect(dialect, untested=untested), columns, table, keep)
    price = query.add_steps()
    failure = query.dialect.failure.format(_PREFIX + "problem")
    return query.select(f"CASE WHEN {_PREFIX}problem IS NULL THEN {price} ELSE {failure} END AS {RESULT}")


def diagnosis_sql(
    card: RateCard,
    dialect: str,
    columns: Iterable[str] = COLUMNS,
    *,
    table: str = "runs",
    keep: Sequence[str] = (),
    untested: bool = False,
) -> str:
    """One SELECT of the runs that `sql` fails on, each with the sentence `problem`; arguments and errors as there."""
    query = _Query(card, find_dialect(dialect, untested=untested), columns, table, keep)
    return query.select(f"{_PREFIX}problem AS problem") + f"\nWHERE {_PREFIX}problem IS NOT NULL"


class _Modality(NamedTuple):
    """One modality: its folded program, and its prices by code for the tiers that are not the same for all codes."""

    program: Program
    prices: Mapping[str, Sequence[int | None]]
    table: PriceTable


def _modality(card: RateCard, name: str, present: Sequence[str]) -> _Modality:
    program, table = card.programs[name], price_table(card, name, present)
    same, varying = price_inputs(program, table)
    prices = {name: [None if each is None else each[tier] for each in table.tiers] for name, tier in varying.items()}
    return _Modality(fold(program, known_inputs(card, program, present) | same), prices, table)


class _Subquery(NamedTuple):
    """A subquery: what it selects besides all columns of the one before, as `expression AS name`."""

    name: str
    body: str
    expressions: Sequence[str]

    @property
    def columns(self) -> dict[str, str]:
        """The expressions by the name of their column."""
        return {name: value for value, _, name in (each.rpartition(" AS ") for each in self.expressions)}


class _Query:
    """A statement under construction: each subquery selects all of the one before and adds columns."""

    def __init__(
        self, card: RateCard, dialect: Dialect, columns: Iterable[str], table: str, keep: Sequence[str]
    ) -> None:
        present = present_columns(columns)
        self.card, self.dialect, self.present = card, dialect, present
        self._subqueries: list[_Subquery] = []
        names = [name for name in card.sections if name == "text" or "modality" in present]
        self._modalities = {name: _modality(card, name, present) for name in names}
        self._kept = ", ".join(dialect.name(name) for name in (*_checked_keep(keep, present), *present))
        self._subqueries.append(_Subquery("given", f"SELECT {self._kept}\n  FROM {_checked_table(dialect, table)}", ()))
        self._add_prices()

    def select(self, last: str) -> str:
        """The whole statement; `last` is selected besides the columns of the table."""
        fenced = set(fences([part.columns for part in self._subqueries], last)) if self.dialect.fence else set()
        bodies = [
            f"{part.body}\n  {self.dialect.fence}" if place in fenced else part.body
            for place, part in enumerate(self._subqueries)
        ]
        parts = ",\n".join(
            f"{_PREFIX}{part.name} AS (\n  {body}\n)" for part, body in zip(self._subqueries, bodies, strict=True)
        )
        return f"WITH {parts}\nSELECT {self._kept}, {last}\nFROM {self._last}"

    def _add_prices(self) -> None:
        """Check every value, and look up the unit price of each run's configuration."""
        cases = "\n    ".join(
            f"WHEN {condition} THEN {self.dialect.text(sentence)}" for condition, sentence in self._problems()
        )
        self._add_to("checked", [f"CASE\n    {cases}\n  END AS {_PREFIX}invalid"])
        codes = _reduced(self._prices_by_code())
        self._add_to("coded", [*self._inputs(), f"{self._code(codes.used)} AS {_PREFIX}code"])
        self._look_up(codes.prices)

    def add_steps(self) -> str:
        """Compute the programs' steps; returns the expression of the price.

        Steps of all modalities are in the same subqueries: Spark refuses a statement with very many levels.
        """
        parts: dict[int, list[str]] = {}
        found = {name: self._steps_of(name, each.program, parts) for name, each in self._modalities.items()}
        for depth, expressions in sorted(parts.items()):
            self._add_to(f"{depth}", expressions)
        if len(found) == 1:
            return next(iter(found.values()))
        cases = " ".join(f"WHEN {self.dialect.text(name)} THEN {value}" for name, value in found.items())
        return f"CASE {self.dialect.name('modality')} {cases} END"

    @property
    def _last(self) -> str:
        return _PREFIX + self._subqueries[-1].name

    def _add_to(self, name: str, expressions: Sequence[str]) -> None:
        body = f"SELECT *, {f',{chr(10)}    '.join(expressions)}\n  FROM {self._last}"
        self._subqueries.append(_Subquery(name, body, expressions))

    def _own(self, modality: str, name: str) -> str:
        """The column of a step or a price; with two modalities each has its own."""
        return f"{_PREFIX}{name}" if len(self._modalities) == 1 else f"{_PREFIX}{modality}_{name}"

    def _problems(self) -> Iterator[tuple[str, str]]:
        """The conditions under which a run's values are wrong, each with its sentence, in order."""
        name, integer, card = self.dialect.name, self.dialect.integer, self.card
        for column in self.present:
            if column not in NULLABLE:
                yield f"{name(column)} IS NULL", f"{column} is null: write the value that the run had"
        for column in self.present:
            if COLUMNS[column] == "integer":
                yield (
                    f"{name(column)} <> CAST({name(column)} AS {integer})",
                    f"{column} is no whole number: cast it after making sure that every value is whole",
                )
                least = 1 if column in ("rows", "max_rows") else 0
                yield f"{name(column)} < {least}", f"{column} is less than {least}: give the value that the run had"
            if column in WORDS:
                words = ", ".join(map(self.dialect.text, WORDS[column]))
                yield f"{name(column)} NOT IN ({words})", f"{column} is none of {', '.join(WORDS[column])}"
        if "sample_ppm" in self.present:
            yield f"{name('sample_ppm')} > {PPM}", f"sample_ppm is more than {PPM}: give parts per million"
        for column, known in (("discount", card.discounts), ("voucher", card.vouchers)):
            if column in self.present:
                listed = ", ".join(map(self.dialect.text, known))
                outside = f"{name(column)} NOT IN ({listed})" if known else f"{name(column)} IS NOT NULL"
                yield outside, f"{column} is not on the rate card {card.name!r}: give null for none"
        yield f"{self._rows()} > {card.rows_max}", f"rows are more than the {card.rows_max} that the card allows a run"
        if "targets" in self.present:
            yield (
                f"{name('targets')} > {card.targets_max}",
                f"targets are more than the {card.targets_max} that the card allows",
            )

    def _rows(self) -> str:
        """Rows to process: the fewer of `rows` and `max_rows`. A null limit compares as unknown, which is not less."""
        rows, most = self.dialect.name("rows"), self.dialect.name("max_rows")
        return f"CASE WHEN {most} < {rows} THEN {most} ELSE {rows} END" if "max_rows" in self.present else rows

    def _inputs(self) -> list[str]:
        """The inputs that do not depend on the configuration; 0 or 1 for a wrong run, so that no step overflows."""
        numbers = {"rows": (self._rows(), 1)}
        if "targets" in self.present:
            numbers |= {name: (self.dialect.name(name), 0) for name in ("sample_ppm", "targets")}
        for name, (column, amounts) in named_inputs(self.card).items():
            if column in self.present:
                numbers[name] = (self._named(column, amounts), 0)
        return [
            f"CAST(CASE WHEN {_PREFIX}invalid IS NULL THEN {value} ELSE {otherwise} END AS {self.dialect.integer})"
            f" AS {_PREFIX}{name}"
            for name, (value, otherwise) in numbers.items()
        ]

    def _named(self, column: str, amounts: Amounts) -> str:
        cases = " ".join(f"WHEN {self.dialect.text(name)} THEN {amount}" for name, amount in amounts)
        return f"CASE {self.dialect.name(column)} {cases} ELSE 0 END" if cases else "0"

    def _prices_by_code(self) -> dict[int, tuple[int, ...] | None]:
        """The prices of every code that can occur, those of other modalities 0; None where there is no price."""
        present = MODALITIES if "modality" in self.present else MODALITIES[:1]
        found: dict[int, tuple[int, ...] | None] = {}
        for place, name in enumerate(present):
            own = self._modalities.get(name)
            table = own.table if own is not None else next(iter(self._modalities.values())).table
            for code in table.possible:
                missing = own is None or own.table.tiers[code] is None
                found[place * CODES + code] = None if missing else tuple(self._prices_of(name, code))
        return found

    def _prices_of(self, modality: str, code: int) -> Iterator[int]:
        for name, each in self._modalities.items():
            for values in each.prices.values():
                yield (values[code] or 0) if name == modality else 0

    def _code(self, used: frozenset[str]) -> str:
        """The configuration's code, from the columns that prices depend on."""
        terms = []
        for place, column in enumerate(SWITCHES):
            if column in used:
                terms.append(f"CASE WHEN {self.dialect.name(column)} THEN {1 << place} ELSE 0 END")
        if "targets" in used:
            terms.append(f"CASE WHEN {self.dialect.name('targets')} > 0 THEN {EXPANSION} ELSE 0 END")
        for column, stride in STRIDES.items():
            if column in used:
                cases = " ".join(
                    f"WHEN {self.dialect.text(word)} THEN {digit * stride}" for digit, word in enumerate(WORDS[column])
                )
                terms.append(f"CASE {self.dialect.name(column)} {cases} END")
        return "\n    + ".join(terms) or "0"

    def _look_up(self, prices: Mapping[int, tuple[int, ...] | None]) -> None:
        names = [self._own(name, tier) for name, each in self._modalities.items() for tier in each.prices]
        rows = [(code, *values) for code, values in prices.items() if values is not None]
        if not rows:
            self._add_to("priced", [f"{self._without_price('TRUE')} AS {_PREFIX}problem"])
        elif len(prices) == 1:
            columns = [
                f"CAST({value} AS {self.dialect.integer}) AS {name}"
                for name, value in zip(names, rows[0][1:], strict=True)
            ]
            self._add_to("priced", [f"{_PREFIX}invalid AS {_PREFIX}problem", *columns])
        else:
            columns = [f"CAST(COALESCE(price.{name}, 0) AS {self.dialect.integer}) AS {name}" for name in names]
            missing = self._without_price("price.code IS NULL")
            expressions = [f"{missing} AS {_PREFIX}problem", *columns]
            selected = ",\n    ".join(expressions)
            table = self.dialect.rows("price", ["code", *names], rows)
            body = f"SELECT {self._last}.*, {selected}\n  FROM {self._last} LEFT JOIN {table}"
            body += f" ON price.code = {self._last}.{_PREFIX}code"
            self._subqueries.append(_Subquery("priced", body, expressions))

    def _without_price(self, condition: str) -> str:
        sentence = f"the rate card {self.card.name!r} has no price for this configuration: leave such runs out"
        told = f"{_PREFIX}invalid"
        return f"CASE WHEN {told} IS NOT NULL THEN {told} WHEN {condition} THEN {self.dialect.text(sentence)} END"

    def _steps_of(self, modality: str, program: Program, parts: dict[int, list[str]]) -> str:
        """Sort the steps that lead to the price into subqueries by depth; returns the expression of the price."""
        result = program.positions["micro"]
        depths: dict[int, int] = {}
        for position in program.path_to(result):
            step = program.steps[position]
            depths[position] = 1 + max((depths.get(operand, 0) for operand in step.operands), default=-1)
            if step.operands:
                expression = self._expression(modality, program, position)
                parts.setdefault(depths[position], []).append(f"{expression} AS {self._own(modality, step.name)}")
        return self._value(modality, program, result)

    def _expression(self, modality: str, program: Program, position: int) -> str:
        step = program.steps[position]
        form = self.dialect.division if step.op is Op.FLOORDIV else _OPERATIONS[step.op]
        return form.format(*(self._value(modality, program, operand) for operand in step.operands))

    def _value(self, modality: str, program: Program, position: int) -> str:
        step = program.steps[position]
        if step.op is Op.CONST:
            return f"CAST({step.least} AS {self.dialect.integer})"
        if step.op is Op.INPUT and not step.name.startswith("unit_price_"):
            return _PREFIX + step.name
        return self._own(modality, step.name)


class _Codes(NamedTuple):
    """Prices by the codes of the columns that prices depend on; `used` are those columns."""

    prices: Mapping[int, tuple[int, ...] | None]
    used: frozenset[str]


def _reduced(prices: Mapping[int, tuple[int, ...] | None]) -> _Codes:
    """Prices by code, without the columns that change no price."""
    left, used = dict(prices), set()
    for column, (stride, base) in DIGITS.items():
        if all(value == left[code - code // stride % base * stride] for code, value in left.items()):
            left = {code: value for code, value in left.items() if code // stride % base == 0}
        else:
            used.add(column)
    return _Codes(left, frozenset(used))


def _checked_keep(keep: Sequence[str], present: Sequence[str]) -> Sequence[str]:
    for name in keep:
        if not name or name in present or name == RESULT or name.startswith(_PREFIX) or keep.count(name) > 1:
            advice = f"Keep other columns, each once, none of whose names begins with {_PREFIX!r}."
            raise FrameInvalid(
                [Issue(name, "keep_invalid", f"cannot be carried along beside what is priced. {advice}")]
            )
    return keep


def _checked_table(dialect: Dialect, table: str) -> str:
    parts = table.split(".")
    if not all(map(is_name, parts)):
        advice = "Give a name, or names with dots between them, of letters, digits and underscores"
        raise FrameInvalid([Issue("table", "name_invalid", f"cannot be {table!r}. {advice}.")])
    return ".".join(map(dialect.name, parts))
