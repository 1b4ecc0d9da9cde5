"""
Promises about the fault `stale_read`: what a replica that lags shows, and for how long.
"""

from typing import Any

import httpx
import pytest

from reconcile.sandbox import Sandbox

NOON = 1_700_000_000
ANN: dict[str, Any] = {"uid": "ann", "name": "Ann", "createdAt": 1}
BOB: dict[str, Any] = {"uid": "bob", "name": "Bob", "createdAt": 2}


@pytest.fixture
def lagging(sandbox: Sandbox) -> Sandbox:
    """
    Two users, a clock that stands, and reads that are half a second behind.
    """
    sandbox.set_clock(NOON)
    sandbox.load_users([ANN, BOB])
    sandbox.fault("stale_read", ms=500)
    return sandbox


def listed(api: httpx.Client, query: str = "") -> list[str]:
    """
    Return the names that a list shows.
    """
    return [user["name"] for user in api.get(f"/users?{query}").json()["data"]]


def test_a_new_user_is_not_there_at_once(api: httpx.Client, lagging: Sandbox) -> None:
    """
    GET and the list show it when the replica has caught up; a second create knows better.
    """
    api.post("/users", json={"uid": "new", "name": "New"})
    early = api.get("/users/new").status_code, listed(api)
    again = api.post("/users", json={"uid": "new", "name": "New"}).status_code
    lagging.advance(0.5)

    assert early == (404, ["Bob", "Ann"])
    assert again == 400
    assert (api.get("/users/new").status_code, listed(api)) == (200, ["New", "Bob", "Ann"])


def test_an_update_shows_late(api: httpx.Client, lagging: Sandbox) -> None:
    """
    The answer to the write is fresh, what is read after it is not; each write has its own time.
    """
    echo = api.put("/users/ann", json={"name": "Anna"}).json()["data"]["name"]
    lagging.advance(0.3)
    api.put("/users/ann", json={"name": "Annabel"})
    seen = [api.get("/users/ann").json()["data"]["name"]]
    for _ in range(2):
        lagging.advance(0.3)
        seen.append(api.get("/users/ann").json()["data"]["name"])

    assert echo == "Anna"
    assert seen == ["Ann", "Anna", "Annabel"]


@pytest.mark.parametrize("body", [None, {"permanent": True}])
def test_a_user_that_went_is_still_shown(api: httpx.Client, lagging: Sandbox, body: object) -> None:
    """
    A deactivation and a deletion show late, in every list and its total.
    """
    api.request("DELETE", "/users/ann", json=body)
    early = listed(api), listed(api, "onlyDeactivated=1"), api.get("/users/ann").status_code
    total = api.get("/users?count=1").json()["meta"]["pagination"]["total"]
    lagging.advance(1)

    assert (early, total) == ((["Bob", "Ann"], [], 200), 2)
    assert listed(api) == ["Bob"]
    assert listed(api, "onlyDeactivated=1") == ([] if body else ["Ann"])
    assert api.get("/users/ann").status_code == 404


def test_a_reactivation_shows_late(api: httpx.Client, lagging: Sandbox) -> None:
    """
    Bulk calls are writes like any other.
    """
    lagging.load_users([ANN | {"deactivatedAt": 5}])
    api.put("/users", json={"uidsToActivate": ["ann"]})
    early = api.get("/users/ann").status_code
    lagging.advance(1)

    assert (early, api.get("/users/ann").status_code) == (404, 200)


def test_only_the_reads_that_the_rule_names_are_behind(api: httpx.Client, lagging: Sandbox) -> None:
    """
    One replica of several may lag, and the handle always sees the truth.
    """
    lagging.clear_faults()
    lagging.fault("stale_read", ms=60_000, path="/users/*", every=2)
    api.put("/users/ann", json={"name": "Anna"})
    seen = [api.get("/users/ann").json()["data"]["name"] for _ in range(4)]

    assert seen == ["Ann", "Anna", "Ann", "Anna"]
    assert listed(api) == ["Bob", "Anna"]
    assert lagging.users()["ann"]["name"] == "Anna"


def test_what_was_written_before_the_order_is_known_everywhere(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    Nothing is remembered while no fault looks back; what a test loads is there at once.
    """
    api.post("/users", json={"uid": "old", "name": "Old"})
    sandbox.fault("stale_read", ms=60_000)
    api.post("/users", json={"uid": "new", "name": "New"})
    sandbox.load_users([ANN])

    before = listed(api)
    api.delete("/users/old")
    after = listed(api)
    sandbox.clear_faults()

    # In whatever order: those of one second stand as they came, and a slow machine makes two seconds of it.
    assert sorted(before) == sorted(after) == ["Ann", "New", "Old"]
    assert listed(api) == ["New", "Ann"]


def test_a_lag_leaves_no_trace_in_the_app(api: httpx.Client, lagging: Sandbox) -> None:
    """
    Stale reads between writes change nothing but themselves.
    """
    for n in range(20):
        api.post("/users", json={"uid": f"u{n}", "name": f"U{n}"})
        api.put("/users/ann", json={"name": f"Ann {n}"})
        api.get("/users?withDeactivated=1")
        lagging.advance(0.1)
    lagging.clear_faults()

    assert sorted(listed(api)) == sorted(user["name"] for user in lagging.users().values())
    assert len(lagging.users()) == 22


def test_the_role_that_a_deleted_one_leaves_shows_late(api: httpx.Client, lagging: Sandbox) -> None:
    """
    Users who fall back to the built-in role do so for late readers, too.
    """
    lagging.switch(role_deleted="default")
    lagging.load_users([ANN | {"role": "pro"}])
    api.delete("/roles/pro")
    early = api.get("/users/ann").json()["data"]["role"]
    lagging.advance(0.5)

    assert (early, api.get("/users/ann").json()["data"]["role"]) == ("pro", "default")
