"""
Promises about the calls on one user: create, get, update, delete.
"""

from typing import Any

import httpx
import pytest

from reconcile.sandbox import Sandbox

NOON = 1_700_000_000
ANN = {"uid": "ann", "name": "Ann"}


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """
    Return the status and the code of an answer that is an error.
    """
    return answer.status_code, answer.json()["error"]["code"]


def complaints(answer: httpx.Response) -> dict[str, Any]:
    """
    Return the details of a validation error.
    """
    assert refusal(answer) == (400, "ERR_BAD_REQUEST")
    details: dict[str, Any] = answer.json()["error"]["details"]
    return details


def test_a_new_user_shows_only_the_keys_that_are_set(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    A created user has uid, name, role, status and createdAt in seconds, and nothing else.
    """
    sandbox.set_clock(NOON + 0.9)
    answer = api.post("/users", json=ANN)

    assert answer.status_code == 200
    assert answer.json() == {"data": ANN | {"role": "default", "status": "offline", "createdAt": NOON}}


def test_a_new_user_keeps_every_field_that_was_sent(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    All documented fields of a create are stored and shown.
    """
    sandbox.load_roles(["premium"])
    sent = ANN | {
        "avatar": "https://example.com/a.png",
        "link": "https://example.com/ann",
        "role": "premium",
        "statusMessage": "here",
        "metadata": {"country": "DE", "@private": {"email": "a@example.com"}},
        "tags": ["a", "b"],
    }
    answer = api.post("/users", json=sent)

    assert answer.json()["data"].items() >= sent.items()
    assert api.get("/users/ann").json()["data"] == answer.json()["data"]


def test_a_uid_is_folded_and_collides_with_its_other_case(api: httpx.Client) -> None:
    """
    Ann and ann are one user.
    """
    assert api.post("/users", json=ANN | {"uid": "Ann"}).json()["data"]["uid"] == "ann"
    assert refusal(api.post("/users", json=ANN)) == (400, "ERR_UID_ALREADY_EXISTS")
    assert api.get("/users/aNN").status_code == 200


def test_text_is_trimmed(api: httpx.Client) -> None:
    """
    White space around a name or a tag is dropped.
    """
    answer = api.post("/users", json=ANN | {"name": " Ann ", "tags": [" a "]})

    assert answer.json()["data"].items() >= {"name": "Ann", "tags": ["a"]}.items()


def test_fields_that_the_sdk_sends_are_ignored(api: httpx.Client) -> None:
    """
    Read-only and unknown fields change nothing, and deactivatedAt 0 does not reactivate.
    """
    extras = {"hasBlockedMe": False, "blockedByMe": False, "deactivatedAt": 0, "colour": "red", "createdAt": 5}
    created = api.post("/users", json=ANN | extras).json()["data"]
    api.delete("/users/ann")

    assert created.keys() == {"uid", "name", "role", "status", "createdAt"}
    assert created["createdAt"] != 5
    assert api.put("/users/ann", json=extras).status_code == 404


def test_an_auth_token_comes_only_when_asked_for(api: httpx.Client) -> None:
    """
    withAuthToken adds a token to the answer of the create, and to no other.
    """
    answer = api.post("/users", json=ANN | {"withAuthToken": True})

    assert answer.json()["data"]["authToken"].startswith("ann_")
    assert "authToken" not in api.get("/users/ann").json()["data"]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"uid": ""}, "uid"),
        ({"uid": None}, "uid"),
        ({"uid": "a b"}, "uid"),
        ({"uid": "ann@example.com"}, "uid"),
        ({"uid": "\u212a"}, "uid"),  # a Kelvin sign, which would fold to k
        ({"uid": "a" * 101}, "uid"),
        ({"uid": 12}, "uid"),
        ({"name": " "}, "name"),
        ({"name": "n" * 101}, "name"),
        ({"avatar": "no address"}, "avatar"),
        ({"link": "https://example.com/" + "l" * 3_000}, "link"),
        ({"metadata": "no object"}, "metadata"),
        ({"metadata": ["a"]}, "metadata"),
        ({"metadata": "[" * 4_000 + "]" * 4_000}, "metadata"),
        ({"metadata": {"a": "x" * 5_200}}, "metadata"),
        ({"tags": "a"}, "tags"),
        ({"tags": [str(n) for n in range(26)]}, "tags"),
        ({"tags": ["a", " "]}, "tags.1"),
        ({"tags": ["t" * 101]}, "tags.0"),
        ({"tags": [3]}, "tags.0"),
        ({"role": "ghost"}, "role"),
        ({"role": 3}, "role"),
    ],
)
def test_a_create_that_breaks_a_rule_names_the_field(
    api: httpx.Client, sandbox: Sandbox, fields: dict[str, Any], path: str
) -> None:
    """
    A validation error is a 400 with one generic message, and a list of sentences under the field's path.
    """
    answer = api.post("/users", json=ANN | fields)

    assert list(complaints(answer)) == [path]
    assert sandbox.users() == {}


def test_all_broken_rules_are_told_at_once(api: httpx.Client) -> None:
    """
    The details hold every field that is wrong.
    """
    assert complaints(api.post("/users", json={"avatar": "x"})).keys() == {"uid", "name", "avatar"}


@pytest.mark.parametrize("body", [b"{", b"[]", b'"text"', b'{"uid": "\xff"}', b'{"a":' + b"[" * 9_000])
def test_a_body_that_is_no_object_is_refused(api: httpx.Client, body: bytes) -> None:
    """
    JSON that is broken, no Unicode or too deep, and JSON that is no object, are validation errors.
    """
    assert complaints(api.post("/users", content=body)).keys() == {"body"}


def test_every_validation_error_has_the_same_message(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    A body that is too large is one of them, and a uid that is taken where it is told like that.
    """
    bodies = [{}, {"uid": "a b", "name": "A"}, {"uid": "a", "name": "A", "metadata": {"a": "x" * 11_000}}]
    errors = [api.post("/users", json=body).json()["error"] for body in bodies]

    sandbox.load_users([ANN])
    sandbox.switch(conflict_code="ERR_BAD_REQUEST")
    errors.append(api.post("/users", json=ANN).json()["error"])

    assert {(error["code"], error["message"]) for error in errors} == {("ERR_BAD_REQUEST", errors[0]["message"])}
    assert [list(error["details"]) for error in errors] == [["uid", "name"], ["uid"], ["body"], ["uid"]]


def test_only_a_validation_error_has_details(api: httpx.Client) -> None:
    """
    The envelope has five keys on a validation error, and four on any other.
    """
    others = {"code", "message", "devMessage", "source"}

    assert api.get("/users/nobody").json()["error"].keys() == others
    assert api.post("/users", json={}).json()["error"].keys() == others | {"details"}


def test_an_unknown_uid_is_named_in_lower_case_and_undecoded(api: httpx.Client) -> None:
    """
    The 404 names the folded path segment as it was encoded.
    """
    answer = api.get("/users/No%20Body")

    assert refusal(answer) == (404, "ERR_UID_NOT_FOUND")
    assert "no%20body" in answer.json()["error"]["message"]


def test_an_update_changes_only_what_was_sent(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    PUT is partial, stamps updatedAt, and cannot change the uid.
    """
    sandbox.set_clock(NOON)
    sandbox.load_users([ANN | {"createdAt": 5, "avatar": "https://example.com/a.png", "tags": ["a"]}])
    answer = api.put("/users/ann", json={"name": "Anna", "uid": "other"})

    assert answer.status_code == 200
    assert answer.json()["data"] == sandbox.users()["ann"]
    assert sandbox.users()["ann"] == ANN | {
        "name": "Anna",
        "role": "default",
        "status": "offline",
        "createdAt": 5,
        "updatedAt": NOON,
        "avatar": "https://example.com/a.png",
        "tags": ["a"],
    }


def test_an_update_replaces_tags(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    The sent tags are all the tags there are afterwards.
    """
    sandbox.load_users([ANN | {"tags": ["a", "b"]}])
    api.put("/users/ann", json={"tags": ["c"]})

    assert sandbox.users()["ann"]["tags"] == ["c"]


def test_metadata_may_be_sent_as_json_text(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    A text that holds a JSON object is taken as that object.
    """
    sandbox.load_users([ANN])
    api.put("/users/ann", json={"metadata": '{"a": 1}'})

    assert sandbox.users()["ann"]["metadata"] == {"a": 1}


def test_unset_clears_avatar_link_and_metadata(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    The fields that are unset lose their keys.
    """
    url = "https://example.com/"
    sandbox.load_users([ANN | {"avatar": url, "link": url, "metadata": {"a": 1}}])
    answer = api.put("/users/ann", json={"unset": ["avatar", "link", "metadata"]})

    assert answer.json()["data"].keys() == {"uid", "name", "role", "status", "createdAt", "updatedAt"}


def test_unset_takes_a_list(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    An unset that is no list is a validation error.
    """
    sandbox.load_users([ANN])

    assert complaints(api.put("/users/ann", json={"unset": "avatar"})).keys() == {"unset"}


def test_a_blank_name_is_refused_on_update(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    A name may be left out of a PUT, and not be emptied.
    """
    sandbox.load_users([ANN])

    assert complaints(api.put("/users/ann", json={"name": " "})).keys() == {"name"}


def test_the_built_in_role_resets_a_role(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    Sending the role `default` takes a role away.
    """
    sandbox.load_roles(["premium"])
    sandbox.load_users([ANN | {"role": "premium"}])

    assert api.put("/users/ann", json={"role": "default"}).json()["data"]["role"] == "default"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_call_on_an_unknown_uid_is_not_found(api: httpx.Client, method: str) -> None:
    """
    GET, PUT and DELETE of nobody are 404.
    """
    assert refusal(api.request(method, "/users/nobody")) == (404, "ERR_UID_NOT_FOUND")


@pytest.mark.parametrize("body", [None, {"permanent": False}, {"permanent": "false"}])
def test_a_delete_deactivates_unless_it_is_permanent(
    api: httpx.Client, sandbox: Sandbox, body: dict[str, Any] | None
) -> None:
    """
    Without `permanent: true` the user stays, deactivated.
    """
    sandbox.set_clock(NOON)
    sandbox.load_users([ANN])
    answer = api.request("DELETE", "/users/Ann", json=body)

    assert answer.json() == {"data": {"deactivatedUids": ["ann"]}}
    assert sandbox.users()["ann"]["deactivatedAt"] == NOON


@pytest.mark.parametrize("deactivated_at", [0, NOON])
def test_a_permanent_delete_removes_the_user(api: httpx.Client, sandbox: Sandbox, deactivated_at: int) -> None:
    """
    With `permanent: true` an active or a deactivated user is gone, and its uid is free.
    """
    sandbox.load_users([ANN | {"deactivatedAt": deactivated_at}])
    answer = api.request("DELETE", "/users/ann", json={"permanent": True})

    assert answer.json()["data"]["success"] is True
    assert sandbox.users() == {}
    assert api.post("/users", json=ANN).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/nowhere", "ERR_API_NOT_FOUND"),
        ("PATCH", "/users", "ERR_API_NOT_FOUND"),
        ("POST", "/users/ann", "ERR_API_NOT_FOUND"),
        ("GET", "/users/ann/friends", "ERR_API_NOT_FOUND"),
        ("POST", "/data_import/groups", "ERR_API_NOT_FOUND"),
        ("GET", "/v9/users", "ERR_INVALID_API_VERSION"),
    ],
)
def test_a_path_that_does_not_exist_is_answered_in_json(
    api: httpx.Client, method: str, path: str, code: str
) -> None:
    """
    A wrong path, method or version is a 404 in the usual envelope.
    """
    root = str(api.base_url).removesuffix("/v3/")

    assert refusal(api.request(method, root + path)) == (404, code)


@pytest.mark.parametrize("prefix", ["/v3", "/v3.0", ""])
def test_every_prefix_that_clients_use_is_served(api: httpx.Client, sandbox: Sandbox, prefix: str) -> None:
    """
    The same users stand under /v3, /v3.0 and without a version.
    """
    sandbox.load_users([ANN])
    root = sandbox.base_url.removesuffix("/v3")

    assert api.get(f"{root}{prefix}/users/ann").status_code == 200
    assert sandbox.log()[-1].path == "/users/ann"


def test_the_roles_of_loaded_users_exist(api: httpx.Client, sandbox: Sandbox) -> None:
    """
    A user that is loaded brings the role that it holds, as no real app could lack it.
    """
    sandbox.load_users([ANN | {"role": "keeper"}])

    assert {role["role"] for role in api.get("/roles").json()["data"]} == {"default", "keeper"}
