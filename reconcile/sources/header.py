"""The header of delimited text: the names of its columns, and the delimiter that it shows."""

import csv
import io
import re
from dataclasses import dataclass

from reconcile.errors import SourceError
from reconcile.sources.quotes import Quoting
from reconcile.sources.text import TextStream, count_lines

__all__ = ["QUOTE_HINT", "Header", "take_header"]

QUOTE_HINT = "the export was cut short, or a quote in a value is not doubled; write it again"
_DELIMITERS = (",", ";", "\t", "|")
_EXCEL_SEP = re.compile(r'"?sep=(.)"?[\r\n]*', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Header:
    """What the header says; it stands on `line`, and the rows begin on `line_below`."""

    columns: tuple[str, ...]
    delimiter: str
    line: int
    line_below: int


def take_header(stream: TextStream, delimiter: str) -> Header:
    """Take the header off; the delimiter is guessed from it if none is named. Raises: SourceError."""
    line, text = 1, stream.take_record().decode()
    # A line for Excel, which does not show it.
    told = _EXCEL_SEP.fullmatch(text)
    if told:
        line, text, delimiter = 2, stream.take_record().decode(), delimiter or told[1]
    _check_is_there(stream.name, line, text)
    delimiter = delimiter or _guess_delimiter(text)
    if delimiter in '"\r\n' or not delimiter.isascii():
        raise SourceError(
            f"source.delimiter: {delimiter!r} cannot stand between cells", hint='for example "," ";" "|" or a tab'
        )
    columns = _columns(f"{stream.name}:{line}", text, delimiter)
    return Header(columns, delimiter, line, line + max(1, count_lines(text.encode())))


def _check_is_there(name: str, line: int, text: str) -> None:
    if not text:
        raise SourceError(
            f"{name} is empty", hint="an empty export changes nobody; look at what wrote it, and write it again"
        )
    if not text.strip():
        raise SourceError(
            f"{name}:{line} is empty, where the names of the columns have to stand",
            hint="look at what wrote it, and write it again",
        )


def _guess_delimiter(header: str) -> str:
    bare = "".join(part for i, part in enumerate(header.split('"')) if i % 2 == 0)
    return max(_DELIMITERS, key=lambda delimiter: (bare.count(delimiter), -_DELIMITERS.index(delimiter)))


def _columns(place: str, header: str, delimiter: str) -> tuple[str, ...]:
    # A quote that stands inside a name opens nothing for a reader of CSV, and would hide the rows below it here.
    if '"' in header and not Quoting(delimiter).is_clean(header.encode()):
        raise SourceError(f"{place}: a quote in the header is not closed, or not doubled", hint=QUOTE_HINT)
    try:
        (cells,) = csv.reader(io.StringIO(header, newline=""), delimiter=delimiter)
    except csv.Error as error:
        raise SourceError(f"{place}: the header cannot be read: {error}", hint=QUOTE_HINT) from None
    return tuple(cell.strip() for cell in cells)
