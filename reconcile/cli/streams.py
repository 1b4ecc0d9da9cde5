"""
The three standard streams. The caller may have closed them, or may not read them. A run goes on without them.

A pipe whose reader sleeps would stop the thread that writes to it, whenever the pipe is full. So nothing is written before
the system says that there is room.
"""

import io
import os
import select
import sys
import threading
from typing import Any, TextIO

__all__ = ["Patient", "lost_lines", "open_streams", "wait_no_longer_than"]

_LOG_WAITS_S = 1.0  # once, for a reader that is slow; nobody waits again for one that sleeps
_PIECE = min(getattr(select, "PIPE_BUF", 512), 4096)  # so much is taken at once where there is any room


class Patient(io.RawIOBase):
    """
    A stream that waits for its reader `longest_s` seconds at most, without an end where that is None.

    What `is_lossy` loses what is not taken, and raises nothing; another raises TimeoutError, or what the system says.
    """

    def __init__(self, descriptor: int, *, longest_s: float | None, is_lossy: bool) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._is_lossy = is_lossy
        self._lock = threading.Lock()
        self._sleeps = False
        self.longest_s = longest_s
        self.lost = 0  # writes

    def write(self, data: Any) -> int:
        """Write all of it, or lose the rest."""
        rest = memoryview(data).cast("B")
        length = len(rest)
        with self._lock:
            try:
                while rest:
                    self._wait()
                    rest = rest[os.write(self._descriptor, rest[:_PIECE]) :]
            except OSError:
                self.lost += 1
                if not self._is_lossy:
                    raise
        return length

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        longest_s = 0.0 if self._sleeps and self._is_lossy else self.longest_s
        self._sleeps = not poll.poll(None if longest_s is None else longest_s * 1000)
        if self._sleeps:
            raise TimeoutError(None, "nobody reads it")

    def fileno(self) -> int:
        """Give the descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        """It is."""
        return True


def open_streams() -> None:
    """Give this process three streams that end and hold up nothing, whatever it was started with."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # Else the next file that is opened takes its number, and what is printed goes into it.
            os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for the life of the process
    sys.stdout = _wrapped(sys.stdout, Patient(1, longest_s=None, is_lossy=False))
    sys.stderr = _wrapped(sys.stderr, Patient(2, longest_s=_LOG_WAITS_S, is_lossy=True))


def _wrapped(stream: TextIO | None, raw: Patient) -> TextIO:
    encoding = stream.encoding if stream is not None else "utf-8"
    errors = (stream.errors if stream is not None else None) or "backslashreplace"
    return io.TextIOWrapper(raw, encoding, errors, write_through=True)  # type: ignore[type-var]


def lost_lines() -> int:
    """Give how many writes to stderr nobody took."""
    raw = getattr(sys.stderr, "buffer", None)
    return raw.lost if isinstance(raw, Patient) else 0


def wait_no_longer_than(seconds: float) -> None:
    """Have stdout wait so long for its reader, who may sleep; without this, as long as it takes."""
    raw = getattr(sys.stdout, "buffer", None)
    if isinstance(raw, Patient):
        raw.longest_s = seconds
