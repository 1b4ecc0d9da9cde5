"""
Promises about the control API: what a test in another process can see and change.
"""

import json
from typing import Any

import httpx
import pytest

from reconcile.sandbox import Sandbox

NOON = 1_700_000_000
FULL: dict[str, Any] = {
    "uid": "ann",
    "name": "Ann",
    "role": "pro",
    "status": "available",
    "createdAt": 5,
    "avatar": "https://example.com/a.png",
    "link": "https://example.com/a",
    "metadata": {"a": [1, {"b": None}]},
    "tags": ["t"],
    "statusMessage": "hm",
    "updatedAt": 6,
    "lastActiveAt": 7,
    "deactivatedAt": 8,
}
PLAIN = {"uid": "bob", "name": "Bob", "role": "default", "status": "offline", "createdAt": 9}


def lines(text: str) -> list[dict[str, Any]]:
    """
    Return the objects of a text with one on each line.
    """
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("as_lines", [True, False])
def test_users_come_back_as_they_were_loaded(control: httpx.Client, *, as_lines: bool) -> None:
    """
    A dump holds every user with every field, by uid, whichever way they came in.
    """
    users = [PLAIN, FULL]
    body = "\n".join(json.dumps(user) for user in users) if as_lines else json.dumps(users)
    loaded = control.post("/users", content=body)
    dump = control.get("/users").text

    assert loaded.json() == {"loaded": 2}
    assert lines(dump) == [FULL, PLAIN]
    control.delete("/users")
    assert control.get("/users").text == ""
    control.post("/users", content=dump)
    assert control.get("/users").text == dump


def test_what_is_not_said_of_a_user_is_filled_in(sandbox: Sandbox) -> None:
    """
    A loaded user needs a uid and a name only; the uid is folded.
    """
    sandbox.set_clock(NOON)
    sandbox.load_users([{"uid": "Ann", "name": "Ann", "tags": [], "deactivatedAt": 0}])

    assert sandbox.users() == {
        "ann": {"uid": "ann", "name": "Ann", "role": "default", "status": "offline", "createdAt": NOON}
    }


@pytest.mark.parametrize("body", ["{", '{"uid": "a b", "name": "A"}', '{"name": "A"}', "[1]"])
def test_users_that_make_no_sense_are_refused(control: httpx.Client, body: str) -> None:
    """
    A broken line or a uid that the API could not have is a 400 that says why.
    """
    answer = control.post("/users", content=body)

    assert answer.status_code == 400
    assert answer.json()["error"]


def test_roles_are_loaded_and_dumped(control: httpx.Client) -> None:
    """
    Loaded roles stand beside the built-in one.
    """
    control.post("/roles", json=[{"role": "Pro", "name": "Professional", "createdAt": 5}])

    assert control.get("/roles").json()[1] == {"role": "pro", "name": "Professional", "createdAt": 5}


def test_the_log_holds_what_was_asked(api: httpx.Client, control: httpx.Client, sandbox: Sandbox) -> None:
    """
    An entry has time, call, uid, group, status and body; the control API leaves none.
    """
    sandbox.set_clock(NOON)
    api.put("/users/Ann?x=1", json={"name": "A"})
    entries = lines(control.get("/log").text)

    assert entries == [
        {
            "time": NOON,
            "method": "PUT",
            "path": "/users/Ann",
            "query": "x=1",
            "endpoint": "PUT /users/{uid}",
            "uid": "ann",
            "group": "standard",
            "status": 404,
            "body": '{"name":"A"}',
            "faults": [],
        }
    ]


def test_the_log_can_be_cleared_and_turned_off(api: httpx.Client, control: httpx.Client) -> None:
    """
    Without a log requests are still counted.
    """
    api.get("/roles")
    control.delete("/log")
    control.put("/log", json={"keep": False})
    api.get("/roles")

    assert control.get("/log").text == ""
    assert control.get("/counters").json()["requests"] == 1


def test_the_counters_add_up(api: httpx.Client, control: httpx.Client) -> None:
    """
    Requests are counted by method, endpoint, group and status; writes are all but GET.
    """
    api.get("/users")
    api.get("/users/x")
    api.post("/users", json={"uid": "a", "name": "A"})

    assert control.get("/counters").json() == {
        "requests": 3,
        "writes": 1,
        "by_method": {"GET": 2, "POST": 1},
        "by_endpoint": {"GET /users": 1, "GET /users/{uid}": 1, "POST /users": 1},
        "by_group": {"core": 1, "standard": 2},
        "by_status": {"200": 2, "404": 1},
    }
    assert control.get("/pace").json()["standard"] == {"requests": 2, "most_in_a_minute": 2}


def test_limits_can_be_set_one_by_one(api: httpx.Client, control: httpx.Client) -> None:
    """
    A limit that is not named stays.
    """
    limits = control.put("/limits", json={"core": 0}).json()

    assert limits == control.get("/limits").json() == {"core": 0, "standard": 20_000, "data_import": 60}
    assert api.post("/users").status_code == 429


def test_switches_can_be_turned(api: httpx.Client, control: httpx.Client) -> None:
    """
    Single switches and whole profiles; what does not exist is refused.
    """
    control.put("/switches", json={"create_status": "201"})
    created = api.post("/users", json={"uid": "a", "name": "A"}).status_code
    hostile = control.put("/profile", json="hostile").json()

    assert created == 201
    assert control.get("/switches").json() == hostile
    assert hostile["rate_headers"] == "none"
    assert control.put("/switches", json={"colour": "red"}).status_code == 400
    assert control.put("/profile", json="friendly").status_code == 400


def test_faults_can_be_ordered(api: httpx.Client, control: httpx.Client) -> None:
    """
    Faults are a list that grows until it is cleared.
    """
    control.post("/faults", json=[{"kind": "status", "code": 503, "path": "/roles"}])
    struck = api.get("/roles").status_code
    shown = control.get("/faults").json()
    control.delete("/faults")

    assert struck == 503
    assert [(fault["kind"], fault["code"]) for fault in shown] == [("status", 503)]
    assert api.get("/roles").status_code == 200
    assert control.post("/faults", json=[{"kind": "storm"}]).status_code == 400


def test_keys_can_be_seen_changed_and_revoked(api: httpx.Client, control: httpx.Client, sandbox: Sandbox) -> None:
    """
    A new key replaces the old one, and a reset brings the first ones back.
    """
    control.put("/keys", json={"full_access": "new"})
    replaced = api.get("/roles").status_code, api.get("/roles", headers={"apikey": "new"}).status_code
    control.put("/keys", json={"revoked": True})
    revoked = api.get("/roles", headers={"apikey": "new"}).status_code
    control.post("/reset")

    assert (replaced, revoked) == ((401, 200), 401)
    assert control.get("/keys").json()["full_access"] == sandbox.api_key
    assert api.get("/roles").status_code == 200


def test_the_clock_can_be_set_moved_and_let_run(control: httpx.Client, api: httpx.Client) -> None:
    """
    Times of the API are those of the clock.
    """
    set_to = control.put("/clock", json={"now": NOON}).json()
    moved = control.put("/clock", json={"advance": 90}).json()
    created = api.post("/users", json={"uid": "a", "name": "A"}).json()["data"]["createdAt"]
    control.put("/clock", json={"run": True})

    assert (set_to, moved, created) == ({"now": NOON}, {"now": NOON + 90}, NOON + 90)
    assert control.get("/clock").json()["now"] > NOON + 90


@pytest.mark.parametrize(
    ("path", "wish"), [("/clock", {"now": 1e18}), ("/clock", {"now": -1}), ("/log", {"kept": False})]
)
def test_a_wish_that_makes_no_sense_is_refused(
    control: httpx.Client, api: httpx.Client, path: str, wish: dict[str, Any]
) -> None:
    """
    A date that no header can hold, and a misspelt word, change nothing.
    """
    assert control.put(path, json=wish).status_code == 400
    assert api.get("/roles").status_code == 200


def test_a_running_clock_can_run_ahead(sandbox: Sandbox, control: httpx.Client) -> None:
    """
    Advancing does not stop the clock.
    """
    before = control.get("/clock").json()["now"]
    sandbox.advance(1_000)

    assert 1_000 <= control.get("/clock").json()["now"] - before < 1_010


def test_a_reset_goes_back_to_the_start(api: httpx.Client, control: httpx.Client, sandbox: Sandbox) -> None:
    """
    Users, roles, log, counters, limits, switches and faults are as they were first.
    """
    sandbox.load_users([FULL])
    sandbox.load_roles(["pro"])
    sandbox.set_limits(core=1)
    sandbox.switch(create_status="201")
    sandbox.fault("status")
    api.get("/roles")
    control.post("/reset")

    assert (sandbox.users(), list(sandbox.roles()), sandbox.log()) == ({}, ["default"], [])
    assert sandbox.counters().requests == 0
    assert api.post("/users", json={"uid": "a", "name": "A"}).status_code == 200
    assert api.get("/roles").headers["x-rate-limit-remaining"] == "19999"
