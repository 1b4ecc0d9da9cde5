"""
The server: one world behind one port.

Owns starting and stopping. Prints nothing: who starts a server is called back when it listens.
"""

import asyncio
import gc
import os
import socket
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import msgspec
import uvicorn

from reconcile.sandbox.app import make_app
from reconcile.sandbox.certificates import Certificate, certified
from reconcile.sandbox.faults import Fault, Latency, read_faults
from reconcile.sandbox.keys import FULL_ACCESS_KEY, Keys
from reconcile.sandbox.profiles import profile
from reconcile.sandbox.state import StateSaver, load_state, load_users
from reconcile.sandbox.switches import flip
from reconcile.sandbox.wire import SandboxProtocol
from reconcile.sandbox.world import World

__all__ = ["Address", "Options", "SandboxServer", "build_world", "listen", "secured", "serve"]

HOST = "127.0.0.1"
ANY_APP_ID = "sandbox"  # what is shown where every app id is accepted
_KEEP_ALIVE_S = 75  # so that a client's idle connection outlives its pauses
_BACKLOG = 2_048
_SAVE_EVERY_S = 2.0  # what a kill can lose of a state that is kept, unless writing it takes long


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """
    How a sandbox starts; port 0 takes any free one, and a state file is read at the start and kept up to date.

    With `tls` the certificate of its authority is written to `ca_file`, or to a place of its own.
    """

    port: int = 0
    users: Path | None = None
    app_id: str | None = None
    profile: str = "observed"
    switches: dict[str, str] = field(default_factory=dict)
    latency_ms: float = 0.0
    faults: Path | None = None
    state: Path | None = None
    keep_log: bool = True
    tls: bool = False
    ca_file: Path | None = None


class Address(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    What a client needs to know of a sandbox that listens; `ca_file` is there with TLS only.
    """

    url: str
    api_key: str
    auth_only_key: str
    app_id: str
    ca_file: str | None = None

    @property
    def shown_key(self) -> str:
        """
        Return the key to print; one that the owner of the process gave is not ours to show.
        """
        return self.api_key if self.api_key == FULL_ACCESS_KEY else "***"

    def as_json(self) -> str:
        """
        Return it on one line.
        """
        return msgspec.json.encode(msgspec.structs.replace(self, api_key=self.shown_key)).decode()


class SandboxServer(uvicorn.Server):
    """
    A server that says when it listens, stops at once, and may run in any thread.
    """

    def __init__(self, world: World, state: Path | None, certificate: Certificate | None) -> None:
        config = uvicorn.Config(
            make_app(world),
            http=SandboxProtocol,
            loop="asyncio",  # the faults reset real sockets, which other loops wrap
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
        )
        super().__init__(config)
        self.listens = threading.Event()
        self._world = world
        self._state = state
        self._certificate = certificate
        self._ended = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def stop(self) -> None:
        """
        Stop, from any thread.
        """
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._ended.set)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """
        Stop because of a signal.
        """
        super().handle_exit(sig, frame)
        self.stop()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """
        Listen, and say so.
        """
        if self._certificate is not None:
            self.config.ssl = self._certificate.context
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self.listens.set()

    async def main_loop(self) -> None:
        """
        Serve until somebody stops the server; a state that is kept is written again and again meanwhile.
        """
        if self._state is None:
            await self._ended.wait()
            return
        saver, loop, took_s = StateSaver(self._world, self._state), asyncio.get_running_loop(), 0.0
        while not self._ended.is_set():
            with suppress(TimeoutError):
                # A million users take a while to write, and nobody is answered meanwhile.
                await asyncio.wait_for(self._ended.wait(), max(_SAVE_EVERY_S, 20 * took_s))
            began = loop.time()
            saver.save()
            took_s = loop.time() - began

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """
        Cut every connection, the held ones too, and end.
        """
        for server in self.servers:
            server.close()
        for listening in sockets or []:
            listening.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=1)


def build_world(options: Options) -> World:
    """
    Return the world that the options describe.

    Raises: ValueError or msgspec.ValidationError for a file, a profile or a switch that makes no sense.
    """
    switches = flip(profile(options.profile), options.switches)
    key = os.environ.get("COMETCHAT_API_KEY") or FULL_ACCESS_KEY
    keys = Keys(full_access=key, app_id=options.app_id)
    world = World(
        switches=switches, keys=keys, standing_faults=_standing_faults(options), keeps_log=options.keep_log
    )
    if options.state is not None and options.state.exists():
        load_state(world, options.state)
    if options.users is not None:
        load_users(world, options.users)
    return world


def listen(port: int) -> socket.socket:
    """
    Return a socket on the loopback address that takes connections from now on.

    Raises: OSError when the port is taken.
    """
    # The protocol is named, because asyncio turns Nagle's algorithm off only where it reads TCP.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except OSError:
        listening.close()
        raise
    listening.listen(_BACKLOG)
    return listening


def secured(options: Options) -> AbstractContextManager[Certificate | None]:
    """
    Return the certificate to serve with, for the length of a block; none where TLS is not asked for.

    Raises: ValueError for a file of an authority that there is not.
    """
    if options.tls:
        return certified(options.ca_file)
    if options.ca_file is not None:
        raise ValueError("a CA file needs TLS, too")
    return nullcontext()


def address(world: World, listening: socket.socket, certificate: Certificate | None) -> Address:
    """
    Return where the world is to be found, and with which keys.
    """
    port = listening.getsockname()[1]
    keys = world.keys
    app_id = keys.app_id or ANY_APP_ID
    if certificate is None:
        return Address(f"http://{HOST}:{port}/v3", keys.full_access, keys.auth_only, app_id)
    ca_file = str(certificate.ca_file)
    return Address(f"https://{HOST}:{port}/v3", keys.full_access, keys.auth_only, app_id, ca_file)


def serve(options: Options, on_listen: Callable[[Address], None]) -> None:
    """
    Serve until a signal ends the process; `on_listen` is called once, when requests are taken.

    Raises: OSError when the port is taken; ValueError or msgspec.ValidationError for options that make no sense.
    """
    world = build_world(options)
    world.users.shelf("active")  # sorted before anybody waits for the first page
    gc.freeze()  # a million users need not be looked at again by every collection
    with secured(options) as certificate, listen(options.port) as listening:
        server = SandboxServer(world, options.state, certificate)
        on_listen(address(world, listening, certificate))
        with suppress(KeyboardInterrupt):  # the server raises the signals it took, once it has ended
            server.run(sockets=[listening])


def _standing_faults(options: Options) -> tuple[Fault, ...]:
    faults: list[Fault] = [] if options.faults is None else read_faults(options.faults.read_bytes())
    if options.latency_ms:
        faults.append(Latency(low_ms=options.latency_ms, high_ms=options.latency_ms))
    return tuple(faults)
