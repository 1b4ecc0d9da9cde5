"""
Promises about GET /users: order, pages, what it leaves out, and its filters.
"""

from typing import Any

import httpx
import pytest

from reconcile.sandbox import Sandbox


def uids(answer: httpx.Response) -> list[str]:
    """
    Return the uids of a page in order.
    """
    return [user["uid"] for user in answer.json()["data"]]


def numbered(count: int) -> list[dict[str, Any]]:
    """
    Return users u1, u2 ... of which each was created a second after the one before.
    """
    return [{"uid": f"u{n}", "name": f"User {n}", "createdAt": 1_600_000_000 + n} for n in range(1, count + 1)]


def test_the_newest_user_comes_first(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    The order is createdAt downwards, for loaded and for created users.
    """
    sandbox.load_users(numbered(3))
    api.get("/users")
    api.post("/users", json={"uid": "new", "name": "New"})

    assert uids(api.get("/users")) == ["new", "u3", "u2", "u1"]


def test_pages_cover_the_list_once_and_end_with_an_empty_one(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    Walking until an empty page shows each user once.
    """
    sandbox.load_users(numbered(5))
    pages = [uids(api.get("/users", params={"perPage": 2, "page": page})) for page in (1, 2, 3, 4)]

    assert pages == [["u5", "u4"], ["u3", "u2"], ["u1"], []]


def test_a_page_describes_itself_and_not_the_list(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    total_pages is the current page or one more, and total is 0.
    """
    sandbox.load_users(numbered(6))
    shown = [
        api.get("/users", params={"perPage": 2, "page": page}).json()["meta"]["pagination"] for page in (1, 3)
    ]

    assert shown == [
        {"total": 0, "count": 2, "per_page": 2, "current_page": 1, "total_pages": 2},
        {"total": 0, "count": 2, "per_page": 2, "current_page": 3, "total_pages": 3},
    ]


def test_a_hundred_are_shown_unless_more_are_asked_for(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    The default page has 100 users, the largest 1,000.
    """
    sandbox.load_users(numbered(1_001))

    assert len(uids(api.get("/users"))) == 100
    assert len(uids(api.get("/users?perPage=1000"))) == 1_000


def test_count_fills_the_total(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    With count the total is the number of users the list is about.
    """
    sandbox.load_users(numbered(3))

    assert api.get("/users?count=1&perPage=1").json()["meta"]["pagination"]["total"] == 3
    assert api.get("/users?count=1&searchKey=u2").json()["meta"]["pagination"]["total"] == 1


def test_the_cursor_describes_the_last_row(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    The cursor holds the time of the last row's change, and is absent from an empty page.
    """
    sandbox.load_users([{"uid": "a", "name": "A", "createdAt": 5, "updatedAt": 9}])

    assert api.get("/users").json()["meta"]["cursor"] == {"updatedAt": 9, "affix": "append"}
    assert "cursor" not in api.get("/users?page=2").json()["meta"]


def test_deactivated_users_are_listed_only_when_asked_for(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    The two flags show only, and also, the deactivated.
    """
    sandbox.load_users(numbered(3))
    for query in ("", "?withDeactivated=1", "?onlyDeactivated=1"):
        api.get(f"/users{query}")  # the shelves are up before the change
    api.delete("/users/u2")

    assert uids(api.get("/users")) == ["u3", "u1"]
    assert uids(api.get("/users?onlyDeactivated=true")) == ["u2"]
    assert uids(api.get("/users?withDeactivated=1")) == ["u3", "u2", "u1"]


def test_tags_are_listed_only_when_asked_for(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    Without withTags a row has no key `tags`; metadata it has.
    """
    sandbox.load_users([{"uid": "a", "name": "A", "tags": ["t"], "metadata": {"m": 1}}])
    row = api.get("/users").json()["data"][0]

    assert ("tags" in row, row["metadata"]) == (False, {"m": 1})
    assert api.get("/users?withTags=true").json()["data"][0]["tags"] == ["t"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("searchKey=an", ["ann", "a1"]),
        ("searchKey=An&searchIn=uid", ["ann"]),
        ("searchKey=an&searchIn=name", ["a1"]),
        ("searchKey=an&searchIn[]=name&searchIn[]=uid", ["ann", "a1"]),
        ("role=premium", ["ann"]),
        ("roles=premium,default", ["bob", "ann", "a1"]),
        ("tags=x,y", ["bob", "ann"]),
        ("status=available", ["bob"]),
        ("status=online", []),
        ("searchKey=an&perPage=1&page=2", ["a1"]),
    ],
)
def test_a_filter_keeps_what_matches(api: httpx.Client, sandbox: Sandbox, query: str, found: list[str]) -> None:
    """
    Filters match by prefix, role, tags and status, and page like the whole list.
    """
    sandbox.load_users(
        [
            {"uid": "a1", "name": "Anna", "createdAt": 1},
            {"uid": "ann", "name": "Zoe", "createdAt": 2, "role": "premium", "tags": ["x", "y"]},
            {"uid": "bob", "name": "Bob", "createdAt": 3, "status": "available", "tags": ["x"]},
        ]
    )

    assert uids(api.get(f"/users?{query}")) == found


@pytest.mark.parametrize("text", ["many", "1.5", "\u0663", "9" * 5_000])
@pytest.mark.parametrize("name", ["page", "perPage"])
def test_a_page_is_a_number(api: httpx.Client, name: str, text: str) -> None:
    """
    A page or a page size that is no number, or none that an integer holds, is a validation error.
    """
    answer = api.get("/users", params={name: text})

    assert answer.json()["error"]["details"].keys() == {name}


def test_the_order_holds_while_users_come_and_go(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    After creates, deletes and reactivations the list is what a fresh sorting would give.
    """
    sandbox.load_users(numbered(9))
    api.get("/users")
    sandbox.set_clock(1_600_000_005)
    api.post("/users", json={"uid": "between", "name": "Between"})
    api.request("DELETE", "/users/u4", json={"permanent": True})
    api.request("DELETE", "/users", json={"uidsToDeactivate": ["u1", "u9", "u6"]})
    api.put("/users", json={"uidsToActivate": ["u9"]})

    assert uids(api.get("/users")) == ["u9", "u8", "u7", "u5", "between", "u3", "u2"]
