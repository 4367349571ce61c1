"""What is wrong with a file of records, on which line and in which column: a slow reading of a file that failed."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

from estimator.sentences import shown
from ledger.finance.reconciliation.files.mappings import FileFormat, RecordMapping

_FIELD_MAX = 1 << 24


class Fault(NamedTuple):
    """What is wrong, on which line (from 1), and in which column where that is known."""

    problem: str
    line: int
    column: str | None


def problem(mapping: RecordMapping, field: str, text: str) -> str:
    """The sentence for a text that its column must not have."""
    if field == "amount":
        if not text.strip():
            return "is empty. Set amount.empty_is_zero, or leave such lines out with filter.types."
        rule = mapping.amount
        groups = f" and {shown(rule.thousands)} between thousands" if rule.thousands else ""
        most = {"rows": "no decimals", "credits": "at most six decimals"}.get(rule.unit, "at most eighteen decimals")
        return (
            f"is {shown(text)}, no amount with {most}, {shown(rule.decimal)} before decimals{groups}."
            " Correct it, or set amount.decimal and amount.thousands."
        )
    if field == "currency":
        return f"is {shown(text)}, no currency of three letters. Correct it, or set amount.currency."
    formats = ", ".join(mapping.time.formats)
    return f"is {shown(text)}, no moment written as {formats}. Correct it, or add its format to time.formats."


def text_lines(file: IO[bytes], form: FileFormat, *, is_lenient: bool = False) -> Iterator[str]:
    """The lines of a file from its header on, without a byte order mark."""
    encoding = "utf-8-sig" if codecs.lookup(form.encoding).name == "utf-8" else form.encoding
    reader = codecs.getreader(encoding)(file, "replace" if is_lenient else "strict")
    for number, line in enumerate(_whole_lines(reader)):
        if number >= form.skip_lines:
            yield line


def _whole_lines(reader: codecs.StreamReader) -> Iterator[str]:
    """Lines as in CSV: only line feeds and carriage returns end one."""
    rest = ""
    while chunk := reader.read(1 << 16):
        rest += chunk
        if rest.endswith("\r"):
            rest += reader.read(1)
        *lines, rest = rest.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        yield from (line + "\n" for line in lines)
    if rest:
        yield rest


def fields_of(lines: Iterator[str], form: FileFormat) -> Any:
    """The fields of each record, by the format's delimiter and quote."""
    return csv.reader(lines, delimiter=form.delimiter, quotechar=form.quote, strict=True)


class _BrokenRecord(Exception):
    """A record whose quotes do not match: the line on which it begins, and what is wrong."""


def _records(file: IO[bytes], form: FileFormat) -> Iterator[tuple[int, list[str]]]:
    """Each record below the header, with the line on which it begins."""
    csv.field_size_limit(_FIELD_MAX)
    reader = fields_of(text_lines(file, form, is_lenient=True), form)
    header = begins = form.skip_lines + 1
    try:
        for fields in reader:
            if fields and begins > header:
                yield begins, fields
            begins = form.skip_lines + reader.line_num + 1
    except csv.Error as error:
        raise _BrokenRecord(begins, str(error)) from None


def find_text(file: IO[bytes], form: FileFormat, place: int, texts: set[str]) -> tuple[int | None, str]:
    """The first line that has one of the texts in a column, and that text."""
    for line, fields in _records(file, form):
        if place < len(fields) and fields[place] in texts:
            return line, fields[place]
    return None, min(texts)


def find_fault(file: IO[bytes], form: FileFormat, names: list[str], line_max: int) -> Fault | None:
    """The first place where a file is not CSV with its header's columns in its encoding."""
    found = [fault for fault in (_bad_bytes(file, form, names), _long_line(file, form, line_max)) if fault is not None]
    file.seek(0)
    try:
        for line, fields in _records(file, form):
            if found and line > found[0].line:
                break
            if len(fields) != len(names):
                found.append(_wrong_count(line, fields, names))
                break
    except _BrokenRecord as error:
        line, why = error.args
        found.append(Fault(f"has quotes that do not match ({why}). Double a quote within a field.", line, None))
    return min(found, key=lambda fault: fault.line) if found else None


def _wrong_count(line: int, fields: list[str], names: list[str]) -> Fault:
    more = len(fields) > len(names)
    column = names[-1] if more else names[len(fields)]
    what = f"has {len(fields)} fields where the header has {len(names)}"
    why = "Quote the field that has a delimiter in it" if more else "Add what is missing"
    return Fault(
        f"{what}: this column is {'followed by more' if more else 'the first that is missing'}. {why}.", line, column
    )


def _bad_bytes(file: IO[bytes], form: FileFormat, names: list[str]) -> Fault | None:
    """The first bytes that are not of the encoding."""
    file.seek(0)
    decoder = codecs.getincrementaldecoder(form.encoding)("strict")
    lines, last = 1, ""
    while True:
        chunk = file.read(1 << 16)
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            # The error's object also has the bytes that the decoder kept of the chunk before.
            before = last + error.object[: error.start].decode(form.encoding, "replace")
            line = lines + before.count("\n")
            fields = next(csv.reader([before.rpartition("\n")[2]], delimiter=form.delimiter), [""])
            column = names[len(fields) - 1] if 0 < len(fields) <= len(names) else None
            bad = error.object[error.start : error.end].hex(" ")
            said = (
                f"has bytes ({bad}) that are not {form.encoding}. Set file.encoding, such as cp1252, or save it anew."
            )
            return Fault(said, line, column)
        if not chunk:
            return None
        last += text
        lines, last = lines + last.count("\n"), last.rpartition("\n")[2]


def _long_line(file: IO[bytes], form: FileFormat, line_max: int) -> Fault | None:
    file.seek(0)
    for number, line in enumerate(text_lines(file, form, is_lenient=True), form.skip_lines + 1):
        if len(line.encode()) > line_max:
            said = (
                f"is longer than {line_max:,} bytes, so that a quote is probably missing. Correct it, or leave it out."
            )
            return Fault(said, number, None)
    return None
