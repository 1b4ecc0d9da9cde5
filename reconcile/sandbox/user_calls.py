"""
The calls about one user: create, get, update, delete.

Owns what each of them does to the store; which fields may be written stands in `forms`.
"""

from secrets import token_hex
from typing import Any

import msgspec
from msgspec import UNSET

from reconcile.sandbox.answers import Answer, Refusal, data, invalid, refused, uid_not_found
from reconcile.sandbox.calls import Call
from reconcile.sandbox.fields import read_object
from reconcile.sandbox.forms import Changes, Form
from reconcile.sandbox.listing import list_users
from reconcile.sandbox.roles import DEFAULT_ROLE
from reconcile.sandbox.switches import Switches
from reconcile.sandbox.users import User
from reconcile.sandbox.views import see, sight_of
from reconcile.sandbox.world import World

__all__ = ["create", "delete", "get", "listed", "new_user", "stamped", "update", "written"]

_UNSETTABLE = ("avatar", "link", "metadata")  # the enumeration of the vendor's documentation
_UNSETTABLE_PERHAPS = ("tags", "statusMessage")


def listed(world: World, call: Call) -> Answer:
    """
    GET /users.
    """
    return list_users(world.users, call.query, world.switches)


def get(world: World, call: Call) -> Answer:
    """
    GET /users/{uid}.
    """
    user = world.users.get(call.item or "")
    if user is None or not (user.is_active or world.switches.get_deactivated == "200"):
        raise uid_not_found(call.item or "")
    return data(see(user, sight_of("get", world.switches)))


def create(world: World, call: Call) -> Answer:
    """
    POST /users.
    """
    switches = world.switches
    form = Form(read_object(call.body, switches), switches)
    form.identifier("uid")
    form.name(required=True)
    written(form, world)
    if switches.created_at_input == "honoured":
        form.time("createdAt")
    changes = form.settle()
    there = world.users.get(changes["uid"])
    if there is not None and (there.is_active or switches.create_over_deactivated == "conflict"):
        raise taken(changes["uid"], switches)
    user = new_user(world, changes) if there is None else _revive(world, there, changes)
    shown: Any = see(user, sight_of("echo", switches))
    if form.flag("withAuthToken"):
        shown = msgspec.to_builtins(shown) | {"authToken": f"{user.uid}_{world.clock.now_s()}{token_hex(16)}"}
    return data(shown, status=int(switches.create_status))


def update(world: World, call: Call) -> Answer:
    """
    PUT /users/{uid}.
    """
    switches = world.switches
    user = world.users.get(call.item or "")
    if user is None or not (user.is_active or switches.put_deactivated == "200"):
        raise uid_not_found(call.item or "")
    form = Form(read_object(call.body, switches), switches)
    form.name(required=False)
    written(form, world)
    form.unset(_UNSETTABLE, _UNSETTABLE_PERHAPS)
    changes = form.settle()
    if switches.metadata_put == "merge":
        _merge_metadata(user, changes)
    stamped(world, user, changes)
    return data(see(user, sight_of("echo", switches)))


def delete(world: World, call: Call) -> Answer:
    """
    DELETE /users/{uid}: deactivates, unless the body says that it is for good.
    """
    uid = call.item or ""
    user = world.users.get(uid)
    if user is None:
        raise uid_not_found(uid)
    if _is_permanent(read_object(call.body, world.switches)):
        world.users.remove(user)
        return data({"success": True, "message": f"The user with the uid {uid} was deleted."})
    if user.is_active:
        with world.users.changing(user):
            user.deactivatedAt = world.clock.now_s()
        return data({"deactivatedUids": [uid]})
    if world.switches.soft_delete_twice == "404":
        raise uid_not_found(uid)
    return data({"alreadyDeactivatedUids": [uid]})


def written(form: Form, world: World) -> None:
    """
    Read the fields that POST and PUT share.
    """
    form.url("avatar")
    form.url("link")
    form.text("statusMessage")
    form.metadata()
    form.tags()
    form.role(world.roles.by_id)


def new_user(world: World, changes: Changes) -> User:
    """
    Put a user into the store.
    """
    fields: Changes = {"role": DEFAULT_ROLE, "status": "offline", "createdAt": world.clock.now_s()}
    user = User(**(fields | changes))
    world.users.add(user)
    return user


def stamped(world: World, user: User, changes: Changes) -> None:
    """
    Change a user's fields and note when.
    """
    is_same = all(getattr(user, field) == value for field, value in changes.items())
    with world.users.changing(user):
        for field, value in changes.items():
            setattr(user, field, value)
        if not (is_same and world.switches.same_put == "keeps"):
            user.updatedAt = world.clock.now_s()


def taken(uid: str, switches: Switches) -> Refusal:
    """
    Return the refusal of a uid that somebody has, active or not.
    """
    status = int(switches.conflict_status)
    if switches.conflict_code == "ERR_BAD_REQUEST":
        return invalid({"uid": ["The uid has already been taken."]}, status=status)
    return refused(status, switches.conflict_code, f"The uid {uid} is taken. Please use another uid.")


def _revive(world: World, user: User, changes: Changes) -> User:
    stamped(world, user, changes | {"deactivatedAt": UNSET})
    return user


def _merge_metadata(user: User, changes: Changes) -> None:
    sent, kept = changes.get("metadata"), user.metadata
    if isinstance(sent, dict) and isinstance(kept, dict):
        changes["metadata"] = kept | sent


def _is_permanent(body: dict[str, Any]) -> bool:
    # The vendor's sample sends text; a PHP server reads "false" of a boolean rule as false.
    return body.get("permanent") in (True, "true", 1, "1")
