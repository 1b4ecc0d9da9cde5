"""Servers that mean no good: what they answer is up to a function, and they note who came."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

__all__ = ["Peer", "answer", "serving"]

Speak = Callable[[socket.socket, bytes], None]


@dataclass(slots=True)
class Peer:
    """A server that runs: where it is, how many connections it took, and what it was asked."""

    url: str = ""
    connections: int = 0
    asked: list[bytes] = field(default_factory=list)


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    """Give a whole answer, after which the connection closes."""
    lines = [f"HTTP/1.1 {status} X", "connection: close", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@contextmanager
def serving(speak: Speak, *, tls: ssl.SSLContext | None = None) -> Iterator[Peer]:
    """Serve on loopback for the length of the block; `speak` gets each connection and the head of its request."""
    peer = Peer()
    with socket.create_server(("127.0.0.1", 0)) as server:
        peer.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.getsockname()[1]}/v3"
        thread = threading.Thread(target=_accept, args=(server, peer, speak, tls), daemon=True)
        thread.start()
        try:
            yield peer
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def _accept(server: socket.socket, peer: Peer, speak: Speak, tls: ssl.SSLContext | None) -> None:
    with suppress(OSError):
        while True:
            connection, _ = server.accept()
            peer.connections += 1
            threading.Thread(target=_meet, args=(connection, peer, speak, tls), daemon=True).start()


def _meet(connection: socket.socket, peer: Peer, speak: Speak, tls: ssl.SSLContext | None) -> None:
    with connection, suppress(OSError):
        line = tls.wrap_socket(connection, server_side=True) if tls else connection
        with line:
            head = b""
            while b"\r\n\r\n" not in head:
                part = line.recv(65_536)
                if not part:
                    return
                head += part
            peer.asked.append(head)
            speak(line, head)
