"""
Read an export from a file: which format it is, and that it stays the same while it is read.

Whatever makes the whole file doubtful refuses it.
"""

import errno
import os
import stat
import sys
from contextlib import ExitStack
from difflib import get_close_matches
from pathlib import Path
from typing import BinaryIO

from reconcile.addresses import shown_address
from reconcile.errors import SourceError
from reconcile.proposal import Sample
from reconcile.settings import Source
from reconcile.sources import Choose, Export, OnRows, Rows
from reconcile.sources.delimited import read_delimited, sample_delimited
from reconcile.sources.tables import read_json_lines, read_parquet, sample_json_lines, sample_parquet

__all__ = ["read_file", "sample_file"]


_OPEN_HINTS = {
    errno.EACCES: "give the user that runs this job the right to read it, and to enter its folder",
    errno.ELOOP: "a symbolic link leads back to itself; name the file itself",
    errno.ENXIO: "a socket is no file; a stream goes to standard input: -",
}


def read_file(source: Source, choose: Choose, now_unix_s: float, on_rows: OnRows, rows: Rows) -> Export:
    """Read a file by the ending of its name; `-` is CSV on standard input. Raises: SourceError."""
    with ExitStack() as stack:
        if source.location == "-":
            return read_delimited(source, _standard_input(), choose, int(now_unix_s), on_rows, rows, is_gzip=False)
        path = Path(source.location)
        raw = stack.enter_context(_open(path))
        before = os.fstat(raw.fileno())
        as_of = int(before.st_mtime)
        export = _read_format(source, path, raw, choose, as_of, on_rows, rows)
        _check_unchanged(path, before)
        return export


def sample_file(source: Source, count: int) -> Sample:
    """Read the columns and at most `count` rows of a file. Raises: SourceError."""
    if source.location == "-":
        return sample_delimited(source, _standard_input(), count, is_gzip=False)
    path = Path(source.location)
    suffix, is_gzip = _format(path)
    with _open(path) as raw:
        match suffix:
            case ".parquet":
                return sample_parquet(path, raw, count)
            case ".jsonl" | ".ndjson":
                return sample_json_lines(source, raw, count, is_gzip=is_gzip)
            case _:
                return sample_delimited(source, raw, count, is_gzip=is_gzip)


def _format(path: Path) -> tuple[str, bool]:
    """Give the ending that says what a file is, and whether it is packed."""
    name = path.name.lower()
    return Path(name.removesuffix(".gz")).suffix, name.endswith(".gz")


def _read_format(
    source: Source, path: Path, raw: BinaryIO, choose: Choose, as_of: int, on_rows: OnRows, rows: Rows
) -> Export:
    suffix, is_gzip = _format(path)
    match suffix:
        case ".parquet":
            return read_parquet(path, raw, choose, as_of, on_rows, rows)
        case ".jsonl" | ".ndjson":
            return read_json_lines(source, raw, choose, as_of, on_rows, rows, is_gzip=is_gzip)
        case _:
            return read_delimited(source, raw, choose, as_of, on_rows, rows, is_gzip=is_gzip)


def _standard_input() -> BinaryIO:
    # Python gives no stream where the caller closed it.
    if sys.stdin is None:
        raise SourceError("standard input is closed", hint="reconcile ... --source - < users.csv")
    return sys.stdin.buffer


def _open(path: Path) -> BinaryIO:
    shown = shown_address(str(path))
    try:
        # Not blocking: opening a fifo that nobody writes to would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise SourceError(f"the export {shown} does not exist", hint=_nearby(path)) from None
    except OSError as error:
        hint = _OPEN_HINTS.get(error.errno or 0, "check the path and the disk it is on")
        raise SourceError(f"the export {shown} cannot be read: {error.strerror}", hint=hint) from None
    except ValueError as error:
        raise SourceError(
            f"the export {shown!r} cannot be read: {error}", hint="name a path without it: --source FILE"
        ) from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kind = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
        raise SourceError(f"the export {shown} is {kind}", hint="name a file; a pipe goes to standard input: -")
    return os.fdopen(descriptor, "rb")


def _nearby(path: Path) -> str:
    folder = path.parent
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError:
        names = []
    near = get_close_matches(path.name, names, n=1)
    return f"did you mean {folder / near[0]}?" if near else "check --source and the folder it is relative to"


def _check_unchanged(path: Path, before: os.stat_result) -> None:
    try:
        now = path.stat()
    except OSError:
        now = None
    facts = [(s.st_size, s.st_mtime_ns, s.st_ino) if s else None for s in (before, now)]
    if facts[0] != facts[1]:
        raise SourceError(
            f"the export {path} changed while it was read",
            hint="write it under another name and move it into place when it is whole",
        )
