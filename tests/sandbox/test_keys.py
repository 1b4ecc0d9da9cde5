"""
Promises about who is let in, and what a refusal says.
"""

import httpx
import pytest

from reconcile.sandbox import Sandbox, running_sandbox


def ask(sandbox: Sandbox, method: str = "GET", path: str = "/users", **headers: str) -> tuple[int, str]:
    """
    Send a request with these headers, and return status and code.
    """
    answer = httpx.request(method, sandbox.base_url + path, headers=headers)
    return answer.status_code, answer.json()["error"]["code"]


def test_a_request_without_a_key_is_refused(sandbox: Sandbox) -> None:
    """
    No key and an empty key are 401.
    """
    assert ask(sandbox) == ask(sandbox, apikey="") == (401, "AUTH_ERR_EMPTY_APIKEY")


def test_a_wrong_key_is_shown_masked(sandbox: Sandbox) -> None:
    """
    The refusal keeps five characters at both ends of a key, and stars between.
    """
    answer = httpx.get(sandbox.base_url + "/users", headers={"apikey": "abcde" + "0" * 30 + "vwxyz"})
    short = httpx.get(sandbox.base_url + "/users", headers={"apikey": "abc"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "AUTH_ERR_APIKEY_NOT_FOUND")
    assert "abcde" + "*" * 30 + "vwxyz" in answer.json()["error"]["message"]
    assert "abc" not in short.text


def test_the_key_is_checked_before_the_body(sandbox: Sandbox) -> None:
    """
    A wrong key with a broken body is an error about the key.
    """
    answer = httpx.post(sandbox.base_url + "/users", headers={"apikey": "wrong"}, content=b"{")

    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/users"), ("GET", "/roles"), ("PUT", "/users/a"), ("DELETE", "/users/a"), ("PUT", "/users")],
)
def test_the_narrow_key_may_do_nothing_but_create(sandbox: Sandbox, method: str, path: str) -> None:
    """
    With the authOnly key every call but POST /users is a 403.
    """
    assert ask(sandbox, method, path, apikey=sandbox.auth_only_key) == (403, "AUTH_ERR_NO_ACCESS")


def test_the_path_is_checked_before_the_key(sandbox: Sandbox) -> None:
    """
    Without a key a path that does not exist is a 404, and so is another version.
    """
    assert ask(sandbox, path="/nowhere") == (404, "ERR_API_NOT_FOUND")
    assert ask(sandbox, path="/../v9/users") == (404, "ERR_INVALID_API_VERSION")


def test_an_app_id_is_checked_where_one_is_known(sandbox: Sandbox) -> None:
    """
    A sandbox without an app id takes any; one that was told its id takes that, or none.
    """
    with running_sandbox(app_id="mine") as strict, httpx.Client(headers={"apikey": strict.api_key}) as client:
        url = f"{strict.base_url}/users"
        statuses = [client.get(url, headers=headers).status_code for headers in ({}, {"appId": "mine"})]
        wrong = client.get(url, headers={"appid": "other"})

    assert (strict.app_id, statuses) == ("mine", [200, 200])
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (401, "AUTH_ERR_INVALID_APPID")
    assert ask(sandbox, path="/users/x", apikey=sandbox.api_key, appid="any")[1] == "ERR_UID_NOT_FOUND"


def test_a_revoked_key_is_unknown(sandbox: Sandbox, api: httpx.Client) -> None:
    """
    After a revocation the key that worked is a 401.
    """
    assert api.get("/users").status_code == 200
    sandbox.revoke_key()

    assert api.get("/users").status_code == 401


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    COMETCHAT_API_KEY is the key that the sandbox knows; without it there is a default of 40 characters.
    """
    monkeypatch.setenv("COMETCHAT_API_KEY", "from-the-environment")
    with running_sandbox() as sandbox:
        assert sandbox.api_key == "from-the-environment"
    monkeypatch.delenv("COMETCHAT_API_KEY")
    with running_sandbox() as sandbox:
        assert len(sandbox.api_key) == len(sandbox.auth_only_key) == 40
