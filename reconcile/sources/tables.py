"""Read an export from Parquet and from JSON lines. Every value becomes the text that it stands for."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import file_digest
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from reconcile.core.frame import SOURCE_ROW, Quarantined, QuarantineKind
from reconcile.core.mapping import Mapping
from reconcile.core.normal import json_text
from reconcile.errors import SourceError
from reconcile.proposal import Sample
from reconcile.settings import Source
from reconcile.sources import Choose, Export, OnRows, Rows
from reconcile.sources.columns import check_columns
from reconcile.sources.foreign import foreign_kind
from reconcile.sources.text import CHUNK, RAGGED_LIMIT, TextStream
from reconcile.sources.values import as_text

__all__ = ["read_json_lines", "read_parquet", "sample_json_lines", "sample_parquet"]

_ROWS = 65_536
# Uids that count upwards, packed as well as can be, take a tenth of a byte each.
_FEW_ROWS, _ROWS_A_BYTE = 1_000_000, 100
_PARQUET = b"PAR"
_KEYS = 10_000  # different keys in one file; more is another format
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)


def read_parquet(path: Path, raw: BinaryIO, choose: Choose, as_of: int, on_rows: OnRows, into: Rows) -> Export:
    """Read a Parquet file; `source_row` counts its rows from 1. Raises: SourceError."""
    _check_kind(path, raw)
    with _readable(path):
        file = pq.ParquetFile(raw, page_checksum_verification=True)
        columns = tuple(file.schema_arrow.names)
        rows = file.metadata.num_rows
    if rows > max(_FEW_ROWS, _ROWS_A_BYTE * os.fstat(raw.fileno()).st_size):
        raise SourceError(
            f"{path} claims {rows:,} rows in so few bytes: they cannot have a uid each",
            hint="look at what wrote it, and write it again",
        )
    mapping = choose(columns)
    check_columns(str(path), columns, mapping)
    kinds = {name: file.schema_arrow.field(name).type for name in mapping.columns}
    labels = {name: mapping.label(name, is_json=isinstance(kind, pa.JsonType)) for name, kind in kinds.items()}
    with _readable(path):
        # In this thread: Arrow's own would still ask for bytes after an error.
        batches = file.iter_batches(_ROWS, columns=list(labels), use_threads=False)
        into.add(_part(tuple(labels.values()), []))
        row = 1
        for batch in batches:
            table = _as_text(batch, labels)
            # Whoever wrote the file may have called bytes text; nothing has looked at them so far.
            table.validate(full=True)
            into.add(table.append_column(SOURCE_ROW, pa.array(range(row, row + len(table)), pa.int64())))
            row += len(table)
            on_rows(len(table))
    return Export(into.joined(), mapping, columns, (), _digest(raw), as_of)


def sample_parquet(path: Path, raw: BinaryIO, count: int) -> Sample:
    """Read the columns and at most `count` rows. Raises: SourceError."""
    _check_kind(path, raw)
    with _readable(path):
        file = pq.ParquetFile(raw)
        columns = tuple(file.schema_arrow.names)
        # One that is there twice cannot be asked for by its name.
        labels = {name: name for name in columns if columns.count(name) == 1}
        batch = next(file.iter_batches(count, columns=list(labels), use_threads=False), None)
        cells = {} if batch is None else _as_text(batch, labels).to_pydict()
    empty = [None] * (0 if batch is None else batch.num_rows)
    rows = zip(*(cells.get(name, empty) for name in columns), strict=True)
    return Sample(columns, tuple(rows))


def _digest(raw: BinaryIO) -> str:
    raw.seek(0)
    return file_digest(cast("BufferedReader", raw), "sha256").hexdigest()


def _check_kind(path: Path, raw: BinaryIO) -> None:
    head = raw.read(4096)
    raw.seek(0)
    foreign = None if head.startswith(_PARQUET) else foreign_kind(head)
    if foreign is not None:
        raise SourceError(f"{path} is not a readable Parquet file: this is {foreign[0]}", hint=foreign[1])


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError:
        raise SourceError(f"{path} holds bytes that are not UTF-8", hint="cast the column to text") from None
    except (pa.ArrowException, ValueError, OverflowError, OSError) as error:
        raise SourceError(
            f"{path} is not a readable Parquet file: {error}",
            hint="write the export again, whole; if it is another format, name it so",
        ) from None


def _as_text(batch: pa.RecordBatch, labels: dict[str, str]) -> pa.Table:
    texts = {}
    for name, label in labels.items():
        column = batch.column(name)
        kind = column.type
        if pa.types.is_string(kind) or pa.types.is_integer(kind) or label != name:
            texts[label] = column.cast(pa.string())
        else:
            write = json_text if isinstance(kind, pa.JsonType) else as_text
            values = [None if value is None else write(value) for value in column.to_pylist()]
            texts[label] = pa.array(values, pa.string())
    return pa.table(texts)


def read_json_lines(
    source: Source, raw: BinaryIO, choose: Choose, as_of: int, on_rows: OnRows, into: Rows, *, is_gzip: bool
) -> Export:
    """
    Read one JSON object a line; `source_row` is the line. Numbers keep the text that they are written in.

    A line that is no object, or has a mapped key twice, is quarantined; but at the end of a file without a
    last line end a line that is no object means that the file was cut. The file is read twice: once for its
    columns, which are the keys of all lines. Raises: SourceError.
    """

    def lines() -> _JsonLines:
        raw.seek(0)
        return _JsonLines(
            TextStream(raw, name=source.location, encoding=source.encoding, is_gzip=is_gzip, may_be_json=True)
        )

    columns = lines().keys()
    mapping = choose(columns)
    check_columns(source.location, columns, mapping)
    rows = lines()
    rows.read(mapping, into, on_rows)
    return Export(
        into.joined(), mapping, columns, tuple(rows.ragged), rows.stream.sha256, as_of, rows.stream.notes
    )


def sample_json_lines(source: Source, raw: BinaryIO, count: int, *, is_gzip: bool) -> Sample:
    """Read at most `count` objects; the columns are the keys of these. Raises: SourceError."""
    stream = TextStream(raw, name=source.location, encoding=source.encoding, is_gzip=is_gzip, may_be_json=True)
    found = [row for _, _, row in islice(_JsonLines(stream).objects(), count)]
    columns = tuple(dict.fromkeys(key for row in found for key in row))
    return Sample(columns, tuple(tuple(_cell(row.get(name)) for name in columns) for row in found))


class _JsonLines:
    """One reading of a file of JSON lines."""

    def __init__(self, stream: TextStream) -> None:
        self.stream = stream
        self.ragged: list[Quarantined] = []

    def keys(self) -> tuple[str, ...]:
        """Give all keys that occur. Raises: SourceError when there is no object at all."""
        keys: dict[str, None] = {}
        for _, _, row in self.objects():
            keys.update(dict.fromkeys(row))
            if len(keys) > _KEYS:
                raise SourceError(
                    f"{self.stream.name} has more than {_KEYS:,} different keys",
                    hint="one user a line, one key a field",
                )
        return tuple(keys)

    def read(self, mapping: Mapping, into: Rows, on_rows: OnRows) -> None:
        """Read the mapped keys of all lines."""
        names = mapping.columns
        labels = tuple(mapping.label(name, is_json=True) for name in names)
        cells = [(name, _cell if label == name else _json_cell) for name, label in zip(names, labels, strict=True)]
        into.add(_part(labels, []))
        rows: list[tuple[int, list[str | None]]] = []
        for line, text, row in self.objects():
            doubled = _doubled(text, row, names)
            if doubled:
                self._set_aside(line, f"the key {doubled!r} is there twice")
                continue
            rows.append((line, [cell(row.get(name)) for name, cell in cells]))
            if len(rows) == _ROWS:
                into.add(_part(labels, rows))
                on_rows(len(rows))
                rows = []
        into.add(_part(labels, rows))

    def objects(self) -> Iterator[tuple[int, bytes, dict[str, msgspec.Raw]]]:
        """Give each object with its line and text. Raises: SourceError."""
        some = False
        for line, text in _lines(self.stream):
            if not some and text.lstrip().startswith(b"["):
                raise SourceError(
                    f"{self.stream.name}:{line}: this is a JSON array, and no line that is a JSON object",
                    hint="one object a line, no array around them",
                )
            try:
                row = _OBJECT.decode(text)
            except (msgspec.DecodeError, RecursionError):
                self._refuse_cut(line, text)
                self._set_aside(line, "the line is not a JSON object")
                continue
            some = True
            yield line, text, row
        if not some:
            raise SourceError(
                f"{self.stream.name} has no line that is a JSON object",
                hint="one object a line, no array around them",
            )

    def _refuse_cut(self, line: int, text: bytes) -> None:
        if not text.endswith(b"\n"):
            raise SourceError(
                f"{self.stream.name}:{line}: the last line is cut short", hint="write the export again"
            )

    def _set_aside(self, line: int, detail: str) -> None:
        self.ragged.append(Quarantined(line, None, QuarantineKind.INVALID, detail))
        if len(self.ragged) > RAGGED_LIMIT:
            raise SourceError(
                f"{self.stream.name}: more than {RAGGED_LIMIT:,} lines are no JSON object, "
                f"the first is line {self.ragged[0].source_row}",
                hint="is this another format? one object a line is needed",
            )


def _lines(stream: TextStream) -> Iterator[tuple[int, bytes]]:
    rest, at = b"", 0
    while chunk := stream.read():
        *lines, rest = (rest + chunk).split(b"\n")
        yield from ((line, text + b"\n") for line, text in enumerate(lines, start=at + 1) if text.strip())
        at += len(lines)
        if len(rest) > CHUNK:
            raise SourceError(
                f"{stream.name}:{at + 1}: the line is longer than {CHUNK >> 20} MiB",
                hint="one object a line is needed",
            )
    if rest.strip():
        yield at + 1, rest


def _part(names: tuple[str, ...], rows: list[tuple[int, list[str | None]]]) -> pa.Table:
    data = {name: pa.array([cells[at] for _, cells in rows], pa.string()) for at, name in enumerate(names)}
    return pa.table({**data, SOURCE_ROW: pa.array([line for line, _ in rows], pa.int64())})


def _doubled(text: bytes, row: dict[str, msgspec.Raw], names: tuple[str, ...]) -> str:
    """Give a mapped key that an object has twice: readers of JSON keep one of them and do not say which."""
    if text.count(b'":') == len(row) and not any(loose in text for loose in (b" :", b"\t:", b"\r:")):
        return ""
    # The outermost object is the last to be given.
    pairs: list[tuple[str, Any]] = json.loads(text, object_pairs_hook=list)
    keys = [key for key, _ in pairs]
    return next((name for name in names if keys.count(name) > 1), "")


def _cell(raw: msgspec.Raw | None) -> str | None:
    if raw is None:
        return None
    data = bytes(raw)
    if data == b"null":
        return None
    return _TEXT.decode(data) if data[:1] == b'"' else data.decode()


def _json_cell(raw: msgspec.Raw | None) -> str | None:
    return None if raw is None else bytes(raw).decode()
