"""
The look-alike itself: one request in, one answer out.

Owns the table of endpoints and the order in which a request is judged: path, budget, keys, then the call.
Knows nothing of sockets; the caller holds the world's lock.
"""

from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from reconcile.sandbox import bulk_calls, import_calls, role_calls, user_calls
from reconcile.sandbox.answers import Answer, Refusal, refused
from reconcile.sandbox.calls import Call
from reconcile.sandbox.keys import admit
from reconcile.sandbox.limiter import Group, Spending, rate_headers
from reconcile.sandbox.world import World

__all__ = ["Endpoint", "endpoint_of", "group_of", "respond"]

Handler = Callable[[World, Call], Answer]


def _nowhere(_: World, call: Call) -> Answer:
    raise refused(404, "ERR_API_NOT_FOUND", f"There is no endpoint {call.method} {call.path}.")


def _wrong_version(_: World, call: Call) -> Answer:
    raise refused(404, "ERR_INVALID_API_VERSION", f"This version of the API does not exist: {call.path}.")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    One row of the API: its name in the log, what answers it, and its budget; `is_bulk` calls carry many uids.
    """

    name: str
    handler: Handler
    group: Group = Group.STANDARD
    is_bulk: bool = False


_TABLE = {
    ("GET", "users", False): Endpoint("GET /users", user_calls.listed),
    ("POST", "users", False): Endpoint("POST /users", user_calls.create, Group.CORE),
    ("PUT", "users", False): Endpoint("PUT /users", bulk_calls.reactivate, is_bulk=True),
    ("DELETE", "users", False): Endpoint("DELETE /users", bulk_calls.deactivate, Group.CORE, is_bulk=True),
    ("GET", "users", True): Endpoint("GET /users/{uid}", user_calls.get),
    ("PUT", "users", True): Endpoint("PUT /users/{uid}", user_calls.update),
    ("DELETE", "users", True): Endpoint("DELETE /users/{uid}", user_calls.delete, Group.CORE),
    ("GET", "roles", False): Endpoint("GET /roles", role_calls.listed),
    ("POST", "roles", False): Endpoint("POST /roles", role_calls.create),
    ("GET", "roles", True): Endpoint("GET /roles/{role}", role_calls.get),
    ("PUT", "roles", True): Endpoint("PUT /roles/{role}", role_calls.update),
    ("DELETE", "roles", True): Endpoint("DELETE /roles/{role}", role_calls.delete),
    ("POST", "data_import", True): Endpoint(
        "POST /data_import/users", import_calls.import_users, Group.DATA_IMPORT
    ),
}
_NOWHERE = Endpoint("unknown", _nowhere)
_WRONG_VERSION = Endpoint("unknown", _wrong_version)


def endpoint_of(call: Call) -> Endpoint:
    """
    Return what answers this request; a path or a method that does not exist is answered, too.
    """
    if not call.is_served:
        return _WRONG_VERSION
    item = call.item or ""
    if "/" in item or (call.resource == "data_import" and item != "users"):
        return _NOWHERE
    return _TABLE.get((call.method, call.resource, bool(item)), _NOWHERE)


def group_of(endpoint: Endpoint, world: World) -> Group:
    """
    Return the budget that this endpoint draws on.
    """
    if endpoint.is_bulk and world.switches.bulk_group != "split":
        return Group(world.switches.bulk_group)
    return endpoint.group


def respond(world: World, call: Call, endpoint: Endpoint) -> Answer:
    """
    Carry out one request, and answer it.
    """
    now, switches = world.clock.now(), world.switches
    group = group_of(endpoint, world)
    cost = bulk_calls.bulk_cost(call.body, world) if endpoint.is_bulk else 1
    spending = world.limiter.spend(group, cost, now, switches)
    answer = _judge(world, call, endpoint) if spending.allowed else _too_many(group, spending, now)
    return replace(answer, headers=answer.headers + rate_headers(spending, now, switches))


def _judge(world: World, call: Call, endpoint: Endpoint) -> Answer:
    may_create = endpoint.handler is user_calls.create
    try:
        if endpoint not in (_NOWHERE, _WRONG_VERSION):
            admit(world.keys, call.key, call.app_id, may_create=may_create, switches=world.switches)
        return endpoint.handler(world, call)
    except Refusal as refusal:
        return refusal.answer


def _too_many(group: Group, spending: Spending, now: float) -> Answer:
    limit, wait_s = spending.limit, spending.wait_s(now)
    message = f"Too many requests: the limit is {limit} {group} requests a minute. Try again in {wait_s} seconds."
    return refused(429, "ERR_TOO_MANY_REQUESTS", message).answer
