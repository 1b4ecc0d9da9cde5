"""
The calls about many users at once: deactivate and reactivate.

Owns their lists. They answer 200 even where no uid is known; a list without entries is left out.
"""

from collections.abc import Callable
from typing import Any

from msgspec import UNSET

from reconcile.sandbox.answers import Answer, Refusal, data, unfit
from reconcile.sandbox.calls import Call
from reconcile.sandbox.fields import read_object
from reconcile.sandbox.users import User
from reconcile.sandbox.world import World

__all__ = ["MAX_UIDS", "bulk_cost", "deactivate", "reactivate"]

MAX_UIDS = 25  # vendor's older reference, page "reactivate users"

Lists = dict[str, list[str]]


def deactivate(world: World, call: Call) -> Answer:
    """
    DELETE /users.
    """

    def turn_off(user: User) -> str:
        if not user.is_active:
            return "alreadyDeactivatedUids"
        with world.users.changing(user):
            user.deactivatedAt = world.clock.now_s()
        return "deactivatedUids"

    return data(_sort(world, _uids_in(world, call, "uidsToDeactivate"), turn_off))


def reactivate(world: World, call: Call) -> Answer:
    """
    PUT /users.
    """

    def turn_on(user: User) -> str:
        if user.is_active:
            return "nonDeactivatedUids"
        with world.users.changing(user):
            user.deactivatedAt = UNSET
        return "reactivatedUids"

    lists = _sort(world, _uids_in(world, call, "uidsToActivate"), turn_on)
    return data(_as_map(lists) if world.switches.reactivate_answer == "map" else lists)


def bulk_cost(body: bytes, world: World) -> int:
    """
    Return how many requests a bulk call counts for.
    """
    if world.switches.bulk_cost == "request":
        return 1
    try:
        values = read_object(body, world.switches).values()
    except Refusal:
        return 1  # it is refused where it is read
    return max([1, *(len(value) for value in values if isinstance(value, list))])


def _uids_in(world: World, call: Call, field: str) -> list[str]:
    uids = read_object(call.body, world.switches).get(field)
    if not uids:
        raise unfit(field, f"The {field} field is required.")
    if not isinstance(uids, list) or not all(isinstance(uid, str) for uid in uids):
        raise unfit(field, f"The {field} must be an array of strings.")
    if len(uids) > MAX_UIDS and world.switches.bulk_over == "reject":
        raise unfit(field, f"The {field} may not have more than {MAX_UIDS} items.")
    return uids if world.switches.bulk_over == "accept" else uids[:MAX_UIDS]


def _sort(world: World, uids: list[str], turn: Callable[[User], str]) -> Lists:
    lists: Lists = {}
    for uid in dict.fromkeys(uids):
        user = world.users.get(uid.lower() if world.switches.bulk_uid_case == "folded" else uid)
        # Recorded: what is not found comes back in the caller's own case.
        kind, shown = ("notFound", uid) if user is None else (turn(user), user.uid)
        lists.setdefault(kind, []).append(shown)
    return lists


def _as_map(lists: Lists) -> dict[str, Any]:
    return {
        uid: {"success": kind == "reactivatedUids", "message": kind}
        for kind, uids in lists.items()
        for uid in uids
    }
