"""
Promises about the calls on many uids, and about the data import.
"""

from typing import Any

import httpx
import pytest

from reconcile.sandbox import Sandbox

NOON = 1_700_000_000
USERS: list[dict[str, Any]] = [{"uid": "on", "name": "On"}, {"uid": "off", "name": "Off", "deactivatedAt": NOON}]


def test_a_bulk_deactivation_sorts_its_uids(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    Every uid stands in one of three lists, and an unknown one in the case it was sent in.
    """
    sandbox.set_clock(NOON + 1)
    sandbox.load_users(USERS)
    answer = api.request("DELETE", "/users", json={"uidsToDeactivate": ["on", "off", "Nobody"]})

    assert answer.json() == {
        "data": {"deactivatedUids": ["on"], "alreadyDeactivatedUids": ["off"], "notFound": ["Nobody"]}
    }
    assert {user["deactivatedAt"] for user in sandbox.users().values()} == {NOON, NOON + 1}


def test_a_bulk_reactivation_sorts_its_uids(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    A reactivated user loses deactivatedAt; one that is active is told apart.
    """
    sandbox.load_users(USERS)
    answer = api.put("/users", json={"uidsToActivate": ["on", "off", "nobody"]})

    assert answer.json() == {
        "data": {"nonDeactivatedUids": ["on"], "reactivatedUids": ["off"], "notFound": ["nobody"]}
    }
    assert "deactivatedAt" not in sandbox.users()["off"]


def test_a_bulk_call_answers_200_when_nothing_is_known(api: httpx.Client) -> None:
    """
    Lists without entries are left out, so only notFound is there.
    """
    answer = api.put("/users", json={"uidsToActivate": ["x"]})

    assert (answer.status_code, answer.json()) == (200, {"data": {"notFound": ["x"]}})


@pytest.mark.parametrize("uids", [None, [], "ann", [1], [f"u{n}" for n in range(26)]])
def test_a_bulk_call_takes_up_to_25_uids(api: httpx.Client, uids: object) -> None:
    """
    No uids, too many, or something else are validation errors.
    """
    answer = api.request("DELETE", "/users", json={"uidsToDeactivate": uids})

    assert (answer.status_code, list(answer.json()["error"]["details"])) == (400, ["uidsToDeactivate"])


def imported(api: httpx.Client, **entries: object) -> dict[str, Any]:
    """
    Import users and return what became of each.
    """
    answer = api.post("/data_import/users", json={"users": entries})
    assert answer.status_code == 200
    data: dict[str, Any] = answer.json()["data"]
    return data


def test_an_import_keeps_the_times_that_it_brings(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    createdAt, lastActiveAt and deactivatedAt are taken, as numbers or as text.
    """
    times = {"createdAt": str(NOON), "lastActiveAt": NOON + 1, "deactivatedAt": str(NOON + 2)}
    outcome = imported(api, ann={"uid": "ann", "name": "Ann", "statusMessage": "no"} | times)

    assert outcome["ann"]["success"] is True
    assert outcome["ann"]["data"] == sandbox.users()["ann"]
    assert sandbox.users()["ann"] == {
        "uid": "ann",
        "name": "Ann",
        "role": "default",
        "status": "offline",
        "createdAt": NOON,
        "lastActiveAt": NOON + 1,
        "deactivatedAt": NOON + 2,
    }


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ({"uid": "on", "name": "On"}, "ERR_UID_ALREADY_EXISTS"),
        ({"uid": "other", "name": "On"}, "ERR_IMPORT_INVALID_USER_FORMAT"),
        ({"uid": "on"}, "ERR_BAD_REQUEST"),
        ({"uid": "on", "name": "On", "createdAt": NOON * 1_000}, "ERR_BAD_REQUEST"),
        ("on", "ERR_IMPORT_INVALID_USER_FORMAT"),
    ],
)
def test_a_bad_entry_does_not_stop_the_others(
    api: httpx.Client, sandbox: Sandbox, entry: object, code: str
) -> None:
    """
    Each entry has its own outcome, and a failed one carries a code.
    """
    sandbox.load_users(USERS)
    outcome = imported(api, on=entry, new={"uid": "new", "name": "New"})

    assert (outcome["on"]["success"], outcome["on"]["error"]["code"]) == (False, code)
    assert outcome["new"]["success"] is True


@pytest.mark.parametrize("message", ["", None, 5])
def test_an_import_does_not_look_at_a_status_message(api: httpx.Client, sandbox: Sandbox, message: object) -> None:
    """
    It is no field of an import, so that nothing can be wrong with it.
    """
    sandbox.switch(null_value="reject")
    outcome = imported(api, ann={"uid": "ann", "name": "Ann", "statusMessage": message})

    assert outcome["ann"]["success"] is True


@pytest.mark.parametrize("users", [None, [], {}, [{"uid": "a", "name": "A"}]])
def test_an_import_is_a_map(api: httpx.Client, users: object) -> None:
    """
    Anything but a map of users is refused as a whole.
    """
    answer = api.post("/data_import/users", json={"users": users})

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "ERR_IMPORT_INVALID_USER_FORMAT")
