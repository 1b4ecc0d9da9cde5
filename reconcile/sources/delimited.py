"""
Read an export from delimited text (CSV and its cousins), every cell as the text that it is.

A row of another width is quarantined with its line. Every physical line of the file has to be accounted
for by a record, so a quote that swallows lines at the end is found.
"""

import csv
import io
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from reconcile.core.frame import SOURCE_ROW, Quarantined, QuarantineKind, as_frame
from reconcile.core.mapping import Mapping
from reconcile.errors import SourceError
from reconcile.settings import Source
from reconcile.sources import Choose, Export
from reconcile.sources.columns import check_columns
from reconcile.sources.text import CHUNK, TextStream, count_lines

__all__ = ["read_delimited"]

_BLOCK = 4 * CHUNK  # room for a chunk however much longer decoding made it
_DELIMITERS = (",", ";", "\t", "|")
_QUOTE_HINT = "the export was cut short, or a quote in a value is not doubled; write it again"
_EMBEDDED = r"\r\n|\r|\n"


def read_delimited(source: Source, raw: BinaryIO, choose: Choose, as_of: int, *, is_gzip: bool) -> Export:
    """Read delimited text; `source_row` is the physical line that a record starts on. Raises: SourceError."""
    name = "standard input" if source.location == "-" else source.location
    stream = TextStream(raw, name=name, encoding=source.encoding, is_gzip=is_gzip)
    header = stream.take_record()
    if not header.strip():
        raise SourceError(f"{name} is empty", hint="an empty export changes nobody; look at what wrote it")
    delimiter = source.delimiter or _guess_delimiter(header)
    columns = _columns(name, header.decode(), delimiter)
    mapping = choose(columns)
    check_columns(name, columns, mapping)
    table = _CsvTable(stream, columns, mapping, delimiter, first_line=_below(header))
    frame = table.read()
    notes = () if stream.ends_with_newline else (f"{name} has no line end at its end: was it cut short?",)
    return Export(frame, mapping, columns, tuple(table.ragged), stream.hashing.hexdigest, as_of, notes)


def _below(header: bytes) -> int:
    """Give the line below the header, also where the header is all there is and has no line end."""
    return 1 + count_lines(header) + (not header.endswith((b"\n", b"\r")))


def _columns(name: str, header: str, delimiter: str) -> tuple[str, ...]:
    try:
        records = list(csv.reader(io.StringIO(header, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise SourceError(f"{name}:1: the header cannot be read: {error}", hint=_QUOTE_HINT) from None
    # A quote that stands inside a name opens nothing for a reader of CSV, and would hide the rows below it here.
    if len(records) > 1 or not _closes(header, delimiter):
        raise SourceError(f"{name}:1: a quote in the header is not closed, or not doubled", hint=_QUOTE_HINT)
    return tuple(cell.strip() for cell in records[0])


def _guess_delimiter(header: bytes) -> str:
    text = header.decode()
    bare = "".join(part for i, part in enumerate(text.split('"')) if i % 2 == 0)
    return max(_DELIMITERS, key=lambda delimiter: (bare.count(delimiter), -_DELIMITERS.index(delimiter)))


class _CsvTable:
    """The rows below the header, read in blocks, each with the physical line that it starts on."""

    def __init__(
        self, stream: TextStream, columns: tuple[str, ...], mapping: Mapping, delimiter: str, *, first_line: int
    ) -> None:
        self.ragged: list[Quarantined] = []
        self._stream = stream
        self._width = len(columns)
        self._wanted = {name: columns.index(name) for name in mapping.columns}
        self._delimiter = delimiter
        self._line = first_line
        self._record = 1
        self._last_start = first_line
        self._odd: list[tuple[int, int, str]] = []

    def read(self) -> pd.DataFrame:
        """Read all rows. Raises: SourceError."""
        empty = {name: pa.array([], pa.string()) for name in self._wanted} | {SOURCE_ROW: pa.array([], pa.int64())}
        parts = [pa.table(empty), *(self._keep(batch) for batch in self._batches())]
        if self._odd:
            nothing = [pa.array([], pa.string())] * self._width
            parts.append(self._keep(pa.RecordBatch.from_arrays(nothing, self._names)))
        self._check_end()
        table = pa.concat_tables(parts).combine_chunks()
        return as_frame({name: table[name] for name in table.column_names})

    @property
    def _names(self) -> list[str]:
        return [f"c{i}" for i in range(self._width)]

    def _batches(self) -> Iterator[pa.RecordBatch]:
        try:
            with self._open() as reader:
                yield from reader
        except pa.ArrowInvalid as error:
            if "Empty CSV" in str(error):
                return
            raise SourceError(
                f"{self._stream.name}:{self._line}: a record from here on is longer than {CHUNK >> 20} MiB",
                hint="a quote was probably left open on that line or below it",
            ) from None
        finally:
            self._stream.abandon()

    def _open(self) -> pacsv.CSVStreamingReader:
        return pacsv.open_csv(
            pa.PythonFile(self._stream, mode="r"),
            read_options=pacsv.ReadOptions(use_threads=False, block_size=_BLOCK, column_names=self._names),
            parse_options=pacsv.ParseOptions(
                delimiter=self._delimiter,
                newlines_in_values=True,
                invalid_row_handler=self._note_ragged,
                ignore_empty_lines=False,
            ),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(self._names, pa.string()), strings_can_be_null=False
            ),
        )

    def _note_ragged(self, row: Any) -> str:
        self._odd.append((row.number, row.actual_columns, row.text))
        return "skip"

    def _keep(self, batch: pa.RecordBatch) -> pa.Table:
        """Take the mapped columns of a block, number its rows by line, and drop its blank lines."""
        odd = self._due(len(batch))
        records = len(batch) + len(odd)
        is_odd = np.zeros(records, dtype=bool)
        is_odd[np.array([number - self._record for number, _, _ in odd], dtype=np.int64)] = True
        sizes = np.ones(records, dtype=np.int64)
        sizes[~is_odd] += self._embedded(batch)
        sizes[is_odd] += np.array([count_lines(text.encode()) for _, _, text in odd], dtype=np.int64)
        starts = self._line + np.cumsum(sizes) - sizes
        for line, (_, width, _) in zip(starts[is_odd].tolist(), odd, strict=True):
            detail = f"the row has {width} cells and the header {self._width}"
            self.ragged.append(Quarantined(line, None, QuarantineKind.INVALID, detail))
        if records:
            self._last_start = int(starts[-1])
        self._record += records
        self._line += int(sizes.sum())
        lines = starts[~is_odd]
        table = pa.table({name: batch.column(i) for name, i in self._wanted.items()})
        kept = ~self._blank(batch, lines)
        return table.append_column(SOURCE_ROW, pa.array(lines)).filter(pa.array(kept))

    def _due(self, rows: int) -> list[tuple[int, int, str]]:
        """Give the ragged rows that stand among the next `rows` good ones, or right behind them."""
        count = 0
        while count < len(self._odd) and self._odd[count][0] <= self._record + rows + count:
            count += 1
        due, self._odd = self._odd[:count], self._odd[count:]
        return due

    def _embedded(self, batch: pa.RecordBatch) -> npt.NDArray[np.int64]:
        """Count the line ends inside the cells of each row."""
        extra = np.zeros(len(batch), dtype=np.int64)
        if self._stream.has_quotes:
            for column in batch.columns:
                if pc.any(pc.match_substring_regex(column, "[\r\n]")).as_py():
                    extra += pc.count_substring_regex(column, _EMBEDDED).to_numpy(zero_copy_only=False)
        return extra

    def _blank(self, batch: pa.RecordBatch, lines: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Mark rows that are blank lines, which say nothing, and not rows of empty cells, which are damage."""
        if not self._stream.blank_lines:
            return np.zeros(len(batch), dtype=bool)
        blank: npt.NDArray[np.bool_] = np.isin(lines, list(self._stream.blank_lines))
        for column in batch.columns:
            blank &= pc.equal(column, "").to_numpy(zero_copy_only=False)
        return blank

    def _check_end(self) -> None:
        """
        Refuse a file whose last record ends inside quotes: it was cut, or a quote was left open.

        The reader takes such a record as whole. But then it swallowed the line end that closes the file, and
        one line too many is accounted for; the last record itself is looked at too.
        """
        stream = self._stream
        lines = stream.line if stream.ends_with_newline else stream.line + 1
        if self._line == lines and _closes(stream.last_lines(self._last_start), self._delimiter):
            return
        raise SourceError(
            f"{stream.name}:{self._last_start}: a quote that is opened here is not closed before the end",
            hint=_QUOTE_HINT,
        )


def _closes(record: str, delimiter: str) -> bool:
    """Whether a line put below the text would be a record of its own: no quote is left open."""
    try:
        records = list(csv.reader(io.StringIO(f'{record}\n""', newline=""), delimiter=delimiter))
    except csv.Error:  # a cell of more than 128 KiB: its lines are accounted for all the same
        return True
    return records[-1] == [""]
