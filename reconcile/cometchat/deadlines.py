"""
The end of an exchange that would take too long as a whole, though each byte of it comes in time.

The HTTP library bounds the wait for a byte, not for an answer: a head that drips could hold a worker for days. Here
connections are known by their sockets, and a patrol shuts those whose time is up; to the library that is a
connection that broke.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

__all__ = ["Deadlines", "Line"]

_ROUND_S = 0.5


class Line:
    """The connection that a thread uses now. Its `trace` is for the request's extension of that name."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def trace(self, event: str, told: dict[str, Any]) -> None:
        """Keep the socket when a connection was made, or put under TLS."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._socket = told["return_value"].get_extra_info("socket")

    def shut(self) -> None:
        """Break the connection; whoever reads from it gets an error."""
        if self._socket is not None:
            with suppress(OSError):
                # Not that of a socket under TLS, which would take the cipher from whoever is reading.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class Deadlines:
    """Shuts every line whose time is up. Thread-safe."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._due: dict[Line, float] = {}
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._patrol: threading.Thread | None = None

    @contextmanager
    def over(self, line: Line, seconds: float) -> Iterator[None]:
        """Hold the block to so many seconds on this line."""
        with self._lock:
            self._due[line] = self._now() + seconds
            if self._patrol is None:
                self._patrol = threading.Thread(target=self._walk, name="deadlines", daemon=True)
                self._patrol.start()
        try:
            yield
        finally:
            with self._lock:
                self._due.pop(line, None)

    def close(self) -> None:
        """Send the patrol home."""
        self._closed.set()

    def _walk(self) -> None:
        while not self._closed.wait(_ROUND_S):
            with self._lock:
                late = [line for line, until in self._due.items() if until < self._now()]
            for line in late:
                line.shut()
