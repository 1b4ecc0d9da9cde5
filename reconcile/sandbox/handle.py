"""
A sandbox inside the running process, and the handle to it.

Owns the thread that serves, and the typed methods that work on the world directly, under its lock, while it
serves.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from socket import socket
from typing import Any

import msgspec

from reconcile.sandbox.faults import Fault
from reconcile.sandbox.journal import Counters, Entry, Pace
from reconcile.sandbox.limiter import Limits
from reconcile.sandbox.profiles import profile
from reconcile.sandbox.roles import Role
from reconcile.sandbox.server import Address, Options, SandboxServer, address, build_world, listen, secured
from reconcile.sandbox.switches import flip
from reconcile.sandbox.users import User
from reconcile.sandbox.world import World

__all__ = ["Sandbox", "running_sandbox"]

_START_S = 10.0


class Sandbox:
    """
    One look-alike that is being served: where it is, what it knows, and how it behaves.
    """

    def __init__(self, world: World, address: Address) -> None:
        self._world = world
        self.base_url = address.url
        self.control_url = address.url.removesuffix("/v3") + "/_sandbox"
        self.api_key = address.api_key
        self.auth_only_key = address.auth_only_key
        self.app_id = address.app_id
        self.ca_file = address.ca_file

    def load_users(self, users: Iterable[Mapping[str, Any]]) -> int:
        """
        Take in users, times and all, each in place of one with its uid, and return how many came.
        """
        with self._world.lock:
            return self._world.load_users(msgspec.convert(user, User) for user in users)

    def users(self) -> dict[str, dict[str, Any]]:
        """
        Return every user with every field, deactivated ones too, by uid in order.
        """
        with self._world.lock:
            lines = self._world.users.dump()
        return {user["uid"]: user for user in msgspec.json.Decoder().decode_lines(lines)}

    def load_roles(self, roles: Iterable[str | Mapping[str, Any]]) -> int:
        """
        Take in roles, by id alone or with their fields, and return how many came.
        """
        loaded = [Role(role) if isinstance(role, str) else msgspec.convert(role, Role) for role in roles]
        with self._world.lock:
            return self._world.load_roles(loaded)

    def roles(self) -> dict[str, dict[str, Any]]:
        """
        Return every role with every field, by id.
        """
        with self._world.lock:
            return {role.role: msgspec.to_builtins(role) for role in self._world.roles.newest_first()}

    def log(self) -> list[Entry]:
        """
        Return the requests so far, oldest first.
        """
        with self._world.lock:
            return list(self._world.journal.entries)

    def keep_log(self, *, keep: bool) -> None:
        """
        Log requests from now on, or only count them.
        """
        self._world.journal.keeps_entries = keep

    def clear_log(self) -> None:
        """
        Forget the log and set every counter to nothing.
        """
        with self._world.lock:
            self._world.journal.clear()

    def counters(self) -> Counters:
        """
        Return how many requests came.
        """
        with self._world.lock:
            return self._world.journal.counters()

    def pace(self) -> dict[str, Pace]:
        """
        Return for each rate group how many requests came, and the most in any 60 seconds.
        """
        with self._world.lock:
            return self._world.journal.pace()

    def set_limits(self, **requests_a_minute: int) -> None:
        """
        Set the limits of `core`, `standard` or `data_import`; the others stay.
        """
        with self._world.lock:
            limits = msgspec.structs.asdict(self._world.limiter.limits)
            self._world.limiter.limits = msgspec.convert(limits | requests_a_minute, Limits)

    def switch(self, **values: str) -> None:
        """
        Change how open questions are answered.

        Raises: msgspec.ValidationError for a switch or a value that does not exist.
        """
        with self._world.lock:
            self._world.turn(flip(self._world.switches, values))

    def use_profile(self, name: str) -> None:
        """
        Answer every open question as a profile does.
        """
        with self._world.lock:
            self._world.turn(profile(name))

    def fault(self, kind: str, **parameters: object) -> None:
        """
        Order bad weather; see `faults` for the kinds and their parameters.

        Raises: msgspec.ValidationError for a kind or a parameter that does not exist.
        """
        fault = msgspec.convert({"kind": kind} | parameters, Fault)
        with self._world.lock:
            self._world.order_faults([fault])

    def clear_faults(self) -> None:
        """
        Call off every fault.
        """
        with self._world.lock:
            self._world.faults.clear()

    def revoke_key(self) -> None:
        """
        Know no key from now on.
        """
        self._world.keys.revoked = True

    def restore_key(self) -> None:
        """
        Know the keys again.
        """
        self._world.keys.revoked = False

    def set_clock(self, unix_s: float) -> None:
        """
        Stop the clock at a time.
        """
        with self._world.lock:
            self._world.clock.set(unix_s)

    def advance(self, seconds: float) -> None:
        """
        Move the clock forward.
        """
        with self._world.lock:
            self._world.clock.advance(seconds)

    def reset(self) -> None:
        """
        Go back to an empty app with the switches, limits and faults of the start.
        """
        with self._world.lock:
            self._world.reset()


@contextmanager
def running_sandbox(**settings: Any) -> Iterator[Sandbox]:
    """
    Serve a sandbox from a thread of its own, for as long as the block runs; the settings are those of `Options`.
    """
    options = Options(**settings)
    world = build_world(options)
    with secured(options) as certificate:
        server = SandboxServer(world, options.state, certificate)
        listening = listen(options.port)
        handle = Sandbox(world, address(world, listening, certificate))
        with _served(server, listening, f"sandbox {handle.base_url}"):
            yield handle


@contextmanager
def _served(server: SandboxServer, listening: socket, name: str) -> Iterator[None]:
    thread = threading.Thread(target=server.run, args=([listening],), name=name, daemon=True)
    thread.start()
    if not server.listens.wait(_START_S):
        raise RuntimeError("the sandbox did not start")
    try:
        yield
    finally:
        server.stop()
        thread.join()
