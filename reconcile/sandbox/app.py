"""
The web application: the look-alike at every path, the control API at its own.

Owns the way of one request from the wire to the world and back, and the entry it leaves in the journal.
"""

import asyncio
import logging
from random import Random

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from reconcile.sandbox.answers import Answer, refused
from reconcile.sandbox.api import Endpoint, endpoint_of, group_of, respond
from reconcile.sandbox.calls import Call
from reconcile.sandbox.control import control_routes
from reconcile.sandbox.effects import Outcome, after, before, delay_s, kind_of
from reconcile.sandbox.faults import Fault
from reconcile.sandbox.journal import Entry
from reconcile.sandbox.schedule import lag_s
from reconcile.sandbox.wire import deliver, drop, read_call
from reconcile.sandbox.world import World

__all__ = ["make_app"]

_log = logging.getLogger(__name__)


def make_app(world: World) -> Starlette:
    """
    Return the application that serves one world.
    """
    application = Starlette(routes=[Mount("/_sandbox", routes=control_routes(world))])
    application.router.default = LookAlike(world)  # and no route, since a target need not begin with a slash
    return application


class LookAlike:
    """
    Every path but the control API's, below the framework's routing, which would cost more than the answer.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._random = Random(0)  # noqa: S311 - weather, not a secret

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Answer one request, or leave it without an answer, as the faults say.
        """
        try:
            call = await read_call(scope, receive)
        except ClientDisconnect:
            return  # half a request is none
        with self._world.lock:
            due = self._world.faults.due(call)
        if pause := delay_s(due, self._random):
            await asyncio.sleep(pause)
        with self._world.lock:
            outcome = _carry_out(self._world, call, due)
        if isinstance(outcome, Answer):
            await deliver(outcome, self._world.clock.now_s(), scope, receive, send)
        else:
            await drop(outcome, scope, receive)


def _carry_out(world: World, call: Call, due: list[Fault]) -> Outcome:
    endpoint = endpoint_of(call)
    world.journal.arrived(group_of(endpoint, world), world.clock.now())
    outcome = _answered(world, call, endpoint, due)
    status = outcome.status if isinstance(outcome, Answer) else None
    world.journal.answered(_entry(world, call, endpoint, status, due))
    return outcome


def _answered(world: World, call: Call, endpoint: Endpoint, due: list[Fault]) -> Outcome:
    try:
        return _weathered(world, call, endpoint, due)
    except Exception:  # noqa: BLE001 - a client that gets no JSON cannot tell what happened
        _log.exception("The sandbox has a defect.")
        return refused(500, "ERR_EXCEPTION", "The sandbox has a defect; its log says more.").answer


def _weathered(world: World, call: Call, endpoint: Endpoint, due: list[Fault]) -> Outcome:
    outcome: Outcome | None = None
    for fault in due:
        outcome = outcome or before(fault, world, call)
    if outcome is not None:
        return outcome
    outcome = _responded(world, call, endpoint, due)
    for fault in due:
        if isinstance(outcome, Answer):
            outcome = after(fault, outcome, call)
    return outcome


def _responded(world: World, call: Call, endpoint: Endpoint, due: list[Fault]) -> Answer:
    behind_s = lag_s(due)
    if not behind_s or call.method != "GET":
        return respond(world, call, endpoint)
    with world.users.as_of(world.clock.now() - behind_s):
        return respond(world, call, endpoint)


def _entry(world: World, call: Call, endpoint: Endpoint, status: int | None, due: list[Fault]) -> Entry:
    return Entry(
        time=world.clock.now(),
        method=call.method,
        path=call.path,
        query=call.sent_query,
        endpoint=endpoint.name,
        uid=call.item if call.resource == "users" else None,
        group=group_of(endpoint, world).value,
        status=status,
        body=call.body.decode(errors="replace"),
        faults=[kind_of(fault) for fault in due],
    )
