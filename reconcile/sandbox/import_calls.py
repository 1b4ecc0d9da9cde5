"""
POST /data_import/users: many users in one call, with the times they were created at.

Owns the reading of the map and the verdict on each of its entries. The answer is 200 whatever became of them,
unless the switches let a bad one end the call.
"""

from typing import Any

import msgspec
from msgspec.structs import replace

from reconcile.sandbox.answers import Answer, Refusal, data, refused, unfit
from reconcile.sandbox.calls import Call
from reconcile.sandbox.fields import read_object
from reconcile.sandbox.forms import Form
from reconcile.sandbox.user_calls import new_user, stamped, taken, written
from reconcile.sandbox.users import User
from reconcile.sandbox.views import see, sight_of
from reconcile.sandbox.world import World

__all__ = ["MAX_ENTITIES", "import_users"]

MAX_ENTITIES = 50  # vendor's documentation, "data import"
_TIMES = ("createdAt", "lastActiveAt", "deactivatedAt")


def import_users(world: World, call: Call) -> Answer:
    """
    POST /data_import/users.
    """
    entries = _entries(world, call)
    return data({uid: _outcome(world, uid, entry) for uid, entry in entries.items()})


def _entries(world: World, call: Call) -> dict[str, Any]:
    switches = world.switches
    if switches.import_body_limit == "none":
        switches = replace(switches, body_over="accept")
    entries = read_object(call.body, switches).get("users")
    if not entries or not isinstance(entries, dict):
        raise _bad_format()
    if len(entries) > MAX_ENTITIES and switches.import_over == "reject":
        raise unfit("users", f"The users may not have more than {MAX_ENTITIES} items.")
    return entries


def _outcome(world: World, uid: str, entry: object) -> dict[str, Any]:
    try:
        user = _take_in(world, uid, entry)
    except Refusal as refusal:
        if world.switches.import_failure == "aborts":
            raise refused(500, "ERR_EXCEPTION", f"The import ended at the uid {uid}.") from refusal
        error = msgspec.json.decode(refusal.answer.body)["error"]
        return {"success": False} | (error if world.switches.import_failure == "flat" else {"error": error})
    shown = see(user, sight_of("echo", world.switches))
    twice = world.switches.import_nesting == "twice"
    return {"success": True, "data": {"data": shown} if twice else shown}


def _take_in(world: World, uid: str, entry: object) -> User:
    if not isinstance(entry, dict) or entry.get("uid") != uid:
        raise _bad_format()
    form = Form({field: value for field, value in entry.items() if field != "statusMessage"}, world.switches)
    form.identifier("uid")
    form.name(required=True)
    written(form, world)
    for field in _TIMES:
        form.time(field)
    changes = form.settle()
    there = world.users.get(changes["uid"])
    if there is None:
        return new_user(world, changes)
    if world.switches.import_existing == "error":
        raise taken(changes["uid"], world.switches)
    stamped(world, there, changes)
    return there


def _bad_format() -> Refusal:
    return refused(400, "ERR_IMPORT_INVALID_USER_FORMAT", "The users must be a map from uid to user.")
