"""
The calls about roles.

Owns what each of them does to the roles; which fields may be written stands in `forms`.
"""

from reconcile.sandbox.answers import Answer, Refusal, data, refused, unfit
from reconcile.sandbox.calls import Call
from reconcile.sandbox.fields import read_object
from reconcile.sandbox.forms import Form
from reconcile.sandbox.listing import pagination
from reconcile.sandbox.roles import DEFAULT_ROLE, MAX_ROLES, Role
from reconcile.sandbox.world import World

__all__ = ["create", "delete", "get", "listed", "update"]

MAX_DESCRIPTION = 255
_PER_PAGE = 100
_UNSETTABLE = ("settings", "description", "metadata")


def listed(world: World, _: Call) -> Answer:
    """
    GET /roles.
    """
    roles = world.roles.newest_first()
    return data(roles, {"pagination": pagination(len(roles), len(roles), _PER_PAGE, 1, 1)})


def get(world: World, call: Call) -> Answer:
    """
    GET /roles/{role}.
    """
    return data(_role(world, call))


def create(world: World, call: Call) -> Answer:
    """
    POST /roles.
    """
    form = Form(read_object(call.body, world.switches), world.switches)
    form.identifier("role")
    form.name(required=True)
    _read_rest(form)
    changes = form.settle()
    if changes["role"] in world.roles.by_id:
        raise refused(400, "ERR_ROLE_ALREADY_EXISTS", f"The role {changes['role']} is there already.")
    if len(world.roles.by_id) >= MAX_ROLES:
        raise unfit("role", f"An app may not have more than {MAX_ROLES} roles.")
    role = Role(createdAt=world.clock.now_s(), **changes)
    world.roles.by_id[role.role] = role
    return data(role)


def update(world: World, call: Call) -> Answer:
    """
    PUT /roles/{role}.
    """
    role = _role(world, call)
    form = Form(read_object(call.body, world.switches), world.switches)
    form.name(required=False)
    _read_rest(form)
    form.unset(_UNSETTABLE)
    for field, value in form.settle().items():
        setattr(role, field, value)
    role.updatedAt = world.clock.now_s()
    return data(role)


def delete(world: World, call: Call) -> Answer:
    """
    DELETE /roles/{role}.
    """
    role = _role(world, call).role
    if role == DEFAULT_ROLE:
        raise refused(400, "ERR_ROLE_DELETE_DENIED", f"The role {role} cannot be deleted.")
    world.drop_role(role)
    return data({"success": True, "message": f"The role {role} was deleted."})


def _role(world: World, call: Call) -> Role:
    role = world.roles.by_id.get(call.item or "")
    if role is None:
        raise _not_found(call.item or "")
    return role


def _not_found(role: str) -> Refusal:
    return refused(404, "ERR_ROLE_NOT_FOUND", f"There is no role {role}. Please check the role.")


def _read_rest(form: Form) -> None:
    form.text("description", MAX_DESCRIPTION)
    form.metadata(limit=None)  # two pages differ: none but the body's, or 1,600 characters
    form.settings()
