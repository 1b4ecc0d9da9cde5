"""
Promises about the switches: each value of each does what it says.
"""

import httpx
import msgspec
import pytest

from reconcile.sandbox import PROFILES, Sandbox, describe, running_sandbox

from . import probes
from .probes import ANN, OFF, RICH, THREE, Probe, field, listed, pagination, status, stored, with_headers

TAKEN = "ERR_UID_ALREADY_EXISTS"
INVALID = (400, "ERR_BAD_REQUEST")
MISSING = (404, "ERR_UID_NOT_FOUND")
WHOLE = RICH["metadata"]
ALL = ["b", "a", "c"]
HYPHENATED = ["x-rate-limit", "x-rate-limit-remaining"]
JOINED = ["x-ratelimit-limit", "x-ratelimit-remaining"]
BIG = ANN | {"colour": "x" * 11_000}
HALF = {"metadata": {"a": "x" * 2_000}}

# For each switch a probe, and what it sees for each value.
TABLE: dict[str, tuple[Probe, dict[str, object]]] = {
    "get_deactivated": (status("GET", "/users/off"), {"404": MISSING, "200": 200}),
    "default_list": (listed("", [ANN | {"createdAt": 9}, OFF]), {"active": ["ann"], "all": ["ann", "off"]}),
    "deactivated_flags": (listed("onlyDeactivated=1", [ANN, OFF]), {"honoured": ["off"], "ignored": ["ann"]}),
    "create_over_deactivated": (
        probes.revival,
        {"conflict": ((400, TAKEN), "Off", True), "revive": (200, "New", False)},
    ),
    "conflict_code": (status("POST", "/users", ANN), {TAKEN: (400, TAKEN), "ERR_BAD_REQUEST": INVALID}),
    "conflict_status": (status("POST", "/users", ANN), {"400": (400, TAKEN), "409": (409, TAKEN)}),
    "metadata_put": (
        stored("metadata", {"metadata": {"c": 3}}),
        {"replace": {"c": 3}, "merge": WHOLE | {"c": 3}},
    ),
    "get_metadata": (field("metadata", "GET", "/users/ann"), {"shown": WHOLE, "hidden": None}),
    "list_metadata": (field("metadata", "GET", "/users"), {"shown": WHOLE, "hidden": None}),
    "echo_metadata": (field("metadata", "PUT", "/users/ann", {}), {"shown": WHOLE, "hidden": None}),
    "private_metadata": (field("metadata", "GET", "/users/ann"), {"shown": WHOLE, "hidden": {"a": 1}}),
    "empty_metadata": (
        field("metadata", "PUT", "/users/ann", {"metadata": {}}),
        {"dropped": None, "list": [], "object": {}},
    ),
    "empty_tags": (stored("tags", {"tags": []}), {"clear": None, "ignore": ["t", "u"], "reject": ["tags"]}),
    "get_tags": (field("tags", "GET", "/users/ann"), {"shown": ["t", "u"], "hidden": None}),
    "list_tags": (field("tags", "GET", "/users"), {"on_request": None, "always": ["t", "u"], "never": None}),
    "echo_tags": (field("tags", "PUT", "/users/ann", {}), {"shown": ["t", "u"], "hidden": None}),
    "tags_filter": (listed("tags=t,z", [RICH]), {"any": ["ann"], "all": []}),
    "list_order": (
        listed("", THREE),
        {"newest": ALL, "oldest": ["c", "a", "b"], "name": ["a", "c", "b"], "presence": ["c", "a", "b"]},
    ),
    "per_page_over": (pagination("per_page", "perPage=1001"), {"clamp": 1_000, "reject": INVALID}),
    "page_zero": (
        listed("page=0&perPage=1", THREE),
        {"first": ["b"], "reject": INVALID, "zero_based": ["b"]},
    ),
    "total": (pagination("total", "perPage=1"), {"on_request": 0, "always": 3}),
    "total_pages": (pagination("total_pages", "perPage=1"), {"next": 2, "true": 3}),
    "cursor": (probes.cursor, {"meta": (False, True), "top": (True, False), "absent": (False, False)}),
    "repeated_parameter": (
        listed("roles=default&roles=pro", THREE),
        {"last": [], "all": ALL},
    ),
    "flag_words": (listed("onlyDeactivated=true", [ANN, OFF]), {"1_and_true": ["off"], "1_only": ["ann"]}),
    "uids_filter": (listed("uids=a,c", THREE), {"ignored": ALL, "honoured": ["a", "c"]}),
    "past_end": (listed("page=9&perPage=2", THREE), {"empty": [], "last_page": ["c"]}),
    "unknown_role": (
        status("POST", "/users", {"uid": "new", "name": "New", "role": "ghost"}),
        {"ERR_BAD_REQUEST": INVALID, "ERR_ROLE_NOT_FOUND": (404, "ERR_ROLE_NOT_FOUND")},
    ),
    "role_case": (status("PUT", "/users/ann", {"role": "PRO"}), {"folded": 200, "exact": INVALID}),
    "role_deleted": (probes.deleted_role, {"kept": "pro", "default": "default"}),
    "rate_headers": (
        probes.rate_headers(spent=False),
        {"both": HYPHENATED + JOINED, "hyphenated": HYPHENATED, "joined": JOINED, "none": []},
    ),
    "rate_headers_on": (probes.rate_headers(spent=False), {"every": HYPHENATED + JOINED, "429": []}),
    "retry_after": (
        probes.rate_headers(spent=True),
        {
            "sent": ["retry-after", *HYPHENATED, "x-rate-limit-reset", *JOINED, "x-ratelimit-reset"],
            "absent": [*HYPHENATED, "x-rate-limit-reset", *JOINED, "x-ratelimit-reset"],
        },
    ),
    "rate_window": (probes.window, {"fixed": 200, "sliding": 429}),
    "bulk_group": (
        probes.bulk_groups,
        {"split": {"core": 1, "standard": 1}, "core": {"core": 2}, "standard": {"standard": 2}},
    ),
    "bulk_cost": (probes.bulk_cost, {"request": "19999", "uid": "19997"}),
    "created_at_input": (probes.created_at, {"ignored": False, "honoured": True}),
    "create_status": (status("POST", "/users", {"uid": "new", "name": "New"}), {"200": 200, "201": 201}),
    "bulk_over": (probes.bulk_over, {"reject": 400, "truncate": 25, "accept": 26}),
    "reactivate_answer": (
        probes.reactivation,
        {
            "lists": {"reactivatedUids": ["off"]},
            "map": {"off": {"success": True, "message": "reactivatedUids"}},
        },
    ),
    "bulk_uid_case": (
        probes.bulk_case,
        {
            "exact": {"notFound": ["ANN", "NOBODY"]},
            "folded": {"nonDeactivatedUids": ["ann"], "notFound": ["NOBODY"]},
        },
    ),
    "bad_uid_code": (
        status("POST", "/users", {"uid": "a b", "name": "A"}),
        {"ERR_BAD_REQUEST": INVALID, "ERR_INVALID_UID": (400, "ERR_INVALID_UID")},
    ),
    "uid_underscore": (
        status("POST", "/users", {"uid": "a_b", "name": "A"}),
        {"legal": 200, "illegal": INVALID},
    ),
    "metadata_limit": (status("PUT", "/users/ann", HALF), {"5_kb": 200, "1600_characters": INVALID}),
    "length_unit": (probes.long_names, {"characters": 200, "utf16": 400}),
    "body_over": (
        status("PUT", "/users/ann", BIG),
        {"400": INVALID, "413": (413, "ERR_BAD_REQUEST"), "accept": 200},
    ),
    "empty_string": (
        stored("statusMessage", {"statusMessage": ""}),
        {"reject": ["statusMessage"], "ignore": "hm", "clear": None},
    ),
    "null_value": (
        stored("tags", {"tags": None}),
        {"reject": ["tags"], "ignore": ["t", "u"], "clear": None},
    ),
    "unset_other": (
        stored("tags", {"unset": ["tags"]}),
        {"reject": ["unset.0"], "ignore": ["t", "u"], "clear": None},
    ),
    "unset_and_set": (
        stored("metadata", {"metadata": {"c": 3}, "unset": ["metadata"]}),
        {"unset_wins": None, "set_wins": {"c": 3}},
    ),
    "auth_only_create": (
        with_headers("POST", "/users", apikey="{narrow}"),
        {"allowed": INVALID, "refused": (403, "AUTH_ERR_NO_ACCESS")},
    ),
    "empty_key_status": (
        with_headers("GET", "/users", apikey=""),
        {"401": (401, "AUTH_ERR_EMPTY_APIKEY"), "400": (400, "AUTH_ERR_EMPTY_APIKEY")},
    ),
    "unknown_key_status": (
        with_headers("GET", "/users", apikey="wrong"),
        {"401": (401, "AUTH_ERR_APIKEY_NOT_FOUND"), "404": (404, "AUTH_ERR_APIKEY_NOT_FOUND")},
    ),
    "app_id_header": (
        with_headers("GET", "/users"),
        {"optional": 200, "required": (400, "AUTH_ERR_EMPTY_APPID")},
    ),
    "import_existing": (probes.imported(1), {"error": (False, "Old"), "overwrite": (True, "New")}),
    "import_failure": (
        probes.import_failure,
        {
            "error_object": (False, True),
            "flat": (True, False),
            "aborts": ((500, "ERR_EXCEPTION"), ["ann"]),
        },
    ),
    "import_nesting": (probes.import_nesting, {"once": False, "twice": True}),
    "import_over": (probes.imported(51), {"reject": 400, "accept": (False, "Old")}),
    "import_body_limit": (
        probes.imported(5, metadata={"a": "x" * 3_000}),
        {"none": (False, "Old"), "10_kb": 400},
    ),
    "put_deactivated": (status("PUT", "/users/off", {"name": "New"}), {"404": MISSING, "200": 200}),
    "same_put": (probes.same_put, {"stamps": True, "keeps": False}),
    "soft_delete_twice": (status("DELETE", "/users/off"), {"already": 200, "404": MISSING}),
}
CASES = [
    pytest.param(name, value, probe, seen, id=f"{name}={value}")
    for name, (probe, expected) in TABLE.items()
    for value, seen in expected.items()
]


@pytest.mark.parametrize(("name", "value", "probe", "seen"), CASES)
def test_a_switch_does_what_it_says(
    api: httpx.Client, sandbox: Sandbox, name: str, value: str, probe: Probe, seen: object
) -> None:
    """
    With the switch at this value, the probe sees this.
    """
    sandbox.switch(**{name: value})

    assert probe(api, sandbox) == seen


def test_every_value_of_every_switch_is_probed() -> None:
    """
    The table above and the switches name the same values; wrong_app_status needs an app id, and is probed below.
    """
    there = {row.name: set(row.values) for row in describe()}
    probed = {name: set(expected) for name, (_, expected) in TABLE.items()}

    assert probed | {"wrong_app_status": {"401", "400", "404"}} == there


@pytest.mark.parametrize("value", ["401", "400", "404"])
def test_the_status_of_a_wrong_app_is_a_switch(value: str) -> None:
    """
    An appId header of another app is refused with the status that was chosen.
    """
    with running_sandbox(app_id="mine", switches={"wrong_app_status": value}) as sandbox:
        answer = httpx.get(f"{sandbox.base_url}/users", headers={"apikey": sandbox.api_key, "appid": "other"})

    assert probes.error(answer) == (int(value), "AUTH_ERR_INVALID_APPID")


def test_zero_based_pages_start_one_earlier(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    Where pages count from 0, page 1 is the second, and no page means the first.
    """
    sandbox.switch(page_zero="zero_based")

    assert listed("perPage=1&page=1", THREE)(api, sandbox) == ["a"]
    assert listed("perPage=1", THREE)(api, sandbox) == ["b"]


def test_a_role_that_is_cleared_is_the_built_in_one(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    A user always has a role.
    """
    sandbox.load_roles(["pro"])
    sandbox.load_users([ANN | {"role": "pro"}])
    sandbox.switch(empty_string="clear")

    assert api.put("/users/ann", json={"role": ""}).json()["data"]["role"] == "default"


def test_a_broken_bulk_call_costs_one_request(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    A body that cannot be counted is refused, and counted once.
    """
    sandbox.switch(bulk_cost="uid")
    answer = api.put("/users", content=b"{")

    assert (answer.status_code, answer.headers["x-rate-limit-remaining"]) == (400, "19999")


def test_tags_listed_never_are_not_listed_on_request(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    withTags turns tags on only where the list shows them on request.
    """
    asked = field("tags", "GET", "/users?withTags=1")

    assert asked(api, sandbox) == ["t", "u"]
    sandbox.switch(list_tags="never")
    assert asked(api, sandbox) is None


def test_a_rejected_429_has_headers_though_other_answers_have_none(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    Where rate headers stand on 429 alone, they stand there whole.
    """
    sandbox.switch(rate_headers_on="429", rate_headers="joined")

    assert probes.rate_headers(spent=True)(api, sandbox) == ["retry-after", *JOINED, "x-ratelimit-reset"]


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_is_a_working_app(name: str) -> None:
    """
    Under every profile a user is created, seen, changed, and deactivated.
    """
    with (
        running_sandbox(profile=name) as sandbox,
        httpx.Client(base_url=sandbox.base_url, headers={"apikey": sandbox.api_key, "appid": "x"}) as api,
    ):
        answers = [
            api.post("/users", json=ANN),
            api.get("/users/ann"),
            api.get("/users?page=1"),
            api.put("/users/ann", json={"name": "Anna"}),
            api.request("DELETE", "/users", json={"uidsToDeactivate": ["ann"]}),
            api.put("/users", json={"uidsToActivate": ["ann"]}),
        ]

        assert all(answer.is_success for answer in answers)
        assert sandbox.users()["ann"]["name"] == "Anna"


def test_a_profile_can_be_chosen_while_serving(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    use_profile turns every switch at once, and a reset turns them back.
    """
    sandbox.use_profile("hostile")
    hostile = status("GET", "/users/off")(api, sandbox)
    sandbox.reset()

    assert (hostile, status("GET", "/users/off")(api, sandbox)) == ((400, "AUTH_ERR_EMPTY_APPID"), MISSING)


@pytest.mark.parametrize("values", [{"colour": "red"}, {"get_deactivated": "500"}])
def test_a_switch_that_does_not_exist_is_refused(sandbox: Sandbox, values: dict[str, str]) -> None:
    """
    A wrong name or value changes nothing.
    """
    with pytest.raises(msgspec.ValidationError):
        sandbox.switch(**values)


def test_a_profile_that_does_not_exist_is_refused(sandbox: Sandbox) -> None:
    """
    The refusal names the profiles that there are.
    """
    with pytest.raises(ValueError, match="observed, documented, hostile"):
        sandbox.use_profile("friendly")


def test_every_switch_says_what_it_decides() -> None:
    """
    The table for help and documentation has a question, a number and a default for each switch.
    """
    for row in describe():
        assert row.default == row.values[0]
        assert row.ask.number.startswith("Q")
        assert row.ask.question
