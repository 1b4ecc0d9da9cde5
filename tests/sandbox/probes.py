"""
One probe for each switch: it asks the sandbox the open question, and returns what it saw.
"""

from collections.abc import Callable
from typing import Any

import httpx

from reconcile.sandbox import Sandbox

NOON = 1_700_000_000
ANN: dict[str, Any] = {"uid": "ann", "name": "Ann"}
OFF: dict[str, Any] = {"uid": "off", "name": "Off", "createdAt": 1, "deactivatedAt": NOON}
RICH: dict[str, Any] = ANN | {
    "metadata": {"a": 1, "@private": {"b": 2}},
    "tags": ["t", "u"],
    "statusMessage": "hm",
}
THREE = [
    {"uid": "b", "name": "C", "createdAt": 3},
    {"uid": "c", "name": "B", "createdAt": 1, "status": "available"},
    {"uid": "a", "name": "A", "createdAt": 2},
]
MANY = [f"u{n}" for n in range(26)]

Probe = Callable[[httpx.Client, Sandbox], object]


def error(answer: httpx.Response) -> object:
    """
    Return the status and the code of a refusal; of anything else, the status.
    """
    if answer.is_success:
        return answer.status_code
    return answer.status_code, answer.json()["error"]["code"]


def status(method: str, path: str, body: object = None) -> Probe:
    """
    Probe what one request is answered to, with a rich, a plain and a deactivated user there.
    """

    def probe(api: httpx.Client, sandbox: Sandbox) -> object:
        sandbox.load_roles(["pro"])
        sandbox.load_users([RICH, OFF])
        return error(api.request(method, path, json=body))

    return probe


def field(name: str, method: str, path: str, body: object = None) -> Probe:
    """
    Probe one field of the rich user in an answer.
    """

    def probe(api: httpx.Client, sandbox: Sandbox) -> object:
        sandbox.load_users([RICH])
        data = api.request(method, path, json=body).json()["data"]
        return (data[0] if isinstance(data, list) else data).get(name)

    return probe


def stored(name: str, body: object) -> Probe:
    """
    Probe one field of the rich user after an update; a refusal shows as its complaints.
    """

    def probe(api: httpx.Client, sandbox: Sandbox) -> object:
        sandbox.load_users([RICH])
        answer = api.put("/users/ann", json=body)
        return sandbox.users()["ann"].get(name) if answer.is_success else list(answer.json()["error"]["details"])

    return probe


def listed(query: str, users: list[dict[str, Any]]) -> Probe:
    """
    Probe which uids a list shows.
    """

    def probe(api: httpx.Client, sandbox: Sandbox) -> object:
        sandbox.load_users(users)
        answer = api.get(f"/users?{query}")
        return [user["uid"] for user in answer.json()["data"]] if answer.is_success else error(answer)

    return probe


def pagination(name: str, query: str) -> Probe:
    """
    Probe one number of a list's pagination.
    """

    def probe(api: httpx.Client, sandbox: Sandbox) -> object:
        sandbox.load_users(THREE)
        answer = api.get(f"/users?{query}")
        return answer.json()["meta"]["pagination"][name] if answer.is_success else error(answer)

    return probe


def with_headers(method: str, path: str, **headers: str) -> Probe:
    """
    Probe what a request with other headers is answered; {key} stands for a key of the sandbox.
    """

    def probe(api: httpx.Client, sandbox: Sandbox) -> object:
        filled = {name: value.format(narrow=sandbox.auth_only_key) for name, value in headers.items()}
        return error(api.request(method, path, headers=filled, json={}))

    return probe


def revival(api: httpx.Client, sandbox: Sandbox) -> object:
    """
    Probe a create over a deactivated user.
    """
    sandbox.load_users([OFF])
    answer = error(api.post("/users", json={"uid": "off", "name": "New"}))
    return answer, sandbox.users()["off"]["name"], "deactivatedAt" in sandbox.users()["off"]


def cursor(api: httpx.Client, sandbox: Sandbox) -> object:
    """
    Probe where a list's cursor stands.
    """
    sandbox.load_users(THREE)
    body = api.get("/users").json()
    return "cursor" in body, "cursor" in body["meta"]


def deleted_role(api: httpx.Client, sandbox: Sandbox) -> object:
    """
    Probe the role of a user whose role is deleted.
    """
    sandbox.load_roles(["pro"])
    sandbox.load_users([ANN | {"role": "pro"}])
    api.delete("/roles/pro")
    return sandbox.users()["ann"]["role"]


def rate_headers(*, spent: bool) -> Probe:
    """
    Probe which rate headers an answer carries.
    """

    def probe(api: httpx.Client, sandbox: Sandbox) -> object:
        sandbox.set_limits(standard=0 if spent else 9)
        return sorted(name for name in api.get("/roles").headers if "rate" in name or name == "retry-after")

    return probe


def window(api: httpx.Client, sandbox: Sandbox) -> object:
    """
    Probe a budget right after the turn of the minute.
    """
    sandbox.set_limits(standard=1)
    sandbox.set_clock(NOON - NOON % 60 + 59)
    api.get("/roles")
    sandbox.advance(2)
    return api.get("/roles").status_code


def bulk_groups(api: httpx.Client, sandbox: Sandbox) -> object:
    """
    Probe the budgets that bulk calls draw on.
    """
    api.request("DELETE", "/users")
    api.put("/users")
    return dict(sandbox.counters().by_group)


def bulk_cost(api: httpx.Client, sandbox: Sandbox) -> object:
    """
    Probe what a bulk call of three uids leaves of its budget.
    """
    answer = api.put("/users", json={"uidsToActivate": ["a", "b", "c"]})
    return answer.headers["x-rate-limit-remaining"]


def created_at(api: httpx.Client, sandbox: Sandbox) -> object:
    """
    Probe whether a create takes its own date.
    """
    return api.post("/users", json=ANN | {"createdAt": NOON}).json()["data"]["createdAt"] == NOON


def bulk_over(api: httpx.Client, sandbox: Sandbox) -> object:
    """
    Probe how many of 26 uids an answer is about.
    """
    answer = api.put("/users", json={"uidsToActivate": MANY})
    return len(answer.json()["data"]["notFound"]) if answer.is_success else answer.status_code


def bulk_case(api: httpx.Client, sandbox: Sandbox) -> object:
    """
    Probe a bulk call with upper case, on one uid that is there and one that is not.
    """
    sandbox.load_users([ANN])
    return api.put("/users", json={"uidsToActivate": ["ANN", "NOBODY"]}).json()["data"]


def reactivation(api: httpx.Client, sandbox: Sandbox) -> object:
    """
    Probe the shape of the answer to a reactivation.
    """
    sandbox.load_users([OFF])
    return api.put("/users", json={"uidsToActivate": ["off"]}).json()["data"]


def long_names(api: httpx.Client, sandbox: Sandbox) -> object:
    """
    Probe a name of 60 characters that are two units each.
    """
    return api.post("/users", json=ANN | {"name": "\N{BEAR FACE}" * 60}).status_code


def same_put(api: httpx.Client, sandbox: Sandbox) -> object:
    """
    Probe whether an update without a change stamps the user.
    """
    sandbox.load_users([ANN])
    return "updatedAt" in api.put("/users/ann", json={"name": "Ann"}).json()["data"]


def imported(count: int, **fields: object) -> Probe:
    """
    Probe an import of so many users, the first of whom is there.
    """

    def probe(api: httpx.Client, sandbox: Sandbox) -> object:
        sandbox.load_users([{"uid": "u0", "name": "Old"}])
        users = {f"u{n}": {"uid": f"u{n}", "name": "New"} | fields for n in range(count)}
        answer = api.post("/data_import/users", json={"users": users})
        if not answer.is_success:
            return answer.status_code
        return answer.json()["data"]["u0"]["success"], sandbox.users()["u0"]["name"]

    return probe


def import_failure(api: httpx.Client, sandbox: Sandbox) -> object:
    """
    Probe where a failed entry of an import has its code, or which of its neighbours have landed after a 500.
    """
    users = {"ann": ANN, "a": {}, "zoe": {"uid": "zoe", "name": "Zoe"}}
    answer = api.post("/data_import/users", json={"users": users})
    if not answer.is_success:
        return error(answer), list(sandbox.users())
    entry = answer.json()["data"]["a"]
    return "code" in entry, "error" in entry


def import_nesting(api: httpx.Client, sandbox: Sandbox) -> object:
    """
    Probe how deep the user stands in an imported entry.
    """
    entry = api.post("/data_import/users", json={"users": {"ann": ANN}}).json()["data"]["ann"]
    return "data" in entry["data"]
