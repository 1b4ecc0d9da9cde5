"""A server that hears what a run tells others, and answers as a test wants."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

__all__ = ["Ear", "Heard", "listening"]


@dataclass(frozen=True, slots=True)
class Heard:
    """One request, whole."""

    method: str
    path: str
    headers: str
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read."""
        return msgspec.json.decode(self.body)


@dataclass(slots=True)
class Ear:
    """A server that runs: where it is, and what it heard. `status` answers a path; None never answers."""

    url: str = ""
    heard: list[Heard] = field(default_factory=list)
    status: Callable[[str], int | None] = lambda _path: 200
    over: threading.Event = field(default_factory=threading.Event)

    def paths(self) -> list[str]:
        """Take what was asked for so far, in order."""
        return [request.path for request in self._taken()]

    def messages(self) -> list[Any]:
        """Take the bodies of what was posted so far, in order."""
        return [request.json for request in self._taken() if request.method == "POST"]

    def _taken(self) -> list[Heard]:
        taken, self.heard = self.heard, []
        return taken


@contextmanager
def listening() -> Iterator[Ear]:
    """Listen on loopback for the length of the block."""
    ear = Ear()

    class Handler(BaseHTTPRequestHandler):
        def _hear(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            ear.heard.append(Heard(self.command, self.path, str(self.headers), body))
            status = ear.status(self.path)
            if status is None:
                ear.over.wait(60)
                return
            self.send_response(status)
            self.send_header("location", f"{ear.url}/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        do_GET = do_POST = _hear  # noqa: N815 - the names that the library looks for

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        ear.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield ear
        finally:
            ear.over.set()
            server.shutdown()
            thread.join(5)
