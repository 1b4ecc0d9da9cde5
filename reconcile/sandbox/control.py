"""
The control API under /_sandbox: what a test in another process may see and change.

Owns its paths. It needs no key, is not counted and is not logged; everything it does is also a method of the
handle in `handle`.
"""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from reconcile.sandbox.faults import read_faults
from reconcile.sandbox.limiter import Limits
from reconcile.sandbox.profiles import profile
from reconcile.sandbox.roles import Role
from reconcile.sandbox.switches import flip
from reconcile.sandbox.users import User
from reconcile.sandbox.world import World

__all__ = ["control_routes", "read_users"]

_JSON_LINES = "application/jsonl"
_YEAR_9999 = 253_402_300_799  # no later date can be written into a header


class _KeysWish(Struct, forbid_unknown_fields=True):
    full_access: str | None = None
    auth_only: str | None = None
    revoked: bool | None = None


class _LogWish(Struct, forbid_unknown_fields=True):
    keep: bool = True


class _ClockWish(Struct, forbid_unknown_fields=True):
    now: Annotated[float, Meta(ge=0, le=_YEAR_9999)] | None = None
    advance: float = 0.0
    run: bool = False


def read_users(text: bytes) -> list[User]:
    """
    Return the users of a JSON array, or of a text with one JSON object a line.

    Raises: msgspec.ValidationError for what is no user.
    """
    if text.lstrip()[:1] == b"[":
        return msgspec.json.decode(text, type=list[User])
    return msgspec.json.Decoder(User).decode_lines(text)


def control_routes(world: World) -> list[Route]:
    """
    Return the routes that let a test work on this world.
    """
    control = _Control(world)
    return [
        Route(path, _served(world, call), methods=[method])
        for (method, path), call in {
            ("GET", "/users"): control.dump_users,
            ("POST", "/users"): control.load_users,
            ("DELETE", "/users"): control.clear_users,
            ("GET", "/roles"): control.dump_roles,
            ("POST", "/roles"): control.load_roles,
            ("GET", "/log"): control.log,
            ("PUT", "/log"): control.keep_log,
            ("DELETE", "/log"): control.clear_log,
            ("GET", "/counters"): control.counters,
            ("GET", "/pace"): control.pace,
            ("GET", "/limits"): control.limits,
            ("PUT", "/limits"): control.set_limits,
            ("GET", "/switches"): control.switches,
            ("PUT", "/switches"): control.set_switches,
            ("PUT", "/profile"): control.set_profile,
            ("GET", "/faults"): control.faults,
            ("POST", "/faults"): control.add_faults,
            ("DELETE", "/faults"): control.clear_faults,
            ("GET", "/keys"): control.keys,
            ("PUT", "/keys"): control.set_keys,
            ("GET", "/clock"): control.clock,
            ("PUT", "/clock"): control.set_clock,
            ("POST", "/reset"): control.reset,
        }.items()
    ]


def _served(world: World, call: Callable[[bytes], object]) -> Callable[[Request], Awaitable[Response]]:
    @wraps(call)
    async def endpoint(request: Request) -> Response:
        body = await request.body()
        try:
            with world.lock:
                result = call(body)
        except ValueError as error:
            return Response(msgspec.json.encode({"error": str(error)}), 400, media_type="application/json")
        if isinstance(result, bytes):
            return Response(result, media_type=_JSON_LINES)
        return Response(msgspec.json.encode(result), media_type="application/json")

    return endpoint


class _Control:
    """
    One method for each path: the body in, what to answer out; bytes are lines of JSON.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    def dump_users(self, _: bytes) -> object:
        return self._world.users.dump()

    def load_users(self, body: bytes) -> object:
        return {"loaded": self._world.load_users(read_users(body))}

    def clear_users(self, _: bytes) -> object:
        self._world.users.clear()
        return {}

    def dump_roles(self, _: bytes) -> object:
        return self._world.roles.newest_first()

    def load_roles(self, body: bytes) -> object:
        return {"loaded": self._world.load_roles(msgspec.json.decode(body, type=list[Role]))}

    def log(self, _: bytes) -> object:
        return msgspec.json.Encoder().encode_lines(self._world.journal.entries)

    def keep_log(self, body: bytes) -> object:
        keep = msgspec.json.decode(body, type=_LogWish).keep
        self._world.journal.keeps_entries = keep
        return {"keep": keep}

    def clear_log(self, _: bytes) -> object:
        self._world.journal.clear()
        return {}

    def counters(self, _: bytes) -> object:
        return self._world.journal.counters()

    def pace(self, _: bytes) -> object:
        return self._world.journal.pace()

    def limits(self, _: bytes) -> object:
        return self._world.limiter.limits

    def set_limits(self, body: bytes) -> object:
        wish = msgspec.json.decode(body, type=dict[str, int])
        current = msgspec.structs.asdict(self._world.limiter.limits)
        self._world.limiter.limits = msgspec.convert(current | wish, Limits)
        return self._world.limiter.limits

    def switches(self, _: bytes) -> object:
        return self._world.switches

    def set_switches(self, body: bytes) -> object:
        wish = msgspec.json.decode(body, type=dict[str, str])
        self._world.turn(flip(self._world.switches, wish))
        return self._world.switches

    def set_profile(self, body: bytes) -> object:
        self._world.turn(profile(msgspec.json.decode(body, type=str)))
        return self._world.switches

    def faults(self, _: bytes) -> object:
        return self._world.faults.faults()

    def add_faults(self, body: bytes) -> object:
        self._world.order_faults(read_faults(body))
        return self._world.faults.faults()

    def clear_faults(self, _: bytes) -> object:
        self._world.faults.clear()
        return {}

    def keys(self, _: bytes) -> object:
        return self._world.keys

    def set_keys(self, body: bytes) -> object:
        wish = msgspec.json.decode(body, type=_KeysWish)
        for field, value in msgspec.structs.asdict(wish).items():
            if value is not None:
                setattr(self._world.keys, field, value)
        return self._world.keys

    def clock(self, _: bytes) -> object:
        return {"now": self._world.clock.now()}

    def set_clock(self, body: bytes) -> object:
        wish = msgspec.json.decode(body, type=_ClockWish)
        if wish.run:
            self._world.clock.run()
        if wish.now is not None:
            self._world.clock.set(wish.now)
        self._world.clock.advance(wish.advance)
        return {"now": self._world.clock.now()}

    def reset(self, _: bytes) -> object:
        self._world.reset()
        return {}
