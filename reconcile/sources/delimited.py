"""
Read an export from delimited text (CSV and its cousins), every cell as the text that it is.

A row of another width, or with a quote that is not doubled, is quarantined with its line. Every physical line
of the file is accounted for by a record, and a quote that swallows lines is found.
"""

import csv
import io
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from reconcile.core.frame import SOURCE_ROW, Quarantined, QuarantineKind
from reconcile.errors import SourceError
from reconcile.proposal import Sample
from reconcile.settings import Source
from reconcile.sources import Choose, Export, OnRows, Rows
from reconcile.sources.columns import check_columns
from reconcile.sources.header import QUOTE_HINT, take_header
from reconcile.sources.quotes import Quoting
from reconcile.sources.text import CHUNK, RAGGED_LIMIT, TextStream, count_lines

__all__ = ["read_delimited", "sample_delimited"]

_BLOCK = 4 * CHUNK  # text that is read in one go
_ODD_DELIMITERS = (":", "^", "~")  # what a header does not show: each may well stand in a name
_LINE_ENDS = (10, 13)
_EMBEDDED = r"\r\n|\r|\n"

# A signal ends a run in good order and is ours to see; Arrow would end the reading instead, with an error.
pa.enable_signal_handlers(False)  # noqa: FBT003 - Arrow's own signature


def read_delimited(
    source: Source, raw: BinaryIO, choose: Choose, as_of: int, on_rows: OnRows, rows: Rows, *, is_gzip: bool
) -> Export:
    """Read delimited text; `source_row` is the physical line that a record starts on. Raises: SourceError."""
    name = "standard input" if source.location == "-" else source.location
    stream = TextStream(raw, name=name, encoding=source.encoding, is_gzip=is_gzip)
    header = take_header(stream, source.delimiter)
    columns, delimiter = header.columns, header.delimiter
    mapping = choose(columns)
    check_columns(f"{name}:{header.line}", columns, mapping, delimiter=delimiter)
    wanted = {column: columns.index(column) for column in mapping.columns}
    table = _CsvTable(name, len(columns), wanted, delimiter, first_line=header.line_below)
    table.read(stream, rows, on_rows)
    return Export(rows.joined(), mapping, columns, tuple(table.ragged), stream.sha256, as_of, stream.notes)


def sample_delimited(source: Source, raw: BinaryIO, count: int, *, is_gzip: bool) -> Sample:
    """Read the header and at most `count` rows of its width. Raises: SourceError."""
    name = "standard input" if source.location == "-" else source.location
    stream = TextStream(raw, name=name, encoding=source.encoding, is_gzip=is_gzip)
    header = take_header(stream, source.delimiter)
    columns, delimiter, guessed = header.columns, header.delimiter, ""
    if len(columns) == 1 and not source.delimiter:
        guessed = next((odd for odd in _ODD_DELIMITERS if odd in columns[0]), "")
    if guessed:
        columns, delimiter = tuple(cell.strip() for cell in columns[0].split(guessed)), guessed
    text = b""
    while len(text) < CHUNK and (chunk := stream.read()):
        text += chunk
    rows: list[tuple[str, ...]] = []
    if len(text) >= CHUNK:  # the last line may go on
        text = text[: text.rfind(b"\n") + 1 or None]
    lines = io.StringIO(text.decode(), newline="")
    with suppress(csv.Error):  # a run would say more about it
        records = (tuple(row) for row in csv.reader(lines, delimiter=delimiter))
        rows += islice((row for row in records if len(row) == len(columns)), count)
    return Sample(columns, tuple(rows), delimiter=guessed)


@dataclass(frozen=True, slots=True)
class _Records:
    """
    What a text holds: its good rows, and its odd rows (which record, how many cells, the text).

    `sizes` is the number of physical lines of each record, `starts` the line of the text that it starts on, and
    `bounds` where in the text each record begins, and the last one ends.
    """

    text: bytes
    rows: pa.Table
    odd: list[tuple[int, int, str]]
    sizes: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    bounds: npt.NDArray[np.int64]

    def text_of(self, record: int) -> bytes:
        """The bytes of one record."""
        return self.text[self.bounds[record] : self.bounds[record + 1]]


class _CsvTable:
    """The rows below the header, read in blocks, each with the physical line that it starts on."""

    def __init__(self, name: str, width: int, wanted: dict[str, int], delimiter: str, *, first_line: int) -> None:
        self.ragged: list[Quarantined] = []
        self._name = name
        self._names = [f"c{i}" for i in range(width)]
        self._wanted = {column: self._names[at] for column, at in wanted.items()}
        self._delimiter = delimiter
        self._quoting = Quoting(delimiter)
        self._line = first_line

    def read(self, stream: TextStream, into: Rows, on_rows: OnRows) -> None:
        """Read all rows. Raises: SourceError."""
        empty = {name: pa.array([], pa.string()) for name in self._wanted} | {SOURCE_ROW: pa.array([], pa.int64())}
        into.add(pa.table(empty))
        rest = b""
        for block in _blocks(stream):
            part, rest = self._take(b"".join((rest, *block)))
            into.add(part)
            on_rows(len(part))
        if rest:
            into.add(self._take_last(rest))

    def _take(self, text: bytes) -> tuple[pa.Table, bytes]:
        """Take all records of a text but the last, which may go on behind it and is given back."""
        records = self._parse(text)
        self._refuse_long(records)
        last = records.bounds[-2]
        return self._keep(records, len(records.sizes) - 1), text[last:]

    def _refuse_long(self, records: _Records) -> None:
        for record in np.flatnonzero(np.diff(records.bounds) > CHUNK)[:1]:
            raise SourceError(
                f"{self._name}:{self._line + records.starts[record]}: a record from here on is longer than "
                f"{CHUNK >> 20} MiB",
                hint="a quote was probably left open on that line or below it",
            )

    def _take_last(self, text: bytes) -> pa.Table:
        if not self._quoting.is_closed(text):
            raise self._open_quote(self._line)
        records = self._parse(text)
        return self._keep(records, len(records.sizes))

    def _open_quote(self, line: int) -> SourceError:
        return SourceError(
            f"{self._name}:{line}: a quote that is opened here is not closed where its cell ends", hint=QUOTE_HINT
        )

    def _parse(self, text: bytes) -> _Records:
        has_quotes = b'"' in text
        odd: list[tuple[int, int, str]] = []
        # Line ends in cells are counted in every column; where there can be none, the mapped ones will do.
        rows = self._cells(text, self._names if has_quotes else list(self._wanted.values()), odd)
        lines = _line_starts(text)
        sizes = np.ones(len(rows) + len(odd), dtype=np.int64)
        if len(lines) != len(sizes):
            is_odd = _mask(len(sizes), [record for record, _, _ in odd])
            sizes[~is_odd] += _embedded(rows)
            sizes[is_odd] += np.array([count_lines(row.encode()) for _, _, row in odd], dtype=np.int64)
            # A quote open at the end has swallowed the last line end, too.
            if sizes.sum() - len(lines) not in (0, 1):
                raise AssertionError(f"{sizes.sum()} lines in records of a text of {len(lines)}")
        starts = np.cumsum(sizes) - sizes
        return _Records(text, rows, odd, sizes, starts, np.append(lines[starts], len(text)))

    def _cells(self, text: bytes, names: list[str], odd: list[tuple[int, int, str]]) -> pa.Table:
        def note(row: Any) -> str:
            odd.append((row.number - 1, row.actual_columns, row.text))
            return "error" if self._are_too_many(odd) else "skip"

        read_options = pacsv.ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=self._names)
        parse_options = pacsv.ParseOptions(
            delimiter=self._delimiter, newlines_in_values=True, invalid_row_handler=note, ignore_empty_lines=False
        )
        convert_options = pacsv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False, include_columns=names
        )
        try:
            # From memory, and not from the stream: Arrow reads ahead in a thread that outlives an error.
            return pacsv.read_csv(pa.BufferReader(text), read_options, parse_options, convert_options)
        except pa.ArrowInvalid:
            if not self._are_too_many(odd):
                raise
            raise self._too_many() from None

    def _keep(self, records: _Records, count: int) -> pa.Table:
        """Keep the mapped cells of the first `count` records, and number them by line."""
        out = {record: self._width_said(width) for record, width, _ in records.odd if record < count}
        is_odd = _mask(count, list(out))
        if b'"' in records.text and not self._quoting.are_clean(records.text[: records.bounds[count]]):
            for record in self._unclean(records, count):
                out.setdefault(record, "a quote in a cell is not doubled")
        self._set_aside(records, out)
        first = np.frombuffer(records.text, np.uint8)[records.bounds[:count]]
        is_blank = np.isin(first, _LINE_ENDS)
        kept = ~(_mask(count, list(out)) | is_blank)[~is_odd]
        numbered = self._line + records.starts[:count][~is_odd]
        self._line += int(records.sizes[:count].sum())
        rows = records.rows.slice(0, len(kept))
        table = pa.table({column: rows[name] for column, name in self._wanted.items()})
        table = table.append_column(SOURCE_ROW, pa.array(numbered))
        return table if kept.all() else table.filter(pa.array(kept))

    def _unclean(self, records: _Records, count: int) -> Iterator[int]:
        for record in range(count):
            text = records.text_of(record)
            if b'"' in text and not self._quoting.is_clean(text):
                if records.sizes[record] > 1:
                    raise self._open_quote(self._line + int(records.starts[record]))
                yield record

    def _set_aside(self, records: _Records, out: dict[int, str]) -> None:
        for record, detail in sorted(out.items()):
            line = self._line + int(records.starts[record])
            self.ragged.append(Quarantined(line, None, QuarantineKind.INVALID, detail))
        if self._are_too_many([]):
            raise self._too_many()

    def _are_too_many(self, odd: list[tuple[int, int, str]]) -> bool:
        return len(self.ragged) + len(odd) > RAGGED_LIMIT

    def _too_many(self) -> SourceError:
        line = self.ragged[0].source_row if self.ragged else self._line
        return SourceError(
            f"{self._name}:{line}: from here on, more than {RAGGED_LIMIT:,} rows are not of the header's width",
            hint=f"is {self._delimiter!r} the delimiter? name it: --set source.delimiter=...",
        )

    def _width_said(self, width: int) -> str:
        return f"the row has {width} cells and the header {len(self._names)}"


def _blocks(stream: TextStream) -> Iterator[list[bytes]]:
    block: list[bytes] = []
    while chunk := stream.read():
        block.append(chunk)
        if sum(map(len, block)) >= _BLOCK:
            yield block
            block = []
    if block:
        yield block


def _line_starts(text: bytes) -> npt.NDArray[np.int64]:
    """Give where each physical line begins; CRLF ends one."""
    chars = np.frombuffer(text, np.uint8)
    feeds = np.flatnonzero(chars == _LINE_ENDS[0])
    returns = np.flatnonzero(chars == _LINE_ENDS[1]) if b"\r" in text else feeds[:0]
    alone = returns[chars[np.minimum(returns + 1, len(chars) - 1)] != _LINE_ENDS[0]]
    starts = np.sort(np.concatenate((feeds, alone))) + 1
    return np.concatenate(([0], starts[starts < len(text)]))


def _mask(size: int, at: list[int]) -> npt.NDArray[np.bool_]:
    mask = np.zeros(size, dtype=bool)
    mask[np.array(at, dtype=np.int64)] = True
    return mask


def _embedded(rows: pa.Table) -> npt.NDArray[np.int64]:
    """Count the line ends inside the cells of each row."""
    extra = np.zeros(len(rows), dtype=np.int64)
    for column in rows.columns:
        if pc.any(pc.match_substring_regex(column, "[\r\n]")).as_py():
            extra += pc.count_substring_regex(column, _EMBEDDED).to_numpy()
    return extra
