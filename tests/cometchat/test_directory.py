"""Promises about how users are found and switched, and what is learnt on the way."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from reconcile.cometchat.client import Client
from reconcile.cometchat.directory import Directory, Seen, Unknown
from reconcile.errors import DirectoryBusy, DirectoryStopped
from reconcile.sandbox.testing import Sandbox
from tests.cometchat.builders import a_client

FIELDS = ("name", "role", "tags", "metadata.country")


@pytest.fixture
def directory(client: Client) -> Directory:
    """The directory of the sandbox."""
    return Directory(client, FIELDS, workers=8)


def fill(sandbox: Sandbox, count: int, **more: Any) -> None:
    """Load users u1, u2 ... the last of which is the newest."""
    users = [
        {"uid": f"u{n}", "name": f"Plum {n}", "createdAt": 1_600_000_000 + n, **more} for n in range(1, count + 1)
    ]
    sandbox.load_users(users)


def page_numbers(sandbox: Sandbox) -> list[int]:
    """Give the numbers of the pages that were asked for, in order of number."""
    return sorted(
        int(parse_qs(entry.query)["page"][0]) for entry in sandbox.log() if entry.path.endswith("/users")
    )


def scripted(answers: Mapping[str, Any]) -> Directory:
    """A directory that answers `METHOD /path` with this data, and is absent elsewhere."""

    def handler(request: httpx.Request) -> httpx.Response:
        name = f"{request.method} {request.url.path.removeprefix('/v3')}"
        if name not in answers or request.url.params.get("page", "1") != "1":
            missing: dict[str, Any] = {"error": {"code": "ERR_UID_NOT_FOUND"}}
            return httpx.Response(200, json=missing if "/users/" in name else {"data": []})
        return httpx.Response(200, json={"data": answers[name]})

    return Directory(a_client(handler), FIELDS, workers=2)


# Walks


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 2500])
def test_a_walk_shows_every_user_once(directory: Directory, sandbox: Sandbox, count: int) -> None:
    """Whatever their number is to the size of a page."""
    fill(sandbox, count)
    seen = [uid for page in directory.pages() for uid in page["uid"].to_pylist()]

    assert sorted(seen) == sorted(f"u{n}" for n in range(1, count + 1))


def test_a_walk_ends_at_the_empty_page_and_not_before(directory: Directory, sandbox: Sandbox) -> None:
    """A short page in the middle is no end; and what the service says of totals is not read."""
    fill(sandbox, 3500)
    sandbox.fault("short_page", query="page=2", rows=10, times=1)

    assert [len(page) for page in directory.pages()] == [1000, 990, 1000, 500]
    assert page_numbers(sandbox)[:5] == [1, 2, 3, 4, 5]


def test_a_walk_over_nothing_is_one_request(directory: Directory, sandbox: Sandbox) -> None:
    """Pages ahead are fetched only once there was one."""
    assert list(directory.pages()) == []
    assert page_numbers(sandbox) == [1]


def test_several_pages_are_in_flight(directory: Directory, sandbox: Sandbox) -> None:
    """More as the walk goes on, and never more than the window behind the end."""
    fill(sandbox, 5000)
    list(directory.pages())
    asked = page_numbers(sandbox)

    assert asked == list(range(1, len(asked) + 1))
    assert 6 < len(asked) <= 6 + 8


def test_a_walk_asks_for_full_pages_with_tags(directory: Directory, sandbox: Sandbox) -> None:
    """Without being asked the list does not show them."""
    fill(sandbox, 2, tags=["ripe"])
    rows = [row for page in directory.pages() for row in page.to_pylist()]

    assert {row["uid"]: row["tags"] for row in rows} == {"u1": '["ripe"]', "u2": '["ripe"]'}
    assert all("withTags=1" in entry.query and "perPage=1000" in entry.query for entry in sandbox.log())


def test_the_deactivated_have_a_walk_of_their_own(directory: Directory, sandbox: Sandbox) -> None:
    """And each walk shows its own."""
    fill(sandbox, 2)
    sandbox.load_users([{"uid": "fig", "name": "Fig", "deactivatedAt": 1_700_000_000}])

    assert [page["uid"].to_pylist() for page in directory.pages(deactivated=True)] == [["fig"]]
    assert [page["uid"].to_pylist() for page in directory.pages()] == [["u2", "u1"]]


def test_the_same_page_twice_ends_the_walk_with_an_error(directory: Directory, sandbox: Sandbox) -> None:
    """A list that does not move on would be walked for ever."""
    fill(sandbox, 2500)
    sandbox.fault("repeat_page", path="/users", query="page=2")

    with pytest.raises(DirectoryStopped):
        list(directory.pages())


def test_a_page_that_cannot_be_had_ends_the_walk(directory: Directory, sandbox: Sandbox) -> None:
    """A walk with a hole in it proves nothing."""
    fill(sandbox, 2500)
    sandbox.fault("status", code=503, query="page=2")

    with pytest.raises(DirectoryBusy):
        list(directory.pages())


# Single users


def test_many_users_come_in_the_order_in_which_they_were_asked_for(directory: Directory, sandbox: Sandbox) -> None:
    """Though several are in flight, some slower than others."""
    fill(sandbox, 60)
    sandbox.fault("latency", low_ms=0, high_ms=10, seed=3)
    wanted = [f"u{n}" for n in (*range(60, 0, -1), 99)]
    found = dict(directory.get_each(wanted))

    assert list(found) == wanted
    assert found["u99"] is None
    assert all(isinstance(seen, Seen) and seen.user.uid == uid for uid, seen in found.items() if uid != "u99")


@pytest.mark.parametrize(
    "weather",
    [
        {"code": 503},
        {"code": 502, "body": "html"},
        {"code": 400, "error": "ERR_BAD_REQUEST"},
        {"code": 501},
        {"code": 418},
    ],
    ids=str,
)
def test_a_user_that_the_directory_cannot_say_is_unknown(
    directory: Directory, sandbox: Sandbox, weather: dict[str, Any]
) -> None:
    """The others are found all the same; once a refusal of one look ended the run."""
    fill(sandbox, 3)
    sandbox.fault("status", path="/users/u2", **weather)
    found = dict(directory.get_each(["u1", "u2", "u3"]))
    unknown = found["u2"]

    assert isinstance(unknown, Unknown)
    assert str(weather["code"]) in unknown.why
    assert isinstance(found["u3"], Seen)


def test_a_key_that_is_revoked_between_two_looks_ends_them(directory: Directory, sandbox: Sandbox) -> None:
    """That is nothing about one user."""
    fill(sandbox, 3)
    sandbox.fault("revoke_key", path="/users/u2")

    with pytest.raises(DirectoryStopped):
        list(directory.get_each(["u1", "u2", "u3"]))


def test_a_look_is_the_managed_state(directory: Directory, sandbox: Sandbox) -> None:
    """In normal form, foreign metadata beside it."""
    metadata = {"country": "NZ", "foreign": {"kept": 1}}
    sandbox.load_users([{"uid": "kiwi", "name": "Kiwi", "role": "default", "metadata": metadata}])
    record = directory.look("kiwi")

    assert record is not None
    assert (record.values["name"], record.values["metadata.country"]) == ("Kiwi", '"NZ"')
    assert json.loads(bytes(record.metadata["foreign"])) == {"kept": 1}
    assert directory.look("absent") is None


# What each kind of answer shows


def test_what_an_answer_was_seen_to_show_is_learnt_with_a_witness() -> None:
    """Absence of a field proves something only where that kind of answer can show it."""
    directory = scripted(
        {
            "GET /users": [{"uid": "Fig"}, {"uid": "Kiwi", "tags": ["ripe"]}],
            "GET /users/lime": {"uid": "lime", "metadata": {}},
        }
    )
    nothing = directory.shows("list")
    directory.page(1)
    directory.get("lime")

    assert nothing == frozenset()
    assert directory.shows("list") == {"tags"}
    assert directory.shows("get") == {"metadata"}
    assert directory.witnesses == {"tags": "kiwi", "metadata": "lime"}


def test_tags_that_are_null_show_nothing() -> None:
    """Only a list of tags proves that this kind of answer has them."""
    directory = scripted({"GET /users/fig": {"uid": "fig", "tags": None}})
    directory.get("fig")

    assert directory.shows("get") == frozenset()


def test_an_echo_is_a_kind_of_answer_of_its_own() -> None:
    """What a create or an update shows says nothing about the list."""
    user = {"uid": "fig", "name": "Fig", "tags": [], "metadata": {"country": "TR"}}
    directory = scripted({"POST /users": user, "PUT /users/fig": user})
    echo = directory.create({"uid": "fig", "name": "Fig"})
    directory.update("fig", {"name": "Fig"})

    assert echo.values["metadata.country"] == '"TR"'
    assert directory.shows("echo") == {"tags", "metadata"}
    assert directory.shows("list") == directory.shows("get") == frozenset()


# Writes


def test_a_create_leaves_in_the_core_group_and_an_update_in_the_other(
    directory: Directory, sandbox: Sandbox
) -> None:
    """So that both budgets are used."""
    directory.create({"uid": "kiwi", "name": "Kiwi"})
    updated = directory.update("kiwi", {"name": "Lime"})

    assert updated is not None
    assert updated.values["name"] == "Lime"
    assert [entry.group for entry in sandbox.log()] == ["core", "standard"]


def test_an_update_of_nobody_is_none(directory: Directory) -> None:
    """It vanished since the plan, and is never created anew."""
    assert directory.update("absent", {"name": "Lime"}) is None


def test_users_are_switched_off_and_on_by_lists(directory: Directory, sandbox: Sandbox) -> None:
    """And never deleted."""
    fill(sandbox, 2)
    off = directory.deactivate(["u1", "absent"])
    again = directory.deactivate(["u1"])
    on = directory.reactivate(["u1", "u2"])

    assert off == {"deactivatedUids": {"u1"}, "notFound": {"absent"}}
    assert again["alreadyDeactivatedUids"] == {"u1"}
    assert on == {"reactivatedUids": {"u1"}, "nonDeactivatedUids": {"u2"}}
    assert not any("permanent" in entry.body for entry in sandbox.log())


def test_a_role_is_made_and_listed(directory: Directory) -> None:
    """Under its id."""
    directory.create_role("grower")

    assert directory.roles() == {"default", "grower"}


def test_an_app_without_the_list_is_a_wrong_address(sandbox: Sandbox) -> None:
    """The remedy names what to check."""
    client = a_client(base_url=f"{sandbox.base_url}/nowhere", key=sandbox.api_key)
    with pytest.raises(DirectoryStopped) as stopped:
        Directory(client, FIELDS, workers=1).roles()
    client.close()

    assert "base_url" in stopped.value.hint
