"""Reading an export in one line, and what was read as plain tuples."""

from pathlib import Path
from typing import Any

import pytest

from reconcile.errors import SourceError
from reconcile.settings import Source
from reconcile.sources import Export, read_export
from tests.builders import a_mapping

NOW = 1_800_000_000.0

Cells = list[tuple[Any, ...]]


def read(location: Path | str, *fields: str, **source: Any) -> Export:
    """Read an export with the column `id` and the given fields (the name alone, where none is given)."""
    mapping = a_mapping(*(fields or ("name",)))
    return read_export(Source(location=str(location), **source), lambda _: mapping, NOW)


def read_text(folder: Path, text: str | bytes, *fields: str, name: str = "users.csv", **source: Any) -> Export:
    """Write a file and read it."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(path, *fields, **source)


def cells(export: Export) -> Cells:
    """Each row as its line and its cells in mapping order."""
    names = ("source_row", *export.mapping.columns)
    return [tuple(row[name] for name in names) for row in export.frame.to_dict("records")]


def ragged(export: Export) -> list[int]:
    """The lines of the rows of another width."""
    return [row.source_row for row in export.ragged]


def refused(folder: Path, text: str | bytes, *fields: str, name: str = "users.csv", **source: Any) -> str:
    """Why an export is refused: what happened, and what to do."""
    with pytest.raises(SourceError) as caught:
        read_text(folder, text, *fields, name=name, **source)
    return f"{caught.value.message} | {caught.value.hint}"
