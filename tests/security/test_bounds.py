"""No answer fills the memory, and none holds a run for longer than it is patient."""

import gc
import socket
import ssl
import threading
import tracemalloc
import zlib
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
import trustme

from reconcile.cometchat import wire
from reconcile.cometchat.client import BODY_CAP
from reconcile.cometchat.wire import Request
from reconcile.errors import DirectoryBusy, DirectoryError, Unclear
from tests.cometchat.builders import Clock, a_client, a_gate
from tests.security.servers import answer, serving

READ = Request("GET", "/users/kiwi", lambda body: wire.read_user(body, "kiwi"))
UPDATE = Request("PUT", "/users/kiwi", lambda body: wire.read_user(body, "kiwi"), body={"name": "Lime"})
GIGABYTE = 10**9
GROWTH = 60 * 2**20
CHUNK = b" " * 2**20


def _peak_of(url: str) -> int:
    """Give the memory that a write takes whose answer is at `url`; it counts as unclear."""
    client = a_client(base_url=url)
    gc.collect()
    tracemalloc.start()
    with pytest.raises(Unclear):
        client.send(UPDATE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    client.close()
    return peak


def test_a_body_of_a_gigabyte_is_not_read() -> None:
    """The line is cut a little behind the largest answer that the API can give."""
    sent = []

    def speak(line: socket.socket, _: bytes) -> None:
        line.sendall(f"HTTP/1.1 200 OK\r\ncontent-length: {GIGABYTE}\r\n\r\n{{".encode())
        for _part in range(GIGABYTE // len(CHUNK)):
            line.sendall(CHUNK)
            sent.append(len(CHUNK))

    with serving(speak) as server:
        peak = _peak_of(server.url)

    assert peak < GROWTH
    assert sum(sent) < 2 * BODY_CAP + 16 * 2**20  # What lies in the buffers of the socket was sent, too.


def test_a_bomb_inside_a_chunk_is_bounded() -> None:
    """Small on the line, without an end when it is unpacked, in pieces of any size."""

    pack = zlib.compressobj(level=9, wbits=31)
    packed = b"".join(pack.compress(CHUNK) for _ in range(200)) + pack.flush()

    def speak(line: socket.socket, _: bytes) -> None:
        line.sendall(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n")
        for start in range(0, len(packed), 5_000):
            part = packed[start : start + 5_000]
            line.sendall(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        line.sendall(b"0\r\n\r\n")

    with serving(speak) as server:
        assert _peak_of(server.url) < GROWTH


@pytest.mark.parametrize("opening", ["[", '{"data":', '{"data":[', '{"error":{"details":'])
def test_json_of_a_hundred_thousand_storeys_is_no_answer(opening: str) -> None:
    """It is one that cannot be read, and ends nothing but itself."""
    body = opening.encode() * 100_000
    with serving(lambda line, _: line.sendall(answer(200, body))) as server:
        assert _peak_of(server.url) < GROWTH
    with serving(lambda line, _: line.sendall(answer(500, body))) as server:
        assert _peak_of(server.url) < GROWTH


@pytest.mark.parametrize("head", [b"x: y\r\n", b"x: " + b"y" * 1000])
def test_a_head_without_end_is_bounded(head: bytes) -> None:
    """Many headers, or one."""

    def speak(line: socket.socket, _: bytes) -> None:
        line.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            line.sendall(head * 100)

    with serving(speak) as server:
        assert _peak_of(server.url) < GROWTH


def test_bytes_that_drip_hold_a_read_no_longer_than_it_is_patient() -> None:
    """Each comes in time; all together they have the time of one errand, by the clock of the job."""
    clock, gone = Clock(), threading.Event()

    def speak(line: socket.socket, _: bytes) -> None:
        line.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        with suppress(OSError):
            while True:
                clock.advance(5.0)
                line.sendall(b" ")
        gone.set()

    with serving(speak) as server:
        client = a_client(base_url=server.url, gate=a_gate(clock))
        with pytest.raises(DirectoryError) as ended:
            client.send(READ)
        client.close()
        assert gone.wait(10)

    assert isinstance(ended.value, DirectoryBusy)


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "TLS"])
def test_a_head_that_drips_holds_a_read_no_longer_than_it_is_patient(tmp_path: Path, *, is_tls: bool) -> None:
    """Not even the first line of the answer needs to end for that."""
    clock, gone, authority = Clock(), threading.Event(), trustme.CA()
    tls, ca_file = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), tmp_path / "ca.pem"
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.cert_pem.write_to_path(str(ca_file))

    def speak(line: socket.socket, _: bytes) -> None:
        with suppress(OSError):
            line.sendall(b"HTTP/1.1 200 OK\r\nx-drip: ")
            while not gone.wait(0.01):
                clock.advance(1.0)
                line.sendall(b"a")
        gone.set()

    with serving(speak, tls=tls if is_tls else None) as server:
        client = a_client(base_url=server.url, gate=a_gate(clock), ca_file=str(ca_file))
        with pytest.raises(DirectoryBusy):
            client.send(READ)
        client.close()
        assert gone.wait(10)


def test_silence_is_given_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes the request and says nothing, or stops in the middle of a word."""
    monkeypatch.setattr("reconcile.cometchat.client.TIMEOUT", httpx.Timeout(0.05))
    for said in (b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"):
        quiet = threading.Event()

        def speak(line: socket.socket, _: bytes, said: bytes = said, quiet: threading.Event = quiet) -> None:
            line.sendall(said)
            quiet.wait(10)

        with serving(speak) as server:
            client = a_client(base_url=server.url)
            with pytest.raises(Unclear):
                client.send(UPDATE)
            quiet.set()
            client.close()
