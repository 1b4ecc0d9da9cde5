"""
Promises about the rate limits, told by a clock that the test moves.
"""

import re

import httpx
import pytest

from reconcile.sandbox import Sandbox

MINUTE = 1_700_000_040  # the start of a fixed minute


@pytest.fixture
def tight(sandbox: Sandbox) -> Sandbox:
    """
    A sandbox with three core and five standard requests a minute, whose clock stands 12.5 s into one.
    """
    sandbox.set_clock(MINUTE + 12.5)
    sandbox.set_limits(core=3, standard=5)
    return sandbox


def spend(api: httpx.Client, requests: int) -> list[int]:
    """
    Send standard requests, and return their statuses.
    """
    return [api.get("/roles").status_code for _ in range(requests)]


def test_a_request_over_the_limit_is_refused_and_not_done(api: httpx.Client, tight: Sandbox) -> None:
    """
    The fourth create of a minute is a 429, and its user is not there.
    """
    statuses = [api.post("/users", json={"uid": f"u{n}", "name": "U"}).status_code for n in range(4)]
    answer = api.post("/users", json={"uid": "u9", "name": "U"})

    assert statuses == [200, 200, 200, 429]
    assert answer.json()["error"]["code"] == "ERR_TOO_MANY_REQUESTS"
    assert list(tight.users()) == ["u0", "u1", "u2"]


def test_the_groups_have_budgets_of_their_own(api: httpx.Client, tight: Sandbox) -> None:
    """
    Creates and deletes share one budget; reads and updates another; the import has a third.
    """
    calls = [("POST", "/users"), ("DELETE", "/users/x"), ("DELETE", "/users"), ("GET", "/users")]
    calls += [("PUT", "/users/x"), ("PUT", "/users"), ("POST", "/data_import/users")]
    for method, path in calls:
        api.request(method, path)

    assert tight.counters().by_group == {"core": 3, "data_import": 1, "standard": 3}
    assert api.post("/users").status_code == 429
    assert api.get("/users").status_code == 200


def test_the_default_limits_are_the_documented_ones(api: httpx.Client) -> None:
    """
    10,000 core, 20,000 standard and 60 import requests a minute.
    """
    calls = [("POST", "/users"), ("GET", "/users"), ("POST", "/data_import/users")]
    limits = [api.request(method, path).headers["x-rate-limit"] for method, path in calls]

    assert limits == ["10000", "20000", "60"]


def test_every_answer_tells_the_budget_in_both_spellings(api: httpx.Client, tight: Sandbox) -> None:
    """
    Limit and remaining stand on each answer, an error too; reset and Retry-After only on a 429.
    """
    headers = api.get("/users/nobody").headers

    assert headers["X-Rate-Limit"] == headers["X-RateLimit-Limit"] == "5"
    assert headers["X-Rate-Limit-Remaining"] == headers["X-RateLimit-Remaining"] == "4"
    assert not {"x-rate-limit-reset", "x-ratelimit-reset", "retry-after"} & headers.keys()


def test_every_answer_has_the_date_of_the_clock(api: httpx.Client, tight: Sandbox) -> None:
    """
    So that a reset in unix seconds can be turned into a wait, whatever the client's own clock says.
    """
    assert api.get("/users").headers.get_list("date") == ["Tue, 14 Nov 2023 22:14:12 GMT"]


def test_a_429_tells_when_to_come_back(api: httpx.Client, tight: Sandbox) -> None:
    """
    Reset is the end of the window in unix seconds, Retry-After the whole seconds until then.
    """
    spend(api, 5)
    headers = api.get("/roles").headers

    assert headers["X-Rate-Limit-Reset"] == headers["X-RateLimit-Reset"] == str(MINUTE + 60)
    assert headers["Retry-After"] == "48"
    assert headers["X-RateLimit-Remaining"] == "0"


def test_a_fixed_window_starts_anew_with_the_minute(api: httpx.Client, tight: Sandbox) -> None:
    """
    At the turn of the minute the whole budget is back.
    """
    spend(api, 5)
    tight.advance(47.4)
    late = spend(api, 1)
    tight.advance(0.1)

    assert late == [429]
    assert spend(api, 6) == [200] * 5 + [429]


def test_a_sliding_window_gives_back_what_is_a_minute_old(api: httpx.Client, tight: Sandbox) -> None:
    """
    Each request comes back sixty seconds after it was spent.
    """
    tight.switch(rate_window="sliding")
    spend(api, 2)
    tight.advance(30)
    spend(api, 3)
    full = api.get("/roles")
    tight.advance(30)

    assert (full.status_code, full.headers["Retry-After"]) == (429, "30")
    assert spend(api, 3) == [200, 200, 429]


def test_the_pace_is_the_most_in_any_minute(api: httpx.Client, tight: Sandbox) -> None:
    """
    The account slides over the turn of the minute, and counts refused requests, too.
    """
    tight.advance(40)
    spend(api, 6)
    tight.advance(19.9)
    spend(api, 5)
    tight.advance(60)
    spend(api, 1)

    assert tight.pace()["standard"].most_in_a_minute == 11
    assert tight.pace()["standard"].requests == 12
    assert tight.pace()["core"].requests == 0


def test_a_spent_budget_is_told_in_prose_too(api: httpx.Client, tight: Sandbox) -> None:
    """
    The message of a 429 has the limit and the seconds to wait, which may be all that an import tells.
    """
    tight.set_limits(data_import=0)
    tight.switch(retry_after="absent", rate_headers="none")
    message = api.post("/data_import/users", json={}).json()["error"]["message"]

    assert [int(number) for number in re.findall(r"[0-9]+", message)] == [0, 48]


def test_a_limit_that_does_not_exist_is_refused(tight: Sandbox) -> None:
    """
    A group must be one of the three.
    """
    with pytest.raises(ValueError, match="sore"):
        tight.set_limits(sore=1)
