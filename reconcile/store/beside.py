"""The state file read beside a run: the run holds it for itself, so what looks at it reads a private copy."""

import shutil
import sqlite3
import tempfile
from pathlib import Path

from reconcile.errors import StateError

__all__ = ["LOCKED", "private_copy"]

LOCKED = "locked"  # what SQLite says of a file that another process holds
_TRIES = 20
_LOG_HEADER = 32  # bytes: it changes whenever the log begins anew


def private_copy(path: Path) -> sqlite3.Connection:
    """
    Open a copy of a state file that its run goes on to write; it is as of one commit.

    The copy stands in a folder for its owner alone, which is gone when this returns: the open file outlives its name.
    Raises: StateError, sqlite3.Error, OSError.
    """
    log = path.with_name(f"{path.name}-wal")
    folder = Path(tempfile.mkdtemp(prefix="reconcile-"))
    try:
        for _ in range(_TRIES):
            before = _header(log)
            # The log last: what was moved from it to the file meanwhile is in it, too.
            shutil.copyfile(path, folder / path.name)
            if before:
                shutil.copyfile(log, folder / log.name)
            if _header(log) == before:
                return _opened(folder / path.name)
            (folder / log.name).unlink(missing_ok=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    raise StateError(
        f"the state file {path} cannot be read: it changes faster than it can be copied", hint="run it again later"
    )


def _header(log: Path) -> bytes:
    try:
        with log.open("rb") as file:
            return file.read(_LOG_HEADER)
    except FileNotFoundError:
        return b""


def _opened(copy: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{copy.as_uri()}?vfs=unix-excl", uri=True, isolation_level=None, check_same_thread=False
    )
    # Reads the log into memory, while its file still has a name.
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    connection.execute("PRAGMA query_only = ON")
    return connection
