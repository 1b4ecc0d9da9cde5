"""
Promises about the faults: when they strike, and what each does.
"""

import gzip
import time
from typing import Any

import httpx
import msgspec
import pytest

from reconcile.sandbox import Sandbox

ANN = {"uid": "ann", "name": "Ann"}


def users(count: int) -> list[dict[str, Any]]:
    """
    Return users u1, u2 ... the last of which is the newest.
    """
    return [{"uid": f"u{n}", "name": f"User {n}", "createdAt": 1_600_000_000 + n} for n in range(1, count + 1)]


def page(api: httpx.Client, number: int, size: int = 2) -> list[str]:
    """
    Return the uids of a page.
    """
    answer = api.get("/users", params={"perPage": size, "page": number})
    return [user["uid"] for user in answer.json()["data"]]


def statuses(api: httpx.Client, requests: int = 6) -> list[int]:
    """
    Return what becomes of as many equal requests.
    """
    return [api.get("/roles").status_code for _ in range(requests)]


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({}, [500] * 6),
        ({"times": 2}, [500, 500, 200, 200, 200, 200]),
        ({"nth": 3}, [200, 200, 500, 200, 200, 200]),
        ({"nth": 3, "times": 2}, [200, 200, 500, 500, 200, 200]),
        ({"every": 2}, [200, 500, 200, 500, 200, 500]),
        ({"every": 2, "times": 1}, [200, 500, 200, 200, 200, 200]),
        ({"probability": 0}, [200] * 6),
        ({"probability": 1}, [500] * 6),
        ({"path": "/users*"}, [200] * 6),
        ({"method": "PUT,POST"}, [200] * 6),
        ({"method": "post, get", "path": "/ro*"}, [500] * 6),
        ({"query": "page"}, [200] * 6),
    ],
)
def test_a_rule_says_when_a_fault_strikes(
    api: httpx.Client, sandbox: Sandbox, when: dict[str, Any], expected: list[int]
) -> None:
    """
    A fault is chosen by method, path and query, by turn or by chance, and strikes so many times.
    """
    sandbox.fault("status", **when)

    assert statuses(api) == expected


def test_chance_is_the_same_for_the_same_seed(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    A seeded fault strikes the same requests again.
    """
    runs = []
    for seed in (7, 7, 8):
        sandbox.clear_faults()
        sandbox.fault("status", probability=0.5, seed=seed)
        runs.append(statuses(api, 12))

    assert runs[0] == runs[1] != runs[2]
    assert set(runs[0]) == {200, 500}


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "storm"},
        {"kind": "status", "cod": 5},
        {"kind": "reset", "nth": 0},
        {"kind": "status", "retry_after": "5\r\nx-more: 1"},
        {"kind": "wrong_content_type", "content_type": "\u20ac"},
        {"kind": "mutate_directory", "deactivate": -1},
    ],
)
def test_a_fault_that_does_not_exist_is_refused(sandbox: Sandbox, given: dict[str, Any]) -> None:
    """
    A wrong kind, parameter or value is an error where it is ordered.
    """
    with pytest.raises(msgspec.ValidationError):
        sandbox.fault(**given)


def test_a_status_before_the_commit_does_nothing(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    The request is not carried out and spends no budget; the log shows it with its fault.
    """
    sandbox.fault("status", code=503, error="ERR_MISSION_FAILED")
    answer = api.post("/users", json=ANN)

    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "ERR_MISSION_FAILED")
    assert sandbox.users() == {}
    assert (sandbox.log()[-1].status, sandbox.log()[-1].faults) == (503, ["status"])


def test_a_status_after_the_commit_hides_that_it_was_done(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    The user is there though the answer says 500.
    """
    sandbox.fault("status", when="after")

    assert api.post("/users", json=ANN).status_code == 500
    assert list(sandbox.users()) == ["ann"]


def test_a_status_may_be_a_page_or_empty(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    An edge answers with HTML, or with nothing, and a Retry-After as it was written.
    """
    sandbox.fault("status", code=502, body="html", retry_after="soon", times=1)
    sandbox.fault("status", code=504, body="empty")
    html, empty = api.get("/roles"), api.get("/roles")

    assert (html.status_code, html.headers["retry-after"], html.text[:6]) == (502, "soon", "<html>")
    assert (empty.status_code, empty.content, "retry-after" in empty.headers) == (504, b"", False)


@pytest.mark.parametrize(("when", "there"), [("before", []), ("after", ["ann"])])
def test_a_reset_ends_the_connection(api: httpx.Client, sandbox: Sandbox, when: str, there: list[str]) -> None:
    """
    The client reads an error and no answer; after the commit the user is there all the same.
    """
    sandbox.fault("reset", when=when)
    with pytest.raises(httpx.ReadError):
        api.post("/users", json=ANN)

    assert list(sandbox.users()) == there
    assert sandbox.log()[-1].status is None


@pytest.mark.parametrize(("when", "there"), [("before", []), ("after", ["ann"])])
def test_a_silence_outlasts_the_client(api: httpx.Client, sandbox: Sandbox, when: str, there: list[str]) -> None:
    """
    The client runs into its own timeout.
    """
    sandbox.fault("silence", seconds=30, when=when)
    with pytest.raises(httpx.ReadTimeout):
        api.post("/users", json=ANN, timeout=0.05)

    assert list(sandbox.users()) == there


def test_a_silence_ends_without_an_answer(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    A patient client is hung up on.
    """
    sandbox.fault("silence", seconds=0.05)

    with pytest.raises(httpx.RemoteProtocolError):
        api.get("/roles")


def test_latency_makes_a_request_wait(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    The answer is whole, and late.
    """
    sandbox.fault("latency", low_ms=50, high_ms=60)
    start = time.perf_counter()
    answer = api.get("/roles")

    assert answer.status_code == 200
    assert time.perf_counter() - start >= 0.05


def test_truncated_json_is_a_whole_answer_with_half_a_body(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    HTTP is content, JSON is not.
    """
    sandbox.fault("truncated_json", times=1)
    answer, whole = api.get("/roles"), api.get("/roles")

    assert answer.status_code == 200
    assert whole.content.startswith(answer.content)
    assert len(answer.content) == len(whole.content) // 2


def test_truncated_json_may_break_the_promised_length(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    The connection ends before the declared length has come.
    """
    sandbox.fault("truncated_json", declared="whole")

    with pytest.raises(httpx.RemoteProtocolError):
        api.get("/roles")


def test_cut_gzip_does_not_unpack(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    The body claims to be gzip, and its end is missing.
    """
    sandbox.fault("cut_gzip")
    with api.stream("GET", "/roles") as answer:
        raw = b"".join(answer.iter_raw())

    assert answer.headers["content-encoding"] == "gzip"
    assert raw[:2] == b"\x1f\x8b"
    with pytest.raises(EOFError):
        gzip.decompress(raw)


def test_a_wrong_content_type_leaves_the_body(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    JSON comes as something else.
    """
    sandbox.fault("wrong_content_type", content_type="text/plain")
    answer = api.get("/roles")

    assert (answer.headers["content-type"], answer.json()["data"][0]["role"]) == ("text/plain", "default")


def test_a_wrong_date_is_off_the_clock_or_as_it_is_written_or_none(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    The answer is the same otherwise.
    """
    dates = []
    sandbox.set_clock(1_700_000_000)
    for fault in ({}, {"date": "soon"}, {"off_s": -3600.0}):
        sandbox.fault("wrong_date", times=1, **fault)
        answer = api.get("/users")
        assert answer.status_code == 200
        dates.append(answer.headers.get("date"))

    assert dates == [None, "soon", "Tue, 14 Nov 2023 21:13:20 GMT"]


def test_a_huge_body_is_valid_and_huge(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    The JSON is the same, with megabytes of white space.
    """
    sandbox.fault("huge_body", mebibytes=2)
    answer = api.get("/roles")

    assert len(answer.content) == 2 * 1024 * 1024
    assert answer.json()["data"][0]["role"] == "default"


def test_slow_bytes_arrive_all_the_same(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    A trickle ends with a whole answer.
    """
    sandbox.fault("slow_bytes", size=100, pause_ms=1)

    assert api.get("/roles").json()["data"][0]["role"] == "default"


def test_slow_bytes_outlast_an_impatient_client(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    Each piece comes in time for a read timeout, and the whole does not come in time for anybody.
    """
    sandbox.fault("slow_bytes", pause_ms=10)
    with api.stream("GET", "/roles") as answer:
        first = next(answer.iter_raw(1))

    assert first == b"{"


def test_a_repeated_page_claims_to_be_the_next(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    The rows are those of the page before, the numbers those that were asked for.
    """
    sandbox.load_users(users(6))
    sandbox.fault("repeat_page", nth=2)
    pages = [api.get(f"/users?perPage=2&page={number}").json() for number in (1, 2, 3)]

    assert pages[0]["data"] == pages[1]["data"] != pages[2]["data"]
    assert [shown["meta"]["pagination"]["current_page"] for shown in pages] == [1, 2, 3]
    assert sandbox.log()[1].query == "perPage=2&page=2"


def test_a_short_page_loses_rows(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    The rows that are left out stand on no other page.
    """
    sandbox.load_users(users(4))
    sandbox.fault("short_page", nth=1)

    assert [page(api, number) for number in (1, 2, 3)] == [["u4"], ["u2", "u1"], []]


def test_a_key_is_revoked_in_the_middle(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    From the request on that the rule names, nobody is let in.
    """
    sandbox.fault("revoke_key", nth=3)

    assert statuses(api, 4) == [200, 200, 401, 401]


def test_a_role_is_deleted_in_the_middle(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    A role that was listed is gone when it is used.
    """
    sandbox.load_roles(["pro"])
    sandbox.fault("delete_role", role="pro", method="POST")

    assert api.post("/users", json=ANN | {"role": "pro"}).json()["error"]["details"].keys() == {"role"}


def test_somebody_else_eats_the_budget(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    Remaining falls faster than the client spends, and may be nothing.
    """
    sandbox.set_clock(1_700_000_045)
    sandbox.set_limits(standard=100)
    sandbox.fault("eat_budget", group="standard", requests=90, times=2)
    first, second = api.get("/roles"), api.get("/roles")

    assert first.headers["x-ratelimit-remaining"] == "9"
    assert (second.status_code, second.headers["x-ratelimit-remaining"]) == (429, "0")
    assert sandbox.pace()["standard"].requests == 2


def test_users_come_and_go_between_pages(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    As many users as were ordered are created, deactivated and renamed, always the same ones.
    """
    sandbox.load_users(users(6))
    sandbox.load_users([{"uid": "stranger-1", "name": "Known", "createdAt": 1}])
    sandbox.fault("mutate_directory", nth=2, create=1, deactivate=2, rename=1)
    pages = [page(api, 1), page(api, 2)]
    after = sandbox.users().values()

    assert pages[0] == ["u6", "u5"]
    assert len(after) == 8
    assert sum("deactivatedAt" in user for user in after) == 2
    assert sum(user["name"].endswith("(renamed)") for user in after) == 1


def test_the_order_may_change_between_pages(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    After a reordering the list holds the same users in another order, and can still be changed.
    """
    sandbox.load_users(users(20))
    before = page(api, 1, 20)
    sandbox.fault("mutate_directory", reorder=True, times=1)
    after = page(api, 1, 20)
    api.delete("/users/u7")

    assert after != before
    assert sorted(after) == sorted(before)
    assert sorted(page(api, 1, 20)) == sorted(set(before) - {"u7"})


def test_several_faults_strike_one_request(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    The first that ends a request wins, and the others change what they can.
    """
    sandbox.fault("wrong_content_type", content_type="text/plain")
    sandbox.fault("short_page")
    answer = api.get("/users")

    assert (answer.headers["content-type"], answer.json()["data"]) == ("text/plain", [])
    assert sandbox.log()[-1].faults == ["wrong_content_type", "short_page"]


@pytest.mark.parametrize(
    "first",
    [{"kind": "truncated_json"}, {"kind": "cut_gzip"}, {"kind": "status", "when": "after", "body": "html"}],
)
@pytest.mark.parametrize("second", ["short_page", "repeat_page"])
def test_a_fault_of_lists_leaves_alone_what_is_none_any_more(
    api: httpx.Client, sandbox: Sandbox, first: dict[str, Any], second: str
) -> None:
    """
    What another fault has done to the answer stays as if it were alone.
    """
    sandbox.fault(**first)
    with api.stream("GET", "/users") as alone:
        before = b"".join(alone.iter_raw())
    sandbox.fault(second)
    with api.stream("GET", "/users") as both:
        after = b"".join(both.iter_raw())

    assert (both.status_code, after) == (alone.status_code, before)


@pytest.mark.parametrize("code", [204, 304])
def test_a_status_that_has_no_body_leaves_the_connection_whole(
    api: httpx.Client, sandbox: Sandbox, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    """
    The body is left out where HTTP forbids one.
    """
    sandbox.fault("status", code=code)
    answer = api.get("/users")

    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (code, b"", "0")
    assert caplog.text == ""


def test_nobody_can_delete_the_built_in_role(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    It is there after a fault that names it, too.
    """
    sandbox.fault("delete_role", role="default")

    assert [role["role"] for role in api.get("/roles").json()["data"]] == ["default"]


def test_a_write_may_be_answered_and_not_kept(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    The answer is a success, the named fields stay as they were, and the others are written.
    """
    sandbox.load_users([{"uid": "wren", "name": "Wren", "avatar": "https://e.org/1.png", "link": "https://e.org"}])
    sandbox.fault("lose_fields", method="PUT", fields=["role", "avatar"], times=1)
    body = {"name": "Robin", "role": "premium", "unset": ["avatar", "link"]}
    lost = api.put("/users/wren", json=body)
    user = sandbox.users()["wren"]

    assert lost.status_code == 200
    assert (user["name"], user["role"], user["avatar"]) == ("Robin", "default", "https://e.org/1.png")
    assert "link" not in user
