"""
The connection: reading a request, sending an answer, and ending without one.

Owns everything that needs the socket. The server hands each request its transport, so that a fault can cut or
reset the connection below HTTP.
"""

import asyncio
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from email.utils import formatdate
from functools import lru_cache
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from reconcile.sandbox.answers import Answer, unfit
from reconcile.sandbox.calls import Call, split_version
from reconcile.sandbox.effects import Drop

__all__ = ["SandboxProtocol", "deliver", "drop", "read_call"]

_TRANSPORT = "sandbox.transport"
_LINGER_AND_RESET = struct.pack("ii", 1, 0)


class SandboxProtocol(H11Protocol):
    """
    The server's HTTP protocol, which shows its transport to the application.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        application: Any = self.app

        async def with_transport(scope: Any, receive: Any, send: Any) -> None:
            scope[_TRANSPORT] = self.transport
            await application(scope, receive, send)

        self.app = with_transport

    def send_400_response(self, msg: str) -> None:
        """
        Answer what is no HTTP with JSON, too, and hang up.
        """
        answer = unfit("request", msg).answer
        head = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
        self.transport.write(b"%scontent-length: %d\r\n\r\n%s" % (head, len(answer.body), answer.body))
        self.transport.close()


async def read_call(scope: Scope, receive: Receive) -> Call:
    """
    Read one request, body and all.

    Raises: ClientDisconnect when the client went away before its end.
    """
    key = app_id = b""
    for name, value in scope["headers"]:
        if name == b"apikey":
            key = value
        elif name == b"appid":
            app_id = value
    # Recorded: the path is not percent-decoded before an item is looked up.
    path, is_served = split_version(scope["raw_path"].decode("latin-1"))
    return Call(
        scope["method"],
        path,
        scope["query_string"].decode("latin-1"),
        await _body(receive),
        key.decode("latin-1").strip(),
        app_id.decode("latin-1").strip(),
        is_served,
    )


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message["body"])
        more = message["more_body"]
    return b"".join(parts)


async def deliver(answer: Answer, now_s: int, scope: Scope, receive: Receive, send: Send) -> None:
    """
    Send an answer: at once, slowly, or in part.
    """
    length = (b"content-length", b"%d" % len(answer.body))
    start: Message = {
        "type": "http.response.start",
        "status": answer.status,
        "headers": [*answer.headers, *_dated(answer, now_s), length],
    }
    await send(start)
    if answer.send_only is not None:
        await send(_part(answer.body[: answer.send_only], more=True))
        scope[_TRANSPORT].close()
        await _gone(receive)
        return
    if answer.trickle is not None:
        for piece in _pieces(answer.body, answer.trickle.size):
            await send(_part(piece, more=True))
            await asyncio.sleep(answer.trickle.pause_s)
            if scope[_TRANSPORT].is_closing():
                return
        await send(_part(b"", more=False))
        return
    await send(_part(answer.body, more=False))


async def drop(order: Drop, scope: Scope, receive: Receive) -> None:
    """
    End the connection without an answer, after holding it as long as was said or as the client waits.
    """
    with suppress(TimeoutError):
        await asyncio.wait_for(_gone(receive), order.hold_s)
    transport = scope[_TRANSPORT]
    if order.is_reset:
        # Closing with a linger of nothing makes the kernel send RST instead of FIN.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_AND_RESET)
        transport.abort()
    else:
        transport.close()
    await _gone(receive)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _dated(answer: Answer, now_s: int) -> list[tuple[bytes, bytes]]:
    if answer.date_off_s is not None:
        return [_date(int(now_s + answer.date_off_s))]
    if answer.date is None:
        return [_date(now_s)]
    return [(b"date", answer.date.encode("latin-1"))] if answer.date else []


@lru_cache(maxsize=2)
def _date(now_s: int) -> tuple[bytes, bytes]:
    # Of the sandbox's own clock, so that resets and dates in other headers can be measured against it.
    return b"date", formatdate(now_s, usegmt=True).encode()


def _pieces(body: bytes, size: int) -> Iterator[bytes]:
    return (body[at : at + size] for at in range(0, len(body), size))


def _part(body: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}
