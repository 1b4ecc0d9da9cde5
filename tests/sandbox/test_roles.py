"""
Promises about the calls on roles.
"""

import httpx

from reconcile.sandbox import Sandbox

NOON = 1_700_000_000


def test_the_built_in_role_is_always_there(api: httpx.Client) -> None:
    """
    A fresh app lists the default role, and cannot delete it.
    """
    listed = api.get("/roles").json()
    denied = api.delete("/roles/default")

    assert [(role["role"], role["name"]) for role in listed["data"]] == [("default", "Default Role")]
    assert listed["meta"]["pagination"]["per_page"] == 100
    assert denied.json()["error"]["code"] == "ERR_ROLE_DELETE_DENIED"


def test_a_role_lives_from_create_to_delete(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    A role is created folded, read, changed in part, unset and deleted.
    """
    sandbox.set_clock(NOON)
    settings = {"listUsers": "all", "sendMessagesTo": "friendsOnly"}
    created = api.post(
        "/roles",
        json={"role": "Pro", "name": "Pro", "description": "d", "settings": settings, "metadata": {"a": 1}},
    )
    sandbox.advance(5)
    changed = api.put("/roles/PRO", json={"name": "Professional", "unset": ["description", "metadata"]})
    deleted = api.delete("/roles/pro")

    assert created.json()["data"]["createdAt"] == NOON
    assert changed.json()["data"] == {
        "role": "pro",
        "name": "Professional",
        "createdAt": NOON,
        "updatedAt": NOON + 5,
        "settings": settings,
    }
    assert deleted.json()["data"]["success"] is True
    assert api.get("/roles/pro").json()["error"]["code"] == "ERR_ROLE_NOT_FOUND"


def test_the_metadata_of_a_role_may_be_larger_than_that_of_a_user(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    One page says that it has no limit, another 1,600 characters.
    """
    role = {"role": "pro", "name": "Pro", "metadata": {"a": "x" * 6_000}}
    accepted = api.post("/roles", json=role).status_code
    sandbox.switch(metadata_limit="1600_characters")
    refused = api.put("/roles/pro", json=role)

    assert (accepted, list(refused.json()["error"]["details"])) == (200, ["metadata"])


def test_null_settings_are_like_any_other_null(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    They are ignored, unless the switch for null says otherwise; anything but an object is refused.
    """
    ignored = api.put("/roles/default", json={"settings": None}).status_code
    sandbox.switch(null_value="reject")
    answers = [api.put("/roles/default", json={"settings": settings}) for settings in (None, "all")]

    assert ignored == 200
    assert [list(answer.json()["error"]["details"]) for answer in answers] == [["settings"], ["settings"]]


def test_a_role_is_created_once(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    A second role with the same id is a 400.
    """
    sandbox.load_roles(["pro"])
    answer = api.post("/roles", json={"role": "Pro", "name": "Pro"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "ERR_ROLE_ALREADY_EXISTS")


def test_an_app_has_25_roles_at_most(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    The role after the last allowed one is refused.
    """
    sandbox.load_roles([f"r{n}" for n in range(24)])

    assert api.post("/roles", json={"role": "more", "name": "More"}).status_code == 400


def test_a_role_that_breaks_rules_is_refused(api: httpx.Client) -> None:
    """
    Role, name, description and settings are checked.
    """
    answer = api.post("/roles", json={"role": "a b", "description": "d" * 256, "settings": "all"})

    assert answer.json()["error"]["details"].keys() == {"role", "name", "description", "settings"}


def test_the_newest_role_comes_first(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    Roles are listed by createdAt downwards.
    """
    sandbox.load_roles([{"role": "old", "createdAt": 5}, {"role": "new", "createdAt": 9_999_999_999, "name": "N"}])

    assert [role["role"] for role in api.get("/roles").json()["data"]] == ["new", "default", "old"]
    assert list(sandbox.roles()) == ["new", "default", "old"]
