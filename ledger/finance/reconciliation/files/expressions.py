"""SQL that makes a record's values of the texts of a file, exactly; NULL for a text that is no such value."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ledger.finance.reconciliation.files.mappings import RecordMapping
from ledger.finance.reconciliation.files.scratch import named, quoted

DIGITS_MAX = {6: 12, 0: 18, 18: 18}
"""Digits before the decimal mark, by scale: few enough that no sum of many overflows its type."""

_NARROW = 18
"""Digits of a decimal that DuckDB keeps in 64 bits."""

_SPACES = "\u00a0\u202f "
_MINOR_SCALE = 12
_MINOR_DECIMALS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
"""Decimals of the minor unit where it is not two (ISO 4217)."""

Types = Mapping[str, tuple[str, str]]
"""Column -> its name in SQL, and its type; TEXT for the columns of CSV."""


def select_records(mapping: RecordMapping, types: Types, source: str, *, kept: str, also: str | None = None) -> str:
    """The query of a file's records; its column `wrong` names the field whose text is no value, NULL where none is."""
    columns = mapping.columns
    currency, moment = _currency(mapping, types), _moment(mapping, types)
    said = _text(columns.at, types)
    fields = {
        "ref": _reference(mapping, types),
        "account": _text(columns.account, types),
        "amount": _amount(mapping, types, currency),
        "currency": currency,
        "moment": moment,
        "status": _status(mapping, types),
        "id": _text(columns.id, types),
        "rate": _text(None, types),
        "has_moment": "false" if columns.at is None else f"{said} IS NOT NULL",
    }
    chosen = ", ".join([f"{fields[name]} AS {name}" for name in fields] + ([] if also is None else [also]))
    known = "regexp_full_match(currency, '[A-Z]{3}')" if mapping.is_money else "true"
    wrong = (
        "CASE WHEN amount IS NULL THEN 'amount' WHEN has_moment AND moment IS NULL THEN 'at'"
        f" WHEN NOT coalesce({known}, false) THEN 'currency' END"
    )
    return f"SELECT * EXCLUDE (has_moment), {wrong} AS wrong FROM (SELECT {chosen} FROM {source} WHERE {kept})"


def kept_types(mapping: RecordMapping, types: Types) -> str:
    """SQL that is true for the records that are compared."""
    if not mapping.filter.types:
        return "true"
    listed = ", ".join(quoted(word.lower()) for word in mapping.filter.types)
    return f"coalesce(lower({_text(mapping.columns.type, types)}) IN ({listed}), false)"


def _text(column: str | None, types: Types) -> str:
    """A column's text without spaces around it; NULL for an empty one."""
    if column is None:
        return "CAST(NULL AS VARCHAR)"
    name, kind = types[column]
    if kind not in ("TEXT", "VARCHAR"):
        return f"nullif(trim(CAST({named(name)} AS VARCHAR)), '')"
    cell = named(name)
    # Trimming looks up the class of every character, which takes longer than reading the file: only where needed.
    is_bare = f"{cell} BETWEEN '!' AND '~' AND NOT ends_with({cell}, ' ') AND strlen({cell}) = length({cell})"
    return f"CASE WHEN {is_bare} THEN {cell} ELSE nullif(trim({cell}), '') END"


def _reference(mapping: RecordMapping, types: Types) -> str:
    parts = [_text(column, types) for column in mapping.columns.references]
    if not parts:
        return _text(None, types)
    joined = f" || {quoted(mapping.reference.separator)} || ".join(parts)
    if mapping.reference.pattern:
        joined = f"nullif(regexp_extract({joined}, {quoted(mapping.reference.pattern)}, 1), '')"
    return f"lower({joined})" if mapping.reference.ignore_case else joined


def amount_pattern(mapping: RecordMapping, *, is_plain: bool = False) -> str:
    """The pattern of an amount; thousands are groups of three, so that no decimal comma is taken for one."""
    scale = _MINOR_SCALE if mapping.amount.unit == "minor" else mapping.scale
    most = DIGITS_MAX[mapping.scale]
    whole, mark = f"[0-9]{{1,{most}}}", "." if is_plain else mapping.amount.decimal
    if mapping.amount.thousands and not is_plain:
        gap = _character_class(mapping.amount.thousands)
        whole = f"(?:{whole}|[0-9]{{1,3}}(?:{gap}[0-9]{{3}}){{1,{most // 3 - 1}}})"
    return f"[+-]?{whole}(?:{_character_class(mark)}[0-9]{{0,{scale}}}0*)?"


def _character_class(character: str) -> str:
    return f"[{_SPACES}]" if character in _SPACES else f"[{re.escape(character)}]"


def _amount(mapping: RecordMapping, types: Types, currency: str) -> str:
    rule = mapping.amount
    text, is_plain = _text(mapping.columns.amount, types), types[mapping.columns.amount][1] not in ("TEXT", "VARCHAR")
    plain = text
    if not is_plain:
        for gap in _SPACES if rule.thousands and rule.thousands in _SPACES else rule.thousands:
            plain = f"replace({plain}, {quoted(gap)}, '')"
        if rule.decimal != ".":
            plain = f"replace({plain}, {quoted(rule.decimal)}, '.')"
    scale = _MINOR_SCALE if rule.unit == "minor" else mapping.scale
    kind = "BIGINT" if mapping.scale <= 6 else "HUGEINT"
    number = _whole_number(plain, scale, kind)
    if rule.unit == "minor":
        number = f"{number} * {_minor_factor(currency)}"
    if rule.sign == "inverted":
        number = f"-({number})"
    elif rule.sign == "absolute":
        number = f"abs({number})"
    if rule.negative_types:
        listed = ", ".join(quoted(word.lower()) for word in rule.negative_types)
        kind_of = f"lower({_text(mapping.columns.type, types)})"
        number = f"CASE WHEN {kind_of} IN ({listed}) THEN -abs({number}) ELSE {number} END"
    pattern = quoted(amount_pattern(mapping, is_plain=is_plain))
    nothing = f" WHEN {text} IS NULL THEN 0" if rule.empty_is_zero else ""
    return f"CASE WHEN regexp_full_match({text}, {pattern}) THEN {number}{nothing} END"


def _whole_number(plain: str, scale: int, kind: str) -> str:
    """A plain number as a whole number of 10^-scale; its pattern has been checked, so no digit is lost."""
    if kind == "BIGINT":
        # Both types are explicit and wide: a product of narrow ones overflows, one of integers differs by release.
        factor = f"CAST({10**scale} AS DECIMAL({scale + 1}, 0))"
        wide = f"CAST(CAST({plain} AS DECIMAL(24, {scale})) * {factor} AS BIGINT)"
        if 2 * scale >= _NARROW:
            return wide
        # Five times as fast where even the product fits into 64 bits.
        narrow, most = f"CAST({plain} AS DECIMAL({_NARROW}, {scale}))", 10 ** (_NARROW - 2 * scale) - 1
        return f"CASE WHEN {narrow} BETWEEN -{most} AND {most} THEN CAST({narrow} * {factor} AS BIGINT) ELSE {wide} END"
    # No decimal type holds a product of so many digits: the digits are joined as text.
    whole, decimals = f"split_part({plain}, '.', 1)", f"split_part({plain}, '.', 2)"
    return f"CAST({whole} || rpad(left({decimals}, {scale}), {scale}, '0') AS HUGEINT)"


def _minor_factor(currency: str) -> str:
    cases = "".join(
        f" WHEN {currency} IN ({', '.join(map(quoted, codes.split()))}) THEN {10 ** (6 - decimals)}"
        for decimals, codes in _MINOR_DECIMALS.items()
    )
    return f"(CASE{cases} ELSE {10**4} END)"


def _currency(mapping: RecordMapping, types: Types) -> str:
    if not mapping.is_money:
        return _text(None, types)
    if mapping.columns.currency is None:
        return quoted(mapping.amount.currency or "")
    found = f"upper({_text(mapping.columns.currency, types)})"
    return found if mapping.amount.currency is None else f"coalesce({found}, {quoted(mapping.amount.currency)})"


def _moment(mapping: RecordMapping, types: Types) -> str:
    """Microseconds since 1970 UTC; NULL where there is no column."""
    column = mapping.columns.at
    if column is None:
        return "CAST(NULL AS BIGINT)"
    zone = quoted(mapping.time.zone or "UTC")
    name, kind = types[column]
    if kind == "TIMESTAMP WITH TIME ZONE":
        return f"epoch_us({named(name)})"
    if kind.startswith(("TIMESTAMP", "DATE")):
        return f"epoch_us(timezone({zone}, CAST({named(name)} AS TIMESTAMP)))"
    ways = [_read_moment(_text(column, types), form, zone) for form in mapping.time.formats]
    return ways[0] if len(ways) == 1 else f"coalesce({', '.join(ways)})"


def _read_moment(text: str, form: str, zone: str) -> str:
    if form == "iso":
        return f"epoch_us(TRY_CAST({text} AS TIMESTAMPTZ))"
    if form in ("epoch", "epoch_ms"):
        factor = 1_000_000 if form == "epoch" else 1_000
        return f"CASE WHEN regexp_full_match({text}, '[0-9]{{1,13}}') THEN CAST({text} AS BIGINT) * {factor} END"
    read = f"try_strptime({text}, {quoted(form)})"
    return f"epoch_us({read})" if "%z" in form or zone == "'UTC'" else f"epoch_us(timezone({zone}, {read}))"


def _status(mapping: RecordMapping, types: Types) -> str:
    text = _text(mapping.columns.status, types)
    if mapping.columns.status is None or not mapping.status.words:
        return text
    cases = "".join(
        f" WHEN {quoted(theirs.lower())} THEN {quoted(ours)}" for theirs, ours in mapping.status.words.items()
    )
    return f"CASE lower({text}){cases} ELSE {text} END"
