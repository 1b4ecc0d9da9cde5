"""Read an export from Parquet and from JSON lines. Every value becomes the text that it stands for."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from reconcile.core.frame import SOURCE_ROW, Quarantined, QuarantineKind, as_frame
from reconcile.errors import SourceError
from reconcile.settings import Source
from reconcile.sources import Choose, Export
from reconcile.sources.columns import check_columns
from reconcile.sources.text import HashingReader, TextStream
from reconcile.sources.values import as_text

__all__ = ["read_json_lines", "read_parquet"]

_ROWS = 65_536
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


def read_parquet(path: Path, raw: BinaryIO, choose: Choose, as_of: int) -> Export:
    """Read a Parquet file; `source_row` counts its rows from 1. Raises: SourceError."""
    try:
        file = pq.ParquetFile(raw)
        columns = tuple(file.schema_arrow.names)
        mapping = choose(columns)
        check_columns(str(path), columns, mapping)
        wanted = list(mapping.columns)
        parts = [_as_text(batch, wanted) for batch in file.iter_batches(_ROWS, columns=wanted)]
        table = _joined(wanted, parts)
    except UnicodeDecodeError:
        raise SourceError(f"{path} holds bytes that are not UTF-8", hint="cast the column to text") from None
    except (pa.ArrowException, ValueError, OverflowError, OSError) as error:
        raise SourceError(
            f"{path} is not a readable Parquet file: {error}", hint="write the export again"
        ) from None
    columns_of = {name: table[name] for name in wanted}
    frame = as_frame({**columns_of, SOURCE_ROW: pa.array(range(1, len(table) + 1), pa.int64())})
    return Export(frame, mapping, columns, (), _digest(raw), as_of)


def _joined(wanted: list[str], parts: list[pa.Table]) -> pa.Table:
    empty = pa.table({name: pa.array([], pa.string()) for name in wanted})
    table = pa.concat_tables([empty, *parts]).combine_chunks()
    # Whoever wrote the file may have called bytes text; nothing has looked at them so far.
    table.validate(full=True)
    return table


def _as_text(batch: pa.RecordBatch, wanted: list[str]) -> pa.Table:
    texts = {}
    for name in wanted:
        column = batch.column(name)
        kind = column.type
        if pa.types.is_string(kind) or pa.types.is_integer(kind):
            texts[name] = column.cast(pa.string())
        else:
            texts[name] = pa.array([as_text(value) for value in column.to_pylist()], pa.string())
    return pa.table(texts)


def _digest(raw: BinaryIO) -> str:
    raw.seek(0)
    hashing = HashingReader(raw)
    with io.BufferedReader(hashing, 1 << 20) as plain:
        while plain.read(1 << 20):
            pass
        return hashing.hexdigest


def read_json_lines(source: Source, raw: BinaryIO, choose: Choose, as_of: int, *, is_gzip: bool) -> Export:
    """
    Read one JSON object a line; `source_row` is the line. Numbers keep the text that they are written in.

    A line that is no object is quarantined, but at the end of a file without a last line end it means that
    the file was cut. Raises: SourceError.
    """
    stream = TextStream(raw, name=source.location, encoding=source.encoding, is_gzip=is_gzip)
    rows: list[tuple[int, dict[str, msgspec.Raw]]] = []
    ragged: list[Quarantined] = []
    for line, text in _lines(stream):
        try:
            rows.append((line, _OBJECT.decode(text)))
        except (msgspec.DecodeError, RecursionError):
            if not text.endswith(b"\n"):
                raise SourceError(
                    f"{source.location}:{line}: the last line is cut short", hint="write the export again"
                ) from None
            ragged.append(Quarantined(line, None, QuarantineKind.INVALID, "the line is not a JSON object"))
    if not rows:
        raise SourceError(
            f"{source.location} has no line that is a JSON object", hint="one object a line, no array around them"
        )
    columns = tuple(dict.fromkeys(key for _, row in rows for key in row))
    mapping = choose(columns)
    check_columns(source.location, columns, mapping)
    data: dict[str, Any] = {
        name: pa.array([_cell(row.get(name)) for _, row in rows], pa.string()) for name in mapping.columns
    }
    data[SOURCE_ROW] = pa.array([line for line, _ in rows], pa.int64())
    return Export(as_frame(data), mapping, columns, tuple(ragged), stream.hashing.hexdigest, as_of)


def _lines(stream: TextStream) -> Iterator[tuple[int, bytes]]:
    for line, text in enumerate(io.BufferedReader(stream, 1 << 20), start=1):
        if text.strip():
            yield line, text


def _cell(raw: msgspec.Raw | None) -> str | None:
    if raw is None:
        return None
    data = bytes(raw)
    if data == b"null":
        return None
    return msgspec.json.decode(data, type=str) if data[:1] == b'"' else data.decode()
