"""
The state file as a run opened it: whether the file that stands at its path now is still that one, and whole.

A process that has a file open can still write to it after it was removed, replaced or moved. Nothing of that is kept.
"""

import os
import threading
from contextlib import suppress
from pathlib import Path

from reconcile.errors import StateError

__all__ = ["Place"]

_HEADER = b"SQLite format 3\0"
_WAL_HEADER = b"\x37\x7f\x06"  # the fourth byte says in which order checksums are made
_HINT = "put the run directory back as it was, then: reconcile resume"


class Place:
    """
    The state file and its write-ahead log at their paths. Thread-safe.

    It holds descriptors of its own. They may be closed only after every connection of SQLite: closing one of them frees
    the locks that this process has on the file.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, and make it where it is missing, for its owner alone. Raises: OSError."""
        self._state = _Opened(path, os.O_RDWR | os.O_CREAT, _HEADER)
        self._log: _Opened | None = None
        self._log_path = path.with_name(f"{path.name}-wal")
        self._lock = threading.Lock()

    def check(self) -> None:
        """Raises: StateError where the file was removed, replaced, moved, cut or overwritten since it was opened."""
        with self._lock:
            self._state.check()
            if self._log is None and self._log_path.exists():
                self._log = _opened_log(self._log_path)
            if self._log is not None:
                self._log.check()

    def close(self) -> None:
        """
        Close the descriptors.

        Our log beside a file that took the place of ours would be read as a part of that file, and ruin it.
        """
        if self._log is not None:
            if self._state.is_replaced and not self._log.is_replaced:
                with suppress(OSError):
                    self._log_path.unlink()
            self._log.close()
        self._state.close()


def _opened_log(path: Path) -> "_Opened | None":
    try:
        return _Opened(path, os.O_RDONLY, _WAL_HEADER)
    except FileNotFoundError:
        return None
    except OSError:
        # A link, say: SQLite has opened a file there, and this is another.
        raise StateError(f"the state file {path} was replaced by another during the run", hint=_HINT) from None


class _Opened:
    def __init__(self, path: Path, flags: int, header: bytes) -> None:
        self._path = path
        self._header = header
        # With its mode before anything is in it, and never through a link.
        self._descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._identity = _identity(os.fstat(self._descriptor))
        self._size = 0

    @property
    def is_replaced(self) -> bool:
        """Whether another file stands at the path; a path without a file is none."""
        try:
            return _identity(self._path.lstat()) != self._identity
        except OSError:
            return False

    def check(self) -> None:
        try:
            now = self._path.lstat()
        except OSError as error:
            raise StateError(
                f"the state file {self._path} was removed or moved during the run: {error.strerror}", hint=_HINT
            ) from None
        if _identity(now) != self._identity:
            raise StateError(f"the state file {self._path} was replaced by another during the run", hint=_HINT)
        # Neither file ever becomes shorter while it is open.
        is_cut = now.st_size < self._size
        head = b"" if is_cut or not now.st_size else os.pread(self._descriptor, len(self._header), 0)
        if is_cut or (now.st_size and head != self._header):
            raise StateError(f"the state file {self._path} was cut or overwritten during the run", hint=_HINT)
        self._size = now.st_size

    def close(self) -> None:
        os.close(self._descriptor)


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino
